"""Average precision and p-values by copairs, for the tests of ours.

``python -m venv V && V/bin/pip install copairs==0.5.5 "pandas<3" && V/bin/python tests/unit/benchmarks/data/copairs_oracle.py``
writes copairs_oracle.json beside this file: inputs and what copairs says of them. copairs pins duckdb and brings
statsmodels, so it is no dependency of the tests; where it can be imported, a test runs it again.
"""  # noqa: E501

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
NULL_SIZE = 20000


def cases() -> dict[str, dict]:
    """Return inputs: metadata columns, features, and the names that tell pairs."""
    rng = np.random.default_rng(7)
    rows = [
        {"plate": f"p{plate}", "perturbation": f"t{t}", "role": "treatment"}
        for plate in range(3)
        for t in range(8)
        for _ in range(1 + (t + plate) % 2)
    ]
    rows += [
        {"plate": f"p{plate}", "perturbation": f"c{plate}{n}", "role": "negcon"}
        for plate in range(3)
        for n in range(5 + plate)
    ]
    replicates = pd.DataFrame(rows)
    signal = {f"t{t}": 0.3 * t * rng.standard_normal(6) for t in range(8)}
    x = np.stack([signal.get(name, np.zeros(6)) + rng.standard_normal(6) for name in replicates["perturbation"]])
    genes = [f"g{index % 12}" for index in range(60)]
    siblings = pd.DataFrame({"gene": genes, "compound": [f"c{index // 2}" for index in range(60)]})
    y = rng.standard_normal((60, 8)) + 0.8 * rng.standard_normal((12, 8))[np.arange(60) % 12]
    replicability = {
        "pos_sameby": ["perturbation"],
        "pos_diffby": [],
        "neg_sameby": ["plate"],
        "neg_diffby": ["perturbation", "role"],
        "group": ["perturbation"],
    }
    matching = {"pos_sameby": ["gene"], "pos_diffby": [], "neg_sameby": [], "neg_diffby": ["gene"], "group": ["gene"]}
    apart = {**matching, "pos_diffby": ["compound"], "neg_diffby": ["gene", "compound"]}
    return {
        "replicability": {"meta": replicates.to_dict("list"), "x": x.round(4).tolist(), **replicability},
        "matching": {"meta": siblings.to_dict("list"), "x": y.round(4).tolist(), **matching},
        "matching_apart": {"meta": siblings.to_dict("list"), "x": y.round(4).tolist(), **apart},
    }


def answer(case: dict) -> dict:
    """Return what copairs says: AP, its normalised form and the counts of each profile; mAP and p of each group."""
    from copairs.map import average_precision, mean_average_precision

    keys = ("pos_sameby", "pos_diffby", "neg_sameby", "neg_diffby")
    meta, x = pd.DataFrame(case["meta"]), np.array(case["x"])
    ap = average_precision(meta, x, **{key: case[key] for key in keys}, progress_bar=False)
    if "role" in ap:
        ap = ap[ap["role"] == "treatment"]
    with tempfile.TemporaryDirectory() as cache:
        tested = mean_average_precision(
            ap, case["group"], null_size=NULL_SIZE, threshold=0.05, seed=0, progress_bar=False, cache_dir=cache
        )
    columns = ["average_precision", "normalized_average_precision", "n_pos_pairs", "n_total_pairs"]
    groups = tested.set_index(case["group"][0])[["mean_average_precision", "p_value", "corrected_p_value"]]
    return {
        "index": ap.index.tolist(),
        **{name: [None if pd.isna(v) else v for v in ap[name].tolist()] for name in columns},
        "groups": groups.to_dict("index"),
    }


if __name__ == "__main__":
    found = {name: {**case, "copairs": answer(case)} for name, case in cases().items()}
    (HERE / "copairs_oracle.json").write_text(json.dumps(found, indent=None) + "\n")
