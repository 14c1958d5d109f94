"""Real screens: two where biology is known to show, one where it is known not to."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.annotations import Relations, read_relations
from platemae.benchmarks.recall import RecallSettings, score_recall
from platemae.correction.centerscale import CenterScale
from platemae.correction.control_stats import ControlStats
from platemae.correction.moments import MomentSettings
from platemae.correction.tvn import TVN, TVNSettings

SHARED = Path(os.environ.get("PLATEMAE_SHARED", Path(__file__).resolve().parents[4] / "shared"))
DATA = SHARED / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"real profiles not found under {DATA} (PLATEMAE_SHARED)")


def correct(fitted_by: type, config: object, x: np.ndarray, unit: pd.Series, control: np.ndarray) -> np.ndarray:
    """Correct every unit by its own controls."""
    stats = {name: ControlStats.from_rows(x[(unit == name).to_numpy() & control], name) for name in unit.unique()}
    fitted = fitted_by.fit(stats, {name: name for name in stats}, config)
    parts = {name: fitted.transform(x[(unit == name).to_numpy()], stats[name]) for name in stats}
    out = np.empty((len(x), next(iter(parts.values())).shape[1]))
    for name, part in parts.items():
        out[(unit == name).to_numpy()] = part
    return out


def known(pairs: list[tuple[str, str]]) -> Relations:
    rows = sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})
    return Relations(pd.DataFrame(rows, columns=["entity1", "entity2"]), {"pairs": len(rows)})


def first(table: pd.DataFrame, metric: str, source: str) -> pd.Series:
    rows = table[(table["metric"] == metric) & (table["source"] == source) & (table["threshold"] == 0.05)]
    return rows.iloc[0]


@pytest.fixture(scope="module")
def bbbc021() -> tuple[pd.DataFrame, np.ndarray]:
    folder = DATA / "profiles-bbbc021-ljosa"
    wells = pd.read_csv(folder / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz")
    images = pd.read_csv(folder / "BBBC021_v1_image.csv.gz").rename(columns=lambda name: name.removesuffix("_DAPI"))
    keys = ["Image_Metadata_Plate", "Image_Metadata_Well"]
    doses = ["Image_Metadata_Compound", "Image_Metadata_Concentration"]
    moa = pd.read_csv(folder / "BBBC021_v1_moa.csv").rename(
        columns=dict(zip(["compound", "concentration"], doses, strict=True))
    )
    table = wells.merge(images[keys + doses].drop_duplicates(), on=keys).merge(moa, on=doses, how="left")
    features = [name for name in wells.columns if name not in keys]
    table.columns = table.columns.str.removeprefix("Image_Metadata_")
    return table, table[features].to_numpy(dtype=np.float64)


def test_bbbc021_mechanisms_are_found_after_tvn(bbbc021: tuple[pd.DataFrame, np.ndarray]) -> None:
    """55 plates of 6 DMSO wells, 516 features: far fewer controls than dimensions, on a plate and in all."""
    table, x = bbbc021
    control = (table["Compound"] == "DMSO").to_numpy()
    y = correct(TVN, TVNSettings(), x, table["Plate"], control)
    assert y.shape == (632, control.sum() - 1)
    obs = pd.DataFrame({f"Metadata_{name}": table[name].astype(str) for name in ("Plate", "Well")})
    obs["Metadata_Gene"] = table["Compound"] + "|" + table["Concentration"].astype(str)
    obs["Metadata_Perturbation"] = obs["Metadata_Gene"] + "|" + obs["Metadata_Plate"] + "|" + obs["Metadata_Well"]
    obs["Metadata_Control_Type"] = np.where(control, "negcon", "treatment")
    gene_map = build_gene_map(y, obs, AggregateSettings(method="median"))
    assert gene_map.n_obs == 103
    moa = dict(zip(obs["Metadata_Gene"], table["moa"], strict=True))
    names = gene_map.obs_names.tolist()
    compound = np.array([name.split("|")[0] for name in names])
    mechanism = np.array([moa[name] for name in names])
    unit = gene_map.X / np.linalg.norm(gene_map.X, axis=1, keepdims=True)
    cosine = unit @ unit.T
    cosine[compound[:, None] == compound] = -2
    assert (mechanism[cosine.argmax(axis=1)] == mechanism).mean() >= 0.85
    same = (mechanism[:, None] == mechanism) & (compound[:, None] != compound)
    relations = known([(names[i], names[j]) for i, j in zip(*np.nonzero(np.triu(same)), strict=True)])
    assert len(relations.pairs) == 305
    scores = score_recall(gene_map.X, names, {"moa": relations}, RecallSettings(n_bootstrap=200))
    recall, shuffled = first(scores, "recall", "moa"), first(scores, "recall_shuffled", "moa")
    assert recall["value"] >= 0.45
    assert recall["ci_low"] > shuffled["ci_high"]
    assert shuffled["value"] <= 0.2
    assert (gene_map.obs["p"].dropna() <= 0.05).mean() > 0.5


def test_fly_complexes_are_found_after_scaling_by_batch() -> None:
    folder = DATA / "profiles-dmelsgi-rnai"
    table = pd.read_parquet(folder / "single_knockdown_image_features.parquet")
    table = table[np.isfinite(table.filter(regex=r"^f_")).all(axis=1)].reset_index(drop=True)
    assert len(table) == 15_350  # ten of 15,360 wells hold a NaN
    x = table.filter(regex=r"^f_").to_numpy(dtype=np.float64)
    everything = np.ones(len(x), dtype=bool)
    y = correct(CenterScale, MomentSettings(), x, table["Metadata_batch"].astype(str), everything)
    design = table["Metadata_FBgn"] + "_" + table["Metadata_dsRNA_design"].astype(str)
    obs = pd.DataFrame({"Metadata_Gene": table["Metadata_FBgn"], "Metadata_Perturbation": design})
    obs = obs.assign(Metadata_Plate=table["Metadata_batch"].astype(str), Metadata_Well=design)
    obs["Metadata_Control_Type"] = "treatment"
    gene_map = build_gene_map(y, obs, AggregateSettings(n_null=99))
    assert gene_map.n_obs == 640
    lines = (folder / "dpim_complexes.tsv").read_text().splitlines()
    members = [line.split("\t")[1].split("|") for line in lines if "FBgn" in line]
    pairs = [(a, b) for group in members for a in group for b in group]
    interactions = pd.read_csv(folder / "dpim_interactions.csv")
    scored = list(zip(interactions["Interactor_1"], interactions["Interactor_2"], strict=True))
    sources = {"complexes": known(pairs), "interactions": known(scored)}
    scores = score_recall(gene_map.X, gene_map.obs["gene"].tolist(), sources, RecallSettings(n_bootstrap=100))
    for source in sources:
        recall, shuffled = first(scores, "recall", source), first(scores, "recall_shuffled", source)
        assert recall["value"] >= 0.25
        assert recall["value"] > shuffled["ci_high"]
        assert 0.06 <= shuffled["value"] <= 0.14
        assert shuffled["ci_low"] <= 0.1 <= shuffled["ci_high"]


def test_weak_expression_screen_stays_at_chance() -> None:
    """The honest answer here is chance: the interval must cover it, not announce a success."""
    table = pd.read_parquet(DATA / "profiles-taorf-l1000" / "taorf_u2os_72h_l1000.parquet")
    x = table.filter(regex=r"^L1000_").to_numpy(dtype=np.float64)
    kind = table["Metadata_pert_type"]
    obs = table[["Metadata_pert_mfc_desc", "Metadata_x_genesymbol_mutation", "Metadata_det_plate", "Metadata_det_well"]]
    obs.columns = ["Metadata_Gene", "Metadata_Perturbation", "Metadata_Plate", "Metadata_Well"]
    obs = obs.assign(
        Metadata_Control_Type=np.where(kind == "trt_oe", "treatment", "negcon"),
        Metadata_Perturbation=obs["Metadata_Gene"] + "_" + table["Metadata_pert_id"],
    )
    y = correct(TVN, TVNSettings(), x, obs["Metadata_Plate"], (kind != "trt_oe").to_numpy())
    gene_map = build_gene_map(y, obs, AggregateSettings(n_null=99))
    sources = {name: read_relations(DATA / "relations-efaar" / f"{name}.txt") for name in ("Reactome", "StringDB")}
    scores = score_recall(gene_map.X, gene_map.obs["gene"].tolist(), sources, RecallSettings(n_bootstrap=300))
    for source in sources:
        recall, shuffled = first(scores, "recall", source), first(scores, "recall_shuffled", source)
        assert recall["value"] < 0.2
        assert recall["ci_low"] <= 0.1 <= recall["ci_high"]
        assert shuffled["value"] == pytest.approx(0.1, abs=0.02)
        assert recall["value"] <= shuffled["ci_high"]


def test_shipped_relation_files_have_their_published_counts() -> None:
    counts = {
        name: len(read_relations(DATA / "relations-efaar" / f"{name}.txt").pairs)
        for name in ("Reactome", "HuMAP", "StringDB")
    }
    assert counts == {"Reactome": 18_565, "HuMAP": 58_538, "StringDB": 58_059}
