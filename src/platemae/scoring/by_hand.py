"""One benchmark on files of one's own: settings from the command line, the same checks as in a configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import ValidationError

from platemae.benchmarks.aggregate import ENTITIES, AggregateSettings, Doses, build_gene_map
from platemae.benchmarks.registry import REGISTRY
from platemae.benchmarks.registry import resolve as resolve_benchmark
from platemae.benchmarks.rows import stamp
from platemae.benchmarks.scored import Scored
from platemae.config.allowed import kinds, schema
from platemae.config.sections import Benchmark, benchmark_entry
from platemae.config.wrong_values import wrong_values
from platemae.contracts import write_text
from platemae.errors import ConfigError, ContractError, raise_all
from platemae.report.scores import number, plain, with_interval
from platemae.scoring.columns import Columns, read_map, read_wells
from platemae.scoring.entries import settings_of
from platemae.store.parquet import write_parquet

OVERLAP = "unknown"
"""What training saw of wells that come from elsewhere."""
_FORMS = (".csv", ".parquet")
_HEADER = ["source", "metric", "threshold", "value [95 % interval]", "plates", "chance", "n"]


def score_by_hand(
    kind: str,
    values: Mapping[str, Any],
    *,
    map_path: Path | None = None,
    wells_path: Path | None = None,
    columns: Columns | None = None,
    entity: str = "gene",
    doses: Doses = "together",
) -> tuple[pd.DataFrame, list[str]]:
    """Score a map, wells, or both by one benchmark.

    Parameters
    ----------
    kind
        Of the benchmark.
    values
        Its keys, as in the configuration; files start at the current folder.
    map_path, wells_path
        AnnData with a row a perturbation, and with a row a well; where a benchmark needs a map and there are wells
        alone, it is made of them.
    columns
        How the files call things.
    entity
        What such a map has rows of: ``gene``, ``compound``, ``perturbation`` or ``gene_and_compound``.
    doses
        Whether its compounds have one row (``together``), or one a concentration (``apart``).

    Returns
    -------
    scores
        The columns of a score file; ``model`` is the name of the file.
    notes
        What was assumed of the files.

    Raises
    ------
    PlatemaeError
        When a key, a file or a column is wrong, or the benchmark needs what was not given.
    """
    columns = columns or Columns()
    entry = entry_of(kind, values)
    path = map_path or wells_path
    if path is None:
        raise ConfigError("nothing to score was given", "--map, --wells", "name a map, or wells, as .h5ad")
    scored, notes = _opened(map_path, wells_path, columns, AggregateSettings(entity=ENTITIES[entity], doses=doses))
    benchmark = resolve_benchmark(kind)
    try:
        table = benchmark.score(scored, settings_of(benchmark.Settings, entry.model_dump(mode="json"), Path()))
    except KeyError as error:
        what = f"the benchmark {kind} needs a column that is not there: {error.args[0]}"
        raise ContractError(what, str(path), "add it to obs; a map that platemae builds of --wells has it") from None
    return stamp(table.assign(benchmark=entry.name), path.stem, "as given", OVERLAP), notes


def _opened(
    map_path: Path | None, wells_path: Path | None, columns: Columns, aggregate: AggregateSettings
) -> tuple[Scored, list[str]]:
    """Return the files as a benchmark reads them, the map made of the wells where it is not given, and notes."""
    # Beside a map --gene-column names the map's rows, not a column of the wells.
    of_wells = columns if map_path is None else columns.without("gene")
    wells, notes = read_wells(wells_path, of_wells) if wells_path else (None, [])

    def the_map() -> Any:
        if map_path is not None:
            return read_map(map_path, columns)
        assert wells is not None
        return build_gene_map(wells.X, wells.obs, aggregate)

    return Scored(the_map, None if wells is None else lambda: wells, aggregate), notes


def entry_of(kind: str, values: Mapping[str, Any]) -> Benchmark:
    """Return a benchmark's entry as the configuration would hold it.

    Raises
    ------
    ConfigError
        All problems at once; an unknown key with those that there are.
    """
    an_entry = schema()["properties"]["benchmarks"]["items"]
    if kind not in kinds(an_entry):
        raise ConfigError(f"there is no benchmark {kind}", "--kind", f"use one of {', '.join(REGISTRY)}")
    try:
        return benchmark_entry(**({"name": kind} | dict(values) | {"kind": kind}))
    except ValidationError as error:
        problems = wrong_values(error.errors(include_url=False), values, "--set", an_entry)
    raise_all(problems)
    raise AssertionError("a ValidationError holds at least one problem")


def parse_values(texts: Sequence[str]) -> dict[str, Any]:
    """Return ``KEY=VALUE`` texts as a mapping; values are YAML, so that numbers, lists and mappings can be given.

    Raises
    ------
    ConfigError
        Naming what is not so.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not (equals and key.strip()):
            raise ConfigError(f"'{text}' cannot be read", "--set", "write KEY=VALUE, such as n_bootstrap=200")
    return found


def as_text(scores: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """Return scores as a table for a terminal, then why numbers are missing, and what was assumed."""
    rows, reasons = [_HEADER], []
    for row in scores.to_dict("records"):
        value = with_interval(row["value"], row["ci_low"], row["ci_high"]) or "-"
        plates = [number(row["plate_ci_low"]), number(row["plate_ci_high"])]
        beside = (f"[{', '.join(plates)}]" if all(plates) else "", number(row["chance"]), plain(row["n"]))
        rows.append([plain(row["source"]), plain(row["metric"]), plain(row["threshold"]), value, *beside])
        detail = json.loads(row["detail"])
        why = [str(detail[key]) for key in ("reason", "missing") if key in detail]
        if why and value == "-":
            reasons.append(f"not measured: {row['source']} {row['metric']}: {'; '.join(why)}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *dict.fromkeys(reasons), *(f"note: {text}" for text in notes)])


def as_records(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Return scores as JSON takes them, ``detail`` as an object; what is no number is null."""
    records = []
    for row in scores.to_dict("records"):
        values = {str(k): None if isinstance(v, float) and v != v else v for k, v in row.items()}
        records.append(values | {"detail": json.loads(row["detail"])})
    return records


def check_form(path: Path) -> None:
    """Refuse a name that says neither CSV nor parquet, before anything is computed.

    Raises
    ------
    ConfigError
        Naming it.
    """
    if path.suffix not in _FORMS:
        raise ConfigError(f"'{path.name}' is neither CSV nor parquet", "--out", f"end it in {' or '.join(_FORMS)}")


def write_scores(scores: pd.DataFrame, path: Path) -> None:
    """Write scores as CSV or parquet, whole or not at all."""
    check_form(path)
    if path.suffix == ".parquet":
        write_parquet(scores, path)
    else:
        write_text(path, scores.to_csv(index=False, lineterminator="\n"))
