"""A results folder as the stages before the report leave it, with hostile names, and what a browser makes of a page."""

import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from platemae.contracts import FIELDS_COLUMNS, OBS_COLUMNS, QC_COLUMNS, SCORE_COLUMNS, SHIFT_COLUMNS, Manifest
from platemae.layout import Results

HOSTILE = "<script>alert('gene')</script>$x_{"
CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito", "WGA")
PLATES = ("P1", "P2")
MODELS = (("mae_tiny", "mae"), ("untrained", "untrained"), ("intensity_means", "profiles"))
CORRECTIONS = (("none", "none"), ("centerscale", "centerscale"), ("tvn", "tvn"))
CFG = {
    "report": {"title": "Screen 7", "umap_neighbors": 10, "seed": 3, "reconstructions": 2},
    "plates": list(PLATES),
    "map_plates": list(PLATES),
    "measured_plates": [],
    "embedded_plates": list(PLATES),
    "models": [
        {"name": name, "kind": kind, "dataset": None if kind == "profiles" else "screen", "intensity": "controls"}
        for name, kind in MODELS
    ],
    "corrections": [
        {"name": name, "kind": kind, "batch_unit": "plate", "ridge": 0.5, "n_components": None, "few_controls": "error"}
        | {"fit_on": "negcon", "per": "batch", "center_per_batch": None, "recolor": False, "basis": None}
        | {"method": "zca_cor", "epsilon": 1e-6, "theta": 2.0, "seed": 0, "fit_plates": "all"}
        for name, kind in CORRECTIONS
    ],
    "benchmarks": [{"name": "planted", "kind": "known_relations", "relations": "relations.csv"}],
    "exclude_failed": True,
}
INTENSITY = {
    "clipped": {name: [0.001, 0.0123] for name in CHANNELS},
    "collapsed": dict.fromkeys(CHANNELS, 0.0),
    "grey_levels": dict.fromkeys(CHANNELS, 251) | {"ER": 17},
}


def parts(seed_text: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(seed_text.encode()))


def wells() -> list[tuple[str, str]]:
    names = [f"{row}{column:02d}" for row in "BCDEFG" for column in range(2, 12)]
    kinds = ["negcon", "treatment", "treatment", "treatment", "poscon"] * 12
    return list(zip(names, kinds, strict=True))


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)


def write_manifest(results: Results, stage: str, wildcards: dict, counts: dict, warnings: list[str]) -> None:
    name = "/".join([stage, *wildcards.values()])
    Manifest(stage, f"{zlib.crc32(name.encode()):064x}", counts, warnings).write(results.manifest(stage, **wildcards))


def fake_plate(results: Results, plate: str) -> None:
    rng = parts(plate)
    rows, qc = [], []
    for well, kind in wells():
        for site in ("0", "1"):
            lost = (plate, well, site) == ("P1", "B02", "1")
            group = f"{well[0]}/{int(well[1:])}/{site}"
            gene = HOSTILE if kind == "treatment" else ""
            rows.append([plate, "day1", well, site, 0, 0, group, "", gene, gene, "", "", kind])
            for place, channel in enumerate(CHANNELS):
                level = 900 + 150 * place + 30 * int(well[1:]) + rng.normal(0, 40)
                measures = [rng.normal(0.3, 0.03), 0.001, 200.0, rng.uniform(0.2, 0.5), level, -1.2, 0.3, 0.0]
                measures.append(40.0 - int(well[1:]) if plate == "P1" else 35.0)
                verdict = ("fail", "out of focus in DNA") if lost else ("pass", "")
                if (plate, well, site) == ("P2", "C03", "0"):
                    verdict = ("warn", "cells unusual: 3 (20 to 50)")
                qc.append([plate, well, site, channel, *measures, *verdict])
    write_parquet(results.fields(plate), pd.DataFrame(rows, columns=list(FIELDS_COLUMNS)))
    write_parquet(results.qc(plate), pd.DataFrame(qc, columns=list(QC_COLUMNS)))
    write_manifest(results, "ingest_plate", {"plate": plate}, {"wells": 60, "fields": 120}, [])
    warned = [f"plate {plate}: 1 field is out of focus"] if plate == "P1" else []
    edge = {"measure": "mean", "channel": "ER", "change": -0.081, "deviations": -2.345, "outer": 20, "inner": 40}
    drift = {"measure": "background", "channel": "DNA", "rho": 0.25 + 0.5 * (plate == "P1"), "wells": 60}
    effects = {"edge": [edge | {"beyond": plate == "P1"}], "drift": [drift | {"beyond": plate == "P1"}]}
    counts = {"fields": 120, "failed": len(warned), "warned": int(plate == "P2"), **effects}
    write_manifest(results, "qc_plate", {"plate": plate}, counts, warned)


def fake_model(results: Results, model: str, kind: str) -> None:
    folder = results.model(model)
    folder.mkdir(parents=True)
    facts = {"name": model, "channels": [{"name": c, "stain": c} for c in CHANNELS], "params": 5_500_000}
    facts |= {"training": {"steps": 1500, "gpu_hours": 0.25, "val_mse_share": 0.7213}}
    facts |= {"intensity": {"name": "controls", "maps": {"day1": {"DNA": [100, 4000]}}}}
    (folder / "model.json").write_text(json.dumps(facts))
    if kind == "untrained":
        write_parquet(folder / "history.parquet", pd.DataFrame({"step": [0], "lr": [np.nan], "val_mse": [1.002]}))
    if kind == "mae":
        step = np.arange(50, 1501, 50)
        history = {"step": step, "lr": np.sin(step / 1500 * np.pi) * 1e-3, "mse": 0.7 + np.exp(-step / 300)}
        history |= {"fourier": 9 + np.exp(-step / 300), "loss": 0.79 + np.exp(-step / 300)}
        history["val_mse"] = np.where(step % 250 == 0, 0.72 + np.exp(-step / 300), np.nan)
        write_parquet(folder / "history.parquet", pd.DataFrame(history))
        target = blobs(parts(model), 3, len(CHANNELS), 64)
        shown = (parts("mask").random((3, len(CHANNELS), 4, 4)) < 0.25).repeat(16, 2).repeat(16, 3)
        masked = np.where(shown, target, np.nan)
        arrays = {"target": target, "masked": masked, "reconstruction": 0.8 * target}
        arrays |= {"ratios": [0.25, 0.75], "ratio_masked": np.stack([masked[:2]] * 2)}
        arrays |= {"ratio_reconstruction": np.stack([target[:2]] * 2), "worst": np.stack([target, masked, target], 1)}
        arrays |= {
            "worst_error": [3.21, 2.0, 1.5],
            "median_error": 0.8,
            "validation_crops": 128,
            "worst_plate": ["P1", "P2", "P2"],
        }
        np.savez(folder / "reconstructions.npz", **arrays, worst_group=["B/2/1", "C/3/0", "D/4/0"])
    write_manifest(results, "train_model", {"model": model}, {"params": 5_500_000}, [])


def blobs(rng: np.random.Generator, crops: int, channels: int, edge: int) -> np.ndarray:
    y, x = np.mgrid[:edge, :edge]
    images = rng.normal(0, 0.05, (crops, channels, edge, edge))
    for crop, channel, _ in np.ndindex(crops, channels, 6):
        cy, cx, radius = *rng.uniform(0, edge, 2), rng.uniform(3, 9)
        images[crop, channel] += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / radius**2)
    return images.astype(np.float32)


def fake_embedding(path: Path, plate: str, spread: float) -> None:
    rng = parts(str(path.relative_to(path.parents[2])))
    names, kinds = zip(*wells(), strict=True)
    shift = {"negcon": 0.0, "treatment": 0.7, "poscon": 2.5}
    x_ND = rng.normal(0, 1, (60, 24)) + np.array([shift[k] for k in kinds])[:, None] + spread * (plate == "P2")
    obs = pd.DataFrame(dict.fromkeys(OBS_COLUMNS, ""), index=[f"{plate}_{well}" for well in names])
    obs = obs.assign(Metadata_Plate=plate, Metadata_Well=names, Metadata_Control_Type=kinds, Metadata_Gene=HOSTILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    anndata.AnnData(x_ND.astype(np.float32), obs=obs).write_h5ad(path)


def fake_shifts(results: Results, model: str, correction: str) -> None:
    rng = parts(f"{model} {correction}")
    rows = [[plate, source, 12, *rng.uniform(0, 2, 3)] for source in ("negcon", "wells") for plate in PLATES]
    write_parquet(results.plate_shifts(model, correction), pd.DataFrame(rows, columns=list(SHIFT_COLUMNS)))


def fake_scores(results: Results, model: str, correction: str) -> None:
    base = {"mae_tiny": 0.5, "untrained": 0.12, "intensity_means": 0.16}[model]
    value = base * {"none": 0.4, "centerscale": 0.9, "tvn": 1.0}[correction] + 0.05
    detail = json.dumps({"pairs": 120, "gene": HOSTILE})
    rows = [
        ["planted", "relations", "recall", 0.05, value, value - 0.04, value + 0.04, 120, 0.1],
        ["planted", "relations: strong", "recall", 0.05, value + 0.1, value, value + 0.2, 40, 0.1],
        ["planted", "relations", "recall_shuffled", 0.05, 0.1, 0.07, 0.13, 120, 0.1],
        ["replicates", "replicates", "mean_cosine", np.nan, value, value - 0.1, value + 0.9, 60, np.nan],
    ]
    table = pd.DataFrame(
        [[model, correction, *row[:-2], np.nan, np.nan, *row[-2:], "", detail] for row in rows],
        columns=list(SCORE_COLUMNS),
    )
    write_parquet(results.scores(model, correction), table)


class Page(HTMLParser):
    """Collects what a browser would make of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))
