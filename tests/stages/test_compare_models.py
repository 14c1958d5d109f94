from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from platemae.contracts import SCORE_COLUMNS, Manifest
from platemae.errors import ContractError, MissingError
from platemae.layout import Results
from platemae.stages import compare_models

CFG = {"models": ["mae", "zero"], "corrections": ["none", "tvn"], "study": []}


def write(results: Results, model: str, correction: str, *rows: list[object]) -> None:
    path = results.scores(model, correction)
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(SCORE_COLUMNS)
    pd.DataFrame([[model, correction, *row] for row in rows], columns=columns).to_parquet(path, index=False)


def recall(benchmark: str, source: str, value: float) -> list[object]:
    return [benchmark, source, "recall", 0.05, value, value - 0.1, value + 0.1, np.nan, np.nan, 120, 0.1, "", "{}"]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    results = Results(tmp_path)
    for model, base in (("mae", 0.3), ("zero", 0.1)):
        for correction, gain in (("none", 0.0), ("tvn", 0.25)):
            write(
                results,
                model,
                correction,
                recall("corum", "CORUM", base + gain),
                ["replicates", "", "mean_cosine", *[np.nan] * 6, 0, np.nan, "none", "too few"],
            )
    return results


def test_all_scores_stand_in_one_tidy_table(results: Results) -> None:
    manifest = compare_models.run(results, CFG, threads=1)
    table = pd.read_csv(results.tables() / "scores.csv", keep_default_na=False)
    assert tuple(table.columns) == SCORE_COLUMNS
    assert table["model"].tolist() == ["mae"] * 4 + ["zero"] * 4
    assert table["value"].tolist() == ["0.3", "", "0.55", "", "0.1", "", "0.35", ""]
    assert table["n"].tolist() == [120, 0] * 4
    assert manifest.counts["rows"] == 8
    assert manifest.counts["benchmarks"] == ["corum", "replicates"]


def test_every_benchmark_has_a_wide_table_in_three_formats(results: Results) -> None:
    compare_models.run(results, CFG, threads=1)
    table = pd.read_csv(results.tables() / "corum.csv", dtype=str)
    assert table[["model", "none", "tvn"]].to_numpy().tolist() == [
        ["mae", "0.300 [0.200, 0.400]", "0.550 [0.450, 0.650]"],
        ["zero", "0.100 [0.000, 0.200]", "0.350 [0.250, 0.450]"],
    ]
    assert "chance 0.100" in (results.tables() / "corum.md").read_text()
    assert r"\begin{tabular}{lrrl}" in (results.tables() / "corum.tex").read_text()
    assert (results.tables() / "replicates.csv").is_file()


def test_points_of_a_curve_are_listed_and_make_no_tables(results: Results) -> None:
    for model in CFG["models"]:
        for correction in CFG["corrections"]:
            point = ["corum", "CORUM", "recall_curve", 0.2, 0.5, *[np.nan] * 4, 120, 0.4, "", "{}"]
            write(results, model, correction, recall("corum", "CORUM", 0.3), point)
    compare_models.run(results, CFG, threads=1)
    assert (pd.read_csv(results.tables() / "scores.csv")["metric"] == "recall_curve").sum() == 4
    assert "curve" not in (results.tables() / "corum.md").read_text()


def test_published_numbers_stand_beside_measured_ones(results: Results) -> None:
    manifest = compare_models.run(results, CFG, threads=1)
    table = pd.read_csv(results.tables() / "published.csv")
    mine = table[(table["measured_model"] == "mae") & (table["table"] == "batch_correction")]
    by_correction = mine.set_index("measured_correction")["difference"]
    assert by_correction["tvn"] == pytest.approx(0.55 - 0.622)
    assert by_correction["none"] == pytest.approx(0.30 - 0.124)
    assert table.loc[table["source"] == "Reactome", "measured"].isna().all()
    assert manifest.counts["published_with_measured"] == table["measured"].notna().sum() > 0


def test_the_digest_follows_the_scores_and_nothing_else(results: Results) -> None:
    first = compare_models.run(results, CFG, threads=1)
    assert compare_models.run(results, CFG, threads=2) == first
    write(results, "zero", "tvn", recall("corum", "CORUM", 0.351))
    assert compare_models.run(results, CFG, threads=1).digest != first.digest


def test_a_benchmark_that_is_gone_leaves_no_table(results: Results) -> None:
    compare_models.run(results, CFG, threads=1)
    (results.tables() / "notes.md").write_text("mine")
    for model in CFG["models"]:
        for correction in CFG["corrections"]:
            write(results, model, correction, recall("corum", "CORUM", 0.2))
    compare_models.run(results, CFG, threads=1)
    names = sorted(path.name for path in results.tables().iterdir())
    assert names == ["corum.csv", "corum.md", "corum.tex", "notes.md", "papers", "published.csv", "scores.csv"]


def test_missing_scores_are_all_named(results: Results) -> None:
    results.scores("mae", "tvn").unlink()
    results.scores("zero", "none").unlink()
    with pytest.raises(MissingError, match="2 problems") as caught:
        compare_models.run(results, CFG, threads=1)
    assert "mae / tvn" in str(caught.value)
    assert "zero / none" in str(caught.value)


def test_scores_of_another_model_are_refused(results: Results) -> None:
    results.scores("mae", "tvn").write_bytes(results.scores("zero", "tvn").read_bytes())
    with pytest.raises(ContractError, match="another model"):
        compare_models.run(results, CFG, threads=1)


@pytest.mark.parametrize("name", ["scores", "published", "../escape", "mine\n"])
def test_a_benchmark_cannot_take_a_file_that_is_not_its_own(results: Results, name: str) -> None:
    write(results, "mae", "none", recall(name, "CORUM", 0.2))
    with pytest.raises(ContractError, match="cannot be called"):
        compare_models.run(results, CFG, threads=1)


def test_no_score_at_all_is_a_warning(tmp_path: Path) -> None:
    results = Results(tmp_path)
    write(results, "mae", "none")
    manifest = compare_models.run(results, {"models": ["mae"], "corrections": ["none"], "study": []}, threads=1)
    assert manifest.warnings == ["no score was measured"]
    assert pd.read_csv(results.tables() / "scores.csv").empty


def studied(model: str, kind: str, twins: str) -> dict:
    entry = {
        "model": model,
        "kind": kind,
        "family": {"mae": "MAE", "wsl": "WSL"}[kind],
        "preset": "tiny",
        "twins": twins,
    }
    return entry | {"dataset": "d", "fraction": 1.0, "seed": 0, "fourier_weight": 0.0, "snapshot": False}


def test_the_scaling_study_has_tables_of_its_own_and_leaves_none_behind(results: Results) -> None:
    counts = {"parameters": 10, "steps": 5, "crops": 40, "flops": 10**9, "grad_norm_median": 1.0, "grad_norm_max": 2.0}
    for model in ("mae", "zero"):
        Manifest("train_model", model, counts | {"loss_spikes": 0}).write(results.manifest("train_model", model=model))
    study = [studied("mae", "mae", "x"), studied("zero", "wsl", "y"), studied("mae", "mae", "x") | {"snapshot": True}]
    manifest = compare_models.run(results, CFG | {"study": study[:2]}, threads=1)
    table = pd.read_csv(results.tables() / "scaling.csv")
    assert manifest.counts["scaling_rows"] == len(table) == 4
    assert table.loc[table["model"] == "mae", "gain"].tolist() == pytest.approx([0.2, 0.2])
    assert (results.tables() / "scaling.md").read_text().count("| mae | MAE | 10 | 1 | 5 | 40 | 1e+09 |") == 2
    assert r"\begin{tabular}" in (results.tables() / "scaling.tex").read_text()
    assert pd.read_csv(results.tables() / "fourier.csv")["model"].tolist() == ["mae", "zero"]
    compare_models.run(results, CFG | {"study": study}, threads=1)
    assert pd.read_csv(results.tables() / "fourier.csv")["seeds"].tolist() == [1, 1], "a snapshot is no other seed"
    compare_models.run(results, CFG, threads=1)
    assert not list(results.tables().glob("scaling.*")) + list(results.tables().glob("fourier.*"))


def test_a_training_without_manifest_is_named(results: Results) -> None:
    with pytest.raises(MissingError, match="a manifest is missing"):
        compare_models.run(results, CFG | {"study": [studied("mae", "mae", "x")]}, threads=1)


def test_each_papers_table_stands_beside_what_was_measured_with_what_is_unlike(results: Results, tmp_path) -> None:
    own = "table,row,column,value,source,metric\nmine,their model,CORUM,0.5,CORUM,recall\n"
    (tmp_path / "mine.csv").write_text(own)
    counts = {"parameters": 10, "steps": 5, "crops": 4000, "flops": 10**9, "grad_norm_median": 1, "grad_norm_max": 2}
    Manifest("train_model", "x", counts | {"loss_spikes": 0}).write(results.manifest("train_model", model="mae"))
    Manifest("build_map", "x", {"rows": 30, "n_wells": 96}).write(
        results.manifest("build_map", model="mae", correction="tvn")
    )
    cfg = CFG | {"study": [studied("mae", "mae", "x")], "published": "mine.csv"}
    manifest = compare_models.run(results, cfg, base=tmp_path)
    folder = results.tables() / "papers"
    assert manifest.counts["papers"] == sorted(manifest.counts["papers"], key=manifest.counts["papers"].index)
    assert {"rxrx3_recall", "batch_correction", "rxrx3_core", "mine"} <= set(manifest.counts["papers"])
    assert sorted(path.stem for path in folder.glob("*.tex")) == sorted(manifest.counts["papers"])
    table = pd.read_csv(folder / "batch_correction.csv").set_index(["measured_model", "measured_correction"])
    row = table.loc[("mae", "tvn")]
    assert (row["published"], row["measured"], row["n"]) == (0.622, pytest.approx(0.55), 120)
    assert row["difference"] == pytest.approx(0.55 - 0.622)
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(0.45), pytest.approx(0.65))
    told = "here: mae (MAE tiny), 10 parameters, 4,000 crops seen, dataset d, 96 wells, 30 rows of the map"
    assert row["unlike"].endswith(told)
    assert row["unlike"].startswith("published: best model, data not stated")
    assert table.loc[("zero", "none"), "unlike"].endswith("here: zero, no training of ours")
    assert (
        "| their model | CORUM | 0.5 | corum at 0.05 | mae | tvn | 0.550 [0.450, 0.650] | +0.050 | 120 |  |"
        in (folder / "mine.md").read_text()
    )
    assert r"\begin{tabular}{llrlllrrrlp{0.4\textwidth}}" in (folder / "mine.tex").read_text()
    core = pd.read_csv(folder / "rxrx3_core.csv")
    assert core["unlike"].str.endswith("not measured here").any(), "a cell without a measured one is kept"
    again = compare_models.run(results, CFG | {"study": [studied("mae", "mae", "x")]}, base=tmp_path)
    assert not (folder / "mine.md").exists()
    assert again.digest != manifest.digest
