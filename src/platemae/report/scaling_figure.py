"""Recall against training operations: families by colour and marker, snapshots of one training joined by a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import LogFormatter

from platemae.report.drawing import Drawing
from platemae.report.style import GREY, MARKERS, PALETTE, canvas, styled, svg


@dataclass(frozen=True)
class Point:
    """One model.

    Attributes
    ----------
    family
        Of one colour and marker.
    training
        Points of one training are joined.
    flops
        Operations of the training, above 0.
    recall, low, high
        Value and ends of its interval, NaN where there is none.
    """

    family: str
    training: str
    flops: float
    recall: float
    low: float
    high: float


@styled
def recall_against_flops(
    panels: Sequence[tuple[str, Sequence[Point]]],
    families: Sequence[str],
    chance: float,
    best_wsl: Sequence[float],
    untrained: Sequence[float],
) -> Drawing:
    """Draw a panel for each correction, operations on a logarithmic axis.

    Parameters
    ----------
    panels
        Title and points.
    families
        In the order of the legend.
    chance
        Level of chance; NaN for none.
    best_wsl
        Recall of the best classifier in each panel; NaN for none.
    untrained
        Highest recall of random weights in each panel, which took no operations; NaN for none.
    """
    figure = canvas(3.4 * len(panels) + 1.2, 3.1)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (title, points), best, floor in zip(axes, panels, best_wsl, untrained, strict=True):
        if np.isfinite(chance):
            axis.axhline(chance, color=GREY, linestyle="--", linewidth=1, label="chance")
        if np.isfinite(best):
            axis.axhline(best, color=GREY, linestyle=":", linewidth=1.3, label="best WSL")
        if np.isfinite(floor):
            axis.axhline(floor, color=GREY, linestyle="-.", linewidth=1.1, label="random weights")
        for place, family in enumerate(families):
            own = [point for point in points if point.family == family]
            colour, marker = PALETTE[place % 8], MARKERS[place % 8]
            for training in dict.fromkeys(point.training for point in own):
                line = sorted((p for p in own if p.training == training), key=lambda point: point.flops)
                axis.plot([p.flops for p in line], [p.recall for p in line], color=colour, linewidth=0.9, alpha=0.6)
            x = [point.flops for point in own]
            axis.vlines(x, [p.low for p in own], [p.high for p in own], color=colour, linewidth=0.9, alpha=0.45)
            axis.plot(x, [p.recall for p in own], marker, color=colour, markersize=5, label=family)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(LogFormatter())
        axis.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.0, 0.4)))  # labels where no decade is in range
        axis.set_xlabel("training FLOPs")
        axis.set_title(title, loc="left")
        axis.grid(axis="y", color="#E3E6EA", linewidth=0.7)
        axis.set_axisbelow(True)
    axes[0].set_ylabel("recall")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return svg(figure)
