"""render_report: one self-contained HTML page from tables and manifests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from platemae.contracts import Manifest, write_text
from platemae.layout import Results
from platemae.report.page import MAX_BYTES, page_digest, render
from platemae.report.sections import SECTIONS
from platemae.report.source import Source


def run(results: Results, cfg: dict[str, Any], *, threads: int = 1) -> Manifest:
    """Write ``report/index.html``; what is missing is said on the page.

    Parameters
    ----------
    results
        Where everything is read and the page is written.
    cfg
        ``report``, ``plates``, ``models``, ``corrections``, ``benchmarks``.
    threads
        Not used; every stage gets it.

    Raises
    ------
    ContractError
        When a file that is there does not keep its contract.
    """
    source = Source(results, cfg)
    sections = [build(source) for build in SECTIONS]
    title = cfg["report"]["title"]
    page = render(title, sections, now())
    write_text(results.report(), page)
    size = len(page.encode())
    warnings = []
    if size > MAX_BYTES:
        warnings.append(
            f"the page has {size / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f} MB: it may not open everywhere"
        )
    counts = {
        "sections": len(sections),
        "figures": page.count("<figure"),
        "plates": len(source.plates),
        "models": len(source.models),
        "corrections": len(source.corrections),
        "missing_manifests": sum(record.manifest is None for record in source.records),
    }
    return Manifest("render_report", page_digest(title, sections), counts, warnings)


def now() -> str:
    """Return the time of writing, for the page's footer alone."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
