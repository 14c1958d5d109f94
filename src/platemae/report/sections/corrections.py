"""What each correction was fitted on, and what it did to each plate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from platemae.report.blocks import Block, Fold, Heading, Items, Section, Table, Text, grid
from platemae.report.origin import Cell, counted
from platemae.report.plate_shift import shift_blocks
from platemae.report.sections.scores import score_table
from platemae.report.source import Record, Source
from platemae.report.verdicts import MIXING, judge

FIT = {
    "fit_on": "fitted on",
    "n_controls": "controls",
    "n_plates": "plates",
    "n_units": "units",
    "batch_unit": "unit",
    "dims": "dimensions",
    "rank": "rank",
    "components": "components",
    "unresolved": "unresolved",
    "ridge": "ridge",
    "epsilon": "epsilon",
    "basis": "frozen basis",
    "few_controls": "few controls",
}
"""Counts of fit_correction and their headings."""

FITTED = ("fit_on", "n_controls", "n_plates", "n_units", "batch_unit")
"""Counts that say what a correction learned from; the kind none learns nothing, though it is handed controls."""

UNIT = {"unit": "aligned with", "n_controls": "controls", "rank": "rank", "ridge": "ridge", "policy": "policy"}
"""Counts of correct_plate and their headings."""

TEXT = ("fit_on", "basis", "batch_unit", "few_controls", "unit", "policy")


def build(source: Source) -> Section:
    """Return the facts of all fits, the steps in words, and the plates."""
    fits = [record for record in source.of("fit_correction") if record.manifest is not None]
    if not fits:
        return Section("corrections", "Corrections", [Text("No correction was fitted.", "note")])
    fits.sort(key=lambda record: source.corrections.index(record.wildcards["correction"]))
    intro = (
        "A correction learns from the wells that it is fitted on, here called controls: negative controls, unless the "
        "column fitted on says otherwise; all wells would take biology away, too. With fewer controls than dimensions "
        "it keeps the rank that they span; a ridge bounds how much a direction is amplified."
    )
    blocks = [Text(intro), *_finer(source), _table(fits, FIT, ("correction", "model"), "Fits"), *_steps(fits)]
    blocks += [*shift_blocks(source), *_mixing(source), *_plates(source)]
    return Section("corrections", "Corrections", blocks)


def _finer(source: Source) -> list[Block]:
    """Say so where rows are finer than wells."""
    kinds = {str(_counts(record).get("rows", "well")) for record in source.of("embed_plate")} - {"well"}
    if not kinds:
        return []
    named = " or ".join(f"{kind}s" for kind in sorted(kinds))
    text = f"Rows of an embedding are {named} here, and what fits count as controls are such rows, not wells."
    pooled = " Shift and mixing count a guide in a well as one well." if "cell" in kinds else ""
    return [Text(text + pooled, "note")]


def _mixing(source: Source) -> list[Block]:
    """Return how well batches mix before and after each correction, as score_map measured it."""
    scores, _ = source.scores
    judged = judge(scores, len(source.map_plates)) if len(scores) else []
    found = [verdict for verdict in judged if verdict.group.metric in MIXING]
    heading = Heading("Mixing of batches")
    if not found:
        return [heading, Text("Not measured: no benchmark of kind batch_mixing is configured.", "note")]
    blocks: list[Block] = [heading]
    for verdict in found:
        table: list[Block] = [score_table(verdict.group, source.corrections)]
        table += [Items(verdict.names)] if verdict.names else []
        first = verdict is found[0]
        blocks += [Text(verdict.cell(f"{verdict.group.title}: {verdict.headline}"))]
        blocks += table if first else [Fold("Table, and rows by name", table, quiet=True)]
    return blocks


def _counts(record: Record) -> Mapping[str, Any]:
    return record.manifest.counts if record.manifest else {}


def _table(records: list[Record], titles: Mapping[str, str], wildcards: tuple[str, ...], caption: str) -> Table:
    shown = [key for key in titles if any(key in _counts(record) for record in records)]
    rows = [
        [*(record.wildcards[name] for name in wildcards), *(_cell(record, key) for key in shown)] for record in records
    ]
    right = [titles[key] for key in shown if key not in TEXT]
    return grid(rows, [*wildcards, *(titles[key] for key in shown)], caption, right)


def _cell(record: Record, key: str) -> str | Cell:
    value = _counts(record).get(key)
    if key in FITTED and _counts(record).get("kind") == "none":
        return "nothing fitted" if key == "fit_on" else ""
    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return counted(text, record.path, key) if isinstance(value, int | float) else text


def _steps(fits: list[Record]) -> list[Block]:
    steps = {record.wildcards["correction"]: _counts(record).get("steps") for record in fits}
    lines = [f"{name}: {'; '.join(map(str, done))}." for name, done in steps.items() if done]
    return [Heading("Steps"), Items(lines)] if lines else []


def _plates(source: Source) -> list[Block]:
    """Return one folded table a correction: controls, rank and policy of every plate under every model."""
    blocks: list[Block] = []
    for correction in source.corrections:
        records = [
            record
            for record in source.of("correct_plate")
            if record.wildcards["correction"] == correction and {"rank", "policy", "n_controls"} & set(_counts(record))
        ]
        if records:
            table = _table(records, UNIT, ("plate", "model"), f"{correction}: what each plate was aligned with")
            blocks.append(Fold(f"{correction} by plate", [table]))
    return [Heading("By plate"), *blocks] if blocks else []
