"""One table a paper's table: published, measured, difference, interval, n, and what is unlike between the two."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from platemae.report.scores import number, plain, whole, with_interval
from platemae.report.tables import SENTENCE

PAPER_COLUMNS = (
    "row",
    "column",
    "published",
    "printed",
    "reliability",
    "measured_benchmark",
    "measured_threshold",
    "measured_model",
    "measured_correction",
    "measured",
    "ci_low",
    "ci_high",
    "difference",
    "n",
    "overlap",
    "unlike",
)
_SHOWN = (
    "row",
    "column",
    "published",
    "benchmark",
    "model",
    "correction",
    "measured",
    "difference",
    "n",
    "overlap",
    SENTENCE,
)


@dataclass(frozen=True)
class MeasuredFacts:
    """What is known of a measured row, to be told beside a published one.

    Parameters
    ----------
    training
        Of each trained model: ``family``, ``preset``, ``dataset``, ``crops``, ``parameters``, as far as known.
    maps
        Of each (model, correction): ``n_wells`` read, ``rows`` of the map; of cells also ``n_cells``.
    """

    training: Mapping[str, Mapping[str, Any]]
    maps: Mapping[tuple[str, str], Mapping[str, Any]]


def paper_tables(joined: pd.DataFrame, facts: MeasuredFacts) -> dict[str, pd.DataFrame]:
    """Return the tables by name.

    Parameters
    ----------
    joined
        `platemae.report.published.beside_measured`.
    facts
        What is known of the measured rows.

    Returns
    -------
    ``PAPER_COLUMNS``, numbers as numbers. A published cell without a measured one is kept: it says what is still to be
    measured.
    """
    found = {}
    for name, rows in joined.groupby("table", sort=False):
        table = rows.rename(columns={"value": "published"}).assign(
            unlike=[unlike(row, facts) for row in rows.to_dict("records")]
        )
        found[str(name)] = table[list(PAPER_COLUMNS)].reset_index(drop=True)
    return found


def unlike(row: Mapping[Hashable, Any], facts: MeasuredFacts) -> str:
    """Say in one line on what data and at what scale each of the two was measured; only what is recorded is told."""
    there = [f"on {row['dataset']}" if row["dataset"] else "data not stated", plain(row["note"])]
    printed = f"published: {row['row']}, {', '.join(filter(None, there))}"
    if not plain(row["measured_model"]):
        return f"{printed}; not measured here"
    model, correction = str(row["measured_model"]), str(row["measured_correction"])
    here = [_trained(model, facts.training.get(model)), _map(facts.maps.get((model, correction), {}))]
    return f"{printed}; here: {', '.join(filter(None, here))}"


def _trained(model: str, training: Mapping[str, Any] | None) -> str:
    if training is None:
        return f"{model}, no training of ours"
    architecture = " ".join(filter(None, (plain(training.get("family")), plain(training.get("preset")))))
    parts = [f"{model} ({architecture})" if architecture else model]
    for key, words in (("parameters", "parameters"), ("crops", "crops seen")):
        if training.get(key) is not None:
            parts.append(f"{int(training[key]):,} {words}")
    if training.get("dataset"):
        parts.append(f"dataset {training['dataset']}")
    return ", ".join(parts)


def _map(counts: Mapping[str, Any]) -> str:
    cells = counts.get("n_cells")
    pooled = [(cells, "cells"), (counts.get("n_wells"), "pairs of guide and well")]
    known = pooled if cells is not None else [(counts.get("n_wells"), "wells")]
    known.append((counts.get("rows"), "rows of the map"))
    return ", ".join(f"{int(count):,} {words}" for count, words in known if count is not None)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as text, for Markdown and LaTeX."""
    rows = []
    for row in table.to_dict("records"):
        measured = with_interval(*(_real(row[key]) for key in ("measured", "ci_low", "ci_high")))
        difference = _real(row["difference"])
        rows.append(
            (
                str(row["row"]),
                str(row["column"]),
                plain(row["published"]),
                _benchmark(row),
                plain(row["measured_model"]),
                plain(row["measured_correction"]),
                measured,
                f"{difference:+.3f}" if number(difference) else "",
                whole(_real(row["n"])),
                plain(row["overlap"]),
                str(row["unlike"]),
            )
        )
    return pd.DataFrame(rows, columns=list(_SHOWN))


def _benchmark(row: Mapping[Hashable, Any]) -> str:
    """Return what measured it, with its threshold: two benchmarks of a configuration may measure one cell."""
    threshold = plain(row["measured_threshold"])
    return plain(row["measured_benchmark"]) + (f" at {threshold}" if threshold else "")


def _real(value: Any) -> float:
    return float("nan") if value is None else float(value)


def caption(name: str, table: pd.DataFrame) -> str:
    """Say what a table holds."""
    measured = int(table["measured"].notna().sum())
    return (
        f"{name}: published and measured [95 % interval]; {measured} of {len(table)} lines measured; difference is "
        "measured minus published"
    )
