"""Sets of replicate wells, the agreement within each, and the same with wells weighted.

The agreement of a set is the mean over its pairs of wells of their cosine, or of minus their angle, so that more is
always more alike. With weights w a pair counts w_i w_j; two copies of one well are no pair.

Shapes: N wells, D dimensions, S sets, K wells of a set, X = K (K - 1) / 2 pairs, U weightings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from platemae.benchmarks.bootstrap import FloatArray, IntArray
from platemae.benchmarks.entities import TextArray

Measure = Literal["cosine", "angle"]

MOST_WELLS = 128
"""Larger sets are left out where pairs are weighed: they have too many."""
_NUMBERS = 1 << 22


@dataclass(frozen=True, eq=False)
class Sets:
    """Sets of equal size.

    Parameters
    ----------
    wells
        (S, K) positions of the wells.
    pairs
        (S, X) agreement of every pair of a set, in the order of ``numpy.triu_indices(K, 1)``.
    """

    wells: IntArray
    pairs: FloatArray

    @classmethod
    def measure(cls, u_ND: FloatArray, wells_SK: IntArray, measure: Measure) -> Sets:
        """Measure the pairs of each set.

        Parameters
        ----------
        u_ND
            Unit rows.
        wells_SK
            The sets.
        measure
            ``cosine``, or ``angle``: minus the angle in radians.
        """
        size = wells_SK.shape[1]
        left_X, right_X = np.triu_indices(size, 1)
        pair_SX = np.empty((len(wells_SK), len(left_X)))
        step = max(1, _NUMBERS // (size * max(u_ND.shape[1], size)))
        for start in range(0, len(wells_SK), step):
            u_SKD = u_ND[wells_SK[start : start + step]]
            cosine_SKK = u_SKD @ u_SKD.transpose(0, 2, 1)
            pair_SX[start : start + step] = cosine_SKK[:, left_X, right_X]
        if measure == "angle":
            pair_SX = -np.arccos(np.clip(pair_SX, -1, 1))
        return cls(wells_SK, pair_SX)

    def agreement(self) -> FloatArray:
        """Return (S,) the mean over pairs."""
        mean_S: FloatArray = self.pairs.mean(axis=1)
        return mean_S

    def weighted(self, weight_SK: IntArray) -> FloatArray:
        """Return (S,) the weighted mean over pairs, each set with weights of its own; NaN where no pair has weight."""
        weight_SX = _pair_weights(weight_SK)
        total_S = weight_SX.sum(axis=1)
        return np.where(total_S > 0, (weight_SX * self.pairs).sum(axis=1) / np.maximum(total_S, 1), np.nan)

    def weighted_alike(self, weight_UK: IntArray) -> FloatArray:
        """Return (S, U) the weighted means of all sets for each of several weightings; NaN where no pair has weight."""
        weight_UX = _pair_weights(weight_UK)
        total_U = weight_UX.sum(axis=1)
        return (self.pairs @ weight_UX.T) / np.where(total_U > 0, total_U, np.nan)


def _pair_weights(weight_SK: IntArray) -> FloatArray:
    left_X, right_X = np.triu_indices(weight_SK.shape[1], 1)
    return (weight_SK[:, left_X] * weight_SK[:, right_X]).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Group:
    """Perturbations whose sets have a null in common: equal in size, or in wells of each batch.

    Parameters
    ----------
    names
        Of the perturbations.
    own, null
        Their sets, and random ones.
    first
        (K,) for each well of a set the first of its batch in the set; weights may change places within a batch.
    """

    names: list[str]
    own: Sets
    null: Sets
    first: IntArray

    def p_values(self, weight_N: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return agreement and p of every perturbation with wells weighted; NaN where no pair has weight.

        Random sets carry the same weights as the perturbation that they are compared with.
        """
        weight_SK = weight_N[self.own.wells]
        for start in np.unique(self.first):
            own_K = self.first == start
            weight_SK[:, own_K] = -np.sort(-weight_SK[:, own_K], axis=1)
        own_S = self.own.weighted(weight_SK)
        weight_UK, of_S = np.unique(weight_SK, axis=0, return_inverse=True)
        null_SU, p_S = self.null.weighted_alike(weight_UK), np.empty(len(own_S))
        for number, null_S in enumerate(null_SU.T):
            alike_S = of_S.ravel() == number
            p_S[alike_S] = p_values(null_S, own_S[alike_S])
        return own_S, p_S


def p_values(null_S: FloatArray, value_P: FloatArray) -> FloatArray:
    """Return (1 + number of the null at least as large) / (1 + size of the null); NaN for NaN, or where no null is."""
    sorted_S = np.sort(null_S[np.isfinite(null_S)])
    above_P = len(sorted_S) - np.searchsorted(sorted_S, value_P, side="left")
    return np.where(np.isfinite(value_P) & (len(sorted_S) > 0), (1 + above_P) / (1 + len(sorted_S)), np.nan)


def by_size(u_ND: FloatArray, members: dict[str, IntArray], measure: Measure) -> list[tuple[list[str], Sets]]:
    """Return perturbations of equal numbers of wells together, with their sets."""
    same: dict[int, list[str]] = {}
    for name in sorted(members):
        same.setdefault(len(members[name]), []).append(name)
    return [(found, Sets.measure(u_ND, np.stack([members[n] for n in found]), measure)) for found in same.values()]


def groups(
    u_ND: FloatArray,
    members: dict[str, IntArray],
    pool: IntArray,
    batch_N: TextArray | None,
    measure: Measure,
    n_null: int,
    seed: int,
) -> Iterator[Group]:
    """Yield perturbations with their random sets, those that share them together.

    Parameters
    ----------
    u_ND
        Unit rows.
    members
        Wells of each perturbation, two at least, in their order.
    pool
        Wells that random sets are drawn from.
    batch_N
        Batch of every well, where random sets take as many wells of each batch as the perturbation has; None: of any.
    measure, n_null, seed
        Agreement, number of random sets, seed: sets depend on it and on the numbers of wells alone.
    """
    same: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for name in sorted(members):
        same.setdefault(_composition(members[name], batch_N), []).append(name)
    in_batch = _by_batch(pool, batch_N)
    for composition, found in same.items():
        wells_SK = np.stack([_in_order(members[name], batch_N) for name in found])
        sizes = [count for _, count in composition]
        rng = np.random.default_rng([seed, *sizes])
        parts = [_draws(rng, in_batch[batch], count, n_null) for batch, count in composition]
        null = Sets.measure(u_ND, np.concatenate(parts, axis=1), measure)
        first_K = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes).astype(np.int64)
        yield Group(found, Sets.measure(u_ND, wells_SK, measure), null, first_K)


def _composition(wells: IntArray, batch_N: TextArray | None) -> tuple[tuple[str, int], ...]:
    if batch_N is None:
        return (("", len(wells)),)
    found, counts = np.unique(batch_N[wells].astype(str), return_counts=True)
    return tuple(zip(found.tolist(), counts.tolist(), strict=True))


def _in_order(wells: IntArray, batch_N: TextArray | None) -> IntArray:
    return wells if batch_N is None else wells[np.argsort(batch_N[wells].astype(str), kind="stable")]


def _by_batch(pool: IntArray, batch_N: TextArray | None) -> dict[str, IntArray]:
    if batch_N is None:
        return {"": pool}
    of_pool = batch_N[pool].astype(str)
    return {str(batch): pool[of_pool == batch] for batch in np.unique(of_pool)}


def _draws(rng: np.random.Generator, pool: IntArray, size: int, n_sets: int) -> IntArray:
    """Draw (n_sets, size) different wells each."""
    return np.stack([rng.choice(pool, size, replace=False) for _ in range(n_sets)])


def member_wells(label_N: TextArray, usable_N: npt.NDArray[np.bool_], least: int = 2) -> dict[str, IntArray]:
    """Return the usable wells of each label that has enough of them, in their order."""
    place = np.flatnonzero(usable_N & (label_N != ""))
    order = place[np.argsort(label_N[place].astype(str), kind="stable")]
    found, starts = np.unique(label_N[order].astype(str), return_index=True)
    parts: Sequence[IntArray] = np.split(order, starts[1:]) if len(found) else []
    return {str(name): part for name, part in zip(found, parts, strict=True) if len(part) >= least}
