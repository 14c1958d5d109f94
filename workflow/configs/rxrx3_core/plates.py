"""From RxRx3-core's metadata to plates.tsv and one layout: `python plates.py metadata_rxrx3_core.csv FOLDER`.

Guides keep their name and gene, compounds their name and dose; wells of EMPTY_control are the negative controls.
"""

import sys
from pathlib import Path

import pandas as pd

CONTROL = "EMPTY_control"
HEADER = ["plate", "batch", "reader", "path", "layout"]


def main(metadata: str, folder: str) -> None:
    """Write ``plates.tsv`` and ``layout.tsv`` into ``folder``."""
    wells = pd.read_csv(metadata, dtype=str, keep_default_na=False)
    lacking = {"experiment_name", "plate", "address", "gene", "treatment", "concentration"} - set(wells.columns)
    if lacking:
        sys.exit(f"{metadata} has no column {', '.join(sorted(lacking))}; it has {', '.join(wells.columns)}")
    control = (wells["treatment"] == CONTROL) | (wells["gene"] == CONTROL)
    of_gene = ~control & (wells["gene"] != "")
    plate = wells["experiment_name"] + "_" + wells["plate"]
    layout = pd.DataFrame(
        {
            "plate": plate,
            "well": wells["address"],
            "perturbation": wells["treatment"].mask(control, CONTROL),
            "gene": wells["gene"].where(of_gene, ""),
            "compound": wells["treatment"].mask(control | of_gene, ""),
            "concentration": wells["concentration"].mask(control | of_gene, ""),
            "control_type": control.map({True: "negcon", False: "treatment"}),
        }
    )
    plates = pd.DataFrame({"plate": plate, "batch": wells["experiment_name"]}).drop_duplicates().sort_values("plate")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    layout.to_csv(target / "layout.tsv", sep="\t", index=False)
    plates = plates.assign(reader="bare", path="-", layout="layout.tsv")
    plates[HEADER].to_csv(target / "plates.tsv", sep="\t", index=False)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
