"""Known pairs laid onto the genes of a map.

Shapes: P pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.annotations import Relations
from platemae.benchmarks.symbols import compare_symbols
from platemae.errors import ContractError, InputError

IntArray = npt.NDArray[np.int64]
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class KnownPairs:
    """Pairs of one source with both genes in the map.

    Parameters
    ----------
    name
        Of the source.
    left, right
        (P,) positions of the two genes, left < right.
    strength
        (P,) graded strength, or None where the source has none.
    notes
        Counts: of the file, and n_genes_source, n_pairs_outside_map; symbols that the map has in no or in another
        spelling (`platemae.benchmarks.symbols`).
    """

    name: str
    left: IntArray
    right: IntArray
    strength: npt.NDArray[np.float64] | None
    notes: Mapping[str, Any]

    @property
    def n_genes(self) -> int:
        """Number of genes of the map that have a known pair."""
        return len(np.union1d(self.left, self.right))

    def levels(self) -> list[tuple[str, npt.NDArray[np.bool_]]]:
        """Name and pairs of the whole source, then of each strength in ascending order."""
        whole = [(self.name, np.ones(len(self.left), dtype=bool))]
        if self.strength is None:
            return whole
        graded = np.unique(self.strength)
        return whole + [(f"{self.name}[strength={level}]", self.strength == level) for level in graded.tolist()]


def check_genes(genes: Sequence[str]) -> None:
    """Refuse a map that names a gene twice.

    Raises
    ------
    ContractError
        Naming the genes.
    """
    seen, counts = np.unique(np.asarray(genes, dtype=str), return_counts=True)
    twice = seen[counts > 1]
    if len(twice):
        what = f"{len(twice)} genes have more than one row: {', '.join(twice[:_SHOWN])}"
        raise ContractError(what, "perturbation map", "aggregate to one row a gene")


def choose_rows(
    obs: pd.DataFrame, genes_alone: bool, consistency_p: float | None
) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
    """Choose the rows of a map that take part.

    Parameters
    ----------
    obs
        Of the map: ``entity_kind`` (gene or compound; a map without it is of one kind) and ``p``.
    genes_alone
        Leave out what is no gene.
    consistency_p
        Leave out rows with a larger or unknown p; None keeps them.

    Returns
    -------
    kept_G, facts
        The rows, and how many were left out for which reason.

    Raises
    ------
    ContractError
        If p is asked for and not there.
    InputError
        If no row is left.
    """
    kept_G, facts = np.ones(len(obs), dtype=bool), {}
    if genes_alone and "entity_kind" in obs:
        kept_G = (obs["entity_kind"].astype(str) == "gene").to_numpy()
        facts["n_no_gene"] = int((~kept_G).sum())
    if consistency_p is not None:
        if "p" not in obs:
            raise ContractError(
                "no column p", "perturbation map, obs", "take a map that build_map wrote, or set no filter"
            )
        p_G = obs["p"].to_numpy(dtype=np.float64)
        facts["n_inconsistent"] = int((kept_G & (p_G > consistency_p)).sum())
        facts["n_without_p"] = int((kept_G & np.isnan(p_G)).sum())
        kept_G &= p_G <= consistency_p
    if not kept_G.any():
        where = "benchmarks: null_rows, filter_consistency_p"
        raise InputError(f"no row of the map is left ({facts})", where, "choose other rows, or loosen the filter")
    return kept_G, facts


def gene_rows(obs: pd.DataFrame) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
    """Choose the rows of genes, so that compounds of a map of both are no part of a chance; all rows of other maps.

    Parameters
    ----------
    obs
        Of the map: ``entity_kind``, where it has that.

    Returns
    -------
    kept_G, facts
        The rows, and ``n_no_gene``, how many were left out.
    """
    if "entity_kind" in obs and not (obs["entity_kind"].astype(str) == "gene").any():
        return np.ones(len(obs), dtype=bool), {"n_no_gene": 0}
    return choose_rows(obs, True, None)


def place_pairs(
    name: str,
    relations: Relations,
    genes: Sequence[str],
    all_genes: Sequence[str],
    aliases: Mapping[str, str] | None = None,
) -> KnownPairs:
    """Find the pairs of a source in a map.

    Parameters
    ----------
    name
        Of the source.
    relations
        Its pairs.
    genes
        The usable genes of the map, in the order of its rows.
    all_genes
        All genes of the map, to tell a source that does not fit it.
    aliases
        Outdated symbol -> symbol in use, to tell symbols that the map has under another name.

    Raises
    ------
    InputError
        If not a single gene of the map is in the source.
    """
    pairs, position = relations.pairs, {gene: index for index, gene in enumerate(genes)}
    known = set(pairs["entity1"]) | set(pairs["entity2"])
    _check_overlap(name, known, all_genes)
    symbols = compare_symbols(known, all_genes, aliases or {})
    a_P = pairs["entity1"].map(position).to_numpy(dtype=np.float64)
    b_P = pairs["entity2"].map(position).to_numpy(dtype=np.float64)
    found_P = np.isfinite(a_P) & np.isfinite(b_P)
    a_P, b_P = a_P[found_P].astype(np.int64), b_P[found_P].astype(np.int64)
    left_P, right_P = np.minimum(a_P, b_P), np.maximum(a_P, b_P)
    strength = pairs["strength"].to_numpy(dtype=np.float64)[found_P] if "strength" in pairs else None
    counts = {"n_genes_source": len(np.union1d(a_P, b_P)), "n_pairs_outside_map": int((~found_P).sum())}
    file_counts = {f"file_{key}": value for key, value in relations.notes.items()}
    return KnownPairs(name, left_P, right_P, strength, {**file_counts, **counts, **symbols})


def _check_overlap(name: str, known: set[str], genes: Sequence[str]) -> None:
    if known & set(genes):
        return
    what = f"no gene of the map is in '{name}' (map: {_few(genes)}; source: {_few(sorted(known))})"
    where = f"benchmarks: relations: {name}"
    if {gene.casefold() for gene in known} & {str(gene).casefold() for gene in genes}:
        raise InputError(what, where, "they differ in upper and lower case: write them alike")
    raise InputError(what, where, "use the same identifiers, or leave this source out")


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(str, list(names)[:3])) + ", ..."
