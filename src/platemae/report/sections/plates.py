"""QC of the plates: verdicts with their reasons, edge and drift, heatmaps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from platemae.layout import MANIFESTS
from platemae.report.blocks import Block, Figure, Fold, Heading, Section, Text, grid
from platemae.report.effects import effect_blocks
from platemae.report.failures import failure_blocks
from platemae.report.lights import light_blocks
from platemae.report.mosaic import plate_heatmaps
from platemae.report.origin import Cell, cell, counted
from platemae.report.qc import FAIL, PASS, WARN, failed_share, layout, reason_kind, with_verdict
from platemae.report.source import Source
from platemae.wells import plate_shape

MEASURES = ("focus", "mean", "foreground")
MAX_PLATES = 24
"""Plates drawn, those with most failed fields first; the table has all."""
OPEN_PLATES = 4
MAX_LISTED = 200
PLATES_ABREAST = 6
"""Plates in one figure of cell counts."""


def build(source: Source) -> Section:
    """Return the QC of all plates."""
    qc, failed = source.qc, with_verdict(source.qc, FAIL)
    if not len(qc):
        text = "No QC table was found, so nothing is known about focus, saturation or foreground."
        return Section("plates", "Quality control", [Text(text, "note")])
    blocks: list[Block] = [_numbers(source), *_listed(source, failed), *failure_blocks(source), *_warned(qc)]
    blocks += effect_blocks(source)
    blocks += [Heading("Heatmaps"), *_heatmaps(qc, failed), *_cells(qc), *light_blocks(source)]
    without = [plate for plate in source.plates if plate not in set(qc["plate"])]
    if without:
        blocks.insert(0, Text(f"Without QC table: {', '.join(without)}.", "note"))
    return Section("plates", "Quality control", blocks)


def _numbers(source: Source) -> Block:
    rows = []
    counts = {r.wildcards["plate"]: r.manifest.counts for r in source.of("qc_plate") if r.manifest is not None}
    for plate, here in source.qc.groupby("plate", sort=False):
        qc, made = f"qc/{plate}.parquet", MANIFESTS["qc_plate"].format(plate=plate)
        fields = here.drop_duplicates(["well", "field"])
        verdicts = fields["verdict"].value_counts()
        passed, warned, failed = (int(verdicts.get(verdict, 0)) for verdict in (PASS, WARN, FAIL))
        medians = [_median(here[measure], qc) for measure in (*MEASURES, "background", "saturation")]
        row = [
            str(plate),
            str(fields["well"].nunique()),
            counted(str(len(fields)), made, "fields"),
            counted(str(passed), made, "fields", "failed", "warned", how="difference"),
            counted(str(warned), made, "warned"),
            counted(str(failed), made, "failed"),
            failed_share(str(plate), counts.get(str(plate), {}))[1],
            _median(fields["cells"], qc, "not counted"),
        ]
        rows.append([*row, *medians])
    measures = (*MEASURES, "background", "saturation")
    columns = ("plate", "wells", "fields", PASS, WARN, FAIL, "share failed", "cells", *measures)
    caption = (
        "Fields by plate and verdict. Measures are medians over fields and channels, on source pixels. "
        "The share leaves out wells that the layout calls empty."
    )
    return grid(rows, columns, caption, numeric=columns[1:], name="fields-by-plate")


def _median(values: pd.Series, path: str, absent: str = "not measured") -> str | Cell:
    """Return the median of a column of ``path``; of no value there is none."""
    known = values.dropna()
    return cell(f"{known.median():.4g}", path, [str(values.name)], how="median") if len(known) else absent


def _listed(source: Source, failed: pd.DataFrame) -> list[Block]:
    if not len(failed):
        return [Text("No field failed.")]
    plates = failed["plate"].nunique()
    where = "1 plate" if plates == 1 else f"{plates} plates"
    fields = "1 field" if len(failed) == 1 else f"{len(failed)} fields"
    excluded = source.cfg["exclude_failed"]
    text = f"Left out of embedding: {fields} of {where}" if excluded else f"Failed, and kept: {fields} of {where}"
    records = [record.manifest.counts for record in source.of("qc_plate") if record.manifest is not None]
    aside = sum(counts.get("failed_in_empty_wells", 0) for counts in records)
    text += (
        f", {aside} of them in wells that the layout calls empty, which the share, warnings and overview leave out."
        if aside
        else "."
    )
    rows = failed.head(MAX_LISTED)[["plate", "well", "field", "reason"]].to_numpy().tolist()
    title = "Failed fields" + (f", the first {MAX_LISTED} of {len(failed)}" if len(failed) > MAX_LISTED else "")
    summary = _reasons(failed, "Why fields failed")
    return [Text(text), summary, Fold(title, [grid(rows, ("plate", "well", "field", "reason"))], raw=True)]


def _warned(qc: pd.DataFrame) -> list[Block]:
    warned = with_verdict(qc, WARN)
    if not len(warned):
        return []
    rows = warned.head(MAX_LISTED)[["plate", "well", "field", "reason"]].to_numpy().tolist()
    title = f"Fields with a warning, kept: {len(warned)}"
    title += f", the first {MAX_LISTED} listed" if len(warned) > MAX_LISTED else ""
    listed = grid(rows, ("plate", "well", "field", "reason"))
    return [Fold(title, [_reasons(warned, "What is unusual about them"), Fold("Each of them", [listed], raw=True)])]


def _reasons(fields: pd.DataFrame, caption: str) -> Block:
    counts = fields["reason"].map(reason_kind).value_counts()
    return grid(list(counts.items()), ("reason", "fields"), caption, numeric=("fields",))


def _heatmaps(qc: pd.DataFrame, failed: pd.DataFrame) -> list[Block]:
    counts = failed["plate"].value_counts()
    plates = list(dict.fromkeys(qc["plate"]))
    drawn = sorted(sorted(plates, key=lambda p: -counts.get(p, 0))[:MAX_PLATES], key=plates.index)
    limits = {(m, str(c)): _range(rows[m]) for c, rows in qc.groupby("channel", sort=False) for m in MEASURES}
    figures: list[Block] = [_figure(plate, qc[qc["plate"] == plate], failed, limits) for plate in drawn]
    intro = (
        "A square is a well, its colour the mean over the well's fields, from dark to bright over the range below each "
        "panel. A channel has one range on all plates (1 to 99 % of its fields). A cross marks a well with a failed "
        "field."
    )
    blocks: list[Block] = [Text(intro), *figures[:OPEN_PLATES]]
    if figures[OPEN_PLATES:]:
        blocks.append(Fold(f"{len(figures) - OPEN_PLATES} more plates", figures[OPEN_PLATES:]))
    if len(drawn) < len(plates):
        text = f"{len(drawn)} of {len(plates)} plates are drawn, those with most failed fields."
        blocks.append(Text(text, "note"))
    return blocks


def _cells(qc: pd.DataFrame) -> list[Block]:
    """Return the cell counts of all plates on one range, plates of one shape side by side."""
    fields = qc.drop_duplicates(["plate", "well", "field"]).dropna(subset=["cells"])
    if not len(fields):
        return []
    low, high = _range(fields["cells"])
    shapes: dict[tuple[int, int], dict[str, pd.Series]] = {}
    for plate, here in fields.groupby("plate", sort=False):
        wells = here.groupby("well")["cells"].mean()
        shapes.setdefault(plate_shape(qc.loc[qc["plate"] == plate, "well"]), {})[str(plate)] = wells
    figures: list[Block] = []
    for shape, plates in shapes.items():
        names = list(plates)[:MAX_PLATES]
        for start in range(0, len(names), PLATES_ABREAST):
            figures.append(_cells_figure(names[start : start + PLATES_ABREAST], plates, shape, (low, high)))
    return [Text("Cells of a field: nuclei counted in the DNA channel, the mean over the well's fields."), *figures]


def _cells_figure(
    names: list[str], plates: dict[str, pd.Series], shape: tuple[int, int], limits: tuple[float, float]
) -> Figure:
    grids = [[layout(plates[name], shape) for name in names]]
    uri = plate_heatmaps(grids, ["cells"], names, [[limits] * len(names)], np.zeros(shape, dtype=bool))
    medians = ", ".join(f"{name} {plates[name].median():.3g}" for name in names)
    alt = f"Heatmaps of the cell count over {shape[0]} rows and {shape[1]} columns; medians of the wells: {medians}."
    return Figure(uri, alt, f"Cells a field: {medians}", width=int(165 * len(names) + 35), scroll=len(names) > 2)


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
        f"{shape[0]} rows and {shape[1]} columns; failed fields: {len(here)}, in wells: {here['well'].nunique()}."
    )
    caption = f"Plate {plate}, {len(here)} failed field{'' if len(here) == 1 else 's'}"
    return Figure(uri, alt, caption, width=int(165 * len(channels) + 35), scroll=len(channels) > 2)
