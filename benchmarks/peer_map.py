"""Average precision by copairs, run by the interpreter of the peers' environment (see peers.txt).

``peer_map.py FILE.npz``: features ``x``, labels ``label``, maybe ``plate`` and ``control`` for replicability.
Prints JSON: seconds of copairs' own function, seconds of processor, extra MiB, and the file of average precisions.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from child_memory import REFS, resident
from copairs.map import average_precision


def main() -> None:
    """Run the recipe that the file asks for."""
    path = Path(sys.argv[1])
    given = np.load(path)
    meta = pd.DataFrame({"label": given["label"]})
    pairs = {"pos_sameby": ["label"], "pos_diffby": [], "neg_sameby": [], "neg_diffby": ["label"]}
    if "plate" in given:
        meta["plate"], meta["control"] = given["plate"], given["control"]
        pairs |= {"neg_sameby": ["plate"], "neg_diffby": ["label", "control"]}
    REFS.write_text("5")  # the peak starts anew
    before, start, cpu = resident("VmRSS"), time.perf_counter(), time.process_time()
    found = average_precision(meta, given["x"], **pairs, progress_bar=False)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    np.save(path.with_suffix(".npy"), found["average_precision"].to_numpy(np.float64))
    said = {"seconds": seconds, "cpu_seconds": cpu_seconds, "mib": resident("VmHWM") - before}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
