"""Wells -> guides -> rows of the perturbation map: genes, compounds, or both.

Shapes: N wells, D dimensions, K guides, G rows of the map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import anndata as ad
import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.bootstrap import FloatArray, check_at_least
from platemae.benchmarks.consensus import consensus
from platemae.benchmarks.consistency import consistency
from platemae.benchmarks.entities import ENTITIES, TREATMENT, Entities, TextArray, name_entities, needed_columns
from platemae.benchmarks.proximity_bias import center_arms, read_arms
from platemae.errors import ConfigError, ContractError, InputError

Method = Literal["mean", "median", "consensus"]
Doses = Literal["together", "apart"]

CELLS = "n_rows"
"""Column of ``obs``: cells that a row is the mean of."""
_SHOWN = 20
_LEFT_OUT = 1000


@dataclass(frozen=True)
class AggregateSettings:
    """Settings of :func:`build_gene_map`.

    Parameters
    ----------
    entity
        ``obs`` column that becomes a row of the map: Metadata_Gene, or Metadata_Compound for compounds; or
        ``gene_and_compound`` for both.
    guide
        ``obs`` column averaged first, so that a guide with many wells does not outweigh the others.
    method
        ``mean``, ``median`` or ``consensus`` (`platemae.benchmarks.consensus`) at both levels.
    doses
        ``apart`` makes a row of each compound and concentration, ``together`` one of each compound.
    filter_consistency_p
        Rows whose consistency has a larger p, or none, are left out; None keeps all.
    chromosome_arms
        Table for the correction of proximity bias; None for no correction.
    arm_genes
        An arm with this many reference genes or fewer is not corrected.
    null_from_controls
        Draw the random sets of the consistency test from control wells too.
    n_null, seed
        Random sets for each number of replicates, and their seed.
    """

    entity: str = "Metadata_Gene"
    guide: str = "Metadata_Perturbation"
    method: Method = "mean"
    doses: Doses = "together"
    filter_consistency_p: float | None = None
    chromosome_arms: str | None = None
    arm_genes: int = 20
    null_from_controls: bool = False
    n_null: int = 999
    seed: int = 0

    @classmethod
    def of(cls, section: Mapping[str, Any], locate: Callable[[str], Path] = Path) -> Self:
        """Return what the configuration's section ``map`` says; keys that it lacks keep their defaults.

        ``locate`` tells where a file lies that the section names.
        """
        given = {key: section[key] for key in ("doses", "filter_consistency_p", "arm_genes") if key in section}
        if section.get("chromosome_arms") is not None:
            given["chromosome_arms"] = str(locate(section["chromosome_arms"]))
        return cls(entity=ENTITIES[section["entity"]], method=section["aggregate"], **given)

    def __post_init__(self) -> None:
        check_at_least(self.n_null, 1, "n_null")
        if self.method not in get_args(Method):
            allowed = "use mean, median or consensus"
            raise ConfigError(f"'{self.method}' is not allowed", "map: aggregate", allowed)


def build_gene_map(x_ND: npt.NDArray[Any], obs: pd.DataFrame, settings: AggregateSettings) -> ad.AnnData:
    """Aggregate treated wells to one row a gene or compound.

    Parameters
    ----------
    x_ND
        (N, D) corrected wells of all plates. A well with a NaN or infinite value is left out and counted.
    obs
        Their metadata, matched by position: Metadata_Plate, Metadata_Well, Metadata_Control_Type, and the columns
        of the settings. With a column ``n_rows`` (cells that a row is the mean of) the mean over a guide's rows is
        weighted by it: a guide's vector is then the mean over its cells. Medians and consensus take each row once.
    settings
        See there.

    Returns
    -------
    X (G, D) float32, computed in float64; obs indexed by row: gene (its name, whatever its kind), entity_kind,
    n_wells, n_guides, n_plates, consistency, p, n_cells where there is ``n_rows``, compound and concentration where
    compounds have rows. consistency and p are of the wells as they came, before proximity bias is corrected.
    uns["notes"]: wells, controls left out, wells without a gene, wells not finite (with names); rows left out by
    consistency (with names); what was done to each chromosome arm.

    Raises
    ------
    ContractError
        If a column is not there or the lengths differ.
    InputError
        If no treated well with a gene is left, a guide belongs to two genes, or no row is consistent.
    """
    _check_columns(x_ND, obs, settings)
    entities = name_entities(obs, settings)
    name_N = entities.name
    treated_N = (obs["Metadata_Control_Type"].astype(str) == TREATMENT).to_numpy()
    finite_N = np.isfinite(x_ND).all(axis=1)
    used_N = treated_N & (name_N != "") & finite_N
    if not used_N.any():
        remedy = f"fill {settings.entity} in the layouts, or name another column"
        raise InputError("no treated well with an entity is left", f"column {settings.entity}", remedy)
    cells_N = obs.loc[used_N, CELLS].to_numpy(np.float64) if CELLS in obs.columns else None
    map_GD, counts = _two_levels(x_ND[used_N], name_N[used_N], entities.guide[used_N], settings.method, cells_N)
    counts["n_plates"] = obs.loc[used_N, "Metadata_Plate"].astype(str).groupby(name_N[used_N]).nunique()
    labels = np.where(used_N, name_N, "")
    pool_N = finite_N & (treated_N | settings.null_from_controls)
    replicates = consistency(x_ND, labels.tolist(), pool_N, settings.n_null, settings.seed)
    table = _described(counts.join(replicates[["consistency", "p"]]), entities, used_N)
    notes = _notes(obs, treated_N, name_N, finite_N)
    if settings.chromosome_arms is not None:
        arms = read_arms(Path(settings.chromosome_arms))
        map_GD, of_arms = center_arms(map_GD, list(table["gene"]), list(table["entity_kind"]), arms, settings.arm_genes)
        notes |= of_arms
    made = ad.AnnData(map_GD.astype(np.float32), obs=table, uns={"notes": notes})
    return made if settings.filter_consistency_p is None else _consistent(made, settings.filter_consistency_p)


def _described(table: pd.DataFrame, entities: Entities, used_N: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Add what each row is."""
    _, first = np.unique(entities.name[used_N].astype(str), return_index=True)
    of_row = {
        key: pd.Series(values[used_N][first], index=entities.name[used_N][first])
        for key, values in (
            ("kind", entities.kind),
            ("compound", entities.compound),
            ("concentration", entities.concentration),
        )
    }
    table.insert(0, "gene", table.index.astype(str))
    table["entity_kind"] = of_row["kind"]
    if (table["entity_kind"] == "compound").any():
        table["compound"], table["concentration"] = of_row["compound"], of_row["concentration"]
    table.index.name = None
    return table


def _consistent(gene_map: ad.AnnData, largest: float) -> ad.AnnData:
    """Leave out rows that are not consistent, and tell which."""
    p_G = gene_map.obs["p"].to_numpy(dtype=np.float64)
    kept_G = p_G <= largest  # NaN is not: a single replicate cannot show consistency
    if not kept_G.any():
        what = f"no row of the map has a consistency p of at most {largest}"
        raise InputError(what, "map.filter_consistency_p", "raise it, or set it to null")
    kept = gene_map[kept_G].copy()
    kept.uns["notes"] |= {
        "n_inconsistent": int((p_G > largest).sum()),
        "n_consistency_unknown": int(np.isnan(p_G).sum()),
        "left_out": gene_map.obs_names[~kept_G].tolist()[:_LEFT_OUT],
    }
    return kept


def _check_columns(x_ND: npt.NDArray[Any], obs: pd.DataFrame, settings: AggregateSettings) -> None:
    lost = [column for column in needed_columns(settings) if column not in obs.columns]
    if lost:
        raise ContractError(f"no column {', '.join(lost)}", "corrected wells, obs", "run correct_plate again")
    if len(obs) != len(x_ND):
        raise ContractError(
            f"{len(x_ND)} rows of X for {len(obs)} of obs", "corrected wells", "run correct_plate again"
        )


def _two_levels(
    x_ND: npt.NDArray[Any],
    gene_N: TextArray,
    guide_N: TextArray,
    method: Method,
    cells_N: FloatArray | None = None,
) -> tuple[FloatArray, pd.DataFrame]:
    """Aggregate wells to guides and guides to genes; a well without a guide's name counts with its gene's others."""
    wells = pd.DataFrame(np.asarray(x_ND, dtype=np.float64))
    keys = [pd.Series(gene_N, name="gene"), pd.Series(guide_N, name="guide")]
    if cells_N is not None and method == "mean":
        total = pd.Series(cells_N).groupby(keys, sort=True).sum()
        guides = wells.mul(cells_N, axis=0).groupby(keys, sort=True).sum().div(total, axis=0)
    elif method == "consensus":
        guides = _consensus(wells, wells.groupby(keys, sort=True))
    else:
        guides = wells.groupby(keys, sort=True).agg(method)
    per_gene = guides.groupby(level="gene", sort=True)
    counts = pd.DataFrame({"n_wells": keys[0].groupby(gene_N).size(), "n_guides": per_gene.size()})
    if cells_N is not None:
        counts["n_cells"] = pd.Series(cells_N.astype(np.int64)).groupby(gene_N).sum()
    genes = _consensus(guides, per_gene) if method == "consensus" else per_gene.agg(method)
    return genes.to_numpy(), counts


def _consensus(rows: pd.DataFrame, grouped: Any) -> pd.DataFrame:
    """Return the consensus of each group of rows, indexed as pandas' own aggregates are."""
    return pd.DataFrame(consensus(rows.to_numpy(), grouped.ngroup().to_numpy()), index=grouped.size().index)


def _notes(
    obs: pd.DataFrame,
    treated_N: npt.NDArray[np.bool_],
    gene_N: TextArray,
    finite_N: npt.NDArray[np.bool_],
) -> dict[str, Any]:
    bad = obs[treated_N & ~finite_N]
    names = (bad["Metadata_Plate"].astype(str) + ":" + bad["Metadata_Well"].astype(str)).tolist()
    return {
        "n_wells": len(obs),
        "n_not_treated": int((~treated_N).sum()),
        "n_without_gene": int((treated_N & (gene_N == "")).sum()),
        "n_not_finite": len(bad),
        "not_finite": names[:_SHOWN],
    }
