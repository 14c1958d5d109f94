"""The embeddings browser: points, their metadata and pictures, as the data that ``assets/browser.js`` draws.

The page's JavaScript reads arrays in base64 and texts from one JSON block, and writes texts with ``textContent``
alone, so no name of a gene or plate can become markup.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from platemae.report.blocks import Block
from platemae.report.browser_points import Points, View
from platemae.report.browser_thumbnails import ACROSS, EDGE, ON_SHEET, SIDE_UM, Album, Spot, spots_of
from platemae.report.packed import coded, packed, steps
from platemae.report.takeaway import FOLDER, file_name

BOKEH = tuple(f"bokeh:server/static/js/{name}.min.js" for name in ("bokeh", "bokeh-api"))
"""The plotting library: it draws on a plain canvas, so it needs neither WebGL nor ``eval``."""

INLINE_PICTURES = 3_000

COLUMNS = {
    "plate": "Metadata_Plate",
    "well": "Metadata_Well",
    "field": "Metadata_Site",
    "crop": "Metadata_Tile",
    "cell": "Metadata_Cell",
    "batch": "Metadata_Batch",
    "control type": "Metadata_Control_Type",
    "gene": "Metadata_Gene",
    "perturbation": "Metadata_Perturbation",
    "compound": "Metadata_Compound",
    "concentration": "Metadata_Concentration",
}
"""What is told of a row, in this order; a column without a value is left out."""

COLOURINGS = ("control type", "plate", "batch", "gene", "perturbation", "compound", "concentration")
SEARCHED = ("gene", "perturbation", "compound")


@dataclass(frozen=True)
class Browser(Block):
    """Scatter plots of all models before and after each correction.

    Parameters
    ----------
    data
        What the script reads.
    unit
        What a row is: ``well``, ``field``, ``crop`` or ``cell``.
    pictures
        Sheets of thumbnails beside the page, by name.
    """

    type: ClassVar[str] = "browser"
    key: ClassVar[str] = "browser"
    side: ClassVar[int] = int(SIDE_UM)
    scripts: ClassVar[tuple[str, ...]] = (*BOKEH, "points.js", "browser.js")
    data: Mapping[str, Any]
    unit: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def files(self) -> Mapping[str, bytes]:
        """The sheets."""
        return self.pictures


def row_unit(obs: pd.DataFrame) -> str:
    """Return what a row of an embedding is."""
    for column, unit in (("Metadata_Cell", "cell"), ("Metadata_Tile", "crop")):
        if column in obs.columns:
            return unit
    return "field" if _texts(obs["Metadata_Site"]).any() else "well"


def browser(album: Album, points: Sequence[Points], after: str = "") -> Browser:
    """Return the browser of some models' points; ``after`` names the correction that is shown first."""
    gallery = _Gallery(album)
    tables: list[dict[str, Any]] = []
    known: dict[tuple[str, ...], int] = {}
    models = []
    for of_model in points:
        names = tuple(of_model.obs.index)
        if names not in known:
            known[names] = len(tables)
            tables.append(_table(of_model.obs, gallery.add(of_model.obs)))
        views = [_drawn(view) for view in of_model.views]
        models.append({"name": of_model.model, "table": known[names], "total": of_model.total, "views": views})
    pictures, files = gallery.finish()
    unit = row_unit(points[0].obs)
    searched = {"colourings": COLOURINGS, "searched": SEARCHED}
    return Browser(
        {"tables": tables, "models": models, "pictures": pictures, "unit": unit, "after": after} | searched, unit, files
    )


def _drawn(view: View) -> dict[str, Any]:
    pca: dict[str, Any] = {"x": steps(view.pca[:, 0]), "y": steps(view.pca[:, 1])}
    pca["axes"] = [f"PC {i + 1} ({share:.1%} of the variance)" for i, share in enumerate(view.explained)]
    umap = {"x": steps(view.umap[:, 0]), "y": steps(view.umap[:, 1]), "axes": ["UMAP 1", "UMAP 2"]}
    return {"title": view.title, "UMAP": umap, "PCA": pca}


def _table(obs: pd.DataFrame, pictures_N: np.ndarray) -> dict[str, Any]:
    columns = []
    for title, name in COLUMNS.items():
        texts = _texts(obs[name]) if name in obs.columns else np.array([])
        if texts.any():
            columns.append({"name": title, **coded(texts.tolist())})
    return {"rows": len(obs), "columns": columns, "pictures": packed(pictures_N, "<i4")}


def _texts(column: pd.Series) -> np.ndarray:
    """Return a column as texts, empty where there is no value."""
    if pd.api.types.is_float_dtype(column):
        return np.array(["" if np.isnan(value) else f"{value:g}" for value in column], dtype=object)
    return column.astype(object).where(column.notna(), "").astype(str).to_numpy(object)


class _Gallery:
    """Numbers the pictures of all tables, and puts an even share of 3,000 into the page."""

    def __init__(self, album: Album) -> None:
        self._album = album
        self._spots: dict[Spot, int] = {}

    def add(self, obs: pd.DataFrame) -> np.ndarray:
        """Return the number of each row's picture, -1 for none."""
        spots = [
            s if s is not None and s.plate in self._album.painters else None for s in spots_of(self._album.source, obs)
        ]
        return np.array([-1 if s is None else self._spots.setdefault(s, len(self._spots)) for s in spots], np.int32)

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Return the sheets as the script reads them, and those beside the page by name."""
        spots = list(self._spots)
        inline = np.zeros(len(spots), bool)
        wanted = min(INLINE_PICTURES, len(spots))
        inline[(np.arange(wanted) * (len(spots) / max(wanted, 1))).astype(int)] = True
        sheets, files = [], {}
        for here in (inline, ~inline):
            of_plate: dict[str, list[int]] = {}
            for place in np.flatnonzero(here):
                of_plate.setdefault(spots[place].plate, []).append(int(place))
            for plate, places in of_plate.items():
                for start in range(0, len(places), ON_SHEET):
                    part = places[start : start + ON_SHEET]
                    image = self._album.sheet([spots[place] for place in part])
                    if here is inline:
                        uri = f"data:image/webp;base64,{base64.b64encode(image).decode()}"
                    else:
                        name = file_name("pictures", plate, f"{start // ON_SHEET + 1}") + ".webp"
                        files[name], uri = image, f"{FOLDER}/{name}"
                    sheets.append({"source": uri, "pictures": packed(part, "<i4")})
        stains = {channel: colour for painter in self._album.painters.values() for channel, colour in painter.stains}
        shown = {"edge": EDGE, "across": ACROSS, "sheets": sheets, "stains": list(stains.items())}
        return shown | {"inline": int(inline.sum()), "total": len(spots)}, files
