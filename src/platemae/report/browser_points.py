"""Which rows the embeddings browser draws, and where: UMAP and PCA before and after each correction.

Shapes: N rows, D features, K components.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import PCA

from platemae.report.browser_umap import umap_of_some
from platemae.report.shares import most_fitted, most_points
from platemae.report.source import Source
from platemae.report.umap import MIN_WELLS, PCA_ABOVE
from platemae.tables import read_wells

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """The rows of one model, as they are or corrected.

    Parameters
    ----------
    title
        ``before``, or the name of the correction.
    umap, pca
        (N, 2) coordinates, NaN for a row that is missing or not finite.
    explained
        Share of the variance along the two principal components.
    """

    title: str
    umap: npt.NDArray[np.float64]
    pca: npt.NDArray[np.float64]
    explained: tuple[float, float]


@dataclass(frozen=True)
class Points:
    """The rows of one model that are drawn.

    Parameters
    ----------
    model
        Its name.
    obs
        Metadata of the N rows.
    total
        Rows of the model.
    fitted
        Rows of which UMAP is fitted.
    views
        Before the correction first.
    notes
        What is not there, in sentences.
    """

    model: str
    obs: pd.DataFrame
    total: int
    fitted: int
    views: list[View]
    notes: list[str]


def all_points(source: Source) -> Iterator[Points]:
    """Yield the points of each model that has embeddings of the scored plates, in the order of the tables."""
    having = [model for model in source.models if embedded(source, model)]
    found = {model: corrections_of(source, model) for model in having}
    n_views = sum(1 + len(names) for names in found.values())
    for model, names in found.items():
        yield _points(source, model, names, most_points(n_views), most_fitted(n_views))


def embedded(source: Source, model: str) -> list[Path]:
    """Return the embeddings of the scored plates that are there."""
    return [p for plate in source.map_plates if (p := source.results.embedding(model, plate)).is_file()]


def corrections_of(source: Source, model: str) -> list[str]:
    """Return the corrections that move anything and of which files are there."""
    entries = [entry["name"] for entry in source.cfg["corrections"] if entry["kind"] != "none"]
    plates = source.map_plates
    return [n for n in entries if any(source.results.corrected(model, n, plate).is_file() for plate in plates)]


def stratified(obs: pd.DataFrame, wanted: int, seed: int) -> npt.NDArray[np.int64]:
    """Return ``wanted`` places, in order: every so many rows of those sorted by control type, gene and perturbation.

    So each control type and gene keeps its share, but for rounding; the seed draws where the counting starts.
    """
    if wanted >= len(obs):
        return np.arange(len(obs))
    keys = ("Metadata_Perturbation", "Metadata_Gene", "Metadata_Control_Type")
    order = np.lexsort([obs[key].astype(str).to_numpy() for key in keys])
    start = np.random.default_rng(seed).random()
    picked = ((np.arange(wanted) + start) * (len(obs) / wanted)).astype(np.int64)
    return np.sort(order[picked])


def _points(source: Source, model: str, corrections: list[str], most: int, fitted: int) -> Points:
    paths = embedded(source, model)
    every = [_obs(path) for path in paths]
    ends = np.cumsum([len(obs) for obs in every])
    kept = np.floor(ends * min(1.0, most / max(int(ends[-1]), 1))).astype(int)
    seed = source.cfg["report"]["seed"]
    places = [stratified(obs, n, seed) for obs, n in zip(every, np.diff(kept, prepend=0), strict=True)]
    obs = pd.concat([frame.iloc[here] for frame, here in zip(every, places, strict=True)])
    x_ND = np.concatenate([_x(path)[here] for path, here in zip(paths, places, strict=True)])
    settings = (source.cfg["report"]["umap_neighbors"], seed, fitted)
    views, notes = [_view("before", x_ND, *settings)], []
    for name in corrections:
        corrected_ND = _corrected(source, model, name, obs.index)
        lost = int((~np.isfinite(corrected_ND).all(axis=1)).sum())
        if lost:
            notes.append(f"{lost:,} rows of {model} corrected by {name} are missing or not finite, and are not drawn.")
        views.append(_view(name, corrected_ND, *settings))
    return Points(model, obs, int(ends[-1]), min(fitted, len(obs)), [view for view in views if view is not None], notes)


def _obs(path: Path) -> pd.DataFrame:
    rows = read_wells(path, backed=True)
    try:
        return rows.obs.copy()
    finally:
        rows.file.close()


def _x(path: Path) -> Features:
    return np.asarray(read_wells(path).X, dtype=np.float32)


def _corrected(source: Source, model: str, correction: str, names: pd.Index) -> Features:
    """Return the corrected rows of these names, NaN for those that are not there."""
    found_ND: Features | None = None
    for plate in source.map_plates:
        path = source.results.corrected(model, correction, plate)
        if not path.is_file():
            continue
        rows = read_wells(path)
        places = rows.obs_names.get_indexer(names)
        if found_ND is None:
            found_ND = np.full((len(names), rows.n_vars), np.nan, dtype=np.float32)
        found_ND[places >= 0] = np.asarray(rows.X, dtype=np.float32)[places[places >= 0]]
    return np.empty((len(names), 0), np.float32) if found_ND is None else found_ND


def _view(title: str, x_ND: Features, neighbors: int, seed: int, fitted: int) -> View | None:
    """Return coordinates of both methods; None for fewer finite rows than make a picture."""
    finite_N = np.isfinite(x_ND).all(axis=1)
    if finite_N.sum() < MIN_WELLS or not x_ND.shape[1]:
        return None
    size = min(PCA_ABOVE, x_ND.shape[1], int(finite_N.sum()) - 1)
    pca = PCA(size, random_state=seed)
    scores_NK = pca.fit_transform(x_ND[finite_N])
    pca_N2, umap_N2 = np.full((len(x_ND), 2), np.nan), np.full((len(x_ND), 2), np.nan)
    width = min(2, size)
    pca_N2[finite_N] = 0.0
    pca_N2[np.flatnonzero(finite_N)[:, None], np.arange(width)] = scores_NK[:, :width]
    umap_N2[finite_N] = umap_of_some(scores_NK, neighbors, seed, fitted)
    share = [float(value) for value in pca.explained_variance_ratio_[:2]] + [0.0, 0.0]
    return View(title, umap_N2, pca_N2, (share[0], share[1]))
