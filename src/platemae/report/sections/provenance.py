"""Where the page comes from: content digests of every stage's output, versions."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, metadata, version

from platemae.contracts import canonical
from platemae.errors import ContractError, PlatemaeError
from platemae.ledger import in_force
from platemae.methods.text import methods_text
from platemae.report.blocks import (
    Block,
    Document,
    Fold,
    Heading,
    Items,
    Section,
    Statement,
    Statements,
    Table,
    Text,
    grid,
)
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
METHODS = (
    "What was done, with the numbers of this run, to be adapted for a paper; keys in brackets are those of "
    "references.bib. platemae cite prints the same with the versions that the jobs ran with; here are those that "
    "rendered this page."
)
LICENCES = (
    "platemae is under BSD-3-Clause. A table of known biology that fetch-annotations wrote has its origin and licence "
    "in {name}.source.json beside it; weights taken from a hub keep the licence of their authors."
)


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
            blocks.append(
                Fold(f"{stage}: {len(records)} output{'s' if len(records) > 1 else ''}", [_digests(records)], raw=True)
            )
    if len(blocks) == 1:
        blocks.append(Text("No manifest was found.", "note"))
    blocks += _kept(source)
    versions = {name: _version(name) for name in LIBRARIES}
    rows = [("python", sys.version.split()[0], "PSF-2.0"), *((n, v, _licence(n)) for n, v in versions.items())]
    table = Table(("library", "version", "licence"), rows, volatile=True)
    blocks += [Heading("Licences"), Text(LICENCES), Fold("Libraries where this page was rendered", [table])]
    return Section("provenance", "Provenance", [*_methods(source, versions), Heading("Digests"), *blocks])


def _methods(source: Source, versions: dict[str, str]) -> list[Block]:
    """Return the methods section and what it cites; a sentence where the run is not finished."""
    heading = Heading("Methods")
    try:
        methods = methods_text(source.results, source.cfg, versions)
    except PlatemaeError as error:
        return [heading, Text(f"The methods section waits for a finished run: {error.what} ({error.where}).", "note")]
    # The last paragraph names versions, which a digest leaves out.
    texts = [
        Statements([Statement(*paragraph)], volatile=paragraph[0] == "Software") for paragraph in methods.paragraphs
    ]
    document = Document({"methods.md": methods.markdown(), "references.bib": methods.bibtex()}, volatile=True)
    return [
        heading,
        Text(METHODS),
        *texts,
        document,
        Fold("References", [Items([reference.plain for reference in methods.references])]),
    ]


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


def _licence(name: str) -> str:
    """Return what a package states of its licence: an expression, else the first line of its text."""
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return ""
    text = next((stated[key] for key in ("License-Expression", "License") if key in stated), "")
    named = [c.rpartition(" :: ")[2] for c in stated.get_all("Classifier") or [] if c.startswith("License")]
    return text if text and len(text) < 40 else ", ".join(named)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
