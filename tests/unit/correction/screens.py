"""Screens for the corrections, and each correction in plain numpy, well by well, from the formulas of their sources."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from platemae.correction.control_stats import ControlStats
from platemae.correction.registry import resolve


class Screen:
    """Correlated wells with a shift and a gain a plate; the first wells of a plate are its controls."""

    def __init__(self, plates: int, controls: int, dims: int, treated: int = 20, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        size = controls + treated
        mixing = rng.standard_normal((dims, dims)) + 2 * np.eye(dims)
        x = rng.standard_normal((plates, size, dims)) @ mixing * rng.uniform(0.6, 1.5, (plates, 1, dims))
        x += rng.standard_normal((plates, 1, dims)) + 5
        self.x = x.reshape(-1, dims)
        self.plate = np.repeat([f"p{index}" for index in range(plates)], size)
        self.control = np.tile(np.arange(size) < controls, plates)

    def stats(self) -> dict[str, ControlStats]:
        names = list(dict.fromkeys(self.plate))
        return {name: ControlStats.from_rows(self.x[(self.plate == name) & self.control], name) for name in names}


def corrected(screen: Screen, kind: str, batch_of: Mapping[str, str] | None = None, **settings: Any) -> np.ndarray:
    """Fit and transform plate by plate in float64, as the stages do."""
    cls, stats = resolve(kind), screen.stats()
    batch = dict(batch_of or {name: name for name in stats})
    fitted = cls.fit(stats, batch, cls.Settings(**settings))
    parts = {}
    for name in stats:
        unit = ControlStats.merge([stats[other] for other in stats if batch[other] == batch[name]], batch[name])
        parts[name] = fitted.transform(screen.x[screen.plate == name], unit, dtype=np.float64)
    out = np.empty((len(screen.x), next(iter(parts.values())).shape[1]))
    for name, part in parts.items():
        out[screen.plate == name] = part
    return out


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population deviation (ddof 0), a zero one counting as 1: sklearn's StandardScaler."""
    deviation = rows.std(axis=0)
    return rows.mean(axis=0), np.where(deviation == 0, 1.0, deviation)


def plain_center(x, batch, control, per="batch"):
    """x - mean of the controls."""
    out = x.copy()
    for name in np.unique(batch):
        own = batch == name
        out[own] -= x[(own if per == "batch" else True) & control].mean(axis=0)
    return out


def plain_centerscale(x, batch, control, per="batch"):
    """(x - mean) / deviation of the controls (PEERS 1.1, centerscale_on_controls)."""
    out = x.copy()
    for name in np.unique(batch):
        own = batch == name
        mean, deviation = moments(x[(own if per == "batch" else True) & control])
        out[own] = (x[own] - mean) / deviation
    return out


def plain_axes(rows: np.ndarray, count: int) -> np.ndarray:
    """Principal axes by SVD of the centred rows."""
    return np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:count].T


def plain_pca_cs(x, batch, control, count, per="batch"):
    """PCA on all controls, then a control z-score of each batch (PAPER 4.2)."""
    y = (x - x[control].mean(axis=0)) @ plain_axes(x[control], count)
    return plain_centerscale(y, batch, control, per)


def plain_root(matrix: np.ndarray, power: float) -> np.ndarray:
    """Return a power of a symmetric matrix through its SVD."""
    u, s, _ = np.linalg.svd(matrix)
    return (u * s**power) @ u.T


def plain_tvn(x, batch, control, count, ridge=0.5, center=False, recolor=False):
    """z-score, PCA, z-score on all controls; (cov of the batch's controls, ddof 1, + ridge I)^(-1/2) (PEERS 1.1)."""
    mean, deviation = moments(x[control])
    z = (x - mean) / deviation
    y = (z - z[control].mean(axis=0)) @ plain_axes(z[control], count)
    y = y / y[control].std(axis=0)
    color = plain_root(np.cov(y[control], rowvar=False).reshape(count, count) + ridge * np.eye(count), 0.5)
    out = y.copy()
    for name in np.unique(batch):
        own = batch == name
        shift = y[own & control].mean(axis=0) if center else 0
        cov = np.cov(y[own & control], rowvar=False, ddof=1).reshape(count, count) + ridge * np.eye(count)
        out[own] = (y[own] - shift) @ plain_root(cov, -0.5) @ (color if recolor else np.eye(count))
    return out


def plain_sphere(x, batch, control, method, epsilon, center=False):
    """W = sqrt(n - 1) V / (s + epsilon) from the SVD of the centred controls (PEERS 3, pycytominer)."""
    mean, deviation = moments(x[control])
    scale = deviation if method.endswith("_cor") else np.ones_like(deviation)
    rows = (x[control] - mean) / scale
    _, s, vt = np.linalg.svd(rows, full_matrices=False)
    rank = min(len(rows) - 1, rows.shape[1])
    w = vt[:rank].T * (np.sqrt(len(rows) - 1) / (s[:rank] + epsilon))
    w = w @ vt[:rank] if method.startswith("zca") else w
    out = np.empty((len(x), w.shape[1]))
    for name in np.unique(batch):
        own = batch == name
        out[own] = (x[own] - (x[own & control].mean(axis=0) if center else mean)) / scale @ w
    return out


def assert_same_up_to_signs(ours: np.ndarray, theirs: np.ndarray, tol: float = 1e-8) -> None:
    """Component signs are free: compare aligned columns and the Gram matrix."""
    assert ours.shape == theirs.shape
    aligned = ours * np.sign((ours * theirs).sum(axis=0))
    assert np.abs(aligned - theirs).max() <= tol * np.abs(theirs).max()
    gram = theirs @ theirs.T
    assert np.abs(ours @ ours.T - gram).max() <= tol * np.abs(gram).max()
