"""Charts: lines, points, intervals and a heatmap."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from platemae.report.drawing import Drawing
from platemae.report.style import GREY, MARKERS, PALETTE, canvas, png, styled, svg


@styled
def curves(panels: Sequence[tuple[str, Sequence[tuple[str, npt.ArrayLike, npt.ArrayLike]]]], label: str) -> Drawing:
    """Draw panels of lines side by side.

    Parameters
    ----------
    panels
        Title and lines; a line is a name, x and y.
    label
        Name of the x axis.
    """
    figure = canvas(2.9 * len(panels), 2.4)
    for axis, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for place, (name, x, y) in enumerate(lines):
            points = np.asarray(x).size
            axis.plot(
                x,
                y,
                color=PALETTE[place % 8],
                linewidth=1.3,
                label=name,
                marker=MARKERS[place % 8] if points <= 30 else "",
                markersize=3,
            )
        axis.set_title(title, loc="left")
        axis.set_xlabel(label)
        if len(lines) > 1:
            axis.legend()
    return svg(figure)


@styled
def scatter(
    columns: Sequence[tuple[str, npt.NDArray[np.float64]]],
    rows: Sequence[tuple[str, npt.NDArray[np.str_], dict[str, tuple[str, str]]]],
) -> Drawing:
    """Draw points in several layouts (across) under several colourings (down).

    Parameters
    ----------
    columns
        Title and (N, 2) coordinates.
    rows
        Title, (N,) labels, and label -> (colour, marker) in the order of drawing and of the legend.
    """
    width = 2.75 * len(columns) + 1.5
    figure = canvas(width, 2.6 * len(rows))
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, (legend, labels_N, looks) in enumerate(rows):
        size = float(np.clip(4000 / max(len(labels_N), 1), 2, 22))
        for j, (title, xy_N2) in enumerate(columns):
            axis: Axes = axes[i, j]
            for name, (colour, marker) in looks.items():
                x_N, y_N = xy_N2[labels_N == name].T
                axis.scatter(x_N, y_N, s=size, c=colour, marker=marker, linewidths=0, label=name, rasterized=True)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel("UMAP 1", fontsize=7)
            axis.set_ylabel("UMAP 2" if j == 0 else "", fontsize=7)
            axis.set_title(title if i == 0 else "", loc="left")
        shown = axes[i, -1].get_legend_handles_labels()
        few = len(looks) <= 16
        axes[i, -1].legend(
            *(part if few else [part[0], part[-1]] for part in shown),
            title=legend,
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            markerscale=max(1.0, 4 / np.sqrt(size)),
            alignment="left",
        )
    return png(figure, dpi=115)


def looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker each: the palette for up to eight names, else an ordered colour scale."""
    if len(names) <= len(PALETTE):
        return {name: (PALETTE[i], MARKERS[i]) for i, name in enumerate(names)}
    scale = mpl.colormaps["viridis"](np.linspace(0, 1, len(names)))
    return {name: (mpl.colors.to_hex(colour), "o") for name, colour in zip(names, scale, strict=True)}


@styled
def forest(
    names: Sequence[str],
    series: Sequence[tuple[str, npt.NDArray[np.float64]]],
    chance: Sequence[float],
    label: str,
) -> Drawing:
    """Draw values with intervals: a line a name, a mark a series; chance is a dashed line.

    Parameters
    ----------
    names
        Models, from the top.
    series
        Name of a correction, and (names, 3) value, low end, high end; NaN where absent.
    chance
        Levels of chance; more than one gives a band from the lowest to the highest.
    label
        Name of the x axis.
    """
    figure = canvas(6.2, 0.55 + 0.2 * len(names) * (len(series) + 0.8) + 0.35)
    axis = figure.subplots()
    if len(chance):
        axis.axvspan(min(chance), max(chance), color=GREY, alpha=0.15, linewidth=0)
        axis.axvline(float(np.mean(chance)), color=GREY, linestyle="--", linewidth=1, label="chance")
    step = 0.8 / max(len(series), 1)
    for place, (name, numbers) in enumerate(series):
        y = np.arange(len(names)) + (place - (len(series) - 1) / 2) * step
        value, low, high = numbers.T
        colour = PALETTE[place % 8]
        axis.hlines(y, low, high, color=colour, linewidth=1.6)
        axis.plot(value, y, MARKERS[place % 8], color=colour, markersize=5, label=name)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#E3E6EA", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.set_xlabel(label)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return svg(figure)


DIVERGING = (mpl.colormaps["PuOr_r"](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)
"""(256, 3) purple over white to orange, safe for colour-blind readers: negative, none, positive."""

NAMED = 80
"""A heatmap with more rows than this has no names beside it."""


@styled
def heatmap(values: npt.NDArray[np.float64], names: Sequence[str]) -> Drawing:
    """Draw a square of cosines, (S, S), purple below zero and orange above.

    The range is that of 99 % of the values off the diagonal.
    """
    apart = np.abs(values[~np.eye(len(values), dtype=bool)])
    limit = float(np.quantile(apart, 0.99)) if len(apart) else 1.0
    figure = canvas(6.6, 5.8)
    axis = figure.subplots()
    colours = mpl.colors.ListedColormap(DIVERGING / 255)
    image = axis.imshow(values, cmap=colours, vmin=-limit, vmax=limit, interpolation="nearest")
    few = len(names) <= NAMED
    axis.set_yticks(range(len(names)) if few else [], names if few else [], fontsize=5)
    axis.set_xticks([])
    figure.colorbar(image, label="cosine", shrink=0.6)
    return png(figure, dpi=150)
