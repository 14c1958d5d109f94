"""Scores of a map: rows complete, planted pairs found, benchmarks of wells read wells."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae.config.sections import benchmark_entry
from platemae.contracts import SCORE_COLUMNS
from platemae.errors import PlatemaeError
from platemae.layout import Results
from platemae.stages import build_map, score_map
from platemae.tables import write_anndata
from tests.stages.screen import GENES, embedded_plate


@pytest.fixture
def results(tmp_path):
    made = Results(tmp_path)
    for number, plate in enumerate(("P1", "P2")):
        write_anndata(embedded_plate(made, "m", plate, "B1", seed=number), made.corrected("m", "none", plate))
    build_map.run(
        made, {"map": {"entity": "gene", "aggregate": "mean"}, "plates": ["P1", "P2"]}, model="m", correction="none"
    )
    pairs = pd.DataFrame({"entity1": GENES[::2], "entity2": GENES[1::2]})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    return made


def scored(results, *entries, aggregate="mean"):
    benchmarks = [benchmark_entry(n_bootstrap=50, **entry).model_dump(mode="json") for entry in entries]
    cfg = {
        "benchmarks": benchmarks,
        "plates": ["P1", "P2"],
        "map": {"entity": "gene", "aggregate": aggregate},
        "overlap": "images",
    }
    manifest = score_map.run(results, cfg, model="m", correction="none", base=results.root)
    return pd.read_parquet(results.scores("m", "none")), manifest


PAIRS = {"name": "planted", "kind": "known_relations", "relations": "pairs.csv", "n_shuffles": 50}


def test_planted_pairs_are_found_with_interval_and_chance(results):
    table, manifest = scored(results, PAIRS, {"name": "replicates", "kind": "replicate_consistency"})
    assert list(table.columns) == list(SCORE_COLUMNS)
    assert manifest.counts["rows"] == len(table)
    assert set(table["overlap"]) == {"images"}
    recall = table.query("metric == 'recall' and abs(threshold - 0.05) < 1e-9").iloc[0]
    # 12 planted pairs of 276: all in the upper 5 % (13.8 pairs), as each shares a direction of four deviations.
    assert recall["value"] > 0.8
    assert recall["ci_low"] > recall["chance"] == pytest.approx(0.1)
    assert recall["n"] == 12
    shuffled = table.query("metric == 'recall_shuffled' and abs(threshold - 0.05) < 1e-9").iloc[0]
    assert abs(shuffled["value"] - 0.1) < 0.04
    assert set(table["benchmark"]) == {"planted", "replicates"}


def test_a_benchmark_of_wells_reads_wells(results):
    table, _ = scored(results, {"name": "dose", "kind": "control_axis"})
    assert table["value"].isna().all()
    assert json.loads(table["detail"].iloc[0])["missing"].startswith("two wells of each control (24 negcon")


def test_finer_rows_become_replicates_as_in_the_map(results):
    dose = {"name": "dose", "kind": "control_axis"}
    rng = np.random.default_rng(0)
    paths = [results.corrected("m", "none", plate) for plate in ("P1", "P2")]
    for path in paths:
        wells = anndata.read_h5ad(path)
        wells.obs["Metadata_Concentration"] = rng.integers(1, 9, len(wells)).astype(float)
        wells.obs["Metadata_Control_Type"] = np.where(wells.obs["Metadata_Gene"] == "G0", "poscon", "treatment")
        wells.obs.iloc[:12, wells.obs.columns.get_loc("Metadata_Control_Type")] = "negcon"
        write_anndata(wells, path)
    of_wells, _ = scored(results, dose)
    for path in paths:
        wells = anndata.read_h5ad(path)
        fields = [wells.copy() for _ in range(3)]
        for field, sign in zip(fields[1:], (1, -1), strict=True):  # the median of three is the well itself
            field.X = wells.X + sign * np.abs(rng.normal(scale=9, size=wells.shape))
        write_anndata(anndata.concat(fields, index_unique="_"), path)
    by_median, _ = scored(results, dose, aggregate="median")
    by_mean, _ = scored(results, dose)
    np.testing.assert_allclose(by_median["value"], of_wells["value"], rtol=1e-6)
    assert of_wells["value"].notna().all()
    assert abs(by_mean["value"] - of_wells["value"]).max() > 0.01


def test_equal_input_gives_an_equal_digest(results):
    assert scored(results, PAIRS)[1].digest == scored(results, PAIRS)[1].digest


def test_a_missing_relation_file_is_named(results):
    with pytest.raises(PlatemaeError, match="nowhere") as error:
        scored(results, PAIRS | {"relations": "nowhere.csv"})
    assert "nowhere.csv" in str(error.value)


def test_the_problems_of_all_benchmarks_are_said_together_and_nothing_is_written(results):
    lacking = {"kind": "matching", "rows": "wells", "match": "compound", "null_size": 100}
    with pytest.raises(PlatemaeError, match="2 problems") as error:
        scored(results, {"name": "siblings", **lacking}, PAIRS | {"relations": "nowhere.csv"}, {**PAIRS, "name": "x"})
    assert "a name in compound" in str(error.value)
    assert "nowhere.csv" in str(error.value)
    assert not results.scores("m", "none").exists()


def test_a_missing_map_is_one_problem_however_many_benchmarks_read_it(results):
    results.map("m", "none").unlink()
    with pytest.raises(PlatemaeError) as error:
        scored(results, PAIRS, {**PAIRS, "name": "again"})
    assert error.value.what == "the map is missing"


def test_files_of_every_kind_start_at_the_folder_of_plates(results):
    """Clusters, labels and features (one table a plate) by relative paths; probe, mixing and stability read wells."""
    folder, turn = results.root, np.random.default_rng(1).normal(size=(8, 3))
    rows = [f"pair{i // 6},{gene}\n" for i, gene in enumerate(GENES)]
    (folder / "clusters.csv").write_text("cluster,gene\n" + "".join(rows))
    (folder / "labels.csv").write_text("gene,label\n" + "".join(f"{g},{'ab'[i // 12]}\n" for i, g in enumerate(GENES)))
    for plate in ("P1", "P2"):
        wells = anndata.read_h5ad(results.corrected("m", "none", plate))
        features = np.asarray(wells.X) @ turn
        table = pd.DataFrame(features, columns=["Cells_Texture_A", "Cells_Texture_B", "Nuclei_Intensity_C"])
        table.insert(0, "Metadata_Well", wells.obs["Metadata_Well"].to_numpy())
        table.to_csv(folder / f"{plate}.features.csv", index=False)
    table, _ = scored(
        results,
        {"name": "complexes", "kind": "clusters", "clusters": "clusters.csv", "min_genes": 4, "n_shuffles": 50},
        {"name": "halves", "kind": "linear_probe", "labels": "labels.csv", "n_shuffles": 1},
        {"name": "cp", "kind": "feature_regression", "features": "{plate}.features.csv"},
        {"name": "mixing", "kind": "batch_mixing", "n_neighbors": 5},
        {"name": "plates", "kind": "plate_stability", "relations": {"pairs": "pairs.csv"}},
    )
    values = table.set_index(["benchmark", "source", "metric"])["value"]
    assert values.loc[("complexes", "clusters", "cosine_difference")] > 0.1
    assert values.loc[("halves", "labels", "balanced_accuracy")] > 0.7
    assert {"all", "category:texture", "compartment:Nuclei"} <= set(values.loc["cp"].index.get_level_values("source"))
    assert (values.loc["cp"] > 0.9).all()
    assert values.loc[("plates", "pairs", "recall_min")] > 0.5
    assert values.loc["mixing"].notna().all()


def test_every_form_of_recall_consistency_and_magnitude_is_a_key_of_its_entry(results):
    forms = {"side": "upper", "null_kind": "drawn", "null_rows": "genes", "curve": True, "filter_consistency_p": 0.9}
    table, _ = scored(
        results,
        PAIRS | forms | {"thresholds": [[0.02, 0.98]], "min_entities": 10},
        {"name": "matched", "kind": "replicate_consistency", "null_kind": "matched", "measure": "angle", "n_null": 99},
        {"name": "far", "kind": "magnitude", "min_wells": 4, "n_null": 99},
    )
    recall = table[table["metric"] == "recall_upper"]
    assert recall[["threshold", "chance"]].to_numpy().tolist() == [[0.02, 0.02]]
    assert len(json.loads(recall["detail"].iloc[0])["recall_by_draw"]) == 3
    assert (table["metric"] == "recall_upper_curve").sum() == 10
    assert {"mean_angle", "share_active", "mean_energy_distance"} <= set(table["metric"])
    reasons = [json.loads(detail).get("plate_reason", "") for detail in table["detail"]]
    assert all("2, fewer than 3" in reason for reason in reasons)
    assert table["plate_ci_low"].isna().all()
