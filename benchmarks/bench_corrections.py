"""Every correction, and variants of TVN, on real tables of profiles: what biology is found after each.

``python benchmarks/run.py corrections`` writes the rows; the data lie in ``$PLATEMAE_SHARED/data``. The rows are
evidence for the defaults, which are the same for all screens: never pick a correction by the labels it is scored with.
Shapes: N wells, D dimensions, G rows of a map.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.correction.control_stats import ControlStats
from platemae.correction.registry import resolve
from platemae.errors import PlatemaeError

SHARED = Path(os.environ.get("PLATEMAE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
DATA = SHARED / "data"
TAIL = 0.05
Matrix = npt.NDArray[Any]

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("none", {}),
    "center": ("center", {}),
    "centerscale": ("centerscale", {}),
    "centerscale global": ("centerscale", {"per": "global"}),
    "pca_cs": ("pca_cs", {}),
    "sphere zca_cor": ("sphere", {}),
    "sphere zca_cor, centred": ("sphere", {"center_per_batch": True}),
    "tvn (default)": ("tvn", {}),
    "tvn, not centred (EFAAR)": ("tvn", {"center_per_batch": False}),
    "tvn, recoloured": ("tvn", {"recolor": True}),
    "tvn, ridge 0.05": ("tvn", {"ridge": 0.05}),
    "tvn, ridge 5": ("tvn", {"ridge": 5.0}),
    "tvn, 32 components": ("tvn", {"n_components": 32}),
    "tvn, 128 components": ("tvn", {"n_components": 128}),
    "harmony": ("harmony", {}),
}


@dataclass(frozen=True)
class Screen:
    """Wells of one table: what is corrected, and the scores of what comes out."""

    name: str
    x_ND: Matrix
    unit_N: Matrix
    control_N: Matrix
    scores: Callable[[Matrix], dict[str, float]]


def correct(screen: Screen, kind: str, settings: dict[str, Any]) -> Matrix:
    """Fit on the controls of all units and transform unit by unit."""
    cls = resolve(kind)
    rows = {str(u): np.flatnonzero(screen.unit_N == u) for u in np.unique(screen.unit_N)}
    stats = {u: ControlStats.from_rows(screen.x_ND[own[screen.control_N[own]]], u) for u, own in rows.items()}
    labels = {u: [f"{u}:{i}" for i in own] for u, own in rows.items()}
    extra = {"rows": {u: (screen.x_ND[own], labels[u]) for u, own in rows.items()}} if kind == "harmony" else {}
    fitted = cls.fit(stats, {u: u for u in rows}, cls.Settings(**settings), **extra)
    parts = {u: fitted.transform(screen.x_ND[own], stats[u], labels=labels[u]) for u, own in rows.items()}
    out_NE = np.empty((len(screen.x_ND), next(iter(parts.values())).shape[1]))
    for unit, own in rows.items():
        out_NE[own] = parts[unit]
    return out_NE


def cosines(y_GE: Matrix) -> Matrix:
    """Return all cosines (G, G)."""
    unit_GE = y_GE / np.linalg.norm(y_GE, axis=1, keepdims=True)
    return unit_GE @ unit_GE.T


def tail_recall(y_GE: Matrix, known_GG: Matrix) -> float:
    """Return the share of known pairs in the 5 % tails of all pairs."""
    upper = np.triu_indices(len(y_GE), 1)
    values = cosines(y_GE)[upper]
    low, high = np.quantile(values, [TAIL, 1 - TAIL])
    known = known_GG[upper]
    return float(((values < low) | (values > high))[known].mean())


def grouped(y_NE: Matrix, keys: Matrix, how: str) -> tuple[Matrix, Matrix]:
    """Return the mean or median of each group, and its key."""
    frame = pd.DataFrame(y_NE).groupby(keys)
    table = frame.median() if how == "median" else frame.mean()
    return table.to_numpy(), table.index.to_numpy()


def bbbc021() -> Screen:
    """55 plates with 6 DMSO wells each, 516 features, 103 treatments of 12 mechanisms."""
    folder = DATA / "profiles-bbbc021-ljosa"
    wells = pd.read_csv(folder / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz")
    images = pd.read_csv(folder / "BBBC021_v1_image.csv.gz").rename(columns=lambda c: c.removesuffix("_DAPI"))
    keys = ["Image_Metadata_Plate", "Image_Metadata_Well"]
    doses = ["Image_Metadata_Compound", "Image_Metadata_Concentration"]
    table = wells.merge(images[keys + doses].drop_duplicates(), on=keys)
    moa = pd.read_csv(folder / "BBBC021_v1_moa.csv")
    mechanism = {(r.compound, float(r.concentration)): r.moa for r in moa.itertuples()}
    compound_N = table[doses[0]].to_numpy()
    control_N = compound_N == "DMSO"
    key_N = np.array([f"{c}|{d}" for c, d in zip(compound_N, table[doses[1]], strict=True)])
    of_key = {k: mechanism.get((c, float(d))) for k, c, d in zip(key_N, compound_N, table[doses[1]], strict=True)}

    def scores(y_NE: Matrix) -> dict[str, float]:
        y_GE, names = grouped(y_NE[~control_N], key_N[~control_N], "median")
        label_G = np.array([of_key[name] for name in names])
        drug_G = np.array([name.split("|")[0] for name in names])
        other_GG = drug_G[:, None] != drug_G
        nearest = np.where(other_GG, cosines(y_GE), -2).argmax(axis=1)
        same_GG = (label_G[:, None] == label_G) & other_GG
        return {
            "nearest neighbour of another compound": float((label_G[nearest] == label_G).mean()),
            "recall of same mechanism": tail_recall(y_GE, same_GG),
        }

    features = [name for name in wells.columns if name not in keys]
    return Screen("BBBC021", table[features].to_numpy(float), table[keys[0]].astype(str).to_numpy(), control_N, scores)


def fly_rnai() -> Screen:
    """640 genes in 12 batches without any control: fitted on all wells, the unit is the batch."""
    folder = DATA / "profiles-dmelsgi-rnai"
    table = pd.read_parquet(folder / "single_knockdown_image_features.parquet")
    x_ND = table.filter(regex=r"^f_").to_numpy(float)
    kept = np.isfinite(x_ND).all(axis=1)
    table, x_ND = table[kept], x_ND[kept]
    gene_N = table["Metadata_FBgn"].to_numpy()
    lines = (folder / "dpim_complexes.tsv").read_text().splitlines()
    complexes = [line.split("\t")[1].split("|") for line in lines if "FBgn" in line]

    def scores(y_NE: Matrix) -> dict[str, float]:
        y_GE, names = grouped(y_NE, gene_N, "mean")
        index = {name: i for i, name in enumerate(names)}
        known_GG = np.zeros((len(names), len(names)), dtype=bool)
        for members in complexes:
            found = [index[name] for name in members if name in index]
            known_GG[np.ix_(found, found)] = True
        return {"recall of complexes": tail_recall(y_GE, known_GG)}

    unit_N = table["Metadata_batch"].astype(str).to_numpy()
    return Screen("fly RNAi, fit_on all", x_ND, unit_N, np.ones(len(x_ND), dtype=bool), scores)


def jumpscope() -> Screen:
    """3 plates with 24 controls each, 290 common features, 90 compounds in 4 replicates a plate."""
    folder = DATA / "profiles-jumpscope-yokogawa-us"
    tables = [pd.read_csv(path) for path in sorted(folder.glob("*.csv.gz"))]
    for number, table in enumerate(tables):
        table["plate"] = f"plate {number}"
    table = pd.concat(tables, join="inner", ignore_index=True)
    features = [c for c in table.columns if not c.startswith("Metadata_") and c != "plate"]
    x_ND = table[features].to_numpy(float)
    kept = np.isfinite(x_ND).all(axis=1)
    table, x_ND = table[kept], x_ND[kept]
    control_N = (table["Metadata_control_type"] == "negcon").to_numpy()
    plate_N = table["plate"].to_numpy()
    drug_N = table["Metadata_broad_sample"].astype(str).to_numpy()

    def scores(y_NE: Matrix) -> dict[str, float]:
        y_ME, plate_M, drug_M = y_NE[~control_N], plate_N[~control_N], drug_N[~control_N]
        nearest = np.where(plate_M[:, None] != plate_M, cosines(y_ME), -2).argmax(axis=1)
        return {"same compound nearest on another plate": float((drug_M[nearest] == drug_M).mean())}

    return Screen("JUMP-Scope", x_ND, plate_N, control_N, scores)


def measure() -> list[dict[str, Any]]:
    """Score every variant on every table.

    Returns
    -------
    Rows with task, ours (the score), peer (without correction), unit, ratio and note.
    """
    rows = []
    for screen in (bbbc021(), fly_rnai(), jumpscope()):
        base = screen.scores(correct(screen, "none", {}))
        for name, (kind, settings) in VARIANTS.items():
            note = ""
            try:
                found = screen.scores(y_NE := correct(screen, kind, settings))
                note = f"{y_NE.shape[1]} of {screen.x_ND.shape[1]} dimensions"
            except PlatemaeError as error:  # a variant that a table refuses, or that is not installed, is a row, too
                found, note = dict.fromkeys(base, float("nan")), error.what
            for metric, value in found.items():
                ratio = value / base[metric]
                row = {"ours": value, "peer": base[metric], "unit": "share", "ratio": ratio, "note": note}
                rows.append({"task": f"{screen.name}: {metric}: {name}", **row})
    return rows


if __name__ == "__main__":
    for row in measure():
        print(f"{row['ours']:.3f}  {row['task']}  ({row['note']})")
