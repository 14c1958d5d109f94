"""The methods section: every number of the text stands in the file that it is said to be of."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from platemae.errors import MissingError
from platemae.layout import Results
from platemae.methods.references import REFERENCES
from platemae.methods.text import methods_text

ARCHITECTURE = {"crop_px": 32, "patch_px": 4, "width": 128, "mlp_ratio": 4.0, "qk_norm": True}
SETTINGS = {"global_batch": 64, "lr": 3e-4, "weight_decay": 0.05, "betas": [0.9, 0.95], "warmup_fraction": 0.1}
SETTINGS |= {"clip_norm": 1.0, "seed": 7, "mask_ratio": 0.75, "fourier_weight": 0.01}
CFG = {
    "plates": ["P1", "P2"],
    "map_plates": ["P1", "P2"],
    "exclude_failed": True,
    "models": [
        {"name": "mae1", "kind": "mae", "dataset": "set9", "intensity": "controls", "parent": None},
        {"name": "mae1@500", "kind": "mae", "dataset": "set9", "intensity": "controls", "parent": "mae1"},
    ],
    "corrections": [
        {"name": "raw", "kind": "none", "batch_unit": "plate", "fit_on": "negcon", "basis": None},
        {"name": "tvn", "kind": "tvn", "batch_unit": "batch", "fit_on": "negcon", "basis": None},
    ],
    "benchmarks": [
        {
            "name": "known",
            "kind": "known_relations",
            "relations": {"CORUM": "corum.csv", "own": "other.csv"},
            "thresholds": [[0.05, 0.95]],
            "n_bootstrap": 1000,
        }
    ],
    "map": {"entity": "gene", "aggregate": "mean"},
}


def write(root, path, value):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(json.dumps(value))


@pytest.fixture
def results(tmp_path) -> Results:
    """Manifests of two plates, one training with a snapshot, two corrections: each number is found once."""
    for at, plate in enumerate(CFG["plates"]):
        counts = {"wells": 60 + at, "fields": 1210 + at, "channels": ["DNA 33342", "ER"], "pixel_size_um": 0.65}
        write(tmp_path, f"plates/{plate}.manifest.json", {"counts": counts})
        qc = {"failed": 13 + at, "fields": 1210 + at, "failed_by": {"focus": 11 + at}}
        write(tmp_path, f"qc/{plate}.manifest.json", {"counts": qc})
        wells = [f"A{number:02d}" for number in range(1, 18 + at)]
        rows = {
            "plate": plate,
            "batch": f"B{at}",
            "well": wells,
            "control_type": ["negcon"] * 5 + ["treatment"] * (len(wells) - 5),
        }
        pd.DataFrame(rows).to_parquet(tmp_path / f"plates/{plate}.fields.parquet")
        for model in ("mae1", "mae1@500"):
            counts = {"wells": 57 + at, "dimensions": 128, "tiles": 30250 + at}
            write(tmp_path, f"embeddings/{model}/{plate}.manifest.json", {"counts": counts})
    write(
        tmp_path,
        "intensity/controls.manifest.json",
        {"counts": {"fields": {"P1": 41, "P2": 42}, "units": ["B0", "B1"]}},
    )
    counts = {"fields": 2391, "wells": 119, "plates": 2, "validation_fields": 120, "validation_wells": 6}
    write(tmp_path, "datasets/set9.manifest.json", {"counts": counts})
    for model, steps in (("mae1", 800), ("mae1@500", 500)):
        training = {"steps": steps, "crops": steps * 64, "parameters": 1_049_760}
        facts = {"kind": "mae", "architecture": ARCHITECTURE, "settings": SETTINGS, "training": training}
        write(tmp_path, f"models/{model}/model.json", facts)
        steps_of = ["z-score on all controls", "multiply by (covariance + 0.5 I)^(-1/2)"]
        counts = {"n_controls": 10, "n_plates": 2, "components": 9, "steps": steps_of}
        for correction in ("raw", "tvn"):
            write(tmp_path, f"corrections/{model}/{correction}.manifest.json", {"counts": counts})
            write(
                tmp_path,
                f"maps/{model}/{correction}.manifest.json",
                {"counts": {"rows": 33, "n_wells": 115, "n_not_treated": 24, "n_not_finite": 0, "entity": "gene"}},
            )
    return Results(tmp_path)


def expected(root: Path, quote) -> float:
    """Return a quoted number from its files, read by this test alone."""
    if quote.key == "batch":
        return len(set(pd.concat([pd.read_parquet(root / f) for f in quote.files])["batch"]))
    if quote.key.startswith("control_type="):
        rows = pd.concat([pd.read_parquet(root / f) for f in quote.files])
        return len(rows[rows["control_type"] == quote.key.split("=")[1]].drop_duplicates(["plate", "well"]))
    total = 0
    for file in quote.files:
        value = json.loads((root / file).read_text())
        for part in quote.key.split("."):
            value = value.get(part, 0)
        if isinstance(value, dict):
            value = sum(value.values())
        total += len(value) if isinstance(value, list) else value
    return total


def test_each_number_of_the_text_is_in_its_file(results):
    methods = methods_text(results, CFG, {"platemae": "0.1.0", "torch": "2.13.0", "timm": "absent"})
    numbers = [quote for quote in methods.quotes if not isinstance(quote.value, str)]
    for quote in numbers:
        assert quote.shown == (f"{quote.value:,}" if isinstance(quote.value, int) else f"{quote.value:.6g}")
        if quote.key == "settings.betas":
            assert quote.value in SETTINGS["betas"]
        elif quote.files:
            assert quote.value == expected(results.root, quote), quote
    text = re.sub(r"\[@\w+\]", "", methods.markdown())
    words = sorted((quote.shown for quote in methods.quotes if isinstance(quote.value, str)), key=len, reverse=True)
    for shown in words:
        text = text.replace(shown, " ")
    assert set(re.findall(r"\d[\d,.]*\d|\d", text)) <= {quote.shown for quote in numbers}
    assert {q.value for q in numbers if not q.files} == {2, 4, 0.05, 0.95, 1000}, "those of the configuration"


def test_wells_in_no_row_units_and_reasons_are_told(results):
    text = methods_text(results, CFG, {}).markdown()
    assert "33 rows, of 115 wells less those left out: 24 not treated." in text
    assert "with 2 maps: B0, B1." in text
    assert "27 of 2,421 fields failed (by reason, of which a field may have several: focus 23)" in text


def test_a_map_of_fixed_limits_is_not_called_fitted(results):
    write(results.root, "intensity/controls.manifest.json", {"counts": {"fields": {"P1": 41, "P2": 42}, "units": []}})
    text = methods_text(results, CFG, {}).markdown()
    assert "The intensity map controls takes fixed limits of each channel to 0..255" in text
    assert "83 fields" not in text


def test_cells_are_called_cells(results):
    """Of a pooled screen 10 controls are cells, and a map is of guides in wells."""
    for file, more in (
        *((f"embeddings/mae1/{plate}.manifest.json", {"rows": "cell", "n_rows": 4000}) for plate in CFG["plates"]),
        ("maps/mae1/raw.manifest.json", {"n_cells": 7900}),
    ):
        counts = json.loads((results.root / file).read_text())["counts"]
        write(results.root, file, {"counts": counts | more})
    text = methods_text(results, CFG, {}).markdown()
    assert "It was fitted on 10 negative control cells of 2 plates." in text
    assert "mae1 gives 8,000 cells in 115 wells, of 128 dimensions" in text
    assert "33 rows, of 7,900 cells in 115 pairs of guide and well less those left out" in text
    assert "Cells of a guide in one well become a replicate, replicates become guides and guides rows by mean." in text


def test_people_read_references_without_latex():
    for reference in REFERENCES.values():
        assert not set("{}\\") & set(reference.plain)
        assert " and others" not in reference.plain
        assert reference.plain.count(" and ") <= 1 + (reference.title + reference.where).count(" and ")
    assert "Piotr Dollár" in REFERENCES["he2022"].plain
    assert REFERENCES["kraus2023"].plain.startswith("Oren Kraus, Kian Kenyon-Dean, Saber Saberian et al. (2023).")


def test_what_was_used_is_cited_and_nothing_else(results):
    methods = methods_text(results, CFG, {"torch": "2.13.0", "timm": "absent"})
    keys = {reference.key for reference in methods.references}
    assert {"kraus2024", "ando2017", "tsitsiridis2023", "paszke2019"} <= keys
    assert not {"korsunsky2019", "drew2021", "wightman2019", "stirling2021"} & keys
    assert re.findall(r"^@\w+{(\w+),", methods.bibtex(), re.M) == [reference.key for reference in methods.references]


def test_each_reference_can_be_found():
    for key, reference in REFERENCES.items():
        assert key == reference.key
        assert str(reference.year) in key
        assert re.fullmatch(r"10\.\d{4,5}/\S+", reference.doi) or re.fullmatch(r"\d{4}\.\d{4,5}", reference.arxiv)
        assert reference.bibtex().count("{") == reference.bibtex().count("}")


def test_unfinished_results_are_named(results):
    (results.root / "maps/mae1/raw.manifest.json").unlink()
    with pytest.raises(MissingError, match=r"maps/mae1/raw\.manifest\.json"):
        methods_text(results, CFG, {})
    (results.root / "plates/P2.fields.parquet").unlink()
    with pytest.raises(MissingError, match=r"P2\.fields\.parquet"):
        methods_text(results, CFG, {})
    with pytest.raises(MissingError, match="no plates to tell of"):
        methods_text(results, CFG | {"plates": []}, {})
