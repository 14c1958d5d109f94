"""compare_models: the scores of all models and corrections in one table, wide tables, and published numbers beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from platemae.contracts import NAME, Manifest, write_text
from platemae.errors import ContractError, MissingError, raise_all
from platemae.fingerprint import digest_bytes, digest_table
from platemae.layout import Results
from platemae.report.published import beside_measured, read_published
from platemae.report.scores import plain, read_scores
from platemae.report.tables import benchmark_csv, benchmark_latex, benchmark_markdown, benchmarks

RESERVED = ("scores", "published")
"""File names in the tables folder that a benchmark may not take."""


def run(results: Results, cfg: dict[str, Any], *, threads: int = 1) -> Manifest:
    """Write ``scores.csv``, one ``{benchmark}.csv/.md/.tex`` each, and ``published.csv``.

    Parameters
    ----------
    results
        Where scores are read and tables written.
    cfg
        ``models`` and ``corrections``: names, in the order of rows and columns.
    threads
        Not used; every stage gets it.

    Raises
    ------
    MissingError
        Naming every score file that is not there.
    ContractError
        When a score file is not what its path says, or a benchmark's name cannot name a file.
    """
    scores, missing = read_scores(results, cfg["models"], cfg["corrections"])
    raise_all(MissingError("scores are missing", name, "run score_map for them") for name in missing)
    published = beside_measured(read_published(), scores)
    names = _write_benchmarks(results.tables(), scores, cfg["corrections"])
    _write_csv(results.tables() / "scores.csv", scores)
    _write_csv(results.tables() / "published.csv", published)
    digest = digest_bytes(digest_table(_as_text(scores)).encode(), digest_table(_as_text(published)).encode())
    counts = {
        "rows": len(scores),
        "models": len(cfg["models"]),
        "corrections": len(cfg["corrections"]),
        "benchmarks": names,
        "published_rows": int(published["value"].notna().sum()),
        "published_with_measured": int(published["measured"].notna().sum()),
    }
    return Manifest("compare_models", digest, counts, [] if len(scores) else ["no score was measured"])


def _write_benchmarks(folder: Path, scores: pd.DataFrame, corrections: list[str]) -> list[str]:
    found = benchmarks(scores)
    raise_all(_unusable(name) for name in found if name in RESERVED or not NAME.match(name))
    _remove_stale(folder, set(found))
    for name, group in found.items():
        _write_csv(folder / f"{name}.csv", benchmark_csv(group, corrections))
        write_text(folder / f"{name}.md", benchmark_markdown(group, corrections))
        write_text(folder / f"{name}.tex", benchmark_latex(group, corrections))
    return list(found)


def _unusable(name: str) -> ContractError:
    return ContractError(f"a benchmark cannot be called {name!r}", "benchmarks", "give it another name")


def _remove_stale(folder: Path, kept: set[str]) -> None:
    """Remove the tables of benchmarks that are gone: a leftover would pass for a result."""
    for path in folder.glob("*.tex"):
        companions = [path.with_suffix(suffix) for suffix in (".csv", ".md", ".tex")]
        if path.stem not in kept and all(companion.is_file() for companion in companions):
            for companion in companions:
                companion.unlink()


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    if "n" in table and table["n"].dtype.kind == "f":
        table = table.assign(n=table["n"].astype("Int64"))
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return columns of one type each, so that the digest does not hang on how pandas holds an empty cell."""
    numeric = {c for c in table.columns if table[c].dtype.kind in "if"}
    return table.assign(**{c: table[c].map(plain) for c in table.columns if c not in numeric})
