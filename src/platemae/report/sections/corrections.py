"""What each correction was fitted on, and what it did to each plate."""

from __future__ import annotations

from typing import Any

from platemae.report.blocks import Block, Fold, Heading, Section, Text, grid
from platemae.report.sections.training import flat
from platemae.report.source import Source

FIT = ("n_controls", "n_plates", "n_units", "batch_unit", "dims", "rank", "components", "ridge", "few_controls")
UNIT = ("unit", "n_controls", "rank", "ridge", "policy", "dims")


def build(source: Source) -> Section:
    """Return the facts of all fits, the steps in words, and the plates."""
    fitted = [record for record in source.of("fit_correction") if record.manifest is not None]
    if not fitted:
        return Section("corrections", "Corrections", [Text("No correction was fitted.", "note")])
    intro = (
        "A correction learns from negative controls alone. With fewer controls than dimensions it keeps the rank that "
        "they span; the ridge bounds how much a direction is amplified."
    )
    rows = [(r.wildcards["correction"], r.wildcards["model"], _counts(r)) for r in fitted]
    rows.sort(key=lambda row: source.corrections.index(row[0]))
    shown = [key for key in FIT if any(key in facts for *_, facts in rows)]
    table = grid(
        [(correction, model, *(_cell(facts, key) for key in shown)) for correction, model, facts in rows],
        ("correction", "model", *map(_title, shown)),
        "Fits",
        numeric="n_controls n_plates n_units dims rank components ridge".replace("_", " "),
    )
    blocks: list[Block] = [Text(intro), _aligned(table), *_steps(rows), Heading("By plate"), *_plates(source)]
    return Section("corrections", "Corrections", blocks)


def _counts(record: Any) -> dict[str, Any]:
    return record.manifest.counts


def _title(key: str) -> str:
    return key.removeprefix("n_").replace("_", " ")
