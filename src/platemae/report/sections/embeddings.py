"""UMAP of wells before and after the batch correction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.contracts import CONTROL_TYPES
from platemae.report.blocks import Block, Figure, Heading, Section, Text
from platemae.report.figures import BLACK, BLUE, RED, looks, scatter
from platemae.report.source import Source
from platemae.report.umap import MAX_WELLS, MIN_WELLS, thinned, umap
from platemae.tables import read_wells

Features = npt.NDArray[np.float32]

MAX_MODELS = 16
CONTROL_LOOKS = {
    "treatment": ("#B5BAC3", "o"),
    "empty": (BLACK, "X"),
    "negcon": (BLUE, "s"),
    "poscon": (RED, "^"),
}


def build(source: Source) -> Section:
    """Return one figure a model: plate and control type, before and after."""
    after = corrected_by(source)
    blocks: list[Block] = [Text(_intro(source, after))]
    for model in source.models[:MAX_MODELS]:
        blocks += [Heading(model), *_model(source, model, after)]
    if len(source.models) > MAX_MODELS:
        blocks.append(Text(f"Of {len(source.models)} models the first {MAX_MODELS} are drawn.", "note"))
    return Section("embeddings", "Embeddings", blocks)


def corrected_by(source: Source) -> str | None:
    """Return the correction shown as "after": the first TVN, else the last that does something."""
    entries = [c for c in source.cfg["corrections"] if c["kind"] != "none"]
    names = [c["name"] for c in entries if c["kind"] == "tvn"] or [c["name"] for c in reversed(entries)]
    return names[0] if names else None


def _intro(source: Source, after: str | None) -> str:
    report = source.cfg["report"]
    what = f"before and after {after}" if after else "(no correction is configured)"
    return (
        f"UMAP of the wells {what}, by scanpy with {report['umap_neighbors']} neighbours and seed "
        f"{report['seed']}. Wells that mix over plates but part by treatment are what a correction is for. UMAP keeps "
        "neighbours, not distances: the scores below judge, not this picture."
    )


def _model(source: Source, model: str, after: str | None) -> list[Block]:
    report = source.cfg["report"]
    obs, x_ND, total = _sample(source, model)
    if len(obs) < MIN_WELLS:
        return [Text(f"{model} has {len(obs)} embedded wells, too few for a picture.", "note")]
    notes = [f"{len(obs):,} of {total:,} wells are drawn."] if len(obs) < total else []
    views = [("before", x_ND)]
    if after is not None:
        y_NE = _corrected(source, model, after, obs.index)
        if y_NE is None:
            notes.append(f"Wells of {model} corrected by {after} were not found, so only the first picture is drawn.")
        else:
            views.append((f"after {after}", y_NE))
    finite_N = np.logical_and.reduce([np.isfinite(x).all(axis=1) for _, x in views])
    if not finite_N.all():
        notes.append(f"{int((~finite_N).sum())} wells with values that are not finite are left out.")
    if finite_N.sum() < MIN_WELLS:
        return [Text(note, "note") for note in notes]
    layouts = [(title, umap(x[finite_N], report["umap_neighbors"], report["seed"])) for title, x in views]
    return [_figure(model, obs[finite_N], layouts), *(Text(note, "note") for note in notes)]


def _sample(source: Source, model: str) -> tuple[pd.DataFrame, Features, int]:
    """Return obs and X of the wells to draw, and how many there are; of each plate the same share is kept."""
    expected = len(source.fields[["plate", "well"]].drop_duplicates())
    share = min(1.0, MAX_WELLS / max(expected, 1))
    kept_obs, kept_x, total = [], [], 0
    for plate in source.map_plates:
        path = source.results.embedding(model, plate)
        if path.is_file():
            wells = read_wells(path)
            wanted = min(int(np.ceil(share * wells.n_obs)), MAX_WELLS)  # rows may be cells, far more than wells
            places = thinned(wells.n_obs, wanted, source.cfg["report"]["seed"])
            kept_obs.append(wells.obs.iloc[places])
            kept_x.append(np.asarray(wells.X, dtype=np.float32)[places])
            total += wells.n_obs
    if not kept_obs:
        return pd.DataFrame(), np.empty((0, 0), np.float32), 0
    places = thinned(sum(map(len, kept_obs)), MAX_WELLS, source.cfg["report"]["seed"])
    return pd.concat(kept_obs).iloc[places], np.concatenate(kept_x)[places], total


def _corrected(source: Source, model: str, correction: str, names: pd.Index) -> Features | None:
    """Return the corrected rows of the named wells, or None where one of them is missing."""
    found_names, found_x = [], []
    for plate in source.map_plates:
        path = source.results.corrected(model, correction, plate)
        if path.is_file():
            wells = read_wells(path)
            here = wells.obs_names.isin(names)
            found_names += list(wells.obs_names[here])
            found_x.append(np.asarray(wells.X, dtype=np.float32)[here])
    places = pd.Index(found_names).get_indexer(names)
    return None if (places < 0).any() else np.concatenate(found_x)[places]


def _figure(model: str, obs: pd.DataFrame, layouts: list[tuple[str, npt.NDArray[np.float64]]]) -> Figure:
    plate_N = obs["Metadata_Plate"].to_numpy(dtype=np.str_)
    control_N = obs["Metadata_Control_Type"].to_numpy(dtype=np.str_)
    plates = list(dict.fromkeys(plate_N))
    present = {name: look for name, look in CONTROL_LOOKS.items() if name in set(control_N)}
    uri = scatter(layouts, [("plate", plate_N, looks(plates)), ("control type", control_N, present)])
    counts = ", ".join(f"{int((control_N == name).sum())} {name}" for name in CONTROL_TYPES if name in present)
    titles = " and ".join(title for title, _ in layouts)
    alt = f"UMAP of {len(obs)} wells of {model}, {titles}: coloured by {len(plates)} plates, below by control type."
    caption = f"{model}: {len(obs):,} wells ({counts}) of {len(plates)} plate{'' if len(plates) == 1 else 's'}"
    return Figure(uri, alt, caption, width=int(115 * (2.75 * len(layouts) + 1.5)), scroll=True)
