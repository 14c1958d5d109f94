"""The scaling study as tables of text, for Markdown, LaTeX and the page."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from platemae.report.scores import number, plain, with_interval

SHOWN = ("model", "family", "parameters", "fraction", "step", "crops", "FLOPs", "recall", "gain over best WSL", "note")
ORIGINS = {
    "parameters": ["parameters"],
    "fraction": ["fraction"],
    "step": ["step"],
    "crops": ["crops"],
    "FLOPs": ["flops"],
    "recall": ["recall", "ci_low", "ci_high"],
    "gain over best WSL": ["gain", "relative_gain"],
}
"""Column as shown -> columns of the table that its numbers come from."""
NUMERIC = tuple(ORIGINS)


def studied(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield (caption, rows as text) for each correction, benchmark, source and threshold.

    Parameters
    ----------
    table
        ``benchmarks.scaling.SCALING_COLUMNS``; the rows keep its index.
    """
    for (correction, benchmark, source, threshold), rows in table.groupby(
        ["correction", "benchmark", "source", "threshold"], sort=False, dropna=False
    ):
        said = "" if source in ("", benchmark) else f" · {source}"
        title = f"{benchmark}{said} · recall at {plain(threshold)}, correction {correction}"
        yield (
            f"{title}; {_caption(rows)}",
            pd.DataFrame([_cells(row) for row in rows.to_dict("records")], rows.index, columns=list(SHOWN)),
        )


def _caption(rows: pd.DataFrame) -> str:
    chance = sorted({number(value) for value in rows["chance"]} - {""})
    first = rows.iloc[0]
    parts = ["value [interval]", "chance " + " to ".join(chance)] if chance else ["value [interval]"]
    if isinstance(first["best_wsl"], str):
        best = with_interval(first["best_wsl_recall"], first["best_wsl_ci_low"], first["best_wsl_ci_high"])
        parts.append(
            f"best WSL: {first['best_wsl']}, {best}; gain: difference of recalls, and in percent of the best WSL's"
        )
    else:
        parts.append("no WSL was scored beside")
    return "; ".join(parts)


def _cells(row: Mapping[Hashable, Any]) -> list[str]:
    numbers = ("recall", "ci_low", "ci_high", "gain", "relative_gain")
    value = {key: float(row[key]) for key in numbers}
    gain = f"{value['gain']:+.3f}" if np.isfinite(value["gain"]) else ""
    if np.isfinite(value["relative_gain"]):
        gain += f" ({100 * value['relative_gain']:+.0f} %)"
    return [
        str(row["model"]),
        str(row["family"]),
        f"{row['parameters']:,.0f}",
        plain(row["fraction"]),
        f"{row['step']:,.0f}",
        f"{row['crops']:,.0f}",
        f"{row['flops']:.3g}",
        with_interval(value["recall"], value["ci_low"], value["ci_high"]),
        gain,
        note(row),
    ]


def note(row: Mapping[Hashable, Any]) -> str:
    """Say what a reader of a row must know: that its training diverged, or saw the labels it is scored by."""
    diverged = pd.notna(row["diverged_at"])
    said = [f"diverged at step {plain(row['diverged_at'])}"] if diverged else []
    return "; ".join(said + (["trained on these labels"] if row["overlap"] == "labels" else []))


def steadiness(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``benchmarks.scaling.FOURIER_COLUMNS`` as text."""
    shown = table.copy()
    for column in ("grad_norm_median", "grad_norm_max"):
        shown[column] = [f"{value:.4g}" if np.isfinite(value) else "" for value in table[column]]
    return shown.map(plain).rename(columns=lambda name: name.replace("_", " "))


STEADINESS = (
    "Trainings that differ in their seed alone are one row. Gradient norms are before clipping; a loss spike is a row "
    "of the history whose largest loss of a step exceeds the median of the 50 rows before by 6 scaled median absolute "
    "deviations, neighbours counted once; a training has diverged when its loss is no longer finite"
)
