"""Wells -> guides -> genes: the perturbation map.

Shapes: N wells, D dimensions, K guides, G genes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import anndata as ad
import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.bootstrap import FloatArray, check_at_least
from platemae.benchmarks.consistency import consistency
from platemae.errors import ConfigError, ContractError, InputError

Method = Literal["mean", "median"]

ENTITIES = {"gene": "Metadata_Gene", "compound": "Metadata_Compound", "perturbation": "Metadata_Perturbation"}
"""Columns of ``obs`` by what the configuration calls a row of the map."""
TREATMENT = "treatment"
CELLS = "n_rows"
"""Column of ``obs``: cells that a row is the mean of."""
_SHOWN = 20


@dataclass(frozen=True)
class AggregateSettings:
    """Settings of :func:`build_gene_map`.

    Parameters
    ----------
    entity
        ``obs`` column that becomes a row of the map: Metadata_Gene, or Metadata_Compound for compounds.
    guide
        ``obs`` column averaged first, so that a guide with many wells does not outweigh the others.
    method
        ``mean`` or ``median`` at both levels.
    null_from_controls
        Draw the random sets of the consistency test from control wells too.
    n_null, seed
        Random sets for each number of replicates, and their seed.
    """

    entity: str = "Metadata_Gene"
    guide: str = "Metadata_Perturbation"
    method: Method = "mean"
    null_from_controls: bool = False
    n_null: int = 999
    seed: int = 0

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """Return what the configuration's section ``map`` says."""
        return cls(entity=ENTITIES[section["entity"]], method=section["aggregate"])

    def __post_init__(self) -> None:
        check_at_least(self.n_null, 1, "n_null")
        if self.method not in get_args(Method):
            raise ConfigError(f"'{self.method}' is not allowed", "aggregate: method", "use mean or median")


def build_gene_map(x_ND: npt.NDArray[Any], obs: pd.DataFrame, settings: AggregateSettings) -> ad.AnnData:
    """Aggregate treated wells to one row a gene.

    Parameters
    ----------
    x_ND
        (N, D) corrected wells of all plates. A well with a NaN or infinite value is left out and counted.
    obs
        Their metadata, matched by position: Metadata_Plate, Metadata_Well, Metadata_Control_Type, and the columns
        of the settings. With a column ``n_rows`` (cells that a row is the mean of) the mean over a guide's rows is
        weighted by it: a guide's vector is then the mean over its cells.
    settings
        See there.

    Returns
    -------
    X (G, D) float32, computed in float64; obs indexed by gene: gene, n_wells, n_guides, n_plates, consistency, p, and
    n_cells where there is ``n_rows``;
    uns["notes"]: wells, controls left out, wells without a gene, wells not finite (with names).

    Raises
    ------
    ContractError
        If a column is not there or the lengths differ.
    InputError
        If no treated well with a gene is left, or a guide belongs to two genes.
    """
    _check_columns(x_ND, obs, settings)
    gene_N, guide_N = _names(obs, settings.entity), _names(obs, settings.guide)
    treated_N = (obs["Metadata_Control_Type"].astype(str) == TREATMENT).to_numpy()
    finite_N = np.isfinite(x_ND).all(axis=1)
    used_N = treated_N & (gene_N != "") & finite_N
    if not used_N.any():
        remedy = f"fill {settings.entity} in the layouts, or name another column"
        raise InputError("no treated well with an entity is left", f"column {settings.entity}", remedy)
    _check_guides(gene_N[used_N], guide_N[used_N], settings)
    cells_N = obs.loc[used_N, CELLS].to_numpy(np.float64) if CELLS in obs.columns else None
    map_GD, counts = _two_levels(x_ND[used_N], gene_N[used_N], guide_N[used_N], settings.method, cells_N)
    counts["n_plates"] = obs.loc[used_N, "Metadata_Plate"].astype(str).groupby(gene_N[used_N]).nunique()
    labels = np.where(used_N, gene_N, "")
    pool_N = finite_N & (treated_N | settings.null_from_controls)
    replicates = consistency(x_ND, labels.tolist(), pool_N, settings.n_null, settings.seed)
    table = counts.join(replicates[["consistency", "p"]])
    table.insert(0, "gene", table.index.astype(str))
    table.index.name = None
    notes = _notes(obs, treated_N, gene_N, finite_N)
    return ad.AnnData(map_GD.astype(np.float32), obs=table, uns={"notes": notes})


def _check_columns(x_ND: npt.NDArray[Any], obs: pd.DataFrame, settings: AggregateSettings) -> None:
    needed = ["Metadata_Plate", "Metadata_Well", "Metadata_Control_Type", settings.entity, settings.guide]
    lost = [column for column in needed if column not in obs.columns]
    if lost:
        raise ContractError(f"no column {', '.join(lost)}", "corrected wells, obs", "run correct_plate again")
    if len(obs) != len(x_ND):
        raise ContractError(
            f"{len(x_ND)} rows of X for {len(obs)} of obs", "corrected wells", "run correct_plate again"
        )


def _names(obs: pd.DataFrame, column: str) -> npt.NDArray[np.object_]:
    values = obs[column].astype(object)
    return values.where(values.notna(), "").astype(str).str.strip().to_numpy(dtype=object)


def _check_guides(
    gene_N: npt.NDArray[np.object_], guide_N: npt.NDArray[np.object_], settings: AggregateSettings
) -> None:
    genes = pd.Series(gene_N).groupby(guide_N).nunique()
    torn = [guide for guide, count in genes.items() if count > 1 and guide != ""]
    if torn:
        what = f"{len(torn)} guides belong to more than one gene: {', '.join(map(str, torn[:_SHOWN]))}"
        raise InputError(what, f"columns {settings.guide}, {settings.entity}", "correct the layouts")


def _two_levels(
    x_ND: npt.NDArray[Any],
    gene_N: npt.NDArray[np.object_],
    guide_N: npt.NDArray[np.object_],
    method: Method,
    cells_N: FloatArray | None = None,
) -> tuple[FloatArray, pd.DataFrame]:
    """Aggregate wells to guides and guides to genes; a well without a guide's name counts with its gene's others."""
    wells = pd.DataFrame(np.asarray(x_ND, dtype=np.float64))
    keys = [pd.Series(gene_N, name="gene"), pd.Series(guide_N, name="guide")]
    if cells_N is not None and method == "mean":
        total = pd.Series(cells_N).groupby(keys, sort=True).sum()
        guides = wells.mul(cells_N, axis=0).groupby(keys, sort=True).sum().div(total, axis=0)
    else:
        guides = wells.groupby(keys, sort=True).agg(method)
    per_gene = guides.groupby(level="gene", sort=True)
    counts = pd.DataFrame({"n_wells": keys[0].groupby(gene_N).size(), "n_guides": per_gene.size()})
    if cells_N is not None:
        counts["n_cells"] = pd.Series(cells_N.astype(np.int64)).groupby(gene_N).sum()
    return per_gene.agg(method).to_numpy(), counts


def _notes(
    obs: pd.DataFrame,
    treated_N: npt.NDArray[np.bool_],
    gene_N: npt.NDArray[np.object_],
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
