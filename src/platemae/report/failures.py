"""Pictures of fields that failed QC, a few of each reason, so that a reader can judge the limits by eye."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from platemae.report.blocks import Block, Figure, Text
from platemae.report.browser_thumbnails import EDGE, Album, Spot
from platemae.report.drawing import Drawing
from platemae.report.mosaic import mosaic
from platemae.report.qc import FAIL, reason_kind, with_verdict
from platemae.report.source import Source
from platemae.report.style import png, styled

MAX_FIELDS = 24
ACROSS = 8


@dataclass(frozen=True)
class Pictures(Figure):
    """Small pictures, each with its own words below, which wrap; ``drawing`` is the sheet of them to take away.

    Parameters
    ----------
    pictures
        ``data:image/...`` and words.
    """

    type: ClassVar[str] = "pictures"
    pictures: Sequence[tuple[str, str]] = field(default=(), kw_only=True)


def failure_blocks(source: Source) -> list[Block]:
    """Return a sheet of failed fields; nothing where none failed, a sentence where no picture can be cut."""
    failed = with_verdict(source.qc, FAIL)
    if not len(failed):
        return []
    album = Album(source)
    failed = failed[failed["plate"].isin(list(album.painters))]
    if not len(failed):
        return [Text("No failed field can be shown: its plate store or the intensity map is not there.", "note")]
    kinds = failed["reason"].map(reason_kind)
    failed = failed.assign(kind=kinds, turn=failed.groupby(kinds).cumcount()).sort_values("turn", kind="stable")
    places = source.fields.set_index(["plate", "well", "field"])[["batch", "group"]]
    shown = failed.head(MAX_FIELDS).join(places, on=["plate", "well", "field"]).dropna(subset=["group"])
    spots = [Spot(*row) for row in shown[["plate", "batch", "group"]].astype(str).itertuples(index=False)]
    tiles = [album.painters[spot.plate](spot) for spot in spots]
    words = [f"{row['plate']} {row['well']}, field {row['field']}: {row['reason']}" for row in shown.to_dict("records")]
    caption = f"{len(spots)} of {len(failed)} failed fields, each reason in turn: the middle of the field, three stains"
    drawing = _sheet(tiles).showing(shown[["plate", "well", "field", "reason"]])
    pictures = list(zip(map(_uri, tiles), words, strict=True))
    return [Pictures(drawing, f"Failed fields: {'; '.join(words)}.", caption, name="failed-fields", pictures=pictures)]


def _uri(tile: npt.NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@styled
def _sheet(tiles: Sequence[npt.NDArray[np.uint8]]) -> Drawing:
    empty = np.full((EDGE, EDGE, 3), 255, np.uint8)
    rows = -(-len(tiles) // ACROSS)
    filled = [*tiles, *[empty] * (rows * ACROSS - len(tiles))]
    lines = range(0, rows * ACROSS, ACROSS)
    figure, _, _ = mosaic([filled[i : i + ACROSS] for i in lines], [""] * rows, [""] * ACROSS)
    return png(figure)
