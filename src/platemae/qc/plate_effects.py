"""What a plate does to its wells: a difference between edge and inside, and drift in the order of the wells."""

# Shape legend: W wells

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from platemae.qc.limits import robust_deviation
from platemae.wells import plate_shape, well_place

EDGE_MEASURES = ("mean", "background", "foreground", "focus")
DRIFT_MEASURES = ("mean", "background", "focus")
"""Measures compared a channel; the cell count is compared once a plate, at the edge alone."""

LEAST_OUTER, LEAST_INNER = 4, 8
"""Wells at the edge and inside below which no difference is given."""

LEAST_WELLS = 12
"""Wells below which no drift is given."""

SURE = 4.0
"""Standard errors beyond which a difference or drift is not taken for chance: few of the dozens that are compared on
a plate reach 4."""


@dataclass(frozen=True)
class Edge:
    """Outer wells against inner ones.

    Parameters
    ----------
    measure, channel
        What is compared; the channel of ``cells`` is empty.
    change
        Median of the outer wells over that of the inner ones, less 1.
    deviations
        Difference of the medians in robust standard deviations of the inner wells.
    outer, inner
        Numbers of wells.
    """

    measure: str
    channel: str
    change: float
    deviations: float
    outer: int
    inner: int

    def beyond(self, limit: float) -> bool:
        """Return whether the difference exceeds ``limit`` deviations and is more than chance."""
        # The median of n normal values has a standard error of 1.2533 deviations over the root of n.
        error = 1.2533 * (1 / self.outer + 1 / self.inner) ** 0.5
        return abs(self.deviations) > max(limit, SURE * error)


@dataclass(frozen=True)
class Drift:
    """Rank correlation (Spearman's) of a measure with the place of the wells in the order of acquisition."""

    measure: str
    channel: str
    rho: float
    wells: int

    def beyond(self, limit: float) -> bool:
        """Return whether the correlation exceeds ``limit`` and is more than chance."""
        return abs(self.rho) > max(limit, SURE / (self.wells - 1) ** 0.5)


def edge_effects(sound: pd.DataFrame) -> list[Edge]:
    """Return the differences between outer and inner wells.

    Outer wells lie in the first or last row or column of the plate; the plate is the smallest usual one that holds
    the wells. Where no well lies there, nothing is returned. A well counts once, with the median of its fields.

    Parameters
    ----------
    sound
        QC rows of the fields that did not fail.
    """
    rows, columns = plate_shape(sound["well"]) if len(sound) else (0, 0)
    found = []
    for measure, channel, values_W in _wells(sound, (*EDGE_MEASURES, "cells")):
        places = [well_place(well) for well in values_W.index]
        outer_W = np.array([row in (0, rows - 1) or column in (0, columns - 1) for row, column in places], dtype=bool)
        outer, inner = values_W[outer_W].to_numpy(), values_W[~outer_W].to_numpy()
        if len(outer) < LEAST_OUTER or len(inner) < LEAST_INNER or (spread := robust_deviation(inner)) == 0:
            continue
        difference, usual = float(np.median(outer) - np.median(inner)), float(np.median(inner))
        change = difference / usual if usual else 0.0
        found.append(Edge(measure, channel, change, difference / spread, len(outer), len(inner)))
    return found


def drifts(sound: pd.DataFrame) -> list[Drift]:
    """Return the drifts over a plate.

    The order is that of a scan row by row. Neither store nor fields table holds the time of an image, and the times
    of files are those of the last copy; a scan by columns, or one that turns back at each row's end, shows the same
    slow drift weaker. Controls or doses sorted by rows look like drift.

    Parameters
    ----------
    sound
        QC rows of the fields that did not fail.
    """
    found = []
    for measure, channel, values_W in _wells(sound, DRIFT_MEASURES):
        order = sorted(values_W.index, key=well_place)
        if len(order) >= LEAST_WELLS and values_W.nunique() > 1:
            rho = float(spearmanr(range(len(order)), values_W[order]).statistic)
            found.append(Drift(measure, channel, rho, len(order)))
    return found


def effect_warnings(edges: Sequence[Edge], found: Sequence[Drift], max_edge: float, max_drift: float) -> list[str]:
    """Return a sentence on the strongest edge effect and one on the strongest drift, where beyond their limits."""
    warnings = []
    beyond = sorted((e for e in edges if e.beyond(max_edge)), key=lambda e: -abs(e.deviations))
    if beyond:
        edge = beyond[0]
        numbers = f"{edge.change:+.1%}, {edge.deviations:+.1f} standard deviations of the {edge.inner} inner wells"
        where = f"the {edge.outer} outer wells differ in {_what(edge)}"
        warnings.append(f"edge effect: {where} ({numbers}){_more(beyond)}")
    strong = sorted((d for d in found if d.beyond(max_drift)), key=lambda d: -abs(d.rho))
    if strong:
        drift = strong[0]
        numbers = f"Spearman {drift.rho:+.2f} over {drift.wells} wells"
        warnings.append(f"drift: {_what(drift)} changes in the order of the wells ({numbers}){_more(strong)}")
    return warnings


def _what(effect: Edge | Drift) -> str:
    return f"{effect.measure} of {effect.channel}" if effect.channel else effect.measure


def _more(effects: Sequence[Edge | Drift]) -> str:
    rest = len(effects) - 1
    return f"; {rest} more measure{'' if rest == 1 else 's'} beyond the limit" if rest else ""


def _wells(sound: pd.DataFrame, measures: tuple[str, ...]) -> Iterator[tuple[str, str, pd.Series]]:
    """Yield measure, channel and the median of each well's fields, where known."""
    for measure in measures:
        if measure == "cells":
            once = sound.drop_duplicates(["well", "field"])
            yield measure, "", once.groupby("well")[measure].median().dropna()
            continue
        for channel, rows in sound.groupby("channel", sort=False):
            yield measure, str(channel), rows.groupby("well")[measure].median().dropna()
