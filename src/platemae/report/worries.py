"""What a reader should worry about, in sentences: what the tables show that a quick look at the best row would miss."""

from __future__ import annotations

from collections.abc import Iterator

from platemae.report.origin import Cell
from platemae.report.qc import failed_share
from platemae.report.source import Source
from platemae.report.verdicts import FEW, LOWER_IS_BETTER, SHUFFLED, Row, Verdict, listed, rows_of, tie, too_small

FAILED_SHARE = 0.2
"""Of a plate's fields; above it the plate is named."""

NAMED = 8

LEVEL = "Not set apart from a network with random weights"
BESIDE_RANDOM = (
    "Below a network with random weights, with intervals apart",
    "Lower than a network with random weights, without intervals, so perhaps by chance",
    f"{LEVEL}, so training may have added nothing",
    f"{LEVEL}, on a screen that is too small to tell (one plate, or n below {FEW})",
)
BELOW, LOWER, ADDED_NOTHING, TOO_SMALL = BESIDE_RANDOM

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
    standing = [(v.group.title, _beside_random(source, v)) for v in judged]
    every = source.corrections
    return [
        *_failed_plates(source),
        *_one_batch(source),
        *(s for what in BESIDE_RANDOM for s in _told(what, [(title, found[what]) for title, found in standing], every)),
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


def _beside_random(source: Source, verdict: Verdict) -> dict[str, Found]:
    """Return the models that are not above random weights (of their own network, if any), by what is said of them."""
    found: dict[str, Found] = {what: {} for what in BESIDE_RANDOM}
    for correction in source.corrections:
        rows = [row for row in rows_of(verdict.group) if row.correction == correction]
        for row in rows:
            if row.model in source.untrained or row.model not in source.networks:
                continue
            random = source.twins(row.model) or source.untrained
            floors = [other for other in rows if other.model in random]
            said = {_standing(row, floor, len(source.map_plates)) for floor in floors}
            for what in [what for what in BESIDE_RANDOM if what in said][:1]:
                found[what].setdefault(row.model, []).append(correction)
    return found


def _standing(row: Row, floor: Row, n_plates: int) -> str:
    """Say how a row stands that is not above random weights; empty where it is."""
    if tie(row, floor):
        return TOO_SMALL if too_small([row, floor], n_plates) else ADDED_NOTHING
    if not row.value < floor.value:  # a missing value is neither
        return ""
    return BELOW if _apart(row, floor) else LOWER


def _lost(source: Source, verdict: Verdict) -> Found:
    """Return the models that a correction lowers."""
    plain = [c["name"] for c in source.cfg["corrections"] if c["kind"] == "none"]
    rows = rows_of(verdict.group)
    before = {row.model: row for row in rows if row.correction in plain}
    found: Found = {}
    for row in rows:
        base = before.get(row.model)
        if base is not None and _apart(row, base) and row.value < base.value:
            found.setdefault(row.model, []).append(row.correction)
    return found


def _apart(a: Row, b: Row) -> bool:
    return a.bounded and b.bounded and not tie(a, b)


def _taught(verdict: Verdict) -> Found:
    rows = verdict.group.rows
    return {str(model): [] for model in rows.loc[rows["overlap"] == "labels", "model"].unique()}
