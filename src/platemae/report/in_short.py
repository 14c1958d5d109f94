"""The first thing that a reader sees: what training gave on the first benchmark, beside random weights and chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from platemae.contracts import TRAINED_KINDS
from platemae.report.blocks import Statement
from platemae.report.meanings import meaning
from platemae.report.origin import SCORES, Cell, cell
from platemae.report.scores import number
from platemae.report.source import Source
from platemae.report.verdicts import (
    ABOVE,
    AT,
    BELOW,
    LOWER_IS_BETTER,
    NOT_MEASURED,
    SHUFFLED,
    Row,
    Verdict,
    against_chance,
    rows_of,
    tie,
    too_small,
)

FOUND = ("recall", "recall_upper")
"""Metrics that count known pairs which were found."""


def in_short(source: Source, leading: Sequence[Verdict]) -> Statement | None:
    """Return the first benchmark's trained network beside random weights and chance; None where nothing was trained.

    Parameters
    ----------
    source
        Tells which networks are trained, and which have random weights.
    leading
        The first verdict of each benchmark.
    """
    main = next((verdict for verdict in leading if _is_main(verdict)), None)
    if main is None:
        return None
    kinds = {model["name"]: model["kind"] for model in source.cfg["models"]}
    rows = [row for row in rows_of(main.group) if np.isfinite(row.value)]
    trained = [row for row in rows if kinds.get(row.model) in TRAINED_KINDS and row.model not in source.untrained]
    if not trained:
        return None
    top = max(trained, key=lambda row: row.value)
    floor, same = _floor(source, rows, top)
    picked = f", the highest of {len(trained)} rows of trained networks" if len(trained) > 1 else ""
    found = main.group.metric in FOUND
    who = f"{'Of the known pairs, the' if found else 'The'} trained network ({top.name}{picked})"
    said = [f"{who} {'finds' if found else 'reaches'} {_told(top)}"]
    if floor is not None:
        said.append(f"{'the same' if same else 'a'} network with random weights ({floor.name}) {_told(floor)}")
    if np.isfinite(top.chance):
        said.append(f"chance is {number(top.chance)}")
    text = f"{'; '.join(said)}. {_judged(top, floor, len(source.map_plates))}"
    return Statement(f"In short: {main.group.title}", _cell(main, text, [top, floor]), meaning(main.group))


def _is_main(verdict: Verdict) -> bool:
    metric = verdict.group.metric
    measured = any(against_chance(row) != NOT_MEASURED for row in rows_of(verdict.group))
    return measured and metric not in LOWER_IS_BETTER and not metric.endswith(SHUFFLED)


def _floor(source: Source, rows: Sequence[Row], top: Row) -> tuple[Row | None, bool]:
    """Return the highest row of random weights under the same correction, and whether the network is the same."""
    twins = source.twins(top.model)
    floors = [row for row in rows if row.model in (twins or source.untrained) and row.correction == top.correction]
    return max(floors, key=lambda row: row.value, default=None), bool(twins)


def _told(row: Row) -> str:
    return row.text + (" (at chance)" if against_chance(row) == AT else "")


def _judged(top: Row, floor: Row | None, n_plates: int) -> str:
    standing = against_chance(top)
    words = {ABOVE: "clear of chance", AT: "at chance", BELOW: "below chance"}
    chance = f"Trained is {words[standing]}" if standing in words else f"Trained is not judged ({standing})"
    if floor is None:
        return f"{chance}. No network with random weights stands beside it, so what training adds is not known."
    if tie(top, floor):
        small = too_small([top, floor], n_plates)
        verdict = (
            f"; this screen ({small}) is too small to tell what training adds"
            if small
            else ": training may have added nothing"
        )
        return f"{chance}, and not set apart from random weights, as intervals overlap{verdict}."
    if not (top.bounded and floor.bounded):
        return f"{chance}; without intervals it cannot be set apart from random weights."
    side = "above" if top.value > floor.value else "below"
    return f"{chance}, and {side} random weights, with intervals apart."


def _cell(verdict: Verdict, text: str, rows: Sequence[Row | None]) -> Cell:
    """Return the text with the score rows that it tells of."""
    names = [(row.model, row.correction) for row in rows if row is not None]
    table = verdict.group.rows
    places = [
        place
        for place, *name in zip(table.index, table["model"], table["correction"], strict=True)
        if tuple(name) in names
    ]
    return cell(text, SCORES, ("value", "ci_low", "ci_high", "n", "chance"), places)
