"""Known targets of compounds, and the genes that they are looked for among.

Shapes: C compounds, S draws, K candidates of a compound.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from platemae.benchmarks.bootstrap import IntArray
from platemae.benchmarks.text_table import read_text_table
from platemae.errors import InputError

if TYPE_CHECKING:
    from platemae.benchmarks.compound_gene import CompoundGeneSettings

COLUMNS = {"treatment": "compound", "gene_symbol": "gene", "nM_value": "nM"}
"""Names of EFAAR's file -> ours."""
_SHOWN = 5


class Candidates(NamedTuple):
    """Genes that targets are ranked among.

    Parameters
    ----------
    compounds
        Names of the C compounds that can be scored, sorted.
    pick
        (C, S, K) positions in the pool of genes, targets first, -1 beyond a compound's candidates.
    n_positive
        (C,) number of targets.
    notes
        What was dropped, and why.
    """

    compounds: list[str]
    pick: IntArray
    n_positive: IntArray
    notes: dict[str, Any]


def read_truth(path: Path) -> pd.DataFrame:
    """Read a table of measured potencies.

    Returns
    -------
    compound, gene (text) and nM (float); rows with a blank are left out. EFAAR's column names are taken, too.

    Raises
    ------
    MissingError
        If it is not there.
    InputError
        If a column is missing or a potency is no positive number.
    """
    table = read_text_table(path, [], "table of compounds and genes").rename(columns=COLUMNS)
    lost = [name for name in COLUMNS.values() if name not in table.columns]
    if lost:
        remedy = f"write a CSV with {', '.join(COLUMNS.values())}"
        raise InputError(f"no column {', '.join(lost)} (found: {', '.join(table.columns)})", str(path), remedy)
    table = table[list(COLUMNS.values())]
    table = table[(table != "").all(axis=1)]
    number = pd.to_numeric(table["nM"], errors="coerce")
    bad = ~(np.isfinite(number) & (number > 0))
    if bad.any():
        row = int(table.index[bad][0])
        text = str(table["nM"][row])
        what = f"nM is '{text}' ({int(bad.sum())} such rows)"
        raise InputError(what, f"{path}, row {row + 2}", "write positive numbers")
    return table.assign(nM=number.astype(np.float64)).reset_index(drop=True)


def draw_candidates(
    truth: pd.DataFrame, pool: list[str], known: list[str], settings: CompoundGeneSettings
) -> Candidates:
    """Draw the negatives of every compound.

    Parameters
    ----------
    truth
        See :func:`read_truth`.
    pool, known
        Genes and compounds of the table that are in the map, sorted.
    settings
        Potencies, numbers and seed.
    """
    position = {gene: index for index, gene in enumerate(pool)}
    names, drawn, positives, idle, thin = [], [], [], 0, []
    within = truth[truth["gene"].isin(position) & truth["compound"].isin(known)]
    for compound, own in within.groupby("compound", sort=True):
        active = sorted({position[gene] for gene in own.loc[own["nM"] <= settings.active_nm, "gene"]})
        between = {
            position[gene] for gene in own.loc[own["nM"].between(settings.active_nm, settings.inactive_nm), "gene"]
        }
        wanted = max(2 * len(active), settings.min_negatives)
        others = np.array(sorted(set(range(len(pool))) - set(active) - between), dtype=np.int64)
        if not active:
            idle += 1
        elif len(others) < wanted:
            thin.append(str(compound))
        else:
            names.append(str(compound))
            positives.append(len(active))
            drawn.append([np.append(active, draw) for draw in _draws(str(compound), others, wanted, settings)])
    width = max((len(row) for rows in drawn for row in rows), default=0)
    picks = np.full((len(names), settings.n_seeds, width), -1, dtype=np.int64)
    for compound_index, rows in enumerate(drawn):
        for seed_index, row in enumerate(rows):
            picks[compound_index, seed_index, : len(row)] = row
    counts = {
        "n_compounds_without_target": idle,
        "n_compounds_too_few_genes": len(thin),
        "too_few_genes": thin[:_SHOWN],
    }
    return Candidates(names, picks, np.array(positives, dtype=np.int64), counts)


def _draws(compound: str, others: IntArray, wanted: int, settings: CompoundGeneSettings) -> Iterator[IntArray]:
    for index in range(settings.n_seeds):
        rng = np.random.default_rng([settings.seed, index, zlib.crc32(compound.encode())])
        yield rng.choice(others, wanted, replace=False)


def check_overlap(what: str, known: set[str], found: set[str], path: str) -> None:
    """Refuse a table that shares no name with the map.

    Parameters
    ----------
    what
        ``gene`` or ``compound``.
    known, found
        Names of the table and of the map.
    path
        Of the table.

    Raises
    ------
    InputError
        Saying so where upper and lower case is the reason.
    """
    if known & found:
        return
    few = [", ".join(sorted(some)[:_SHOWN]) or "none" for some in (found, known)]
    message = f"no {what} of the map is in the table (map: {few[0]}; table: {few[1]})"
    if {name.casefold() for name in known} & {name.casefold() for name in found}:
        raise InputError(message, path, "they differ in upper and lower case: write them alike")
    raise InputError(message, path, "use the same identifiers")
