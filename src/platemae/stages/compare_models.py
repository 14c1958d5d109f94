"""compare_models: the scores of all models and corrections in one table, wide tables, and published numbers beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from platemae.benchmarks.scaling import fourier_table, scaling_table
from platemae.config.plates import resolve
from platemae.contracts import NAME, Manifest, write_text
from platemae.errors import ContractError, MissingError, raise_all
from platemae.fingerprint import digest_bytes, digest_table
from platemae.layout import Results
from platemae.report.papers import MeasuredFacts, caption, paper_tables, shown
from platemae.report.published import beside_measured, read_published
from platemae.report.scores import plain, read_scores
from platemae.report.study import STEADINESS, steadiness, studied
from platemae.report.tables import (
    benchmark_csv,
    benchmark_latex,
    benchmark_markdown,
    benchmarks,
    latex_table,
    markdown_table,
)

RESERVED = ("scores", "published", "scaling", "fourier")
"""File names in the tables folder that a benchmark may not take."""


def run(results: Results, cfg: dict[str, Any], *, threads: int = 1, base: Path = Path()) -> Manifest:
    """Write ``scores.csv``, one ``{benchmark}.csv/.md/.tex`` each, ``published.csv``, and those of the scaling study.

    ``papers/{table}.csv/.md/.tex`` sets each paper's table beside what was measured.

    ``scaling.csv/.md/.tex`` sets recall beside training operations, where a training's are known;
    ``fourier.csv/.md/.tex`` tells how steadily trainings went.

    Parameters
    ----------
    results
        Where scores are read and tables written.
    cfg
        ``models`` and ``corrections``: names, in the order of rows and columns; ``study``: what the configuration says
        of each model that is trained; ``published``: a file of published numbers of the user's own;
        ``correction_kinds``: what each correction is.
    threads
        Not used; every stage gets it.
    base
        Folder that this file's path starts at.

    Raises
    ------
    MissingError
        Naming every score file that is not there, or the manifest of a training.
    ContractError
        When a score file is not what its path says, or a benchmark's name cannot name a file.
    InputError
        When the user's published numbers are no such table.
    """
    scores, missing = read_scores(results, cfg["models"], cfg["corrections"])
    raise_all(MissingError("scores are missing", name, "run score_map for them") for name in missing)
    own = resolve(cfg["published"], base) if cfg.get("published") else None
    published = beside_measured(read_published(own=own), scores, cfg.get("correction_kinds"))
    names = _write_benchmarks(results.tables(), scores, cfg["corrections"])
    trained = _trained(results, cfg["study"])
    scaling, fourier = _study(trained, cfg["study"], scores)
    _write_study(results.tables(), "scaling", scaling, list(studied(scaling)))
    _write_study(results.tables(), "fourier", fourier, [(STEADINESS, steadiness(fourier))] if len(fourier) else [])
    _write_csv(results.tables() / "scores.csv", scores)
    _write_csv(results.tables() / "published.csv", published)
    papers = paper_tables(published, _facts(results, cfg, trained))
    _write_papers(results.tables() / "papers", papers)
    made = (scores, published, scaling, fourier, *papers.values())
    digest = digest_bytes(*(digest_table(_as_text(table)).encode() for table in made))
    counts = {
        "rows": len(scores),
        "models": len(cfg["models"]),
        "corrections": len(cfg["corrections"]),
        "benchmarks": names,
        "scaling_rows": len(scaling),
        "papers": list(papers),
        "published_rows": int(published["value"].notna().sum()),
        "published_with_measured": int(published["measured"].notna().sum()),
    }
    return Manifest("compare_models", digest, counts, [] if len(scores) else ["no score was measured"])


def _trained(results: Results, study: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what the manifest of each training counts."""
    manifests = {entry["model"]: results.manifest("train_model", model=entry["model"]) for entry in study}
    return {model: Manifest.read(path).counts for model, path in manifests.items()}


def _facts(results: Results, cfg: dict[str, Any], trained: dict[str, dict[str, Any]]) -> MeasuredFacts:
    """Return what is known of data and scale; scores brought from elsewhere have no manifest of a map."""
    training = {entry["model"]: entry | trained[entry["model"]] for entry in cfg["study"]}
    pairs = [(model, correction) for model in cfg["models"] for correction in cfg["corrections"]]
    paths = {pair: results.manifest("build_map", model=pair[0], correction=pair[1]) for pair in pairs}
    maps = {pair: Manifest.read(path).counts for pair, path in paths.items() if path.is_file()}
    return MeasuredFacts(training, maps)


def _write_papers(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    for name, table in tables.items():
        text, words = shown(table), caption(name, table)
        _write_csv(folder / f"{name}.csv", table)
        write_text(folder / f"{name}.md", markdown_table(text, words))
        write_text(folder / f"{name}.tex", latex_table(text, words))
    _remove_stale(folder, set(tables))


def _study(
    trained: dict[str, dict[str, Any]], study: list[dict[str, Any]], scores: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return recall beside training operations, and how steadily trainings went."""
    whole = [entry for entry in study if not entry["snapshot"]]
    return scaling_table(scores, study, trained), fourier_table(whole, trained)


def _write_study(folder: Path, name: str, table: pd.DataFrame, texts: list[tuple[str, pd.DataFrame]]) -> None:
    """Write a table of the study, or remove what an earlier run left of it."""
    paths = [folder / f"{name}{suffix}" for suffix in (".csv", ".md", ".tex")]
    if table.empty:
        for path in paths:
            path.unlink(missing_ok=True)
        return
    _write_csv(paths[0], table)
    write_text(paths[1], "\n".join(markdown_table(frame, text) for text, frame in texts))
    write_text(paths[2], "\n".join(latex_table(frame, text) for text, frame in texts))


def _write_benchmarks(folder: Path, scores: pd.DataFrame, corrections: list[str]) -> list[str]:
    found = benchmarks(scores)
    raise_all(_unusable(name) for name in found if name in RESERVED or not NAME.fullmatch(name))
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
        if path.stem not in {*kept, *RESERVED} and all(companion.is_file() for companion in companions):
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
