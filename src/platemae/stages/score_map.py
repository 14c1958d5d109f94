"""score_map: every benchmark of a map, as tidy rows with interval and chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import pandas as pd

from platemae.benchmarks.aggregate import AggregateSettings
from platemae.benchmarks.registry import resolve as resolve_benchmark
from platemae.benchmarks.rows import stamp
from platemae.benchmarks.scored import Scored
from platemae.config.plates import resolve as resolve_path
from platemae.contracts import OBS_COLUMNS, Manifest
from platemae.data.seen import held_out_rows, overlap_of
from platemae.errors import MissingError, PlatemaeError, raise_all
from platemae.fingerprint import digest_table
from platemae.layout import Results
from platemae.scoring.entries import settings_of
from platemae.store.parquet import write_parquet
from platemae.tables import read_replicates, read_wells


def run(results: Results, cfg: dict[str, Any], *, model: str, correction: str, base: Path) -> Manifest:
    """Score one map.

    Raises
    ------
    PlatemaeError
        When the map or a relation file is missing or wrong: the problems of all benchmarks together, nothing written.
    """
    scored = Scored(
        lambda: _read_map(results.map(model, correction)),
        lambda: _read_wells(results, cfg, model, correction),
        AggregateSettings.of(cfg["map"], partial(resolve_path, base=base)),
    )
    tables = _tables(scored, cfg["benchmarks"], base)
    word, said = _overlap(results, cfg, model, correction)
    scores = stamp(pd.concat(tables, ignore_index=True), model, correction, word)
    scores["detail"] = [json.dumps(json.loads(text) | {"overlap": said}, sort_keys=True) for text in scores["detail"]]
    write_parquet(scores, results.scores(model, correction))
    return Manifest("score_map", digest_table(scores), {"rows": len(scores)}, _symbol_warnings(scores))


def _tables(scored: Scored, entries: Sequence[dict[str, Any]], base: Path) -> list[pd.DataFrame]:
    """Return the rows of every benchmark; one that fails ends the job only when all others have said theirs."""
    tables: list[pd.DataFrame] = []
    problems: dict[str, PlatemaeError] = {}  # by their words: a missing map is one problem, not one a benchmark
    for entry in entries:
        cls = resolve_benchmark(entry["kind"])
        try:
            table = cls.score(scored, settings_of(cls.Settings, entry, base))
        except PlatemaeError as error:
            problems.setdefault(str(error), error)
        else:
            tables.append(table.assign(benchmark=entry["name"]))
    raise_all(problems.values())
    return tables


_SYMBOLS = {"case": "in another case of letters", "outdated": "under another name"}


def _symbol_warnings(scores: pd.DataFrame) -> list[str]:
    """Say of each source which of its symbols the map has in another spelling: their pairs were not scored."""
    found = {}
    for source, text in zip(scores["source"], scores["detail"], strict=True):
        detail = json.loads(text)
        for key, words in _SYMBOLS.items():
            if detail.get(f"n_symbols_{key}"):
                shown = ", ".join(detail[f"symbols_{key}"])
                count = detail[f"n_symbols_{key}"]
                found[source.split("[")[0], key] = f"{count} symbols that the map has {words}: {shown}"
    return [f"{source}: {words}" for (source, _), words in found.items()]


def _read_map(path: Path) -> anndata.AnnData:
    if not path.is_file():
        raise MissingError("the map is missing", str(path), "run build_map")
    return anndata.read_h5ad(path)


def _read_wells(results: Results, cfg: dict[str, Any], model: str, correction: str) -> anndata.AnnData:
    paths = [results.corrected(model, correction, plate) for plate in cfg["plates"]]
    parts = [read_replicates(path, cfg["map"]["aggregate"]) for path in paths]
    wells = anndata.concat(parts, join="inner")
    held_out = cfg["map"].get("held_out")
    return wells if held_out is None else wells[held_out_rows(results, wells.obs, held_out)].copy()


def _overlap(results: Results, cfg: dict[str, Any], model: str, correction: str) -> tuple[str, str]:
    """Return what training saw of the scored wells, in a word and with counts; reads no vector."""
    if isinstance(cfg["overlap"], str):
        return cfg["overlap"], cfg["overlap"]
    parts = []
    for plate in cfg["plates"]:
        wells = read_wells(results.corrected(model, correction, plate), backed=True)
        parts.append(wells.obs[list(OBS_COLUMNS)].astype(object))
        wells.file.close()
    obs = pd.concat(parts, ignore_index=True)
    obs = obs[held_out_rows(results, obs, cfg["map"].get("held_out"))]
    entity = AggregateSettings.of(cfg["map"]).entity
    return overlap_of(results, obs, cfg["overlap"], entity if entity in obs else "Metadata_Perturbation")
