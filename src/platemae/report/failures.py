"""Pictures of fields that failed QC, a few of each reason, so that a reader can judge the limits by eye."""

from __future__ import annotations

import numpy as np

from platemae.report.blocks import Block, Figure, Text
from platemae.report.browser_thumbnails import EDGE, Album, Spot
from platemae.report.drawing import Drawing
from platemae.report.figures import mosaic, png, styled
from platemae.report.qc import FAIL, reason_kind, with_verdict
from platemae.report.source import Source

MAX_FIELDS = 24
ACROSS = 8


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
    below = [f"{row['plate']} {row['well']} {row['field']}: {_word(row['kind'])}" for row in shown.to_dict("records")]
    text = "; ".join(below)
    caption = f"{len(spots)} of {len(failed)} failed fields, each reason in turn: the middle of the field, three stains"
    drawing = _sheet(album, spots, below)
    return [Figure(drawing, f"Failed fields: {text}.", caption, 1000, True, name="failed-fields")]


def _word(kind: str) -> str:
    return kind.split(";")[0].split(" in ")[0][:16]


@styled
def _sheet(album: Album, spots: list[Spot], below: list[str]) -> Drawing:
    empty = np.full((EDGE, EDGE, 3), 255, np.uint8)
    tiles = [album.painters[spot.plate](spot) for spot in spots]
    rows = -(-len(tiles) // ACROSS)
    filled = [*tiles, *[empty] * (rows * ACROSS - len(tiles))]
    words = [*below, *[""] * (rows * ACROSS - len(tiles))]
    lines = range(0, rows * ACROSS, ACROSS)
    figure, _, _ = mosaic(
        [filled[i : i + ACROSS] for i in lines], [""] * rows, [""] * ACROSS, [words[i : i + ACROSS] for i in lines]
    )
    return png(figure)
