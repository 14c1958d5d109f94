"""Real screens: two where biology is known to show, one where it is known not to."""

import os
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.annotations import read_relations
from platemae.benchmarks.registry import resolve
from platemae.benchmarks.rows import stamp
from platemae.benchmarks.scored import Scored
from platemae.correction.centerscale import CenterScale
from platemae.correction.control_stats import ControlStats
from platemae.correction.moments import MomentSettings
from platemae.correction.tvn import TVN, TVNSettings
from platemae.report.verdicts import judge

SHARED = Path(os.environ.get("PLATEMAE_SHARED", Path(__file__).resolve().parents[4] / "shared"))
DATA = SHARED / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"real profiles not found under {DATA} (PLATEMAE_SHARED)"),
]


def correct(fitted_by: type, config: object, x: np.ndarray, unit: pd.Series, control: np.ndarray) -> np.ndarray:
    """Correct every unit by its own controls."""
    stats = {name: ControlStats.from_rows(x[(unit == name).to_numpy() & control], name) for name in unit.unique()}
    fitted = fitted_by.fit(stats, {name: name for name in stats}, config)
    parts = {name: fitted.transform(x[(unit == name).to_numpy()], stats[name]) for name in stats}
    out = np.empty((len(x), next(iter(parts.values())).shape[1]))
    for name, part in parts.items():
        out[(unit == name).to_numpy()] = part
    return out


def first(table: pd.DataFrame, metric: str, source: str) -> pd.Series:
    rows = table[(table["metric"] == metric) & (table["source"] == source) & (table["threshold"] == 0.05)]
    return rows.iloc[0]


def benchmark(kind: str, data: Scored, **values: object) -> pd.DataFrame:
    """Score as score_map does: the class of the registry, its settings by name."""
    cls = resolve(kind)
    return cls.score(data, cls.Settings(**values))


def wells_of(y: np.ndarray, obs: pd.DataFrame) -> ad.AnnData:
    return ad.AnnData(y, obs=obs.astype(str).set_axis(np.arange(len(obs)).astype(str), axis=0))


def scored(wells: ad.AnnData, **how: object) -> Scored:
    settings = AggregateSettings(**{"n_null": 99, **how})
    return Scored(lambda: build_gene_map(wells.X, wells.obs, settings), lambda: wells, settings)


def pair_file(path: Path, pairs: list[tuple[str, str]]) -> str:
    rows = sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})
    pd.DataFrame(rows, columns=["entity1", "entity2"]).to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def bbbc021() -> tuple[Scored, pd.DataFrame]:
    """Wells after TVN, 55 plates of 6 DMSO wells, 516 features: far fewer controls than dimensions; and mechanisms."""
    folder = DATA / "profiles-bbbc021-ljosa"
    wells = pd.read_csv(folder / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz")
    images = pd.read_csv(folder / "BBBC021_v1_image.csv.gz").rename(columns=lambda name: name.removesuffix("_DAPI"))
    keys = ["Image_Metadata_Plate", "Image_Metadata_Well"]
    named = ["Image_Metadata_Compound", "Image_Metadata_Concentration"]
    table = wells.merge(images[keys + named].drop_duplicates(), on=keys)
    features = [name for name in wells.columns if name not in keys]
    x = table[features].to_numpy(dtype=np.float64)
    obs = table[keys + named].rename(columns=lambda name: name.removeprefix("Image_"))
    obs = obs.assign(Metadata_Gene="", Metadata_Batch=obs["Metadata_Plate"].str.split("_").str[0])
    obs["Metadata_Perturbation"] = obs["Metadata_Compound"] + "|" + obs["Metadata_Concentration"].astype(str)
    control = (obs["Metadata_Compound"] == "DMSO").to_numpy()
    obs["Metadata_Control_Type"] = np.where(control, "negcon", "treatment")
    y = correct(TVN, TVNSettings(), x, obs["Metadata_Plate"], control)
    assert y.shape == (632, control.sum() - 1)
    moa = pd.read_csv(folder / "BBBC021_v1_moa.csv").rename(columns={"moa": "label"})
    how = {"entity": "Metadata_Compound", "doses": "apart", "method": "median"}
    return scored(wells_of(y, obs), **how), moa[moa["compound"] != "DMSO"]


def test_bbbc021_mechanisms_are_neighbors_after_tvn(bbbc021: tuple[Scored, pd.DataFrame], tmp_path: Path) -> None:
    data, moa = bbbc021
    labels = tmp_path / "moa.csv"
    moa.to_csv(labels, index=False)
    assert data.gene_map.n_obs == 103
    table = benchmark("nearest_neighbor", data, labels=str(labels), not_same=("compound",)).set_index("metric")
    found, shuffled = table.loc["accuracy"], table.loc["accuracy_shuffled"]
    assert found["n"] == 103
    assert found["value"] >= 0.85
    assert found["ci_low"] > shuffled["ci_high"]
    assert shuffled["value"] <= 0.2
    matched = benchmark("matching", data, labels=str(labels), not_same=("compound",)).set_index("metric")
    precision, retrieved = matched.loc["mean_average_precision"], matched.loc["fraction_retrieved"]
    assert precision["ci_low"] > precision["chance"] + 0.2
    assert retrieved["value"] > 0.5
    wells = benchmark(
        "nearest_neighbor", data, labels=str(labels), not_same=("compound", "batch"), rows="wells", n_plate_bootstrap=50
    ).iloc[0]
    assert wells["ci_low"] > wells["chance"] + 0.2
    assert wells["plate_ci_low"] > wells["chance"] + 0.2


def test_bbbc021_mechanisms_are_recalled_after_tvn(bbbc021: tuple[Scored, pd.DataFrame], tmp_path: Path) -> None:
    data, moa = bbbc021
    label = {f"{c}@{dose:.10g}": mechanism for c, dose, mechanism in moa.itertuples(index=False)}
    names = data.gene_map.obs["gene"].tolist()
    compound = [name.rsplit("@")[0] for name in names]
    pairs = [
        (names[i], names[j])
        for i in range(103)
        for j in range(i)
        if label[names[i]] == label[names[j]] and compound[i] != compound[j]
    ]
    assert len(pairs) == 305
    scores = benchmark("known_relations", data, relations=pair_file(tmp_path / "moa.csv", pairs), n_bootstrap=200)
    recall, shuffled = first(scores, "recall", "moa"), first(scores, "recall_shuffled", "moa")
    assert recall["value"] >= 0.45
    assert recall["ci_low"] > shuffled["ci_high"]
    assert shuffled["value"] <= 0.2


def test_bbbc021_mechanisms_are_told_of_compounds_never_seen(
    bbbc021: tuple[Scored, pd.DataFrame], tmp_path: Path
) -> None:
    data, moa = bbbc021
    labels = tmp_path / "moa.csv"
    moa.to_csv(labels, index=False)
    table = benchmark(
        "linear_probe", data, labels=str(labels), split_by="compound", c=0.01, n_splits=5, n_shuffles=1
    ).set_index("metric")
    told, shuffled = table.loc["balanced_accuracy"], table.loc["balanced_accuracy_shuffled"]
    assert told["value"] > 0.5
    assert min(told["ci_low"], told["plate_ci_low"]) > 0.3
    assert shuffled["ci_low"] <= shuffled["chance"] <= shuffled["ci_high"]
    without = benchmark("plate_stability", data).set_index("metric").loc["cosine_without_plate"]
    assert without["ci_low"] > without["chance"]


def test_bbbc021_controls_that_are_centred_six_by_six_repel_each_other(bbbc021: tuple[Scored, pd.DataFrame]) -> None:
    """Below chance is no success of the correction: see docs/benchmarks.md."""
    table = benchmark("batch_mixing", bbbc021[0], n_neighbors=5).set_index(["source", "metric"])
    assert table.loc[("negcon", "same_batch_share"), "value"] < table.loc[("negcon", "same_batch_share"), "chance"]
    assert table.loc[("wells", "same_batch_share"), "ci_low"] > table.loc[("wells", "same_batch_share"), "chance"]


def test_jumpscope_compounds_find_themselves_on_another_plate_with_thin_controls() -> None:
    """Three plates of unequal features, 290 in common, 24 controls each: fewer than dimensions."""
    plates = [pd.read_csv(path) for path in sorted((DATA / "profiles-jumpscope-yokogawa-us").glob("*.csv.gz"))]
    common = [name for name in plates[0] if all(name in plate for plate in plates)]
    table = pd.concat([plate[common] for plate in plates], ignore_index=True)
    features = [name for name in common if not name.startswith("Metadata_")]
    assert len(features) == 290
    table = table[np.isfinite(table[features]).all(axis=1)].reset_index(drop=True)
    assert len(table) > 1100
    control = (table["Metadata_control_type"] == "negcon").to_numpy()
    obs = table[["Metadata_Plate", "Metadata_Well"]].assign(
        Metadata_Compound=table["Metadata_pert_iname"].fillna(""),
        Metadata_Perturbation=table["Metadata_broad_sample"].fillna(""),
        Metadata_Gene="",
        Metadata_Concentration="",
        Metadata_Batch="b",
        Metadata_Control_Type=np.where(control, "negcon", "treatment"),
    )
    y = correct(TVN, TVNSettings(), table[features].to_numpy(dtype=np.float64), obs["Metadata_Plate"], control)
    data = scored(wells_of(y, obs), entity="Metadata_Compound")
    table = benchmark(
        "nearest_neighbor", data, rows="wells", match="compound", not_same=("plate",), n_plate_bootstrap=50
    ).set_index("metric")
    found, shuffled = table.loc["accuracy"], table.loc["accuracy_shuffled"]
    assert found["value"] >= 0.15
    assert found["ci_low"] > 5 * found["chance"]
    assert shuffled["ci_low"] <= shuffled["chance"] <= shuffled["ci_high"]
    replicates = benchmark("replicability", data, match="compound", group_by="compound", not_same=("plate",))
    precision = replicates.set_index("metric").loc["mean_average_precision"]
    assert precision["ci_low"] > precision["chance"]


def test_fly_complexes_are_found_after_scaling_by_batch(tmp_path: Path) -> None:
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
    data = scored(wells_of(y, obs))
    assert data.gene_map.n_obs == 640
    lines = (folder / "dpim_complexes.tsv").read_text().splitlines()
    members = [line.split("\t")[1].split("|") for line in lines if "FBgn" in line]
    pairs = [(a, b) for group in members for a in group for b in group]
    interactions = pd.read_csv(folder / "dpim_interactions.csv")
    measured = list(zip(interactions["Interactor_1"], interactions["Interactor_2"], strict=True))
    sources = {"complexes": pairs, "interactions": measured}
    files = {name: pair_file(tmp_path / f"{name}.csv", known) for name, known in sources.items()}
    scores = benchmark("known_relations", data, relations=files, n_bootstrap=100, n_plate_bootstrap=0)
    for source in sources:
        recall, shuffled = first(scores, "recall", source), first(scores, "recall_shuffled", source)
        assert recall["value"] >= 0.25
        assert recall["value"] > shuffled["ci_high"]
        assert 0.06 <= shuffled["value"] <= 0.14
        assert shuffled["ci_low"] <= 0.1 <= shuffled["ci_high"]
    complexes = tmp_path / "complexes.tsv"
    complexes.write_text("cluster\tgene\n" + "".join(f"{line}\n" for line in lines if "FBgn" in line))
    keys = {"clusters": str(complexes), "min_genes": 4, "n_plate_bootstrap": 50}
    clusters = benchmark("clusters", data, **keys).set_index("metric")
    assert clusters.loc["ks_median", "value"] > clusters.loc["ks_median", "chance"]
    assert clusters.loc["share_significant", "ci_low"] > clusters.loc["share_significant", "chance"]
    assert clusters.loc["cosine_difference", "plate_ci_low"] > 0


def test_the_verdict_of_a_weak_expression_screen_is_not_above_chance() -> None:
    """The honest answer here is chance: the interval must cover it, and the report must not announce a success."""
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
    data = scored(wells_of(y, obs))
    sources = ("Reactome", "StringDB")
    files = {name: str(DATA / "relations-efaar" / f"{name}.txt") for name in sources}
    scores = benchmark("known_relations", data, relations=files, n_bootstrap=300, n_plate_bootstrap=50)
    for source in sources:
        recall, shuffled = first(scores, "recall", source), first(scores, "recall_shuffled", source)
        assert recall["value"] < 0.2
        assert recall["ci_low"] <= 0.1 <= recall["ci_high"]
        assert shuffled["value"] == pytest.approx(0.1, abs=0.02)
        assert recall["value"] <= shuffled["ci_high"]
    judged = judge(stamp(scores, "expression", "tvn", "none"), n_plates=3)
    said = [v.headline for v in judged if v.group.metric == "recall" and float(v.group.threshold) == 0.05]
    assert len(said) == 2
    assert all("0 of 1 rows lie clear above chance (0.100); at chance" in s for s in said)


def test_shipped_relation_files_have_their_published_counts() -> None:
    counts = {
        name: len(read_relations(DATA / "relations-efaar" / f"{name}.txt").pairs)
        for name in ("Reactome", "HuMAP", "StringDB")
    }
    assert counts == {"Reactome": 18_565, "HuMAP": 58_538, "StringDB": 58_059}
