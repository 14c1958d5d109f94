"""UMAP of wells before and after the batch correction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.contracts import CONTROL_TYPES
from platemae.report.blocks import Block, Figure, Heading, Section, Text
from platemae.report.figures import BLACK, BLUE, RED, looks, scatter
from platemae.report.source import Source
from platemae.report.umap import MAX_WELLS, MIN_WELLS, thinned, umap
from platemae.tables import read_wells

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
        f"UMAP of the wells {what}, by scanpy with {report['umap_neighbors']} neighbours and seed {report['seed']}. Wells "
        "that mix over plates but part by treatment are what a correction is for. UMAP keeps neighbours, not distances: "
        "the scores below judge, not this picture."
    )


def _model(source: Source, model: str, after: str | None) -> list[Block]:
    before_paths = [source.results.embedding(model, plate) for plate in source.plates]
    obs, x_ND = _read(before_paths)
    if len(obs) < MIN_WELLS:
        return [Text(f"{model} has {len(obs)} embedded wells, too few for a picture.", "note")]
    report = source.cfg["report"]
    kept = thinned(len(obs), MAX_WELLS, report["seed"])
    obs, views, notes = obs.iloc[kept], [("before", x_ND[kept])], []
    if len(kept) < len(x_ND):
        notes.append(f"{len(kept):,} of {len(x_ND):,} wells are drawn.")
    if after is not None:
        corrected, y_NE = _read([source.results.corrected(model, after, plate) for plate in source.plates])
        places = corrected.index.get_indexer(obs.index)
        if (places >= 0).all():
            views.append((f"after {after}", y_NE[places]))
        else:
            notes.append(f"Wells corrected by {after} were not found for all of {model}, so only the first is drawn.")
    finite = np.logical_and.reduce([np.isfinite(x).all(axis=1) for _, x in views])
    if not finite.all():
        notes.append(f"{int((~finite).sum())} wells with values that are not finite are left out.")
    layouts = [(title, umap(x[finite], report["umap_neighbors"], report["seed"])) for title, x in views]
    return [_figure(model, obs[finite], layouts), *(Text(note, "note") for note in notes)]


def _read(paths: list[Path]) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    """Return obs and X of all plates that are there, with unique well names."""
    tables = [read_wells(path) for path in paths if path.is_file()]
    if not tables:
        return pd.DataFrame(), np.empty((0, 0), np.float32)
    obs = pd.concat([table.obs for table in tables])
    return obs, np.concatenate([np.asarray(table.X, dtype=np.float32) for table in tables])


def _figure(model: str, obs: pd.DataFrame, layouts: list[tuple[str, npt.NDArray[np.float64]]]) -> Figure:
    plate_N = obs["Metadata_Plate"].astype(str).to_numpy()
    control_N = obs["Metadata_Control_Type"].astype(str).to_numpy()
    plates = list(dict.fromkeys(plate_N))
    present = {name: look for name, look in CONTROL_LOOKS.items() if name in set(control_N)}
    uri = scatter(layouts, [("plate", plate_N, looks(plates)), ("control type", control_N, present)])
    counts = ", ".join(f"{int((control_N == name).sum())} {name}" for name in CONTROL_TYPES if name in present)
    titles = " and ".join(title for title, _ in layouts)
    alt = f"UMAP of {len(obs)} wells of {model}, {titles}; above coloured by plate ({len(plates)}), below by control type."
    caption = f"{model}: {len(obs):,} wells ({counts}) of {len(plates)} plate{'' if len(plates) == 1 else 's'}"
    return Figure(uri, alt, caption, width=int(115 * (2.75 * len(layouts) + 1.5)), scroll=True)
