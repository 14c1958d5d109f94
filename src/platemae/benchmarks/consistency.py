"""How much the replicate wells of a perturbation point the same way.

The mean pairwise cosine of k unit vectors is (||sum u||^2 - k) / (k (k - 1)). Its p-value comes from what random wells,
or controls, give: p = (1 + number of the null at least as consistent) / (1 + size of the null). Nulls, by `null_kind`:

- ``wells``: sets of k wells drawn from all treated ones. As the map has it; no wells are read again, but where the
  map holds only rows that were found consistent: all would be so, signal or none. There every row is measured again.
- ``matched``: sets with as many wells of each batch as the perturbation has: effects that replicates share through
  their batch are no consistency (EFAAR's ``univariate_consistency`` of 2023, which averaged angles and drew 5,000).
- ``controls``: the consistency of null perturbations, one value each (EFAAR since 2024): named ones, such as genes that
  the cells do not express, else the perturbations of the negative controls. One with fewer than two wells has no
  value and is left out (there it counts as above every other). Of one with more wells than the perturbation that is
  compared with it, as many are drawn: the mean over more pairs spreads less (there all are taken, and of rows without
  any effect, with 6 to 12 wells, 32 % had p <= 0.05 against null perturbations with 48). They are not scored.

Intervals resample perturbations. On resampled plates agreement and null are computed again, with wells weighted as
often as their plate was drawn: random sets carry the weights of the perturbation that they are compared with.

Shapes: N wells, D dimensions, S random sets, K wells of a set, P perturbations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import false_discovery_control

from platemae.benchmarks.bootstrap import FloatArray, check_at_least, interval_facts, mean_interval, share_interval
from platemae.benchmarks.consistency_null import Null, control_null, random_null, sets_needed
from platemae.benchmarks.cosine import unit_rows
from platemae.benchmarks.plates import PlateInterval, plate_interval
from platemae.benchmarks.replicate_sets import MOST_WELLS, Measure
from platemae.benchmarks.replicates import Replicates
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.errors import ConfigError, ContractError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "replicate_consistency"
_SETS = 256


@dataclass(frozen=True)
class ConsistencySettings:
    """Settings of :class:`ReplicateConsistency`.

    Parameters
    ----------
    alpha
        A perturbation counts as consistent if its p is at most this; also the rate of false discoveries.
    null_kind
        ``wells``, ``matched`` or ``controls``, see the module.
    measure
        ``cosine``, or ``angle`` in radians.
    null_perturbations
        For ``controls``: rows of the map that do nothing; none: the perturbations of the negative controls.
    n_null
        Random sets for each number of wells. The map has its own where null is ``wells`` and the measure ``cosine``.
    n_bootstrap
        Resamples of the perturbations, for the interval.
    n_plate_bootstrap
        Resamples of the plates, for the second interval; 0 for none.
    seed
        Of all draws.
    """

    file_keys: ClassVar[tuple[str, ...]] = ()

    alpha: float = 0.05
    null_kind: Literal["wells", "matched", "controls"] = "wells"
    measure: Measure = "cosine"
    null_perturbations: tuple[str, ...] = ()
    n_null: int = 999
    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.n_bootstrap, 1, "n_bootstrap")
        check_at_least(self.n_null, 1, "n_null")
        check_at_least(self.n_plate_bootstrap, 0, "n_plate_bootstrap")
        check_at_least(self.seed, 0, "seed")
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha is {self.alpha}", "benchmarks: alpha", "use a number between 0 and 1")
        if self.null_kind != "controls" and self.n_null < sets_needed(self.alpha):
            what = f"{self.n_null} random sets give no p <= {self.alpha:g}: none would be consistent"
            raise ConfigError(what, "benchmarks: n_null", f"use at least {sets_needed(self.alpha)}")
        if len(self.null_perturbations) and self.null_kind != "controls":
            remedy = "set null_kind: controls, or leave them out"
            raise ConfigError(f"null_kind is {self.null_kind}", "benchmarks: null_perturbations", remedy)


class ReplicateConsistency:
    """The benchmark as the registry offers it; :func:`consistency` fills the map's columns before."""

    Settings: ClassVar[type[ConsistencySettings]] = ConsistencySettings

    @staticmethod
    def score(scored: Scored, settings: ConsistencySettings) -> pd.DataFrame:
        """Share of consistent perturbations, with and without a bound on false discoveries, and their mean consistency.

        Parameters
        ----------
        scored
            With null_kind ``wells`` and measure ``cosine`` its map, with ``obs`` columns ``consistency`` and ``p``,
            NaN for perturbations with fewer than two replicates: these are left out and counted. Else, of a map without
            these columns or filtered by consistency, and for chance and the interval from plates, its wells; wells
            without a map will do.
        settings
            See there.

        Raises
        ------
        ContractError
            If a column is not there, nor wells beside the map.
        InputError
            If a null perturbation is not among the rows of the map.
        """
        of_map = settings.null_kind == "wells" and settings.measure == "cosine" and scored.read_map is not None
        if of_map and _filtered(scored):
            if scored.read_wells is None:
                return _untold(settings)
            of_map = False
        # A map that was made elsewhere has no such columns: then the wells beside it say all.
        of_map = of_map and (scored.read_wells is None or not _lost(scored))
        table = _of_map(scored) if of_map else None
        null: Null | None = None
        detail: dict[str, Any] = {"null_kind": settings.null_kind, "measure": settings.measure}
        if scored.read_wells is not None or not of_map:
            null = _null(scored, settings, None if table is None else table.index.astype(str).tolist())
            detail |= null.facts
        if table is None and null is not None:
            table = null.table(np.ones(scored.wells.n_obs, dtype=np.int64))
        assert table is not None  # one of the two is there
        measured = table.dropna()
        why = "fewer than two usable replicates" + (f", or more than {MOST_WELLS}" if not of_map else "")
        detail |= {"n_dropped": len(table) - len(measured), "dropped_because": why}
        rows = _rows(measured["agreement"].to_numpy(), measured["p"].to_numpy(), settings, null, detail)
        plates = PlateInterval()
        if null is not None:
            plates = plate_interval(
                scored,
                lambda weight_N: _numbers(null.table(weight_N), settings, null.reason),
                settings.n_plate_bootstrap,
                settings.seed,
            )
        return score_table(plates.into(row, place) for place, row in enumerate(rows))


def _filtered(scored: Scored) -> bool:
    """Tell whether the map holds only rows that were found consistent."""
    notes = scored.gene_map.uns.get("notes", {})
    return scored.aggregate.filter_consistency_p is not None or "n_inconsistent" in notes


def _untold(settings: ConsistencySettings) -> pd.DataFrame:
    why = "the map holds only rows that were found consistent, and there are no wells to measure all"
    detail = {"null_kind": settings.null_kind, "measure": settings.measure, "reason": why}
    metrics = ("share_consistent", f"mean_{settings.measure}", "share_consistent_bh")
    return score_table(ScoreRow(BENCHMARK, "replicates", metric, detail=detail) for metric in metrics)


def _lost(scored: Scored) -> list[str]:
    return [column for column in ("consistency", "p") if column not in scored.gene_map.obs]


def _of_map(scored: Scored) -> pd.DataFrame:
    """Return agreement and p as the map has them."""
    lost, obs = _lost(scored), scored.gene_map.obs
    if lost:
        remedy = "give the wells beside it (score-map --wells), which are then measured, or a map that build_map wrote"
        raise ContractError(f"no column {' and '.join(lost)}", "perturbation map, obs", remedy)
    columns = {"agreement": obs["consistency"].to_numpy(np.float64), "p": obs["p"].to_numpy(np.float64)}
    table = pd.DataFrame(columns, index=obs["gene"].astype(str) if "gene" in obs else obs.index.astype(str))
    return table.sort_index(kind="stable")


def _null(scored: Scored, settings: ConsistencySettings, names: list[str] | None) -> Null:
    wells = Replicates.of(scored)
    if settings.null_kind == "controls":
        return control_null(wells, settings.null_perturbations, settings.measure, settings.alpha, settings.seed)
    matched = settings.null_kind == "matched"
    return random_null(wells, names, matched, settings.measure, settings.n_null, settings.seed)


def _hits(p_P: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Tell which perturbations are consistent, by their own p and after Benjamini and Hochberg."""
    found_P = false_discovery_control(p_P) <= alpha if len(p_P) else np.zeros(0)
    return (p_P <= alpha).astype(np.float64), np.asarray(found_P, dtype=np.float64)


def _numbers(table: pd.DataFrame, settings: ConsistencySettings, reason: str) -> list[float]:
    """Return the values of :func:`_rows`, in its order."""
    measured = table.dropna()
    if not len(measured):
        return [np.nan] * 3
    shares = [np.nan, np.nan]
    if not reason:
        shares = [float(hits.mean()) for hits in _hits(measured["p"].to_numpy(), settings.alpha)]
    return [shares[0], _shown(float(measured["agreement"].mean()), settings), shares[1]]


def _shown(agreement: float, settings: ConsistencySettings) -> float:
    return -agreement if settings.measure == "angle" else agreement


def _rows(
    agreement_P: FloatArray, p_P: FloatArray, settings: ConsistencySettings, null: Null | None, detail: dict[str, Any]
) -> list[ScoreRow]:
    own_P, found_P = _hits(p_P, settings.alpha)
    if null is not None and null.reason:
        detail = {**detail, "reason": null.reason}
        own_P, found_P = np.empty(0), np.empty(0)
    share = _mean_row(own_P, settings, "share_consistent", detail)
    share.update(threshold=settings.alpha, chance=settings.alpha)
    sign = -1.0 if settings.measure == "angle" else 1.0
    mean = _mean_row(sign * agreement_P, settings, f"mean_{settings.measure}", detail)
    mean.update(chance=_shown(null.chance, settings) if null is not None else np.nan)
    discovered = _mean_row(found_P, settings, "share_consistent_bh", {**detail, "interval": "discoveries held"})
    discovered.update(threshold=settings.alpha, chance=0.0)
    return [ScoreRow(**row) for row in (share, mean, discovered)]


def _mean_row(
    values_N: FloatArray, settings: ConsistencySettings, metric: str, detail: dict[str, Any]
) -> dict[str, Any]:
    interval = share_interval if metric.startswith("share_") else mean_interval
    low, high = interval(values_N, settings.n_bootstrap, settings.seed)
    mean = float(values_N.mean()) if len(values_N) else np.nan
    detail = {**detail, **interval_facts(len(values_N))}
    row = {"benchmark": BENCHMARK, "source": "replicates", "metric": metric, "detail": detail}
    return {**row, "value": mean, "ci_low": low, "ci_high": high, "n": len(values_N)}


def consistency(
    x_ND: npt.NDArray[Any], labels: Sequence[str], pool_N: npt.NDArray[np.bool_], n_null: int = 999, seed: int = 0
) -> pd.DataFrame:
    """Mean pairwise cosine of every perturbation's wells, with a p-value.

    Parameters
    ----------
    x_ND
        (N, D) wells. Zero or non-finite wells have no direction: they are left out and counted.
    labels
        Perturbation of each well; an empty name belongs to none.
    pool_N
        (N,) wells that random sets are drawn from, such as all that are no controls.
    n_null
        Random sets for each number of replicates; 999 makes p <= 0.05 have probability exactly 0.05.
    seed
        Sets of k wells depend on it and k alone.

    Returns
    -------
    Indexed by perturbation: n_replicates, n_dropped, consistency, p (NaN for fewer than two replicates, or where
    the pool has fewer wells than the perturbation).
    """
    check_at_least(n_null, 1, "n_null")
    u_ND, usable_N = unit_rows(x_ND)
    codes_N, names = pd.factorize(np.asarray(labels, dtype=object), sort=True)
    sums_PD, counts_P = np.zeros((len(names), u_ND.shape[1])), np.bincount(codes_N[usable_N], minlength=len(names))
    np.add.at(sums_PD, codes_N[usable_N], u_ND[usable_N])
    mean_P = _mean_cosine(sums_PD, counts_P)
    pool_SD, p_P = u_ND[usable_N & pool_N], np.full(len(names), np.nan)
    for size in np.unique(counts_P[(counts_P >= 2) & (counts_P <= len(pool_SD))]):
        null_S = np.sort(_random_sets(pool_SD, int(size), n_null, seed))
        own = counts_P == size
        above = n_null - np.searchsorted(null_S, mean_P[own], side="left")
        p_P[own] = (1 + above) / (1 + n_null)
    dropped_P = np.bincount(codes_N[~usable_N], minlength=len(names))
    columns = {"n_replicates": counts_P, "n_dropped": dropped_P, "consistency": mean_P, "p": p_P}
    table = pd.DataFrame(columns, index=pd.Index(names, name="perturbation"))
    return table[table.index != ""]


def _mean_cosine(sums_SD: FloatArray, counts_S: npt.NDArray[Any]) -> FloatArray:
    """Mean pairwise cosine from sums of unit vectors; NaN for fewer than two."""
    squares_S, pairs_S = (sums_SD**2).sum(axis=1), counts_S * (counts_S - 1)
    return np.where(pairs_S > 0, (squares_S - counts_S) / np.maximum(pairs_S, 1), np.nan)


def _random_sets(pool_ND: FloatArray, size: int, n_sets: int, seed: int) -> FloatArray:
    """Mean pairwise cosine of ``n_sets`` sets of ``size`` different wells."""
    rng = np.random.default_rng([seed, size])
    sets_SK = np.stack([rng.choice(len(pool_ND), size, replace=False) for _ in range(n_sets)])
    parts = [pool_ND[sets_SK[start : start + _SETS]].sum(axis=1) for start in range(0, n_sets, _SETS)]
    return _mean_cosine(np.concatenate(parts), np.full(n_sets, size))
