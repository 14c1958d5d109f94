"""Maps without one plate, from sums of the wells where the map is a mean of them, else from the wells again.

Shapes: N wells, D dimensions, G genes, Q plates, K guides, R pairs of a guide and a plate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.aggregate import CELLS, build_gene_map
from platemae.benchmarks.bootstrap import FloatArray, IntArray
from platemae.benchmarks.entities import TREATMENT, name_entities
from platemae.benchmarks.plates import PlateSums
from platemae.benchmarks.relations import gene_rows
from platemae.benchmarks.wells import text_of
from platemae.errors import MissingError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

_CLOSE = 1e-3


@dataclass(frozen=True, eq=False)
class LeftOut:
    """The map, and the map without each plate, genes in the order of their names.

    Parameters
    ----------
    genes, plates
        Names.
    whole_GD
        The map.
    without
        Returns the map without a plate, NaN rows where a gene has no well elsewhere. Made when asked for: a screen of
        many plates has many such maps.
    on_QG
        Which genes have wells on which plates.
    noise_QG
        Cosine of both rows that wells of plain noise would give.
    paired_G
        Rows whose pairs are looked at: the genes, of a map that has any.
    detail
        Number of plates, and how wells become the map.
    reason
        Why no plate can be left out; empty where all can.
    """

    genes: list[str]
    plates: list[str]
    whole_GD: FloatArray
    without: Callable[[str], FloatArray]
    on_QG: npt.NDArray[np.bool_]
    noise_QG: FloatArray
    paired_G: npt.NDArray[np.bool_]
    detail: dict[str, Any]
    reason: str = ""

    @classmethod
    def of(cls, scored: Scored) -> LeftOut:
        """Look at the plates of the wells that are on the map.

        Returns
        -------
        With a ``reason`` where no plate can be left out: there is one alone, or the map is not of these wells.

        Raises
        ------
        ContractError
            If the wells lack a column.
        """
        wells = scored.wells
        names_G = scored.gene_map.obs["gene"].astype(str).to_numpy()
        order_G = np.argsort(names_G, kind="stable")
        entities = name_entities(wells.obs, scored.aggregate)
        obs = pd.DataFrame({"gene": entities.name.astype(str), "guide": entities.guide.astype(str)})
        obs["plate"] = text_of(wells.obs["Metadata_Plate"])
        obs["n"] = wells.obs[CELLS].to_numpy(np.float64) if CELLS in wells.obs else 1.0
        treated_N = text_of(wells.obs["Metadata_Control_Type"]) == TREATMENT
        finite_N = np.isfinite(np.asarray(wells.X)).all(axis=1)
        used = obs[treated_N & finite_N & np.isin(obs["gene"], names_G)]
        plates = sorted(used["plate"].unique())
        whole_GD = np.asarray(scored.gene_map.X, dtype=np.float64)[order_G]
        genes, detail = names_G[order_G].tolist(), {"n_plates": len(plates), "aggregate": scored.aggregate.method}
        paired_G, facts = gene_rows(scored.gene_map.obs)
        paired_G, detail = paired_G[order_G], detail | facts
        nothing = np.zeros((0, len(genes)))
        why = f"there are treated wells on {len(plates)} plate alone, and two are needed" if len(plates) < 2 else ""
        try:
            made = _maps_without(scored, obs["plate"].to_numpy())
        except MissingError as error:
            why = why or error.what
        if why:
            return cls(genes, plates, whole_GD, lambda _: whole_GD, nothing > 0, nothing, paired_G, detail, why)
        on_QG, noise_QG = _noise(used, genes, plates)
        return cls(genes, plates, whole_GD, lambda plate: made(plate)[order_G], on_QG, noise_QG, paired_G, detail)


def _maps_without(scored: Scored, plate_N: npt.NDArray[Any]) -> Callable[[str], FloatArray]:
    """Return what makes the map without a plate, from sums where it is a mean, else from the wells.

    Raises
    ------
    MissingError
        When the map is not made of these wells.
    """
    try:
        sums = PlateSums.of(scored)
    except MissingError:
        return _from_wells(scored, plate_N)
    return lambda plate: sums.map_of((plate_N != plate).astype(np.int64))


def _from_wells(scored: Scored, plate_N: npt.NDArray[Any]) -> Callable[[str], FloatArray]:
    """Return what builds the map of some wells again: medians, a consensus, maps changed after aggregation."""
    genes, x_ND = scored.gene_map.obs["gene"].astype(str).tolist(), np.asarray(scored.wells.X)
    how = replace(scored.aggregate, n_null=1, filter_consistency_p=None)

    def without(plate: str | None) -> FloatArray:
        kept_N = plate_N != plate
        made = build_gene_map(x_ND[kept_N], scored.wells.obs[kept_N], how)
        frame = pd.DataFrame(np.asarray(made.X, dtype=np.float64), index=made.obs["gene"].astype(str))
        rows: FloatArray = frame.reindex(genes).to_numpy()
        return rows

    map_GD, whole_GD = np.asarray(scored.gene_map.X, dtype=np.float64), without(None)
    near = _CLOSE * np.abs(map_GD).max(initial=0)
    if whole_GD.shape != map_GD.shape or not np.allclose(whole_GD, map_GD, _CLOSE, near, equal_nan=True):
        raise MissingError("the map was not made of these wells in the way that the configuration says")
    return without


def _noise(used: pd.DataFrame, genes: list[str], plates: list[str]) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Return which genes are on which plates, and the cosine that noise alone gives with and without each plate.

    A gene's vector is sum_i a_i x_i over its wells; with independent noise of one size, the cosine of two such sums is
    that of their weights. With all plates, a well of a guide with n wells, one of K guides, weighs 1 / (K n).
    """
    counts = used.groupby(["gene", "guide", "plate"])["n"].sum().reset_index()
    gene_R = pd.Index(genes).get_indexer(pd.Index(counts["gene"])).astype(np.int64)
    guide_R = counts.groupby(["gene", "guide"], sort=False).ngroup().to_numpy().astype(np.int64)
    n_R, plate_R = counts["n"].to_numpy(), counts["plate"].to_numpy()
    whole_R = _weights(n_R, guide_R, gene_R)
    on_QG, noise_QG = np.zeros((len(plates), len(genes)), dtype=bool), np.full((len(plates), len(genes)), np.nan)
    for q, plate in enumerate(plates):
        there_R = plate_R == plate
        on_QG[q, gene_R[there_R]] = True
        kept_R = np.where(there_R, 0.0, n_R)
        part_R = _weights(kept_R, guide_R, gene_R)
        both, a, b = (
            np.bincount(gene_R, n_R * value_R, minlength=len(genes))
            for value_R in (whole_R * part_R, whole_R**2, part_R**2)
        )
        np.divide(both, np.sqrt(a * b), out=noise_QG[q], where=(a * b) > 0)
    return on_QG, noise_QG


def _weights(n_R: FloatArray, guide_R: IntArray, gene_R: IntArray) -> FloatArray:
    """Return the weight of one well (or cell) of each pair of a guide and a plate in its gene's vector."""
    total_K = np.bincount(guide_R, n_R)
    gene_K = np.zeros(len(total_K), dtype=np.int64)
    gene_K[guide_R] = gene_R
    guides_G = np.bincount(gene_K, total_K > 0)
    share_K = 1 / np.maximum(guides_G[gene_K], 1) / np.where(total_K > 0, total_K, 1)
    return np.where(n_R > 0, share_K[guide_R], 0.0)
