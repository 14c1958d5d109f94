"""How much the replicate wells of a perturbation point the same way.

The mean pairwise cosine of k unit vectors is (||sum u||^2 - k) / (k (k - 1)). Its p-value comes from sets of k wells
drawn at random from the screen: p = (1 + number of sets at least as consistent) / (1 + sets).

Shapes: N wells, D dimensions, S random sets, K wells of a set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.bootstrap import FloatArray, check_at_least, mean_interval
from platemae.benchmarks.cosine import unit_rows
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
        A perturbation counts as consistent if its p is at most this.
    n_bootstrap, seed
        Resamples of the perturbations for the interval, and their seed.
    """

    file_keys: ClassVar[tuple[str, ...]] = ()

    alpha: float = 0.05
    n_bootstrap: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.n_bootstrap, 1, "n_bootstrap")
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha is {self.alpha}", "benchmarks: alpha", "use a number between 0 and 1")


class ReplicateConsistency:
    """The benchmark as the registry offers it; :func:`consistency` fills the map's columns before."""

    Settings: ClassVar[type[ConsistencySettings]] = ConsistencySettings

    @staticmethod
    def score(scored: Scored, settings: ConsistencySettings) -> pd.DataFrame:
        """Share of consistent perturbations, and their mean consistency.

        Parameters
        ----------
        scored
            Its map, with ``obs`` columns ``consistency`` and ``p``, NaN for perturbations with fewer than two
            replicates: these are left out and counted.
        settings
            See there.

        Raises
        ------
        ContractError
            If the columns are not there.
        """
        gene_map = scored.gene_map
        lost = [column for column in ("consistency", "p") if column not in gene_map.obs]
        if lost:
            raise ContractError(f"no column {' and '.join(lost)}", "perturbation map, obs", "run build_map again")
        measured = gene_map.obs[["consistency", "p"]].dropna()
        hits_N = (measured["p"].to_numpy() <= settings.alpha).astype(np.float64)
        means_N = measured["consistency"].to_numpy(dtype=np.float64)
        detail = {"n_dropped": gene_map.n_obs - len(measured), "dropped_because": "fewer than two usable replicates"}
        share = _mean_row(hits_N, settings, "share_consistent", detail)
        share.update(threshold=settings.alpha, chance=settings.alpha)
        return score_table([ScoreRow(**share), ScoreRow(**_mean_row(means_N, settings, "mean_cosine", detail))])


def _mean_row(
    values_N: FloatArray, settings: ConsistencySettings, metric: str, detail: dict[str, Any]
) -> dict[str, Any]:
    low, high = mean_interval(values_N, settings.n_bootstrap, settings.seed)
    mean = float(values_N.mean()) if len(values_N) else np.nan
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
