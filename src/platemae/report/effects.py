"""Edge effect and drift of the plates, as qc_plate measured them, in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from platemae.layout import MANIFESTS
from platemae.report.blocks import Block, Heading, Items, Text, grid
from platemae.report.origin import Cell, counted
from platemae.report.source import Source
from platemae.report.verdicts import listed

Effect = Mapping[str, Any]
"""A row of the counts ``edge`` or ``drift`` of qc_plate."""

INTRO = (
    "Outer wells are compared with inner ones: the difference of the medians, in robust standard deviations of the "
    "inner wells. Drift is the rank correlation (Spearman) of a measure with the order of the wells, row by row; "
    "neither uses the layout, so controls or doses that lie along an edge or in rows show here, too."
)

SHOWN = 12
"""Sentences on the page."""

NAMED = 4
"""Measures that a sentence names, the strongest first."""

VERBS = (
    ("edge", "deviations", "higher at the edge", "lower at the edge"),
    ("drift", "rho", "rises in the order of the wells", "falls in the order of the wells"),
)
"""Kind of effect, its number, and what its sign means."""


def effect_blocks(source: Source) -> list[Block]:
    """Return the strongest edge effect and drift of each plate, and sentences on those beyond the limits."""
    counts = {r.wildcards["plate"]: r.manifest.counts for r in source.of("qc_plate") if r.manifest is not None}
    if not any(c.get(kind) for c in counts.values() for kind in ("edge", "drift")):
        return []
    edge_columns = ("edge, strongest in", "change", "deviations", "outer wells", "inner wells")
    columns = ("plate", *edge_columns, "drift, strongest in", "correlation", "wells")
    rows = [(plate, *_edge_cells(counts, plate), *_drift_cells(counts, plate)) for plate in counts]
    caption = "Strongest edge effect and drift of each plate"
    numeric = set(columns) - {"plate", "edge, strongest in", "drift, strongest in"}
    table = grid(rows, columns, caption, tuple(numeric), name="edge-and-drift")
    return [Heading("Edge and drift"), Text(INTRO), *_words(counts), table]


def _by_strength(effects: Sequence[Effect], key: str) -> list[Effect]:
    return sorted(effects, key=lambda effect: -abs(effect[key]))


def _strongest(effects: Sequence[Effect], key: str) -> Effect | None:
    return next(iter(_by_strength(effects, key)), None)


def _edge_cells(counts: Mapping[str, Mapping[str, Any]], plate: str) -> tuple[str | Cell, ...]:
    edges = counts[plate].get("edge", ())
    edge = _strongest(edges, "deviations")
    if edge is None:
        return "not measured", "", "", "", ""
    manifest, path = MANIFESTS["qc_plate"].format(plate=plate), f"edge/{list(edges).index(edge)}"
    change = counted(f"{edge['change']:+.1%}", manifest, f"{path}/change")
    deviations = counted(f"{edge['deviations']:+.2f}", manifest, f"{path}/deviations")
    counts_of = [counted(str(edge[side]), manifest, f"{path}/{side}") for side in ("outer", "inner")]
    return _what(edge), change, deviations, *counts_of


def _drift_cells(counts: Mapping[str, Mapping[str, Any]], plate: str) -> tuple[str | Cell, ...]:
    drifts = counts[plate].get("drift", ())
    drift = _strongest(drifts, "rho")
    if drift is None:
        return "not measured", "", ""
    manifest, path = MANIFESTS["qc_plate"].format(plate=plate), f"drift/{list(drifts).index(drift)}"
    rho = counted(f"{drift['rho']:+.2f}", manifest, f"{path}/rho")
    return _what(drift), rho, counted(str(drift["wells"]), manifest, f"{path}/wells")


def _what(effect: Effect) -> str:
    return f"{effect['measure']} of {effect['channel']}" if effect["channel"] else str(effect["measure"])


def _words(counts: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Return a sentence a plate and kind of effect beyond its limit."""
    sentences = []
    for plate, here in counts.items():
        for kind, key, rise, fall in VERBS:
            beyond = _by_strength([e for e in here.get(kind, ()) if e["beyond"]], key)
            for sign, verb in ((1, rise), (-1, fall)):
                names = [_what(e) for e in beyond if e[key] * sign > 0]
                sentences += [f"{plate}: {verb}: {listed(names, NAMED)}."] if names else []
    if not sentences:
        return [Text("No plate has an edge effect or a drift beyond the limits (qc.max_edge, qc.max_drift).")]
    rest = len(sentences) - SHOWN
    more = [Text(f"{rest} more sentences are left out; the table has all plates.", "note")] if rest > 0 else []
    return [Items(sentences[:SHOWN]), *more]
