"""QC of the plates: numbers, excluded fields with their reasons, heatmaps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from platemae.report.blocks import Block, Figure, Fold, Heading, Section, Text, grid
from platemae.report.figures import plate_heatmaps
from platemae.report.qc import failed_fields, layout, reason_kind
from platemae.report.source import Source
from platemae.wells import plate_shape

MEASURES = ("focus", "mean", "foreground")
MAX_PLATES = 24
"""Plates drawn, those with most excluded fields first; the table has all."""
OPEN_PLATES = 4
MAX_LISTED = 200


def build(source: Source) -> Section:
    """Return the QC of all plates."""
    qc, failed = source.qc, failed_fields(source.qc)
    if not len(qc):
        text = "No QC table was found, so nothing is known about focus, saturation or foreground."
        return Section("plates", "Plates", [Text(text, "note")])
    blocks: list[Block] = [_numbers(source, failed), *_listed(failed), Heading("Heatmaps"), *_heatmaps(qc, failed)]
    without = [plate for plate in source.plates if plate not in set(qc["plate"])]
    if without:
        blocks.insert(0, Text(f"Without QC table: {', '.join(without)}.", "note"))
    return Section("plates", "Plates", blocks)


def _numbers(source: Source, failed: pd.DataFrame) -> Block:
    rows = []
    for plate, here in source.qc.groupby("plate", sort=False):
        fields = here[["well", "field"]].drop_duplicates()
        excluded = int((failed["plate"] == plate).sum())
        medians = [f"{here[measure].median():.4g}" for measure in (*MEASURES, "background", "saturation")]
        share = f"{excluded / len(fields):.1%}"
        rows.append((plate, fields["well"].nunique(), len(fields), excluded, share, *medians))
    columns = ("plate", "wells", "fields", "excluded", "share", *MEASURES, "background", "saturation")
    caption = "Fields by plate. Measures are medians over fields and channels, on source pixels."
    return grid(rows, columns, caption, numeric=columns[1:])


def _listed(failed: pd.DataFrame) -> list[Block]:
    if not len(failed):
        return [Text("No field was excluded.")]
    reasons = failed["reason"].map(reason_kind).value_counts()
    plates = failed["plate"].nunique()
    where = "1 plate" if plates == 1 else f"{plates} plates"
    fields = "1 field" if len(failed) == 1 else f"{len(failed)} fields"
    text = f"Left out of training and embedding: {fields} of {where}."
    summary = grid(list(reasons.items()), ("reason", "fields"), "Why fields were excluded", numeric=("fields",))
    rows = failed.head(MAX_LISTED)[["plate", "well", "field", "reason"]].to_numpy().tolist()
    title = "Excluded fields" + (f", the first {MAX_LISTED} of {len(failed)}" if len(failed) > MAX_LISTED else "")
    return [Text(text), summary, Fold(title, [grid(rows, ("plate", "well", "field", "reason"))])]


def _heatmaps(qc: pd.DataFrame, failed: pd.DataFrame) -> list[Block]:
    counts = failed["plate"].value_counts()
    plates = list(dict.fromkeys(qc["plate"]))
    drawn = sorted(sorted(plates, key=lambda p: -counts.get(p, 0))[:MAX_PLATES], key=plates.index)
    limits = {(m, str(c)): _range(rows[m]) for c, rows in qc.groupby("channel", sort=False) for m in MEASURES}
    figures: list[Block] = [_figure(plate, qc[qc["plate"] == plate], failed, limits) for plate in drawn]
    intro = (
        "A square is a well, its colour the mean over the well's fields, from dark to bright over the range below each "
        "panel. A channel has one range on all plates (1 to 99 % of its fields). A cross marks a well with an excluded "
        "field."
    )
    blocks: list[Block] = [Text(intro), *figures[:OPEN_PLATES]]
    if figures[OPEN_PLATES:]:
        blocks.append(Fold(f"{len(figures) - OPEN_PLATES} more plates", figures[OPEN_PLATES:]))
    if len(drawn) < len(plates):
        text = f"{len(drawn)} of {len(plates)} plates are drawn, those with most excluded fields."
        blocks.append(Text(text, "note"))
    return blocks


def _range(values: pd.Series) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = np.percentile(finite, [1, 99])
    return float(low), float(high if high > low else low + 1)


def _figure(
    plate: str, qc: pd.DataFrame, failed: pd.DataFrame, limits: dict[tuple[str, str], tuple[float, float]]
) -> Figure:
    channels = list(dict.fromkeys(qc["channel"]))
    shape = plate_shape(qc["well"])
    means = qc.groupby(["channel", "well"])[list(MEASURES)].mean()
    grids = [[layout(means.loc[channel, measure], shape) for channel in channels] for measure in MEASURES]
    here = failed.loc[failed["plate"] == plate]
    marked = np.isfinite(layout(here.groupby("well").size(), shape))
    uri = plate_heatmaps(grids, MEASURES, channels, [[limits[m, c] for c in channels] for m in MEASURES], marked)
    alt = (
        f"Heatmaps of plate {plate}: {', '.join(MEASURES)} of {len(channels)} channels over "
        f"{shape[0]} rows and {shape[1]} columns; excluded fields: {len(here)}, in wells: {here['well'].nunique()}."
    )
    caption = f"Plate {plate}, {len(here)} excluded field{'' if len(here) == 1 else 's'}"
    return Figure(uri, alt, caption, width=int(165 * len(channels) + 35), scroll=len(channels) > 2)
