"""Roots of covariance matrices that may be of low rank.

Shapes: D dimensions, E dimensions after whitening, R rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.linalg import eigh
from scipy.linalg.lapack import dpstrf

from platemae.correction.control_stats import FloatArray

RANK_RTOL = 1e-10
"""Eigenvalues below this share of the largest count as zero: directions whose standard deviation is under 1e-5 of
the widest one. It lies above what float32 embeddings resolve (1e-14, times mean^2 / variance), so rounding is
never blown up to unit variance."""


def numerical_rank(values_E: FloatArray, at_least: float = 0.0, rtol: float = RANK_RTOL) -> int:
    """Count the eigenvalues above ``rtol`` times the largest, or times ``at_least`` if that is more."""
    largest = values_E.max(initial=at_least)
    return int((values_E > rtol * largest).sum()) if largest > 0 else 0


def principal_axes(cov_DD: FloatArray, max_rank: int, rtol: float = RANK_RTOL) -> tuple[FloatArray, FloatArray]:
    """PCA of a covariance or scatter matrix.

    Parameters
    ----------
    cov_DD
        (D, D) covariance.
    max_rank
        Most components to keep, such as the number of rows less one.
    rtol
        Share of the largest eigenvalue below which an eigenvalue counts as zero.

    Returns
    -------
    axes_DE, values_D
        Unit eigenvectors of the E = min(max_rank, numerical rank) leading components, signed so that the loading of
        the largest magnitude is positive; and all eigenvalues, descending.
    """
    values_D, vectors_DD = eigh(cov_DD)
    values_D, vectors_DD = values_D[::-1], vectors_DD[:, ::-1]
    rank = min(max_rank, numerical_rank(values_D, rtol=rtol))
    kept_DE = vectors_DD[:, :rank]
    peak_E = np.take_along_axis(kept_DE, np.abs(kept_DE).argmax(axis=0)[None], axis=0)[0]
    return kept_DE * np.sign(peak_E), values_D


def whitening(cov_DD: FloatArray, max_rank: int) -> tuple[FloatArray, FloatArray]:
    """Return :func:`principal_axes` with every kept component scaled to unit variance."""
    axes_DE, values_D = principal_axes(cov_DD, max_rank)
    return axes_DE / np.sqrt(values_D[: axes_DE.shape[1]]), values_D


def psd_factor(a_DD: FloatArray, max_rank: int) -> FloatArray:
    """Factor a positive semidefinite matrix of known largest rank: A = L L^T with L (D, R), R <= max_rank.

    Cholesky with complete pivoting (LAPACK ``pstrf``) costs D R^2, far below an eigendecomposition where R << D,
    which is the common case: a plate has fewer controls than the embedding has dimensions.
    """
    tol = np.finfo(np.float64).eps * np.diag(a_DD).max(initial=0.0)
    packed_DD, pivots_D, rank, _ = dpstrf(a_DD, tol=tol, lower=1)
    rank = min(int(rank), max_rank)
    factor_DR = np.zeros((len(a_DD), rank))
    factor_DR[pivots_D - 1] = np.tril(packed_DD[:, :rank])
    return factor_DR


@dataclass(frozen=True, eq=False)
class InverseRoot:
    """The matrix (F F^T + ridge I)^(-1/2) as ``shift`` I + Q diag(gain) Q^T, never formed.

    Parameters
    ----------
    shift
        Factor of the identity: what a direction gets in which F has no variance.
    q
        (E, R) orthogonal columns, Q Q^T = F F^T.
    gain
        (R,) factors.
    rank
        Numerical rank of F.
    """

    shift: float
    q: FloatArray
    gain: FloatArray
    rank: int

    def after(self, w_DE: FloatArray) -> FloatArray:
        """Multiply a (D, E) matrix by this one from the right."""
        return self.shift * w_DE + ((w_DE @ self.q) * self.gain) @ self.q.T


def inverse_root(f_ER: FloatArray, ridge: float) -> InverseRoot:
    """Inverse square root of F F^T + ridge I through the smaller of the two Gram matrices.

    With a = s^2 + ridge, 1/sqrt(a) - 1/sqrt(ridge) = -s^2 / (sqrt(a) sqrt(ridge) (sqrt(a) + sqrt(ridge))), so the
    factors of Q Q^T need no division by s and small singular values stay harmless.

    Parameters
    ----------
    f_ER
        (E, R) factor of a covariance, in units in which the pooled controls have variance 1.
    ridge
        Added to every eigenvalue; 0 only for a covariance of full rank E.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the ridge is 0 and F F^T has no inverse.
    """
    dims, width = f_ER.shape
    if width <= dims:
        values_R, vectors_RR = eigh(f_ER.T @ f_ER) if width else (np.zeros(0), np.zeros((0, 0)))
        values_R, q_ER = np.maximum(values_R, 0.0), f_ER @ vectors_RR
    else:
        values_R, vectors_RR = eigh(f_ER @ f_ER.T)
        values_R = np.maximum(values_R, 0.0)
        q_ER = vectors_RR * np.sqrt(values_R)
    rank = numerical_rank(values_R, at_least=1.0)
    if ridge == 0:
        if rank < dims:
            raise np.linalg.LinAlgError(f"rank {rank} of {dims}")
        return InverseRoot(0.0, q_ER, values_R**-1.5, rank)
    root_R, base = np.sqrt(values_R + ridge), np.sqrt(ridge)
    return InverseRoot(1 / base, q_ER, -1 / (root_R * base * (root_R + base)), rank)
