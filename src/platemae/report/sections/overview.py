"""What was run, what the scores say, and every warning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from platemae.layout import MANIFESTS
from platemae.report.blocks import Block, Facts, Fold, Heading, Items, Section, Statement, Statements, Text, grid
from platemae.report.in_short import in_short
from platemae.report.meanings import meaning
from platemae.report.origin import Cell, counted
from platemae.report.qc import FAIL, with_verdict
from platemae.report.source import Source
from platemae.report.verdicts import SHUFFLED, Verdict, judge
from platemae.report.worries import worries

SHOWN_WARNINGS = 8
ROWS = (
    "A row is one model under one correction. Brackets hold 95 % intervals, n is how many were scored. Chance is what "
    "vectors give that know nothing; a row is at chance unless its intervals are clear of it."
)
CORRECTION_SETTINGS = ("fit_on", "batch_unit", "ridge", "n_components", "few_controls")
OF_KIND: dict[str, tuple[str, ...]] = {
    "none": (),
    "tvn": CORRECTION_SETTINGS,
    "harmony": ("fit_on", "batch_unit", "n_components"),
}
OF_KIND["pca_cs"] = ("fit_on", "batch_unit", "n_components", "few_controls")
OF_OTHERS = ("fit_on", "batch_unit", "few_controls")


def build(source: Source) -> Section:
    """Return key numbers, verdicts, models, and warnings."""
    scores, _ = source.scores
    verdicts = judge(scores, len(source.map_plates)) if len(scores) else []
    leading = _leading(verdicts)
    short = in_short(source, leading)
    blocks: list[Block] = [Statements([short])] if short else []
    blocks += [Facts(_facts(source)), *_said(leading, len(verdicts)), *_worries(source, leading), *_absent(source)]
    return Section("overview", "Overview", [*blocks, Heading("What was run"), *_entries(source)])


def _facts(source: Source) -> list[tuple[str, str | Cell, str]]:
    fields = source.fields
    wells = fields[["plate", "well"]].drop_duplicates()
    batches = fields["batch"].nunique()
    with_images = fields[fields["group"] != ""]  # a plate without images has a row a well, and no group
    imaged, empty = len(with_images), int((with_images["control_type"] == "empty").sum())
    aside = sum(counts.get("failed_in_empty_wells", 0) for counts in _counts(source, "qc_plate"))
    failed = len(with_verdict(source.qc, FAIL)) - aside
    share = f"{failed / (imaged - empty):.1%} of fields" if imaged > empty else ""
    share += f"; {aside} more in empty wells" if aside else ""
    qc, ingested = (MANIFESTS[stage].format(plate="*") for stage in ("qc_plate", "ingest_plate"))
    scores, _ = source.scores
    return [
        ("plates", str(len(source.plates)), f"in {batches} batch{'es' if batches != 1 else ''}" if batches else ""),
        ("wells", counted(f"{len(wells):,}", ingested, "wells", how="sum"), ""),
        ("fields", counted(f"{imaged:,}", ingested, "fields", how="sum"), ""),
        (
            "excluded by QC" if source.cfg["exclude_failed"] else "failed QC, kept",
            counted(f"{failed:,}", qc, "failed", *(["failed_in_empty_wells"] if aside else []), how="balance"),
            share,
        ),
        ("models", str(len(source.models)), ""),
        ("corrections", str(len(source.corrections)), ""),
        ("scores", counted(f"{len(scores):,}", MANIFESTS["compare_models"], "rows"), ""),
    ]


def _counts(source: Source, stage: str) -> list[Mapping[str, Any]]:
    return [record.manifest.counts for record in source.of(stage) if record.manifest is not None]


def _said(leading: list[Verdict], count: int) -> list[Block]:
    """Return the first verdict of each benchmark, of so many in all."""
    heading = Heading("What the scores say")
    if not count:
        return [heading, Text("No score was measured, so nothing can be said about the models.", "note")]
    more = count - len(leading)
    text = "1 more verdict stands" if more == 1 else f"{more} more verdicts stand"
    rest = [Text(f"{text} on the page Benchmarks.", "note")] if more else []
    statements = [Statement(v.group.title, v.cell(v.headline), meaning(v.group), v.names) for v in leading]
    return [heading, Text(ROWS, "small"), Statements(statements), *rest]


def _leading(verdicts: list[Verdict]) -> list[Verdict]:
    """Return the first verdict of each benchmark, and each check on shuffled labels."""
    first: dict[str, Verdict] = {}
    for verdict in verdicts:
        checked = verdict.group.metric if verdict.group.metric.endswith(SHUFFLED) else ""
        first.setdefault(f"{verdict.group.benchmark} {checked}", verdict)
    return list(first.values())


def _worries(source: Source, leading: list[Verdict]) -> list[Block]:
    """Return what the tables show that a reader should mind, then what the stages warned of."""
    found = worries(source, leading)
    return [Heading("What to worry about"), *([Items(found, "warning")] if found else []), *_warnings(source)]


def _warnings(source: Source) -> list[Block]:
    found: dict[str, list[str]] = {}
    for record in source.records:
        for text in record.manifest.warnings if record.manifest else []:
            found.setdefault(f"{record.stage}: {text}", []).append(record.label)
    if not found:
        return [Text("No stage gave a warning.")]
    lines = [f"{text} ({_jobs(labels)})" for text, labels in found.items()]
    blocks: list[Block] = [Text("Warnings of the stages:"), Items(lines[:SHOWN_WARNINGS], "warning")]
    rest = lines[SHOWN_WARNINGS:]
    return [*blocks, Fold(f"{len(rest)} more warnings", [Items(rest, "warning")])] if rest else blocks


def _jobs(labels: list[str]) -> str:
    named = ", ".join(filter(None, labels[:4])) or "all"
    return f"{named} and {len(labels) - 4} more" if len(labels) > 4 else named


def _absent(source: Source) -> list[Block]:
    absent: dict[str, list[str]] = {}
    for record in source.records:
        if record.manifest is None:
            absent.setdefault(record.stage, []).append(record.label)
    if not absent:
        return []
    lines = [f"{stage}: {_jobs(labels)}" for stage, labels in absent.items()]
    return [Text("These stages left no manifest, so the page lacks what they make.", "note"), Items(lines)]


def _entries(source: Source) -> list[Block]:
    models = [(m["name"], m["kind"], m.get("dataset") or "") for m in source.cfg["models"]]
    corrections = [(c["name"], c["kind"], *_settings(c)) for c in source.cfg["corrections"]]
    return [
        grid(models, ("model", "kind", "training set"), "Models: the rows of every table"),
        grid(
            corrections,
            ("correction", "kind", "fitted on", "unit", "ridge", "components", "few controls"),
            "Corrections: the columns of every table",
            numeric=("ridge", "components"),
        ),
        grid(
            [(b["name"], b["kind"], *_files(b)) for b in source.cfg["benchmarks"]],
            ("benchmark", "kind", "files"),
            "Benchmarks",
        ),
    ]


def _files(benchmark: dict[str, Any]) -> list[str]:
    """Return the files that a benchmark reads, as configured."""
    named = benchmark.get("relations") or ""
    return [", ".join(named.values()) if isinstance(named, dict) else named]


def _settings(correction: dict[str, Any]) -> list[str]:
    """Return wells, unit, ridge, components and policy, empty where the kind does not use them."""
    used = OF_KIND.get(correction["kind"], OF_OTHERS)
    values = (correction.get(key) if key in used else None for key in CORRECTION_SETTINGS)
    return ["" if value is None else str(value) for value in values]
