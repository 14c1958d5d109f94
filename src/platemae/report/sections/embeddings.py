"""Rows of the embeddings before and after each correction: the browser, and the same as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from platemae.contracts import CONTROL_TYPES
from platemae.report.blocks import Block, Figure, Fold, Section, Text
from platemae.report.browser import browser, row_unit
from platemae.report.browser_points import Points, View, all_points
from platemae.report.browser_thumbnails import Album
from platemae.report.browser_umap import AMONG
from platemae.report.figures import looks, scatter
from platemae.report.shares import UMAP_ROWS_EACH
from platemae.report.source import Source
from platemae.report.style import BLACK, BLUE, RED
from platemae.report.takeaway import file_name

MAX_MODELS = 16
"""Models drawn as pictures, some 100 kB each."""

CONTROL_LOOKS = {
    "treatment": ("#B5BAC3", "o"),
    "empty": (BLACK, "X"),
    "negcon": (BLUE, "s"),
    "poscon": (RED, "^"),
}


def build(source: Source) -> Section:
    """Return the browser and a picture a model: plate and control type, before and after."""
    points = [found for found in all_points(source) if found.views]
    without = [model for model in source.models if model not in {found.model for found in points}]
    lost = [Text(f"Without enough embedded rows for a picture: {', '.join(without)}.", "note")] if without else []
    if not points:
        return Section("embeddings", "Embeddings", lost)
    album = Album(source)
    after = corrected_by(source)
    shown = browser(album, points, after or "")
    unit = shown.unit
    blocks: list[Block] = [Text(_intro(source, unit)), *_limits(points, unit), shown]
    blocks += [Text(text, "note") for text in _pictures(source, album, shown.data["pictures"], unit)]
    blocks += [Text(note, "note") for found in points for note in found.notes]
    figures: list[Block] = [_figure(found, after) for found in points[:MAX_MODELS]]
    if len(points) > MAX_MODELS:
        figures.append(Text(f"Of {len(points)} models the first {MAX_MODELS} are drawn.", "note"))
    return Section("embeddings", "Embeddings", [*blocks, Fold("The same as pictures", figures), *lost])


def corrected_by(source: Source) -> str | None:
    """Return the correction shown as "after": the first TVN, else the last that does something."""
    entries = [c for c in source.cfg["corrections"] if c["kind"] != "none"]
    names = [c["name"] for c in entries if c["kind"] == "tvn"] or [c["name"] for c in reversed(entries)]
    return names[0] if names else None


def _intro(source: Source, unit: str) -> str:
    report = source.cfg["report"]
    return (
        f"A point is a {unit}. {unit.capitalize()}s that mix over plates but part by treatment are what a correction "
        f"is for. UMAP is by scanpy with {report['umap_neighbors']} neighbours and seed {report['seed']}, of the first "
        "principal components; it keeps neighbours, not distances: the benchmarks judge, not this picture."
    )


def _limits(points: list[Points], unit: str) -> list[Block]:
    """Say what is left out, and what UMAP did not see."""
    texts = [
        f"Of the {found.total:,} {unit}s of {found.model}, {len(found.obs):,} are drawn: an even share of each plate, "
        "control type and gene."
        for found in points
        if len(found.obs) < found.total
    ]
    fitted = min(found.fitted for found in points)
    if any(found.fitted < len(found.obs) for found in points):
        texts.append(
            f"UMAP is fitted on {fitted:,} of them (at most {UMAP_ROWS_EACH:,}); each other {unit} lies at the mean "
            f"place of its {AMONG} nearest fitted ones."
        )
    return [Text(text, "note") for text in texts]


def _pictures(source: Source, album: Album, pictures: dict[str, Any], unit: str) -> list[str]:
    if album.intensity is None:
        return ["There are no thumbnails, as no model has an intensity map."]
    without = [plate for plate in source.map_plates if plate not in album.painters]
    notes = [f"No thumbnails of plates whose image store was not found: {', '.join(without)}."] if without else []
    if pictures["inline"] < pictures["total"]:
        notes.append(
            f"Thumbnails of {pictures['inline']:,} {unit}s are in this page, those of the other "
            f"{pictures['total'] - pictures['inline']:,} in the folder files beside it."
        )
    return notes


def _figure(points: Points, after: str | None) -> Figure:
    obs = points.obs
    views = [view for view in points.views if view.title in ("before", after)]
    shown_N = np.logical_and.reduce([np.isfinite(view.umap).all(axis=1) for view in views])
    plate_N = obs["Metadata_Plate"].to_numpy(dtype=np.str_)[shown_N]
    control_N = obs["Metadata_Control_Type"].to_numpy(dtype=np.str_)[shown_N]
    plates, unit = list(dict.fromkeys(plate_N)), row_unit(obs)
    present = {name: look for name, look in CONTROL_LOOKS.items() if name in set(control_N)}
    layouts = [(_title(view), view.umap[shown_N]) for view in views]
    drawing = scatter(layouts, [("plate", plate_N, looks(plates)), ("control type", control_N, present)])
    counts = ", ".join(f"{int((control_N == name).sum()):,} {name}" for name in CONTROL_TYPES if name in present)
    titles = " and ".join(title for title, _ in layouts)
    alt = (
        f"UMAP of {len(plate_N)} {unit}s of {points.model}, {titles}: coloured by {len(plates)} plates, below by "
        "control type."
    )
    caption = (
        f"{points.model}: {len(plate_N):,} {unit}s ({counts}) of {len(plates)} plate{'' if len(plates) == 1 else 's'}"
    )
    width = int(115 * (2.75 * len(layouts) + 1.5))
    return Figure(drawing, alt, caption, width=width, scroll=True, name=file_name("umap", points.model))


def _title(view: View) -> str:
    return view.title if view.title == "before" else f"after {view.title}"
