"""The scaling study's tables, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.scaling import FOURIER_COLUMNS, SCALING_COLUMNS, fourier_table, scaling_table
from platemae.contracts import SCORE_COLUMNS
from platemae.report.study import studied


def entry(model: str, kind: str = "mae", seed: int = 0, twins: str = "", **more) -> dict:
    study = {"model": model, "kind": kind, "family": "WSL" if kind == "wsl" else "MAE+", "preset": "tiny"}
    study |= {"dataset": "half", "fraction": 0.5, "seed": seed, "fourier_weight": 0.01, "twins": twins or model}
    return study | more


def facts(flops: float = 1e9, **more) -> dict:
    return {"parameters": 1000, "steps": 10, "crops": 80, "flops": flops} | more


def scores(*rows: tuple[str, str, float, str]) -> pd.DataFrame:
    """Rows of (model, correction, recall, overlap), and what must not be taken for a recall of a whole source."""
    columns = [name for name in SCORE_COLUMNS if not name.startswith("plate_")]
    table = [
        [model, correction, "planted", source, metric, 0.05, value, value - 0.1, value + 0.1, 40, 0.1, overlap, "{}"]
        for model, correction, recall, overlap in rows
        for source, metric, value in (
            ("relations", "recall", recall),
            ("relations[strength=1.0]", "recall", 0.99),
            ("relations", "recall_shuffled", 0.1),
        )
    ]
    return pd.DataFrame(table, columns=columns).reindex(columns=list(SCORE_COLUMNS))


STUDY = [entry("mae"), entry("wsl_a", "wsl"), entry("wsl_b", "wsl"), entry("diverged")]
TRAINED = {
    "mae": facts(2e12),
    "wsl_a": facts(),
    "wsl_b": facts(),
    "diverged": facts(diverged_at=7),
}
SCORES = scores(
    ("mae", "none", 0.3, "images"),
    ("mae", "tvn", 0.6, "images"),
    ("wsl_a", "none", 0.2, "labels"),
    ("wsl_a", "tvn", 0.4, "labels"),
    ("wsl_b", "none", 0.25, "labels"),
    ("wsl_b", "tvn", 0.35, "labels"),
    ("diverged", "none", np.nan, "images"),
    ("diverged", "tvn", 0.1, "images"),
    ("untrained", "tvn", 0.2, "none"),
)


def test_gain_is_over_the_best_classifier_of_the_same_correction():
    table = scaling_table(SCORES, STUDY, TRAINED)
    assert tuple(table.columns) == SCALING_COLUMNS
    assert len(table) == 8
    best = table.set_index(["model", "correction"])
    assert best.loc[("mae", "none"), "best_wsl"] == "wsl_b"
    assert best.loc[("mae", "tvn"), "best_wsl"] == "wsl_a"
    assert best.loc[("mae", "tvn"), "gain"] == pytest.approx(0.2)
    assert best.loc[("mae", "tvn"), "relative_gain"] == pytest.approx(0.5)
    assert best.loc[("mae", "none"), "relative_gain"] == pytest.approx(0.2)
    assert best.loc[("wsl_a", "tvn"), "gain"] == 0
    assert np.isnan(best.loc[("diverged", "none"), "gain"])
    assert best.loc[("mae", "tvn"), ["flops", "parameters", "step", "crops", "fraction"]].tolist() == [
        2e12,
        1000,
        10,
        80,
        0.5,
    ]


def test_rows_of_text_say_what_a_reader_must_know():
    (_, none), (caption, tvn) = studied(scaling_table(SCORES, STUDY, TRAINED))
    rows = tvn.set_index("model")
    assert rows.loc["diverged", "note"] == "diverged at step 7"
    assert rows.loc["wsl_a", "note"] == "trained on these labels"
    assert rows.loc["mae", "gain over best WSL"] == "+0.200 (+50 %)"
    assert rows.loc["mae", "FLOPs"] == "2e+12"
    assert none.set_index("model").loc["diverged", "recall"] == ""
    assert "best WSL: wsl_a, 0.400 [0.300, 0.500]" in caption


def test_without_a_classifier_there_is_no_gain():
    table = scaling_table(SCORES, STUDY[:1], TRAINED)
    assert table["gain"].isna().all()
    ((caption, _), _) = studied(table)
    assert "no WSL was scored beside" in caption


def test_a_model_whose_operations_are_not_known_takes_no_part():
    assert set(scaling_table(SCORES, STUDY, TRAINED | {"mae": facts(0)})["model"]) == {"wsl_a", "wsl_b", "diverged"}
    assert scaling_table(SCORES, [], {}).empty
    assert tuple(scaling_table(SCORES, [], {}).columns) == SCALING_COLUMNS


def test_seeds_are_one_row():
    study = [
        entry("a", twins="x"),
        entry("b", twins="y"),
        entry("a2", seed=1, twins="x"),
        entry("a3", seed=2, twins="x"),
        entry("untrained", twins="z"),
    ]
    steady = {"grad_norm_median": 1.0, "grad_norm_max": 3.0, "loss_spikes": 1}
    trained = {
        "a": steady,
        "b": steady | {"grad_norm_max": 9.0},
        "a2": {"grad_norm_median": 5.0, "grad_norm_max": 50.0, "loss_spikes": 2, "diverged_at": 17},
        "a3": {"diverged_at": 0},
        "untrained": facts(0, steps=0),
    }
    table = fourier_table(study, trained)
    assert tuple(table.columns) == FOURIER_COLUMNS
    assert table.to_dict("records") == [
        {"model": "a", "family": "MAE+", "fourier_weight": 0.01, "seeds": 3, "diverged": 2, "diverged_at": "17 0"}
        | {"grad_norm_median": 3.0, "grad_norm_max": 50.0, "loss_spikes": 3},
        {"model": "b", "family": "MAE+", "fourier_weight": 0.01, "seeds": 1, "diverged": 0, "diverged_at": ""}
        | {"grad_norm_median": 1.0, "grad_norm_max": 9.0, "loss_spikes": 1},
    ]
