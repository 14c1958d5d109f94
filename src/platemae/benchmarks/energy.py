"""Energy distance of sets of wells to control wells, with wells weighted, and what controls themselves give.

For wells X of a perturbation and control wells Y it is 2 mean |x - y| - mean |x - x'| - mean |y - y'| (Szekely and
Rizzo), means over pairs of different wells, so that it is 0 on average where X and Y are drawn alike, whatever their
numbers.

Shapes: N wells, M of them controls, Q plates, D dimensions, S sets, K wells of a set, U weightings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platemae.benchmarks.bootstrap import FloatArray, IntArray
from platemae.benchmarks.replicate_sets import p_values

_ROWS = 2048
_NUMBERS = 1 << 22


def distances(a_ND: FloatArray, b_MD: FloatArray) -> FloatArray:
    """Return (N, M) Euclidean distances from one matrix product; rows centred on the controls keep their digits."""
    square_NM = (a_ND**2).sum(axis=1)[:, None] + (b_MD**2).sum(axis=1) - 2 * (a_ND @ b_MD.T)
    made: FloatArray = np.sqrt(np.maximum(square_NM, 0, out=square_NM), out=square_NM)
    return made


def inner_distances(x_ND: FloatArray, wells_SK: IntArray) -> FloatArray:
    """Return (S, K, K) distances among the wells of each set."""
    size = wells_SK.shape[1]
    made_SKK = np.empty((len(wells_SK), size, size))
    step = max(1, _NUMBERS // (size * max(x_ND.shape[1], size)))
    for start in range(0, len(wells_SK), step):
        x_SKD = x_ND[wells_SK[start : start + step]]
        square_SK = (x_SKD**2).sum(axis=2)
        square_SKK = square_SK[:, :, None] + square_SK[:, None] - 2 * (x_SKD @ x_SKD.transpose(0, 2, 1))
        made_SKK[start : start + step] = np.sqrt(np.maximum(square_SKK, 0))
    made_SKK[:, np.arange(size), np.arange(size)] = 0
    return made_SKK


@dataclass(frozen=True, eq=False)
class Reference:
    """Control wells with weights: what distances to them are made of.

    Parameters
    ----------
    between
        (M, M) distances among them.
    weight
        (M,) their weights.
    """

    between: FloatArray
    weight: FloatArray

    @property
    def to_all(self) -> FloatArray:
        """Return (M,) weighted sums of distances to all."""
        sums_M: FloatArray = self.between @ self.weight
        return sums_M

    def inner(self) -> float:
        """Return the mean distance of pairs of different controls; NaN where there is none."""
        pairs = self.weight.sum() ** 2 - (self.weight**2).sum()
        return float(self.weight @ self.to_all / pairs) if pairs > 0 else np.nan

    def energies(self, sets_SK: IntArray, weight_UK: FloatArray) -> FloatArray:
        """Return (S, U) energy distances of sets of controls to the controls that are not in the set.

        Parameters
        ----------
        sets_SK
            Positions among the controls.
        weight_UK
            Weightings of a set, each used for all sets.
        """
        within_SKK = self.between[sets_SK[:, :, None], sets_SK[:, None]]
        to_all_M, weight_M = self.to_all, self.weight
        out_SK = weight_M[sets_SK]
        rest_S = weight_M.sum() - out_SK.sum(axis=1)
        pairs_S = rest_S**2 - (weight_M**2).sum() + (out_SK**2).sum(axis=1)
        left_S = weight_M @ to_all_M - 2 * (out_SK * to_all_M[sets_SK]).sum(axis=1)
        left_S += np.einsum("sa,sab,sb->s", out_SK, within_SKK, out_SK, optimize=True)
        cross_SK = to_all_M[sets_SK] - np.einsum("sab,sb->sa", within_SKK, out_SK)
        flat_UX = (weight_UK[:, :, None] * weight_UK[:, None]).reshape(len(weight_UK), -1)
        inner_SU = within_SKK.reshape(len(sets_SK), -1) @ flat_UX.T
        total_U, same_U = weight_UK.sum(axis=1), (weight_UK**2).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found_SU = 2 * (cross_SK @ weight_UK.T) / total_U / rest_S[:, None]
            found_SU -= inner_SU / (total_U**2 - same_U) + (left_S / pairs_S)[:, None]
        usable_SU = (rest_S > 0)[:, None] & (pairs_S > 0)[:, None] & (total_U**2 > same_U)
        return np.where(usable_SU, found_SU, np.nan)


@dataclass(frozen=True, eq=False)
class SizeGroup:
    """Perturbations with equal numbers of wells.

    Parameters
    ----------
    names
        Of the perturbations.
    wells
        (S, K) their wells.
    within
        (S, K, K) distances among these.
    null
        Sets of K controls, positions among the controls.
    """

    names: list[str]
    wells: IntArray
    within: FloatArray
    null: IntArray

    def measure(self, reference: Reference, to_N: FloatArray, weight_N: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return energy distance and p of every perturbation; NaN where no pair of wells has weight.

        Parameters
        ----------
        reference
            The controls.
        to_N
            (N,) mean distance of every well to them.
        weight_N
            (N,) weights of the wells; random sets carry those of the perturbation that they are compared with.
        """
        weight_SK = weight_N[self.wells].astype(np.float64)
        total_S, same_S = weight_SK.sum(axis=1), (weight_SK**2).sum(axis=1)
        inner_S = np.einsum("sa,sab,sb->s", weight_SK, self.within, weight_SK, optimize=True)
        cross_S = (weight_SK * to_N[self.wells]).sum(axis=1)
        pairs_S = total_S**2 - same_S
        with np.errstate(invalid="ignore", divide="ignore"):
            found_S = 2 * cross_S / total_S - inner_S / pairs_S - reference.inner()
        found_S = np.where(pairs_S > 0, found_S, np.nan)
        weight_UK, of_S = np.unique(-np.sort(-weight_SK, axis=1), axis=0, return_inverse=True)
        null_SU, p_S = reference.energies(self.null, weight_UK), np.empty(len(found_S))
        for number, null_S in enumerate(null_SU.T):
            alike_S = of_S.ravel() == number
            p_S[alike_S] = p_values(null_S, found_S[alike_S])
        return found_S, p_S


def mean_to_controls(x_ND: FloatArray, control_MD: FloatArray, weight_UM: FloatArray) -> FloatArray:
    """Return (N, U) weighted sums of the distances of wells to the controls, some wells at a time."""
    sums_NU = np.empty((len(x_ND), len(weight_UM)))
    for start in range(0, len(x_ND), _ROWS):
        sums_NU[start : start + _ROWS] = distances(x_ND[start : start + _ROWS], control_MD) @ weight_UM.T
    return sums_NU
