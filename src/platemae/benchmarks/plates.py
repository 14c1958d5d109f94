"""Plate-resampled intervals: how far a score hangs on which plates were measured.

Plates are drawn with replacement, as many as there are, and the score is computed again as if a plate drawn twice had
been measured twice: its wells weigh 2, those of a plate not drawn weigh 0. An interval from resampling genes or
perturbations leaves out what their shared plates do to all of them at once; this one does not. With few plates it is
rough: a percentile interval of 3 plates rests on 10 different draws.

A map of means needs no wells for that: with the sums and counts of every plate and guide, a guide's vector is the
weighted mean over plates, and a gene's the mean over its guides that were drawn. A map of medians, or one changed after
aggregation, cannot be made again from sums: there the interval is left out and the reason is told.

Shapes: N wells, Q plates, R pairs of a plate and a guide, K guides, G genes, D dimensions, B resamples, M numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from platemae.benchmarks.bootstrap import FloatArray, IntArray, multinomial_weights, percentile_interval
from platemae.benchmarks.entities import Entities, name_entities
from platemae.errors import ContractError, MissingError

if TYPE_CHECKING:
    from platemae.benchmarks.rows import ScoreRow
    from platemae.benchmarks.scored import Scored

LEAST_PLATES = 3
"""Fewer plates say nothing about their spread."""
SUMMED = "mean"
TREATED = "treatment"
_CLOSE = 1e-3


@dataclass(frozen=True, eq=False)
class PlateInterval:
    """Intervals of M numbers, or why there are none.

    Parameters
    ----------
    values
        (B, M) the numbers in every resample of the plates; no rows where nothing was computed.
    detail
        ``n_plates`` and ``n_plate_bootstrap``, or ``plate_reason``: to be added to the rows' ``detail``.
    """

    values: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    detail: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def without(cls, reason: str) -> Self:
        """Return no interval, with the reason; an empty one says that none was asked for."""
        return cls(detail={"plate_reason": reason} if reason else {})

    def of(self, index: int = 0) -> tuple[float, float]:
        """Return the 95 % interval of one number; NaN twice where there is none."""
        return percentile_interval(self.values[:, index]) if len(self.values) else (np.nan, np.nan)

    def into(self, row: ScoreRow, index: int = 0) -> ScoreRow:
        """Return a row with the interval of number ``index``, or with the reason why it has none."""
        low, high = self.of(index)
        return replace(row, plate_ci_low=low, plate_ci_high=high, detail={**row.detail, **self.detail})


def plate_interval(
    scored: Scored, metric: Callable[[IntArray], Sequence[float] | FloatArray], n: int, seed: int
) -> PlateInterval:
    """Resample plates and measure again.

    Parameters
    ----------
    scored
        With the wells.
    metric
        Called with weight_N (N,), how often each row of ``scored.wells`` counts; returns M numbers, always in the same
        order, NaN where one cannot be measured in that resample. For a score of the map see :func:`map_metric`.
    n
        Resamples; 0 turns it off.
    seed
        Of the draws, which depend on it and the number of plates alone, plates taken in the order of their names.

    Returns
    -------
    The intervals, or the reason why there are none: no wells, or fewer than three plates.
    """
    if n == 0:
        return PlateInterval.without("")
    if scored.read_wells is None:
        return PlateInterval.without("plates cannot be resampled: there is a map alone, without its wells")
    if "Metadata_Plate" not in scored.wells.obs:
        return PlateInterval.without("plates cannot be resampled: the wells have no column Metadata_Plate")
    plate_N, names = pd.factorize(scored.wells.obs["Metadata_Plate"].astype(str), sort=True)
    if len(names) < LEAST_PLATES:
        return PlateInterval.without(f"plates cannot be resampled: {len(names)}, fewer than {LEAST_PLATES}")
    weight_BQ = multinomial_weights(len(names), n, np.random.default_rng(seed))
    values = np.array([np.asarray(metric(weight_Q[plate_N]), dtype=np.float64) for weight_Q in weight_BQ])
    return PlateInterval(values, {"n_plates": len(names), "n_plate_bootstrap": n})


def map_plate_interval(
    scored: Scored, metric: Callable[[FloatArray], Sequence[float] | FloatArray], n: int, seed: int
) -> PlateInterval:
    """Resample plates, make the map again, and measure it: :func:`plate_interval` for a score of the map.

    Parameters
    ----------
    scored, n, seed
        See there.
    metric
        Called with x_GD (G, D), the rows of ``scored.gene_map`` in their order, NaN in the rows of which no well was
        drawn; returns M numbers.

    Returns
    -------
    The intervals, or the reason why there are none, also where the map is no plain mean of the wells.
    """
    if n == 0 or scored.read_wells is None:
        return plate_interval(scored, lambda _: (), n, seed)
    try:
        sums = PlateSums.of(scored)
    except MissingError as error:
        return PlateInterval.without(f"plates cannot be resampled: {error.what}")
    return plate_interval(scored, lambda weight_N: metric(sums.map_of(weight_N)), n, seed)


@dataclass(frozen=True, eq=False)
class PlateSums:
    """Sums over the wells of each plate and guide, from which the map of any weighting of plates follows.

    Parameters
    ----------
    sums, counts
        (R, D) and (R,): sums of the wells, and their number (of cells, where the wells are means over cells).
    well
        (R,) a well of each, whose weight is that of its plate.
    guide_of, gene_of
        (K, R) and (G, K) of ones: which sums are of a guide, which guides are of a gene of the map.
    """

    sums: FloatArray
    counts: FloatArray
    well: IntArray
    guide_of: sparse.csr_array
    gene_of: sparse.csr_array

    @classmethod
    def of(cls, scored: Scored) -> Self:
        """Sum up the treated, finite wells with a name.

        Raises
        ------
        MissingError
            When the map cannot be made of sums: of medians, of other wells, or changed after aggregation.
        """
        how, wells = scored.aggregate, scored.wells
        if how.method != SUMMED:
            raise MissingError(f"a map by {how.method} cannot be made again from sums over plates")
        try:
            entities = name_entities(wells.obs, how)
        except ContractError as error:
            raise MissingError(f"the wells have {error.what}") from None
        names = scored.gene_map.obs["gene"].astype(str).tolist()
        made = cls._summed(np.asarray(wells.X), wells.obs, entities, names)
        whole_GD = made.map_of(np.ones(wells.n_obs, dtype=np.int64))
        map_GD = np.asarray(scored.gene_map.X, dtype=np.float64)
        near = _CLOSE * np.abs(map_GD).max(initial=0)
        same = whole_GD.shape == map_GD.shape and np.allclose(whole_GD, map_GD, _CLOSE, near, equal_nan=True)
        if not same:
            raise MissingError("the map is not the mean over these wells: other wells, or changed after aggregation")
        return made

    @classmethod
    def _summed(cls, x_ND: npt.NDArray[Any], obs: pd.DataFrame, entities: Entities, genes: Sequence[str]) -> Self:
        used = np.flatnonzero(
            (obs["Metadata_Control_Type"].astype(str) == TREATED).to_numpy()
            & np.isfinite(x_ND).all(axis=1)
            & np.isin(entities.name.astype(str), np.array(genes, dtype=str))
        )
        keys = pd.DataFrame({"gene": entities.name[used], "guide": entities.guide[used]})
        keys["plate"] = obs["Metadata_Plate"].astype(str).to_numpy()[used]
        cells_N = obs["n_rows"].to_numpy(np.float64)[used] if "n_rows" in obs else np.ones(len(used))
        code_N = keys.groupby(["gene", "guide", "plate"], sort=True).ngroup().to_numpy(np.int64)
        _, first_R = np.unique(code_N, return_index=True)
        shape = (len(first_R), len(used))
        members_RN = sparse.csr_array((cells_N, (code_N, np.arange(len(used)))), shape)
        of_R = keys.iloc[first_R]
        guide_R = of_R.groupby(["gene", "guide"], sort=True).ngroup().to_numpy(np.int64)
        _, first_K = np.unique(guide_R, return_index=True)
        gene_K = pd.Index(genes).get_indexer(pd.Index(of_R["gene"].iloc[first_K])).astype(np.int64)
        sums_RD = members_RN @ np.asarray(x_ND[used], dtype=np.float64)
        return cls(
            sums_RD, members_RN.sum(axis=1), used[first_R],
            _membership(guide_R, len(first_K)), _membership(gene_K, len(genes)),
        )  # fmt: skip

    def map_of(self, weight_N: IntArray) -> FloatArray:
        """Return the (G, D) map of weighted wells; NaN in the rows of which no well has weight."""
        weight_R = weight_N[self.well].astype(np.float64)
        count_K = self.guide_of @ (weight_R * self.counts)
        guide_KD = self.guide_of @ (weight_R[:, None] * self.sums)
        guide_KD /= np.where(count_K > 0, count_K, 1)[:, None]
        guides_G = self.gene_of @ (count_K > 0).astype(np.float64)
        with np.errstate(invalid="ignore"):
            made: FloatArray = (self.gene_of @ guide_KD) / guides_G[:, None]
        return made


def _membership(group_X: npt.NDArray[Any], n_groups: int) -> sparse.csr_array:
    """Return (groups, X) with a one where X belongs to the group."""
    return sparse.csr_array((np.ones(len(group_X)), (group_X, np.arange(len(group_X)))), (n_groups, len(group_X)))
