"""The section on the scaling study: what it draws, and what it says of the best row."""

import base64
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.scaling import fourier_table, scaling_table
from platemae.contracts import SCORE_COLUMNS
from platemae.layout import Results
from platemae.report.blocks import Figure, Fold, Table, Text
from platemae.report.sections.scaling import build

FAMILIES = {"mae": "MAE", "wsl": "WSL", "munet": "MU-Net"}


@pytest.fixture
def source(tmp_path):
    """Three families, each with a snapshot, under two corrections; recall grows with training."""
    study, trained, rows = [], {}, []
    for place, (kind, family) in enumerate(FAMILIES.items()):
        for step in (50, 200):
            name = kind if step == 200 else f"{kind}@{step}"
            study.append(
                {"model": name, "kind": kind, "family": family, "preset": "tiny", "dataset": "d", "twins": kind}
            )
            study[-1] |= {"fraction": 1.0, "seed": 0, "fourier_weight": 0.0}
            trained[name] = {"parameters": 10**6, "steps": step, "crops": 64 * step, "flops": step * 10 ** (10 + place)}
            trained[name] |= {"grad_norm_median": 0.5, "grad_norm_max": 12.0, "loss_spikes": 1}
            for correction, gain in (("none", 0.0), ("tvn", 0.3)):
                value = 0.1 + gain + 0.001 * step - 0.1 * (kind == "wsl")
                spread = [value, value - 0.04, value + 0.04]
                rows.append(
                    [
                        name,
                        correction,
                        "planted",
                        "relations",
                        "recall",
                        0.05,
                        *spread,
                        *[np.nan] * 2,
                        72,
                        0.1,
                        "images",
                        "{}",
                    ]
                )
    trained["munet"] |= {"diverged_at": 190}
    results = Results(tmp_path)
    results.tables().mkdir()
    scores = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    scaling_table(scores, study, trained).to_csv(results.tables() / "scaling.csv", index=False)
    whole = [entry for entry in study if "@" not in entry["model"]]
    fourier_table(whole, trained).to_csv(results.tables() / "fourier.csv", index=False)
    models = [{"name": entry["model"], "parent": entry["kind"] if "@" in entry["model"] else None} for entry in study]
    models = [model | {"kind": "mae"} for model in models] + [{"name": "zero", "kind": "untrained"}]
    floor = scores[scores["model"] == "mae"].assign(model="zero", value=0.7, ci_low=0.6, ci_high=0.8)
    scores = pd.concat([scores, floor], ignore_index=True)
    return SimpleNamespace(results=results, cfg={"models": models}, scores=(scores, []), untrained=["zero"])


def test_random_weights_above_every_training_are_told_and_drawn(source):
    blocks = build(source).blocks
    texts = [str(block.text) for block in blocks if isinstance(block, Text)]
    assert "Highest of random weights: zero under none, 0.700 [0.600, 0.800], n = 72." in texts
    (figure,) = (block for block in blocks if isinstance(block, Figure))
    assert "random weights" in base64.b64decode(figure.drawing.uri.split(",")[1]).decode()


def test_a_figure_a_sentence_and_all_rows(source):
    blocks = build(source).blocks
    (figure,) = (block for block in blocks if isinstance(block, Figure))
    drawn = base64.b64decode(figure.drawing.uri.split(",")[1]).decode()
    assert "mathdefault" not in drawn
    assert all(text in drawn for text in ("training FLOPs", "MU-Net", "WSL", "best WSL", "correction tvn"))
    assert "6 models" in figure.alt
    texts = [str(block.text) for block in blocks if isinstance(block, Text)]
    best = (
        "Highest recall among trained models: mae under tvn, 0.600 [0.560, 0.640], n = 72, at 2e+12 FLOPs, +0.100 over"
    )
    best += " the best WSL (wsl)"
    assert f"{best}; their intervals are apart." in texts
    fold, steadiness = (block for block in blocks if isinstance(block, Fold))
    assert [len(table.rows) for table in fold.blocks] == [6, 6]
    assert any("diverged at step 190" in str(row[-1]) for row in fold.blocks[0].rows)
    assert steadiness.summary == "Steadiness of training: 1 training diverged"
    (steady,) = (block for block in steadiness.blocks if isinstance(block, Table))
    assert [str(cell) for cell in steady.rows[2][:6]] == ["munet", "MU-Net", "0", "1", "1", "190"]


def test_the_first_recall_is_shown_and_others_are_folded(source):
    path = source.results.tables() / "scaling.csv"
    table = pd.read_csv(path)
    pd.concat([table, table.assign(threshold=0.2)]).to_csv(path, index=False)
    blocks = build(source).blocks
    assert sum(isinstance(block, Figure) for block in blocks) == 1
    (more,) = (b for b in blocks if isinstance(b, Fold) and b.summary.startswith("Recall against training operations"))
    assert more.summary.endswith("recall at 0.2")
    assert sum(isinstance(block, Figure) for block in more.blocks) == 1
    assert any("Highest recall" in str(block.text) for block in more.blocks if isinstance(block, Text))


def test_marks_differ_beside_colours(source):
    (figure,) = (block for block in build(source).blocks if isinstance(block, Figure))
    drawn = base64.b64decode(figure.drawing.uri.split(",")[1]).decode()
    assert drawn.count("<svg") == 1
    paths = {line.split('"')[1] for line in drawn.splitlines() if 'id="m' in line}
    assert len(paths) >= len(FAMILIES)


def test_overlapping_intervals_are_told(source):
    path = source.results.tables() / "scaling.csv"
    table = pd.read_csv(path)
    table["ci_low"] = table["ci_low"] - 0.2
    table.to_csv(path, index=False)
    assert any(
        "their intervals overlap" in str(block.text) for block in build(source).blocks if isinstance(block, Text)
    )


def test_a_correction_may_be_called_null(source):
    path = source.results.tables() / "scaling.csv"
    path.write_text(path.read_text().replace(",none,", ",null,"))
    (figure,) = (block for block in build(source).blocks if isinstance(block, Figure))
    assert "correction null" in base64.b64decode(figure.drawing.uri.split(",")[1]).decode()


def test_without_trainings_a_sentence(tmp_path):
    section = build(SimpleNamespace(results=Results(tmp_path), cfg={"models": []}))
    assert [type(block) for block in section.blocks] == [Text]


def test_recalls_that_could_not_be_measured_are_no_points(source):
    path = source.results.tables() / "scaling.csv"
    table = pd.read_csv(path).assign(recall=np.nan)
    table.to_csv(path, index=False)
    assert any("No recall could be measured" in block.text for block in build(source).blocks if isinstance(block, Text))
