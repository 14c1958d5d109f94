"""The maps: clustered cosines, nearest neighbours of a gene, known complexes beside chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.report.blocks import Block, Figure, Fold, Heading, Section, Table, Text
from platemae.report.browser_maps import MapRows, clustered, most_consistent, nearest, read_map
from platemae.report.figures import DIVERGING, heatmap
from platemae.report.origin import SCORES, Cell, cell
from platemae.report.packed import packed
from platemae.report.scores import groups, number, with_interval
from platemae.report.sections.embeddings import corrected_by
from platemae.report.source import Source
from platemae.report.spreadsheet import csv_bytes
from platemae.report.takeaway import file_name
from platemae.report.verdicts import AT, against_chance, rows_of

MAX_SHOWN = 300
"""Rows of one heatmap."""

HEATMAP_BYTES, NEIGHBOR_BYTES = 1_500_000, 1_500_000
"""Of all heatmaps and of all lists of neighbours on the page."""

ENTRY_BYTES = 2 * 4 / 3
"""A cosine: 16 bits in base64."""

STEP = 1e-4
"""Cosines on the page are rounded to this."""

MAX_PICTURES = 4
KNOWN = {"known_relations": ("recall",), "clusters": ("ks_median", "share_significant", "cosine_difference")}
"""Kinds of benchmark that ask whether known partners are alike, and their metrics."""


@dataclass(frozen=True)
class Maps(Block):
    """Heatmaps and neighbours of all maps, which the script draws and searches.

    Parameters
    ----------
    data
        What the script reads.
    lists
        Neighbours of all rows as CSV, by name.
    """

    type: ClassVar[str] = "maps"
    key: ClassVar[str] = "maps-browser"
    scripts: ClassVar[tuple[str, ...]] = ("maps.js",)
    data: Mapping[str, Any]
    lists: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def files(self) -> Mapping[str, bytes]:
        """The lists."""
        return self.lists


@dataclass(frozen=True)
class Shown:
    """One map with the part of it that is drawn: S rows in clustered order and their cosines."""

    model: str
    correction: str
    rows: MapRows
    order_S: npt.NDArray[np.int64]
    cosine_SS: npt.NDArray[np.float64]

    @property
    def title(self) -> str:
        """Model and correction."""
        return f"{self.model}, {self.correction}"


def build(source: Source) -> Section:
    """Return the page of all maps that are there."""
    pairs = [(m, c) for m in source.models for c in source.corrections if source.results.map(m, c).is_file()]
    if not pairs:
        return Section("maps", "Maps", [Text("No map was found.", "note")])
    most = int(min(MAX_SHOWN, np.sqrt(HEATMAP_BYTES / ENTRY_BYTES / len(pairs))))
    shown = [found for m, c in pairs if len((found := _shown(source, m, c, most)).rows.names) > 1]
    lost = [f"{one.title}: {', '.join(one.rows.left_out)}" for one in shown if one.rows.left_out]
    notes: list[Block] = [Text(f"Zero or not finite, so without a cosine: {'; '.join(lost)}.", "note")] if lost else []
    if not shown:
        return Section("maps", "Maps", [Text("No map has two rows.", "note"), *notes])
    after = corrected_by(source)
    blocks: list[Block] = [Text(_intro(shown)), _maps(shown, after), *notes, *_known(source, after)]
    first = [one for one in shown if one.correction == after] or shown
    pictures = [_picture(one) for one in first[:MAX_PICTURES]]
    return Section("maps", "Maps", [*blocks, Fold("The heatmap as a picture", pictures)])


def _shown(source: Source, model: str, correction: str, most: int) -> Shown:
    rows = read_map(source.results.map(model, correction))
    chosen = most_consistent(rows, most)
    order, cosine_SS = clustered(rows.unit_GD[chosen])
    return Shown(model, correction, rows, chosen[order], cosine_SS)


def _intro(shown: list[Shown]) -> str:
    most = max(len(one.rows.names) for one in shown)
    drawn = max(len(one.order_S) for one in shown)
    limit = f" Of {most:,} rows the {drawn:,} whose replicates agree best are drawn." if drawn < most else ""
    return (
        "Cosines between the rows of a map: like rows stand side by side, by hierarchical clustering (average linkage "
        f"of 1 - cosine). Blocks along the diagonal are perturbations that do alike.{limit} Point at the heatmap to "
        "read it, or look a row up."
    )


def _maps(shown: list[Shown], after: str | None) -> Maps:
    lists: list[list[str]] = []
    maps, files = [], {}
    searchable = int(NEIGHBOR_BYTES / (10 * 2 * ENTRY_BYTES * len(shown)))
    for one in shown:
        if one.rows.names not in lists:
            lists.append(one.rows.names)
        places_GK, cosine_GK = nearest(one.rows.unit_GD)
        kept = most_consistent(one.rows, searchable)
        name = file_name("neighbours", one.model, one.correction) + ".csv"
        files[name] = _csv(one.rows.names, places_GK, cosine_GK)
        limit = float(np.quantile(np.abs(one.cosine_SS[~np.eye(len(one.order_S), dtype=bool)]), 0.99))
        maps.append(
            {
                "title": one.title,
                "names": lists.index(one.rows.names),
                "order": packed(one.order_S, "<u4"),
                "cosines": packed(np.rint(one.cosine_SS / STEP), "<i2"),
                "limit": max(limit, STEP),
                "searchable": packed(kept, "<u4"),
                "near": packed(places_GK[kept], "<u4"),
                "near_cosines": packed(np.rint(cosine_GK[kept] / STEP), "<i2"),
                "neighbours": places_GK.shape[1],
                "file": name,
            }
        )
    first = next((place for place, one in enumerate(shown) if one.correction == after), 0)
    data = {"maps": maps, "names": lists, "step": STEP, "first": first, "colours": packed(DIVERGING, "u1")}
    return Maps(data, files)


def _csv(names: list[str], places_GK: npt.NDArray[np.int64], cosine_GK: npt.NDArray[np.float64]) -> bytes:
    named = np.array(names, dtype=object)
    count, k = places_GK.shape
    table = {
        "row": np.repeat(named, k),
        "rank": np.tile(np.arange(1, k + 1), count),
        "neighbour": named[places_GK.ravel()],
        "cosine": cosine_GK.ravel().round(6),
    }
    return csv_bytes(pd.DataFrame(table))[0]


def _picture(one: Shown) -> Figure:
    names = [one.rows.names[place] for place in one.order_S]
    drawing = heatmap(one.cosine_SS, names)
    pairs = np.triu_indices(len(names), 1)
    data = pd.DataFrame(
        {"row": np.array(names, object)[pairs[0]], "other": np.array(names, object)[pairs[1]]}
        | {"cosine": one.cosine_SS[pairs].round(6)}
    )
    alt = f"Heatmap of the cosines between {len(names)} rows of the map of {one.title}, in clustered order."
    caption = f"{one.title}: cosines of {len(names):,} of {len(one.rows.names):,} rows"
    name = file_name("map", one.model, one.correction)
    return Figure(drawing.showing(data), alt, caption, width=760, name=name)


def _known(source: Source, after: str | None) -> list[Block]:
    """Return how alike known partners are, as the scores say, of one correction."""
    scores, _ = source.scores
    kinds = {entry["name"]: entry["kind"] for entry in source.cfg["benchmarks"]}
    of_one = scores[scores["correction"] == after] if after else scores
    rows: list[list[str | Cell]] = []
    faint: set[tuple[int, int]] = set()
    for group in groups(of_one):
        if group.metric not in KNOWN.get(kinds.get(group.benchmark, ""), ()) or "[" in group.source:
            continue
        for place, row in zip(group.rows.index, rows_of(group), strict=True):
            if against_chance(row) == AT:
                faint.add((len(rows), 4))
            value = with_interval(row.value, row.ci_low, row.ci_high)
            count = f"{row.n:,.0f}" if np.isfinite(row.n) else ""
            rows.append(
                [
                    group.source or group.benchmark,
                    f"{group.metric.replace('_', ' ')}{f' at {group.threshold}' if group.threshold else ''}",
                    row.model,
                    row.correction,
                    cell(value, SCORES, ["value", "ci_low", "ci_high"], [place]),
                    cell(number(row.chance), SCORES, ["chance"], [place]),
                    cell(count, SCORES, ["n"], [place]),
                ]
            )
    if not rows:
        return []
    text = "Whether known partners lie together: value [95 % interval] beside chance" + (
        f", after {after}" if after else ""
    )
    columns = ("known set", "measure", "model", "correction", "value", "chance", "n")
    table = Table(columns, rows, text, frozenset({4, 5, 6}), frozenset(faint), name="known-complexes")
    return [Heading("Known complexes and relations"), table]
