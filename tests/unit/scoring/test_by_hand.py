"""Benchmarks by hand on AnnData of others: the same numbers as in the pipeline, and errors that name columns."""

import json
import shutil

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from platemae.cli import main
from platemae.config.sections import benchmark_entry
from platemae.contracts import SCORE_COLUMNS
from platemae.layout import Results
from platemae.stages import build_map, score_map
from platemae.tables import write_anndata
from tests.stages.screen import GENES, embedded_plate

SETTINGS = ("--set", "n_bootstrap=40", "--set", "n_shuffles=20", "--set", "n_plate_bootstrap=10")
RENAMED = {
    "Metadata_Plate": "Plate",
    "Metadata_Well": "Position",
    "Metadata_Perturbation": "guide",
    "Metadata_Gene": "symbol",
    "Metadata_Control_Type": "role",
}
OPTIONS = ["--plate-column", "Plate", "--well-column", "Position", "--perturbation-column", "guide"]
OPTIONS += ["--gene-column", "symbol", "--control-column", "role", "--negcon", "untreated"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two plates through the stages, and their wells as one file beside the map's."""
    tmp_path = tmp_path_factory.mktemp("files")
    results = Results(tmp_path / "results")
    plates = [embedded_plate(results, "m", plate, "B1", seed=i) for i, plate in enumerate(("P1", "P2"))]
    for plate, table in zip(("P1", "P2"), plates, strict=True):
        write_anndata(table, results.corrected("m", "none", plate))
    cfg = {"map": {"entity": "gene", "aggregate": "mean"}, "plates": ["P1", "P2"]}
    build_map.run(results, cfg, model="m", correction="none")
    pd.DataFrame({"entity1": GENES[::2], "entity2": GENES[1::2]}).to_csv(tmp_path / "pairs.csv", index=False)
    wells = ad.concat(plates)
    write_anndata(wells, tmp_path / "wells.h5ad")
    write_anndata(ad.read_h5ad(results.map("m", "none")), tmp_path / "map.h5ad")
    theirs = ad.AnnData(wells.X, obs=wells.obs[list(RENAMED)].rename(columns=RENAMED))
    theirs.obs["role"] = theirs.obs["role"].astype(str).replace({"negcon": "untreated", "treatment": "drug"})
    write_anndata(theirs, tmp_path / "theirs.h5ad")
    return tmp_path


@pytest.fixture
def made(files, tmp_path, monkeypatch):
    """A copy of them that a test may change, as the current folder."""
    folder = shutil.copytree(files, tmp_path / "files")
    monkeypatch.chdir(folder)
    return Results(folder / "results")


def staged(results, **entry):
    benchmark = benchmark_entry(**entry).model_dump(mode="json")
    cfg = {"benchmarks": [benchmark], "plates": ["P1", "P2"], "map": {"entity": "gene", "aggregate": "mean"}}
    score_map.run(results, cfg | {"overlap": "none"}, model="m", correction="none", base=results.root.parent)
    return pd.read_parquet(results.scores("m", "none"))


NUMBERS = [
    "source",
    "metric",
    "threshold",
    "value",
    "ci_low",
    "ci_high",
    "plate_ci_low",
    "plate_ci_high",
    "n",
    "chance",
]


@pytest.mark.parametrize(
    "given",
    [["--map", "map.h5ad", "--wells", "wells.h5ad"], ["--wells", "wells.h5ad"], ["--wells", "theirs.h5ad", *OPTIONS]],
)
def test_by_hand_the_numbers_are_those_of_the_pipeline(made, given, capsys):
    expected = staged(
        made,
        name="x",
        kind="known_relations",
        relations="pairs.csv",
        n_bootstrap=40,
        n_shuffles=20,
        n_plate_bootstrap=10,
    )
    command = ["score-map", *given, "--kind", "known_relations", "--set", "relations=pairs.csv", *SETTINGS]
    assert main([*command, "--out", "scores.parquet"]) == 0
    found = pd.read_parquet("scores.parquet")
    assert list(found.columns) == list(SCORE_COLUMNS)
    pd.testing.assert_frame_equal(found[NUMBERS], expected[NUMBERS])
    assert set(found["overlap"]) == {"unknown"}
    said = capsys.readouterr().out
    row = expected[(expected["metric"] == "recall") & (expected["threshold"] == 0.05)].iloc[0]
    assert f"{row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]" in said
    assert said.splitlines()[0].split("  ")[0] == "source"


def test_a_map_alone_named_by_its_rows(made, capsys):
    table = ad.read_h5ad("map.h5ad")
    table.obsm["X_mine"] = table.X.astype(np.float64)
    bare = ad.AnnData(np.zeros((len(table), 1), np.float32), obs=pd.DataFrame(index=table.obs_names), obsm=table.obsm)
    bare.write_h5ad("bare.h5ad")
    command = ["score-map", "--map", "bare.h5ad", "--kind", "known_relations", "--set", "relations={mine: pairs.csv}"]
    command += [*SETTINGS, "--gene-column", "_index", "--obsm", "X_mine"]
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["scores"]
    recall = next(row for row in rows if row["metric"] == "recall" and row["threshold"] == 0.05)
    assert recall["value"] > 0.8
    assert (recall["source"], recall["model"], recall["n"]) == ("mine", "bare", 12)
    assert recall["plate_ci_low"] is None
    assert isinstance(recall["detail"], dict)
    assert main([*command, "--out", "scores.csv"]) == 0
    assert len(pd.read_csv("scores.csv")) == len(rows)


@pytest.mark.parametrize("column", ["symbol", "_index"])
def test_beside_a_map_the_gene_column_is_the_maps_and_wells_keep_theirs(made, column):
    table = ad.read_h5ad("map.h5ad")
    table.obs = table.obs.rename(columns={"gene": "symbol"})
    table.obs.index = table.obs["symbol"].astype(str).rename(None)
    table.write_h5ad("named.h5ad")
    command = ["score-map", "--wells", "wells.h5ad", "--kind", "known_relations", "--set", "relations=pairs.csv"]
    assert main([*command, *SETTINGS, "--map", "map.h5ad", "--out", "expected.parquet"]) == 0
    named = ["--map", "named.h5ad", "--gene-column", column, "--out", "found.parquet"]
    assert main([*command, *SETTINGS, *named]) == 0
    expected, found = (pd.read_parquet(f"{name}.parquet") for name in ("expected", "found"))
    pd.testing.assert_frame_equal(found[NUMBERS], expected[NUMBERS])


def test_a_map_of_ones_own_is_measured_by_the_wells_beside_it(made, capsys):
    """It has no columns consistency and p; the wells alone must give the same numbers."""
    table = ad.read_h5ad("map.h5ad")
    table.obs = table.obs[["gene"]]
    table.write_h5ad("mine.h5ad")
    command = [
        "score-map",
        "--kind",
        "replicate_consistency",
        "--set",
        "n_bootstrap=40",
        "--set",
        "n_plate_bootstrap=0",
    ]
    assert main([*command, "--map", "mine.h5ad"]) == 2
    said = capsys.readouterr().err
    assert "no column consistency and p" in said
    assert "--wells" in said
    assert main([*command, "--map", "mine.h5ad", "--wells", "wells.h5ad", "--out", "beside.parquet"]) == 0
    assert main([*command, "--map", "map.h5ad", "--out", "map.parquet"]) == 0
    beside, whole = (pd.read_parquet(f"{name}.parquet").set_index("metric")["value"] for name in ("beside", "map"))
    assert beside["mean_cosine"] == pytest.approx(whole["mean_cosine"], abs=1e-6)
    assert beside["share_consistent"] == pytest.approx(whole["share_consistent"], abs=0.1)


def test_what_was_assumed_is_said(made, capsys):
    table = ad.read_h5ad("theirs.h5ad")
    del table.obs["role"]
    table.write_h5ad("theirs.h5ad")
    named = OPTIONS[: OPTIONS.index("--control-column")]
    command = ["score-map", "--wells", "theirs.h5ad", "--kind", "control_axis", *named]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "note: no control column: all rows count as treatments" in said
    assert "note: no batch column" in said
    assert "not measured: controls" in said


BASE = ["--kind", "control_axis"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--wells", "theirs.h5ad", *BASE], ["no column Metadata_Plate", "Metadata_Well", "--well-column", "Position"]),
        (["--wells", "theirs.h5ad", *OPTIONS, "--compound-column", "drug", *BASE], ["no column drug", "Plate"]),
        (["--wells", "theirs.h5ad", *OPTIONS[:-2], *BASE], ["control column holds drug, untreated", "--negcon"]),
        (["--wells", "theirs.h5ad", *OPTIONS, "--negcon", "DMSO", *BASE], ["no row has DMSO", "untreated"]),
        (["--map", "theirs.h5ad", "--kind", "known_relations", "--set", "relations=pairs.csv"], ["no column gene"]),
        (["--map", "map.h5ad", *BASE], ["needs wells"]),
        (["--map", "nowhere.h5ad", "--kind", "replicate_consistency"], ["no such file", "nowhere.h5ad"]),
        (["--map", "pairs.csv", "--kind", "replicate_consistency"], ["no AnnData"]),
        (["--map", "map.h5ad", "--kind", "replicate_consistency", "--obsm", "X_pca"], ["obsm has no X_pca"]),
        (["--map", "map.h5ad", "--kind", "recal"], ["no benchmark recal", "known_relations"]),
        (["--map", "map.h5ad", "--kind", "known_relations"], ["relations"]),
        (
            ["--map", "map.h5ad", *BASE, "--set", "n_bootstraps=4"],
            ["unknown key n_bootstraps; did you mean n_bootstrap?", "allowed here: "],
        ),
        (
            ["--map", "map.h5ad", "--kind", "known_relations", "--set", "relations=3"],
            ["relations cannot be 3", "a mapping of names to texts"],
        ),
        (["--map", "map.h5ad", *BASE, "--set", "n_bootstrap"], ["write KEY=VALUE"]),
        (["--map", "map.h5ad", *BASE, "--out", "scores.xlsx"], ["neither CSV nor parquet"]),
        (["--map", "map.h5ad"], ["no benchmark was named"]),
        (["--map", "map.h5ad", *BASE, "--model", "m"], ["do not go with --model"]),
        (["--model", "m"], ["nothing to score", "--correction"]),
    ],
)
def test_errors_name_what_is_missing_and_what_is_there(made, arguments, said, capsys):
    assert main(["score-map", *arguments]) == 2
    error = capsys.readouterr().err
    for words in said:
        assert words in error


def test_a_map_of_others_lacks_what_a_benchmark_takes_from_it(made, capsys):
    table = ad.read_h5ad("map.h5ad")
    table.obs = table.obs[["gene"]]
    table.write_h5ad("map.h5ad")
    assert main(["score-map", "--map", "map.h5ad", "--kind", "replicate_consistency"]) == 2
    assert "consistency" in capsys.readouterr().err


def test_compounds_and_their_doses_are_rows_of_a_map_that_is_made(made, capsys):
    table = ad.read_h5ad("theirs.h5ad")
    third = table[(table.obs["symbol"] == "G0").to_numpy()].copy()
    third.obs = third.obs.assign(symbol="", guide="aspirin", drug="aspirin")
    third.obs["dose"] = [0.5, 5.0] * (len(third) // 2)
    ad.concat([table, third], join="outer", index_unique="_").write_h5ad("both.h5ad")
    pd.DataFrame({"compound": ["aspirin"] * 2, "gene": ["G1", "G7"], "nM": [10.0, 1e6]}).to_csv(
        "truth.csv", index=False
    )
    command = [
        "score-map",
        "--wells",
        "both.h5ad",
        "--kind",
        "compound_gene",
        "--set",
        "truth=truth.csv",
        *SETTINGS[:2],
    ]
    command += [*OPTIONS, "--compound-column", "drug", "--concentration-column", "dose", "--json"]
    assert main(command) == 2
    assert "gene_and_compound" in capsys.readouterr().err
    assert main([*command, "--entity", "gene_and_compound", "--doses", "apart"]) == 0
    detail = [row["detail"] for row in json.loads(capsys.readouterr().out)["scores"]]
    assert any("aspirin" in json.dumps(found) or found.get("n_compounds") == 1 for found in detail)
