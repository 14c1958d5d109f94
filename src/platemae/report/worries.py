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

Found = dict[str, list[str]]
"""Model -> corrections; none where the worry is of the model itself."""


def worries(source: Source, leading: list[Verdict]) -> list[str | Cell]:
    """Return sentences, each worry once for all models, corrections and benchmarks that it concerns.

    Parameters
    ----------
    source
        The results.
    leading
        The first verdict of each benchmark.
    """
    judged = [v for v in leading if not v.group.metric.endswith(SHUFFLED) and v.group.metric not in LOWER_IS_BETTER]
    standing = [(v.group.title, *_beside_random(source, v)) for v in judged]
    every = source.corrections
    return [
        *_failed_plates(source),
        *_one_batch(source),
        *_told("Below a network with random weights", [(title, below) for title, below, _ in standing], every),
        *_told(
            "Not set apart from a network with random weights, so training may have added nothing",
            [(title, level) for title, _, level in standing],
            every,
        ),
        *_told(
            "Lower than without correction, with intervals apart",
            [(v.group.title, _lost(source, v)) for v in judged],
            every,
        ),
        *_told(
            "Learned from the labels that are scored, so no test", [(v.group.title, _taught(v)) for v in judged], every
        ),
    ]


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


def _told(what: str, found: list[tuple[str, Found]], every: list[str]) -> Iterator[str]:
    """Say one worry once: who it concerns, with the benchmarks where it is the same behind."""
    where: dict[str, list[str]] = {}
    for title, models in found:
        if models:
            where.setdefault(_who(models, every), []).append(title)
    if where:
        yield f"{what}: {'; '.join(f'{who} ({listed(titles, NAMED)})' for who, titles in where.items())}."


def _who(found: Found, every: list[str]) -> str:
    """Return models under corrections in words, models of the same corrections together."""
    together: dict[tuple[str, ...], list[str]] = {}
    for model, corrections in found.items():
        together.setdefault(tuple(corrections), []).append(model)
    return ", ".join(f"{listed(models, NAMED)}{_under(names, every)}" for names, models in together.items())


def _under(corrections: tuple[str, ...], every: list[str]) -> str:
    if not corrections:
        return ""
    named = (
        f"all {len(every)} corrections" if len(every) > 1 and len(corrections) == len(every) else listed(corrections)
    )
    return f" under {named}"


def _beside_random(source: Source, verdict: Verdict) -> tuple[Found, Found]:
    """Return the models below random weights, and those not set apart from them: those of their own network, if any."""
    below: Found = {}
    level: Found = {}
    for correction in source.corrections:
        rows = [row for row in rows_of(verdict.group) if row.correction == correction]
        for row in rows:
            if row.model in source.untrained or row.model not in source.networks:
                continue
            random = source.twins(row.model) or source.untrained
            floors = [other for other in rows if other.model in random]
            if any(row.value < floor.value and not tie(row, floor) for floor in floors):
                below.setdefault(row.model, []).append(correction)
            elif any(tie(row, floor) for floor in floors):
                level.setdefault(row.model, []).append(correction)
    return below, level


def _lost(source: Source, verdict: Verdict) -> Found:
    """Return the models that a correction lowers."""
    plain = [c["name"] for c in source.cfg["corrections"] if c["kind"] == "none"]
    rows = rows_of(verdict.group)
    before = {row.model: row for row in rows if row.correction in plain}
    found: Found = {}
    for row in rows:
        base = before.get(row.model)
        if base is not None and row.value < base.value and not tie(row, base):
            found.setdefault(row.model, []).append(row.correction)
    return found


def _taught(verdict: Verdict) -> Found:
    rows = verdict.group.rows
    return {str(model): [] for model in rows.loc[rows["overlap"] == "labels", "model"].unique()}
