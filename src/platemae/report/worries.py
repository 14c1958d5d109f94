"""What a reader should worry about, in sentences: what the tables show that a quick look at the best row would miss."""

from __future__ import annotations

from collections.abc import Iterator

from platemae.report.origin import Cell
from platemae.report.qc import failed_share
from platemae.report.source import Source
from platemae.report.verdicts import LOWER_IS_BETTER, SHUFFLED, Verdict, listed, rows_of, tie

FAILED_SHARE = 0.2
"""Of a plate's fields; above it the plate is named."""

NAMED = 8


def worries(source: Source, leading: list[Verdict]) -> list[str | Cell]:
    """Return sentences; ``leading`` is the first verdict of each benchmark."""
    judged = [v for v in leading if not v.group.metric.endswith(SHUFFLED) and v.group.metric not in LOWER_IS_BETTER]
    found: list[str | Cell] = [*_failed_plates(source), *_one_batch(source)]
    for verdict in judged:
        found += [*_no_better_than_untrained(source, verdict), *_worse_than_before(source, verdict), *_taught(verdict)]
    return found


def _failed_plates(source: Source) -> Iterator[Cell]:
    counts = {r.wildcards["plate"]: r.manifest.counts for r in source.of("qc_plate") if r.manifest is not None}
    found = {plate: failed_share(plate, here) for plate, here in counts.items()}
    shares = {plate: share for plate, (share, _) in found.items()}
    bad = sorted((plate for plate, share in shares.items() if share > FAILED_SHARE), key=lambda p: -shares[p])
    for plate in bad[:NAMED]:
        shown = found[plate][1]
        yield Cell(f"{shown} of the fields of plate {plate} failed QC.", shown.origin)
    if bad[NAMED:]:
        yield Cell(f"So did more than {FAILED_SHARE:.0%} of the fields of {len(bad) - NAMED} more plates.")


def _one_batch(source: Source) -> Iterator[str]:
    if len(source.plates) > 1 and source.fields["batch"].nunique() == 1:
        yield "All plates are of one batch: nothing here tells whether results hold on another day."


def _no_better_than_untrained(source: Source, verdict: Verdict) -> Iterator[str]:
    kinds = {model["name"]: model["kind"] for model in source.cfg["models"]}
    below: dict[str, list[str]] = {}
    level: dict[str, list[str]] = {}
    for correction in source.corrections:
        rows = [row for row in rows_of(verdict.group) if row.correction == correction]
        floors = [row for row in rows if kinds.get(row.model) == "untrained"]
        for row in rows:
            if row in floors or row.model not in source.networks:
                continue
            if any(row.value < floor.value and not tie(row, floor) for floor in floors):
                below.setdefault(row.model, []).append(correction)
            elif any(tie(row, floor) for floor in floors):
                level.setdefault(row.model, []).append(correction)
    if below:
        yield f"{verdict.group.title}: below a network with random weights: {_under(below)}."
    if level:
        yield (
            f"{verdict.group.title}: not set apart from a network with random weights: {_under(level)}. "
            "The training may have added nothing."
        )


def _under(found: dict[str, list[str]]) -> str:
    return listed([f"{model} (under {listed(corrections)})" for model, corrections in found.items()])


def _worse_than_before(source: Source, verdict: Verdict) -> Iterator[str]:
    plain = [c["name"] for c in source.cfg["corrections"] if c["kind"] == "none"]
    rows = rows_of(verdict.group)
    before = {row.model: row for row in rows if row.correction in plain}
    for correction in source.corrections:
        after = [row for row in rows if row.correction == correction and row.model in before]
        lost = [row.model for row in after if row.value < before[row.model].value and not tie(row, before[row.model])]
        if lost:
            yield f"{verdict.group.title}: {correction} lowers {listed(lost)}, with intervals apart."


def _taught(verdict: Verdict) -> Iterator[str]:
    rows = verdict.group.rows
    models = [str(model) for model in rows.loc[rows["overlap"] == "labels", "model"].unique()]
    if models:
        yield f"{verdict.group.title}: {listed(models)} learned from the labels that are scored: no test of them."
