"""The scaling study (PAPER.md 6.1): recall against training operations, and the gain over the best classifier.

Scores are measured elsewhere; here rows are joined with what their trainings cost, and compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

STUDY_COLUMNS = ("model", "family", "kind", "preset", "dataset", "fraction", "seed")
"""What the configuration says of a model; ``family`` is the papers' word: MAE, MAE+ (with Fourier term), WSL, ..."""
COST_COLUMNS = ("parameters", "step", "crops", "flops", "diverged_at")
"""What its training says: trained parameters, finished steps, crops seen, operations of all steps."""
SCORE_COLUMNS = (
    "correction",
    "benchmark",
    "source",
    "threshold",
    "recall",
    "ci_low",
    "ci_high",
    "n",
    "chance",
    "overlap",
)
GAIN_COLUMNS = ("best_wsl", "best_wsl_recall", "best_wsl_ci_low", "best_wsl_ci_high", "gain", "relative_gain")
SCALING_COLUMNS = (*STUDY_COLUMNS, *COST_COLUMNS, *SCORE_COLUMNS, *GAIN_COLUMNS)
FOURIER_COLUMNS = (
    "model", "family", "fourier_weight", "seeds", "diverged", "diverged_at",
    "grad_norm_median", "grad_norm_max", "loss_spikes",
)  # fmt: skip
WSL = "wsl"
_SAME = ["correction", "benchmark", "source", "threshold"]


def scaling_table(
    scores: pd.DataFrame, study: Sequence[Mapping[str, Any]], trained: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Join recall with what each training cost.

    Parameters
    ----------
    scores
        ``contracts.SCORE_COLUMNS`` of all models.
    study
        ``STUDY_COLUMNS`` of each model that may take part, in the order of the tables.
    trained
        Facts of the trainings: ``parameters``, ``steps``, ``crops``, ``flops``, maybe ``diverged_at``. A model without
        operations, or without facts, takes no part.

    Returns
    -------
    ``SCALING_COLUMNS``; one row for each model and recall of a whole source. ``gain`` is recall minus that of the best
    classifier (kind wsl, whatever size, fraction or snapshot) under the same correction, benchmark, source and
    threshold; ``relative_gain`` is its share of that recall, as the papers state it. Where no classifier was scored,
    both are empty. An interval of the gain would have to resample both maps' genes together: it is not given, the
    intervals of both recalls are.
    """
    known = [entry for entry in study if trained.get(entry["model"], {}).get("flops", 0) > 0]
    models = pd.DataFrame([_costs(entry, trained[entry["model"]]) for entry in known])
    recall = scores[
        (scores["metric"] == "recall") & ~scores["source"].astype(str).str.contains("[strength=", regex=False)
    ]
    if models.empty or recall.empty:
        return pd.DataFrame(columns=list(SCALING_COLUMNS))
    joined = models.merge(recall.rename(columns={"value": "recall"}), on="model", how="inner")
    best = _best(joined[joined["kind"] == WSL])
    joined = joined.merge(best, on=_SAME, how="left")
    joined["gain"] = joined["recall"] - joined["best_wsl_recall"]
    usable = joined["best_wsl_recall"].where(joined["best_wsl_recall"] > 0)
    joined["relative_gain"] = joined["gain"] / usable
    return joined[list(SCALING_COLUMNS)].reset_index(drop=True)


def _costs(entry: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return one model's columns of study and cost."""
    costs = {"parameters": facts["parameters"], "step": facts["steps"]}
    costs |= {name: facts[name] for name in ("crops", "flops")}
    return {name: entry[name] for name in STUDY_COLUMNS} | costs | {"diverged_at": facts.get("diverged_at", np.nan)}


def _best(wsl: pd.DataFrame) -> pd.DataFrame:
    """Return the classifier of highest recall for each thing that is compared; the first of equals."""
    named = {
        "model": "best_wsl",
        "recall": "best_wsl_recall",
        "ci_low": "best_wsl_ci_low",
        "ci_high": "best_wsl_ci_high",
    }
    measured = wsl.dropna(subset="recall").sort_values("recall", ascending=False, kind="stable")
    return measured.drop_duplicates(_SAME)[[*_SAME, *named]].rename(columns=named)


def fourier_table(study: Sequence[Mapping[str, Any]], trained: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Tell how steadily trainings went, those that differ in their seed alone in one row.

    Parameters
    ----------
    study
        Of each model ``model``, ``family``, ``fourier_weight``, ``seed``, and ``twins``: what is equal for trainings
        that differ in their seed alone. Snapshots are left out by the caller.
    trained
        Facts of the trainings: ``grad_norm_median``, ``grad_norm_max``, ``loss_spikes``, maybe ``diverged_at``. A model
        with none of them, such as one of no step, takes no part.

    Returns
    -------
    ``FOURIER_COLUMNS``: the first model's name; number of seeds and of those that diverged, and at which steps; the
    median over seeds of the median gradient norm, the largest gradient norm, and all loss spikes
    (``making.stability``), both of the steps before a divergence.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in study:
        if {"grad_norm_median", "diverged_at"} & trained.get(entry["model"], {}).keys():
            groups.setdefault(entry["twins"], []).append(entry)
    rows = [_steadiness(group, [trained[entry["model"]] for entry in group]) for group in groups.values()]
    return pd.DataFrame(rows, columns=list(FOURIER_COLUMNS))


def _steadiness(entries: Sequence[Mapping[str, Any]], facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one row: trainings that differ in their seed alone."""
    ends = [int(one["diverged_at"]) for one in facts if "diverged_at" in one]
    norms = [one["grad_norm_median"] for one in facts if "grad_norm_median" in one]
    peaks = [one["grad_norm_max"] for one in facts if "grad_norm_max" in one]
    return {
        "model": entries[0]["model"],
        "family": entries[0]["family"],
        "fourier_weight": entries[0]["fourier_weight"],
        "seeds": len(entries),
        "diverged": len(ends),
        "diverged_at": " ".join(map(str, ends)),
        "grad_norm_median": float(np.median(norms)) if norms else np.nan,
        "grad_norm_max": max(peaks, default=np.nan),
        "loss_spikes": sum(int(one.get("loss_spikes", 0)) for one in facts),
    }
