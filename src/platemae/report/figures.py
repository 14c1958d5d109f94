"""Figures drawn by matplotlib without pyplot, so that nothing stays open and no display is needed.

Colours are Okabe and Ito's, safe for colour-blind readers; colour never stands alone, markers differ too.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, cast

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from PIL import Image

from platemae.report.drawing import Drawing

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PINK = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, RED, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
GREY = "#8A8F98"

HIDDEN = 0.45
"""Grey of a hidden patch."""

PANEL, GAP, HEAD, FOOT, MARGIN = 1.45, 0.08, 0.28, 0.24, 0.3
"""Of a mosaic, in inches: width of a tile, space between, above, below with small print, at the left."""

STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555B66",
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "platemae",
    "text.parse_math": False,  # a $ in a name is a $
}

P = ParamSpec("P")


def styled(draw: Callable[P, Drawing]) -> Callable[P, Drawing]:
    """Run a drawing function under the page's style."""

    @wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Drawing:
        with mpl.rc_context(cast(Any, STYLE)):
            return draw(*args, **kwargs)

    return inner


def canvas(width: float, height: float) -> Canvas:
    """Return an empty figure, sizes in inches."""
    figure = Canvas(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def svg(figure: Canvas) -> Drawing:
    """Return a line figure as SVG, without date, and as PNG."""
    lines = io.BytesIO()
    figure.savefig(lines, format="svg", metadata={"Date": None, "Creator": None})
    return Drawing({"svg": lines.getvalue(), "png": _png(figure, 200)})


def png(figure: Canvas, dpi: int = 120, grey: bool = False) -> Drawing:
    """Return a picture as PNG."""
    return Drawing({"png": _png(figure, dpi, grey)})


def _png(figure: Canvas, dpi: int, grey: bool = False) -> bytes:
    """Return PNG of 256 colours or greys, a quarter of the size of full colour."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    image = Image.open(buffer).convert("RGB")
    image = image.convert("L") if grey else image.quantize(256, dither=Image.Dither.NONE)
    small = io.BytesIO()
    image.save(small, format="PNG", optimize=True)
    return small.getvalue()


def mosaic(
    tiles: Sequence[Sequence[npt.NDArray[np.uint8]]],
    rows: Sequence[str],
    columns: Sequence[str],
    below: Sequence[Sequence[str]] | None = None,
) -> tuple[Canvas, Axes, float]:
    """Lay pictures of one size on a grid in a single axes, which is twenty times faster than an axes each.

    Parameters
    ----------
    tiles
        (rows)(columns) arrays (height, width, 3). Coordinates are pixels of the tiles, y downwards.
    rows, columns
        Names, written left and above.
    below
        (rows)(columns) small print.

    Returns
    -------
    figure, axes
        To draw on further; tile (i, j) starts at ``tile_origin(i, j, tile, unit)``.
    unit
        Inches a pixel.
    """
    height, width = tiles[0][0].shape[:2]
    unit = PANEL / width
    right, bottom = tile_origin(len(rows), len(columns), tiles[0][0], unit, bool(below))
    figure = Canvas(figsize=(right * unit + MARGIN, bottom * unit))
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set_xlim(-MARGIN / unit, right)
    axis.set_ylim(bottom, 0)
    axis.axis("off")
    for i, name in enumerate(rows):
        for j, channel in enumerate(columns):
            x, y = tile_origin(i, j, tiles[i][j], unit, bool(below))
            axis.imshow(tiles[i][j], extent=(x, x + width, y + height, y), interpolation="nearest", aspect="auto")
            if i == 0:
                axis.text(x + width / 2, y - 0.06 / unit, channel, ha="center", va="bottom", fontsize=8)
            if j == 0:
                axis.text(x - 0.2 / unit, y + height / 2, name, ha="center", va="center", rotation=90, fontsize=8)
            if below:
                axis.text(x + width / 2, y + height + 0.04 / unit, below[i][j], ha="center", va="top", fontsize=6.5)
    return figure, axis, unit


def tile_origin(i: int, j: int, tile: npt.NDArray[np.uint8], unit: float, below: bool) -> tuple[float, float]:
    """Return x and y of a tile's upper left corner in pixels."""
    height, width = tile.shape[:2]
    return j * (width + GAP / unit), HEAD / unit + i * (height + (FOOT if below else GAP) / unit)


@styled
def plate_heatmaps(
    grids: Sequence[Sequence[npt.NDArray[np.float64]]],
    rows: Sequence[str],
    columns: Sequence[str],
    limits: Sequence[Sequence[tuple[float, float]]],
    failed: npt.NDArray[np.bool_],
) -> Drawing:
    """Draw one plate: a panel a measure (down) and channel (across), a square a well.

    Parameters
    ----------
    grids
        (measures)(channels) arrays (plate rows, plate columns), NaN for no well.
    rows, columns
        Names of measures and channels.
    limits
        (measures)(channels) ends of the colour range, dark to bright, written below each panel.
    failed
        (plate rows, plate columns) wells with an excluded field, marked with a cross.
    """
    tiles = [[_coloured(g, *ends) for g, ends in zip(*row, strict=True)] for row in zip(grids, limits, strict=True)]
    below = [[f"{short(low)} to {short(high)}" for low, high in line] for line in limits]
    figure, axis, unit = mosaic(tiles, rows, columns, below)
    height = len(failed)
    y, x = np.nonzero(failed)
    for i, j in np.ndindex(len(rows), len(columns)):
        left, top = tile_origin(i, j, tiles[i][j], unit, True)
        axis.plot(left + x + 0.5, top + y + 0.5, "x", color="white", markersize=4, markeredgewidth=2)
        axis.plot(left + x + 0.5, top + y + 0.5, "x", color=RED, markersize=3.4, markeredgewidth=1)
        if j == 0:
            small = {"fontsize": 6, "color": GREY, "ha": "right", "va": "center"}
            axis.text(left - 0.04 / unit, top + 0.5, row_name(0), small)
            axis.text(left - 0.04 / unit, top + height - 0.5, row_name(height - 1), small)
    return png(figure)


def short(value: float) -> str:
    """Return three digits, thousands in full: 0.227, 12.3, 1,050."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _coloured(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Return viridis colours, pale grey where there is no value."""
    colours = mpl.colormaps["viridis"](np.clip((values - low) / (high - low), 0, 1), bytes=True)[..., :3]
    return np.where(np.isfinite(values)[..., None], colours, np.uint8(236)).astype(np.uint8)


def row_name(index: int) -> str:
    """Return the letters of a plate row: 0 is A, 25 is Z, 26 is AA."""
    return chr(65 + index) if index < 26 else chr(64 + index // 26) + chr(65 + index % 26)


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
def crop(images: npt.NDArray[np.float32], rows: Sequence[str], columns: Sequence[str]) -> Drawing:
    """Draw one crop: a row an image (original, masked, reconstructed), a column a channel, in grey.

    Parameters
    ----------
    images
        (rows, channels, height, width), NaN where hidden; a channel's grey range is that of its first row, 0.5 to
        99.5 %.
    rows, columns
        Names.
    """
    low, high = np.nanpercentile(images[0], [0.5, 99.5], axis=(1, 2))[:, :, None, None]
    scaled = np.nan_to_num(np.clip((images - low) / np.maximum(high - low, 1e-6), 0, 1), nan=HIDDEN)
    greys = np.repeat((scaled * 255).astype(np.uint8)[..., None], 3, axis=-1)
    figure, _, _ = mosaic([list(row) for row in greys], rows, columns)
    return png(figure, grey=True)


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
