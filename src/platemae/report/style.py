"""How figures look: drawn by matplotlib without pyplot, so that nothing stays open and no display is needed.

Colours are Okabe and Ito's, safe for colour-blind readers; colour never stands alone, markers differ too.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, cast

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from PIL import Image

from platemae.report.drawing import Drawing

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PINK = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, RED, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
GREY = "#8A8F98"

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

LINES_DPI = 200
"""Of the PNG of a line figure, dots an inch."""

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
    _lay_out(figure, LINES_DPI)
    lines = io.BytesIO()
    figure.savefig(lines, format="svg", metadata={"Date": None, "Creator": None})
    return Drawing({"svg": lines.getvalue(), "png": _png(figure, LINES_DPI)})


def png(figure: Canvas, dpi: int = 120, grey: bool = False) -> Drawing:
    """Return a picture as PNG."""
    _lay_out(figure, dpi)
    return Drawing({"png": _png(figure, dpi, grey)})


def _lay_out(figure: Canvas, dpi: int) -> None:
    """Find the places of a figure's parts once: each ``savefig`` would find them again and draw all of it twice."""
    engine = figure.get_layout_engine()
    if engine is None:
        return
    before = figure.dpi
    figure.set_dpi(dpi)  # text is a little wider or narrower at another resolution
    engine.execute(figure)
    figure.set_layout_engine("none")
    figure.set_dpi(before)


def _png(figure: Canvas, dpi: int, grey: bool = False) -> bytes:
    """Return PNG of 256 colours or greys, a quarter of the size of full colour."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    image = Image.open(buffer).convert("RGB")
    image = image.convert("L") if grey else image.quantize(256, dither=Image.Dither.NONE)
    small = io.BytesIO()
    image.save(small, format="PNG", optimize=True)
    return small.getvalue()
