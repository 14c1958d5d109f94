"""score_map: every benchmark of a map, as tidy rows with interval and chance."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import anndata
import pandas as pd

from platemae.benchmarks.aggregate import AggregateSettings
from platemae.benchmarks.registry import resolve as resolve_benchmark
from platemae.benchmarks.rows import stamp
from platemae.benchmarks.scored import Scored
from platemae.config.plates import resolve as resolve_path
from platemae.contracts import Manifest
from platemae.errors import MissingError
from platemae.fingerprint import digest_table
from platemae.layout import Results
from platemae.store.parquet import write_parquet
from platemae.tables import read_replicates


def run(results: Results, cfg: dict[str, Any], *, model: str, correction: str, base: Path) -> Manifest:
    """Score one map.

    Raises
    ------
    PlatemaeError
        When the map or a relation file is missing or wrong.
    """
    scored = Scored(
        lambda: _read_map(results.map(model, correction)),
        lambda: _read_wells(results, cfg, model, correction),
        AggregateSettings.of(cfg["map"]),
    )
    tables = []
    for entry in cfg["benchmarks"]:
        cls = resolve_benchmark(entry["kind"])
        table = cls.score(scored, _settings(cls.Settings, entry, base))
        tables.append(table.assign(benchmark=entry["name"]))
    scores = stamp(pd.concat(tables, ignore_index=True), model, correction, cfg["overlap"])
    write_parquet(scores, results.scores(model, correction))
    return Manifest("score_map", digest_table(scores), {"rows": len(scores)})


def _settings(cls: Any, entry: dict[str, Any], base: Path) -> Any:
    """Return a benchmark's settings from its configuration entry; files start at ``base``."""
    values = {f.name: entry[f.name] for f in fields(cls) if f.name in entry}
    for key in cls.file_keys:
        named = values[key]
        if isinstance(named, dict):
            values[key] = {name: str(resolve_path(path, base)) for name, path in named.items()}
        elif named is not None:
            values[key] = str(resolve_path(named, base))
    return cls(**values)


def _read_map(path: Path) -> anndata.AnnData:
    if not path.is_file():
        raise MissingError("the map is missing", str(path), "run build_map")
    return anndata.read_h5ad(path)


def _read_wells(results: Results, cfg: dict[str, Any], model: str, correction: str) -> anndata.AnnData:
    paths = [results.corrected(model, correction, plate) for plate in cfg["plates"]]
    parts = [read_replicates(path, cfg["map"]["aggregate"]) for path in paths]
    return anndata.concat(parts, join="inner")
