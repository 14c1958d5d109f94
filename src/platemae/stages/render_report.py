"""render_report: one self-contained HTML page from tables and manifests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from platemae.contracts import Manifest, write_text
from platemae.layout import Results
from platemae.report.page import MAX_BYTES, files_of, page_digest, render
from platemae.report.pages import build_pages
from platemae.report.source import Source
from platemae.store.swap import replaced_folder


def run(results: Results, cfg: dict[str, Any], *, threads: int = 1) -> Manifest:
    """Write ``report/index.html`` and the files beside it; what is missing is said on the page.

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
    pages = build_pages(source)
    title = cfg["report"]["title"]
    page = render(title, pages, now())
    with replaced_folder(results.report_files()) as folder:
        for name, content in files_of(pages).items():
            (folder / name).write_bytes(content)
    write_text(results.report(), page)
    size = len(page.encode())
    warnings = []
    if size > MAX_BYTES:
        warnings.append(
            f"the page has {size / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f} MB: it may not open everywhere"
        )
    counts = {
        "pages": len(pages),
        "files": len(files_of(pages)),
        "figures": page.count("<figure"),
        "plates": len(source.plates),
        "models": len(source.models),
        "corrections": len(source.corrections),
        "missing_manifests": sum(record.manifest is None for record in source.records),
    }
    return Manifest("render_report", page_digest(title, pages), counts, warnings)


def now() -> str:
    """Return the time of writing, for the page's footer alone."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
