"""Where the page comes from: content digests of every stage's output, versions."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from platemae.contracts import canonical
from platemae.errors import ContractError
from platemae.ledger import in_force
from platemae.report.blocks import Block, Fold, Section, Table, Text, grid
from platemae.report.source import Record, Source

LIBRARIES = (
    "platemae",
    "numpy",
    "scipy",
    "pandas",
    "anndata",
    "scanpy",
    "umap-learn",
    "matplotlib",
    "jinja2",
    "torch",
    "timm",
)
MAX_COUNTS = 300


def build(source: Source) -> Section:
    """Return digests by stage, and the versions that rendered the page."""
    intro = (
        "A digest is taken of contents (arrays and columns), so two runs that agree in it made the same data. Inputs, "
        "parameters, code and machine of every job are in the folder provenance of the results."
    )
    blocks: list[Block] = [Text(intro)]
    for stage in dict.fromkeys(record.stage for record in source.records):
        records = [record for record in source.of(stage) if record.manifest is not None]
        if records:
            blocks.append(Fold(f"{stage}: {len(records)} output{'s' if len(records) > 1 else ''}", [_digests(records)]))
    if len(blocks) == 1:
        blocks.append(Text("No manifest was found.", "note"))
    blocks += _kept(source)
    versions = [("python", sys.version.split()[0]), *((name, _version(name)) for name in LIBRARIES)]
    table = Table(("library", "version"), versions, volatile=True)
    return Section("provenance", "Provenance", [*blocks, Fold("Libraries where this page was rendered", [table])])


def _kept(source: Source) -> list[Block]:
    """Return what was kept after a change, of jobs that have not run again since."""
    try:
        kept = in_force(source.results)
    except ContractError as error:  # a torn line is no reason to have no page
        return [Text(f"What was kept after a change is not shown (provenance/accepted.jsonl): {error.what}.", "note")]
    if not kept:
        return []
    rows = [(f"{e.stage} {e.label}", e.who, e.when[:10], e.why, "; ".join(e.reasons)) for e in kept]
    intro = (
        f"{len(kept)} outputs were made before a change that somebody judged harmless, and were kept "
        "(platemae accept); provenance/accepted.jsonl has the digests."
    )
    return [Text(intro, "note"), Fold("Kept after a change", [grid(rows, ("output", "who", "when", "why", "change"))])]


def _digests(records: list[Record]) -> Table:
    rows = [(r.label or "all", r.manifest.digest[:16], _counts(r.manifest.counts)) for r in records if r.manifest]
    return grid(rows, ("output", "content digest", "counts"))


def _counts(counts: dict[str, object]) -> str:
    text = canonical({key: value for key, value in counts.items() if isinstance(value, int | float | str)})[1:-1]
    text = text.replace('"', "").replace(",", ", ")
    return text if len(text) <= MAX_COUNTS else text[:MAX_COUNTS] + " ..."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
