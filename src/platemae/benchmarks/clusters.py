"""Gene clusters, such as complexes: how much nearer their members are to each other than to the rest of the map.

For each cluster the cosines of its pairs (within) are set against those of its members with all other genes of the map
(rest, without compounds), as EFAAR's ``cluster_benchmark`` does: the Kolmogorov-Smirnov statistic of the two samples,
the median over clusters. EFAAR's p-value takes pairs for independent, which pairs of shared genes are not, and is too
small: at 0.05 it calls 14 % of random sets of a real map significant. Here p comes from random sets of as many genes:
p = (1 + sets with at least that statistic) / (1 + sets), then Benjamini and Hochberg over the clusters of a source.
For p and for chance the statistic is taken on a grid of about 512 equally filled bins, the same for clusters and
random sets, so that a random set costs no pass over its cosines; the reported one is exact.

Shapes: G genes, D dimensions, C clusters, S random sets, B bootstrap replicates, M members, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import false_discovery_control

from platemae.benchmarks.bootstrap import check_at_least, multinomial_weights, percentile_interval, unless_certain
from platemae.benchmarks.consistency_null import sets_needed
from platemae.benchmarks.cosine import GRID, FloatArray, IntArray, unit_rows
from platemae.benchmarks.cosine_grid import CosineGrid, ks_statistic
from platemae.benchmarks.plates import PlateInterval, map_plate_interval
from platemae.benchmarks.relations import check_genes, gene_rows
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.benchmarks.text_table import read_text_table
from platemae.errors import ConfigError, InputError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "clusters"
METRICS = ("ks_median", "share_significant", "cosine_difference")
LEAST_CLUSTERS = 3
"""Fewer clusters say nothing about their spread."""
_SHOWN = 20
Resampled = Callable[[str, Mapping[str, frozenset[str]]], PlateInterval]


@dataclass(frozen=True)
class ClustersSettings:
    """Settings of :class:`Clusters`.

    Parameters
    ----------
    clusters
        Path of a table of clusters, or name -> path of several.
    min_genes
        A cluster with fewer genes in the map is left out.
    alpha
        False discovery rate at which a cluster counts as significant.
    n_shuffles
        Random gene sets of each size: for p, which cannot be below 1 / (1 + n_shuffles), and for the measured chance.
    n_bootstrap, n_plate_bootstrap, seed
        Resamples of the clusters for the one interval and of the plates for the other, and the seed of all draws.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("clusters",)

    clusters: str | Mapping[str, str] = field(default_factory=dict)
    min_genes: int = 10
    alpha: float = 0.05
    n_shuffles: int = 999
    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.min_genes, 2, "min_genes")
        check_at_least(self.n_shuffles, 1, "n_shuffles")
        check_at_least(self.n_bootstrap, 1, "n_bootstrap")
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha is {self.alpha}", "benchmarks: alpha", "use a number between 0 and 1")
        if self.n_shuffles < sets_needed(self.alpha):
            what = f"{self.n_shuffles} random sets give no p <= {self.alpha:g}: no cluster would be significant"
            raise ConfigError(what, "benchmarks: n_shuffles", f"use at least {sets_needed(self.alpha)}")


class Clusters:
    """The benchmark as the registry offers it."""

    Settings: ClassVar[type[ClustersSettings]] = ClustersSettings

    @staticmethod
    def score(scored: Scored, settings: ClustersSettings) -> pd.DataFrame:
        """Read the clusters and score the map.

        Raises
        ------
        PlatemaeError
            As :func:`read_clusters` and :func:`score_clusters`.
        """
        named = settings.clusters
        files = {Path(named).stem: named} if isinstance(named, str) else named
        sources = {name: read_clusters(Path(path)) for name, path in files.items()}
        kept_G, facts = gene_rows(scored.gene_map.obs)
        genes = scored.gene_map.obs["gene"].astype(str).to_numpy()[kept_G].tolist()

        def resampled(source: str, clusters: Mapping[str, frozenset[str]]) -> PlateInterval:
            sets = [np.flatnonzero(np.isin(genes, list(found))) for found in clusters.values()]
            return map_plate_interval(
                scored, lambda x_GD: [median_difference(x_GD[kept_G], sets)], settings.n_plate_bootstrap, settings.seed
            )

        return score_clusters(np.asarray(scored.gene_map.X)[kept_G], genes, sources, settings, resampled, facts)


def read_clusters(path: Path) -> dict[str, frozenset[str]]:
    """Read a table of clusters.

    Parameters
    ----------
    path
        CSV or TSV with columns ``cluster`` and ``gene``, a row a member; a cell may name several genes, separated by
        ``|``, ``;`` or spaces.

    Raises
    ------
    MissingError
        If the file is not there.
    InputError
        If it is no such table.
    """
    table = read_text_table(path, ["cluster", "gene"], "table of clusters")
    rows = table.assign(gene=table["gene"].str.split(r"[|;\s]+", regex=True)).explode("gene")
    rows = rows[(rows["cluster"] != "") & (rows["gene"] != "") & rows["gene"].notna()]
    if rows.empty:
        raise InputError("no cluster has a gene", str(path), "write a row a member: cluster,gene")
    return {str(name): frozenset(genes) for name, genes in rows.groupby("cluster", sort=True)["gene"]}


def score_clusters(
    x_GD: npt.NDArray[Any],
    genes: Sequence[str],
    sources: Mapping[str, Mapping[str, frozenset[str]]],
    settings: ClustersSettings,
    resampled: Resampled | None = None,
    notes: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Score each source of clusters.

    Parameters
    ----------
    x_GD
        (G, D) one row a gene. Rows that are zero or not finite have no cosine: they are left out and named.
    genes
        Their names.
    sources
        Source -> cluster -> genes.
    settings
        ``clusters`` is not looked at.
    resampled
        Returns the plate interval of ``cosine_difference`` of a source's clusters; none: no such interval.
    notes
        What every row's detail tells besides, such as ``n_no_gene``.

    Returns
    -------
    For each source ``ks_median`` (chance: median over random sets of the clusters' sizes), ``share_significant``
    (chance: the same test on random sets) and ``cosine_difference``, the median over clusters of mean cosine within
    minus mean cosine to the rest (chance 0). ``ci`` resamples clusters, ``plate_ci`` plates: of the difference alone,
    as the statistic of every cluster in every resample would take hours on a map of a genome.

    Raises
    ------
    ConfigError
        If there is no source.
    ContractError
        If a gene has two rows.
    InputError
        If a source shares no gene with the map.
    """
    if not sources:
        raise ConfigError("no table of clusters is named", "benchmarks: clusters", "give at least one name and path")
    check_genes(genes)
    # In the order of names, so that draws do not depend on the order of rows.
    order_G = np.argsort(np.asarray(genes, dtype=str), kind="stable")
    u_GD, usable_G = unit_rows(np.asarray(x_GD)[order_G])
    names = [genes[i] for i, usable in zip(order_G, usable_G, strict=True) if usable]
    dropped = [genes[i] for i, usable in zip(order_G, usable_G, strict=True) if not usable]
    facts = {**(notes or {}), "n_genes_map": len(names), "n_dropped": len(dropped), "dropped": dropped[:_SHOWN]}
    grid = CosineGrid.of(u_GD[usable_G]) if len(names) > 2 else None
    rows = (
        row
        for name, clusters in sources.items()
        for row in _source_rows(name, clusters, names, genes, grid, facts, settings, resampled)
    )
    return score_table(rows)


def _source_rows(
    name: str,
    clusters: Mapping[str, frozenset[str]],
    names: Sequence[str],
    all_genes: Sequence[str],
    grid: CosineGrid | None,
    facts: Mapping[str, Any],
    settings: ClustersSettings,
    resampled: Resampled | None,
) -> Iterator[ScoreRow]:
    _check_overlap(name, clusters, all_genes)
    place = {gene: i for i, gene in enumerate(names)}
    members = {key: np.array(sorted(place[g] for g in found & place.keys())) for key, found in clusters.items()}
    large = {key: m for key, m in members.items() if settings.min_genes <= len(m) < len(names)}
    detail = {**facts, "n_clusters": len(members), "n_too_small": len(members) - len(large)}
    detail |= {"min_genes": settings.min_genes}
    if grid is None or not large:
        reason = f"no cluster has {settings.min_genes} genes in the map, and some outside of it"
        yield from (ScoreRow(BENCHMARK, name, metric, detail={**detail, "reason": reason}) for metric in METRICS)
        return
    exact_CX = np.array([_exact(grid.u_GD, m) for m in large.values()])
    null_SC = _null(grid, [len(m) for m in large.values()], settings)
    binned_C = np.array([grid.statistic(m) for m in large.values()])
    q_C = _adjusted(binned_C, null_SC)
    found = [key for key, q in zip(large, q_C, strict=True) if q <= settings.alpha]
    detail |= {"n_shuffles": settings.n_shuffles, "significant": found[:_SHOWN]}
    weights_BC = multinomial_weights(len(large), settings.n_bootstrap, np.random.default_rng(settings.seed))
    picks = [np.repeat(np.arange(len(large)), weights_C) for weights_C in weights_BC]
    if len(large) < LEAST_CLUSTERS:
        detail["interval_reason"] = f"{len(large)} clusters, fewer than {LEAST_CLUSTERS}"
    hit_C = (q_C <= settings.alpha).astype(np.float64)
    chances = (float(np.median(null_SC, axis=1).mean()), _share_by_chance(null_SC, settings.alpha), 0.0)
    columns = (exact_CX[:, 0], hit_C, exact_CX[:, 1])
    for metric, values_C, chance in zip(METRICS, columns, chances, strict=True):
        of = np.mean if metric == "share_significant" else np.median
        low = high = np.nan
        if len(large) >= LEAST_CLUSTERS:
            low, high = percentile_interval(np.array([of(values_C[pick]) for pick in picks]))
        if metric == "share_significant":
            low, high = unless_certain(float(hit_C.mean()), (low, high), len(large))
        threshold = settings.alpha if metric == "share_significant" else np.nan
        row = ScoreRow(
            BENCHMARK, name, metric, threshold, float(of(values_C)), low, high,
            n=len(large), chance=chance, detail=detail,
        )  # fmt: skip
        if metric == METRICS[2] and resampled is not None:
            row = resampled(name, {key: clusters[key] for key in large}).into(row)
        yield row


def _check_overlap(name: str, clusters: Mapping[str, frozenset[str]], genes: Sequence[str]) -> None:
    known = frozenset().union(*clusters.values())
    if known & set(genes):
        return
    what = f"no gene of the map is in '{name}' (map: {', '.join(genes[:3])}; clusters: {', '.join(sorted(known)[:3])})"
    same = {gene.casefold() for gene in known} & {gene.casefold() for gene in genes}
    remedy = "they differ in upper and lower case: write them alike" if same else "use the same identifiers"
    raise InputError(what, f"benchmarks: clusters: {name}", remedy)


def _exact(u_GD: FloatArray, member_M: IntArray) -> tuple[float, float]:
    """Return the exact statistic of a cluster, and mean cosine within minus mean cosine to the rest."""
    c_MG = np.rint(u_GD[member_M] @ u_GD.T * GRID)
    within_P = np.sort(c_MG[:, member_M][np.triu_indices(len(member_M), 1)])
    rest = np.sort(np.delete(c_MG, member_M, axis=1), axis=None)
    return ks_statistic(within_P, rest), float((within_P.mean() - rest.mean()) / GRID)


def median_difference(x_GD: FloatArray, sets: Sequence[IntArray]) -> float:
    """Return the median over clusters of mean cosine within minus mean cosine to the rest, from sums of unit rows.

    Parameters
    ----------
    x_GD
        (G, D) the map; rows without a direction are left out.
    sets
        Positions of each cluster's genes.

    Returns
    -------
    NaN where no cluster has two genes with a direction, and others outside of it.
    """
    u_GD, usable_G = unit_rows(x_GD)
    total_D, n_all, found = u_GD.sum(axis=0), int(usable_G.sum()), []
    for set_M in sets:
        own_D, n = u_GD[set_M].sum(axis=0), int(usable_G[set_M].sum())
        if 2 <= n < n_all:
            within = (own_D @ own_D - n) / (n * (n - 1))
            found.append(within - own_D @ (total_D - own_D) / (n * (n_all - n)))
    return float(np.median(found)) if found else np.nan


def _null(grid: CosineGrid, sizes: Sequence[int], settings: ClustersSettings) -> FloatArray:
    """Statistic of random gene sets, (S, C): every column drawn for its own cluster."""
    rng, n_genes = np.random.default_rng(settings.seed), len(grid.u_GD)
    drawn = [
        [grid.statistic(rng.choice(n_genes, size, replace=False)) for size in sizes] for _ in range(settings.n_shuffles)
    ]
    return np.array(drawn)


def _adjusted(statistic_C: FloatArray, null_SC: FloatArray) -> FloatArray:
    """Return the adjusted p of each cluster (Benjamini and Hochberg)."""
    above_C = (null_SC >= statistic_C).sum(axis=0)
    adjusted: FloatArray = false_discovery_control((1 + above_C) / (1 + len(null_SC)))
    return adjusted


def _share_by_chance(null_SC: FloatArray, alpha: float) -> float:
    """Share of clusters called significant where each is a random set: every draw tested against all draws."""
    above_SC = len(null_SC) - np.array([np.searchsorted(np.sort(null_C), null_C) for null_C in null_SC.T]).T
    return float((false_discovery_control(above_SC / len(null_SC), axis=1) <= alpha).mean())
