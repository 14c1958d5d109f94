"""Profiles join wells by name, and every misfit names file, column and wells."""

from contextlib import suppress
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae.contracts import FIELDS_COLUMNS, OBS_COLUMNS, QC_COLUMNS
from platemae.errors import InputError, MissingError, PlatemaeError
from platemae.layout import Results
from platemae.qc.gate import PASS
from platemae.stages.import_profiles import run
from platemae.tables import write_anndata

WELLS = ("A01", "A02", "C10")
MEANS = {
    ("A01", "0"): 10.0,
    ("A01", "1"): 30.0,
    ("A02", "0"): 5.0,
    ("A02", "1"): 7.0,
    ("C10", "0"): 1.0,
    ("C10", "1"): 2.0,
}
FAILED = {("A02", "1"), ("C10", "0"), ("C10", "1")}


@pytest.fixture
def results(tmp_path) -> Results:
    results = Results(tmp_path / "results")
    fields, qc = [], []
    for well, field in MEANS:
        group = f"{well[0]}/{int(well[1:])}/{field}"
        fields.append(["P1", "b1", well, field, well[0], int(well[1:]), group, "", "g1", "G", "", "", "treatment"])
        verdict = "fail" if (well, field) in FAILED else PASS
        for channel, scale in (("DNA", 1.0), ("Actin", 2.0)):
            mean = MEANS[well, field] * scale
            qc.append(["P1", well, field, channel, 1.0, 0.0, 0.0, 0.5, mean, -1.5, 0.1, 0.0, 9.0, verdict, ""])
    for path, rows, columns in (
        (results.fields("P1"), fields, FIELDS_COLUMNS),
        (results.qc("P1"), qc, QC_COLUMNS),
    ):
        path.parent.mkdir(parents=True)
        # Rows out of order: nothing may be joined by position.
        pd.DataFrame(rows, columns=list(columns)).sample(frac=1, random_state=0).to_parquet(path)
    return results


def import_(results: Results, source: str, table: str | None = None, exclude_failed: bool = True, **entry):
    kind = "classical" if source == "classical" else "profiles"
    plates = entry.pop("feature_plates", ["P1"])
    entry = {"plate_column": None, "well_column": None, "missing": "error"} | entry
    model = {"name": "m", "kind": kind, "source": source, "table": table} | entry
    cfg = {"model": model, "feature_plates": plates, "exclude_failed": exclude_failed}
    manifest = run(results, cfg, model="m", plate="P1", base=results.root.parent)
    return manifest, anndata.read_h5ad(results.embedding("m", "P1"))


def test_intensity_means_over_passed_fields(results):
    manifest, data = import_(results, "intensity_means")
    assert data.obs["Metadata_Well"].tolist() == ["A01", "A02"]
    frame = data.to_df()
    assert frame["DNA"].tolist() == [20.0, 5.0]
    assert frame["Actin"].tolist() == [40.0, 10.0]
    assert data.obs["n_fields"].tolist() == [2, 1]
    assert data.obs["n_tiles"].tolist() == [0, 0]
    assert set(OBS_COLUMNS) <= set(data.obs.columns)
    assert manifest.counts["wells_dropped"] == 1
    assert "C10" in manifest.warnings[0]
    assert import_(results, "intensity_means")[0].digest == manifest.digest


def test_a_gate_that_only_warns_keeps_failed_fields(results):
    _, data = import_(results, "intensity_means", exclude_failed=False)
    assert data.obs["Metadata_Well"].tolist() == ["A01", "A02", "C10"]
    assert data.to_df()["DNA"].tolist() == [20.0, 6.0, 1.5]
    assert data.obs["n_fields"].tolist() == [2, 2, 2]


def test_well_position(results):
    _, data = import_(results, "well_position")
    assert data.var_names.tolist() == ["row", "column"]
    assert data.X.tolist() == [[1, 1], [1, 2]]


def table(**changes: list) -> pd.DataFrame:
    columns = {
        "Metadata_Plate": ["P1", "P1", "P2"],
        "Metadata_Well": ["C10", "a1", "A01"],
        "Metadata_Note": ["x", "y", "z"],
        "f1": [1.0, 2.0, 9.0],
        "f2": [3, 4, 9],
    }
    return pd.DataFrame(columns | changes)


def write(frame: pd.DataFrame, path: Path) -> str:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".h5ad":
        meta = [c for c in frame.columns if c.startswith("Metadata_")]
        x = frame.drop(columns=meta)
        obs = frame[meta].set_axis([f"r{i}" for i in range(len(frame))])
        anndata.AnnData(x.to_numpy(np.float32), obs=obs, var=pd.DataFrame(index=x.columns)).write_h5ad(path)
    else:
        frame.to_csv(path, index=False)
    return path.name.replace("P1", "{plate}")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".h5ad"])
def test_tables_join_by_well(results, tmp_path, suffix):
    _, data = import_(results, "table", write(table(), tmp_path / f"P1_profiles{suffix}"))
    assert data.obs["Metadata_Well"].tolist() == ["A01", "C10"]
    assert data.to_df().to_numpy().tolist() == [[2, 4], [1, 3]]
    assert data.obs_names.tolist() == ["P1_A01", "P1_C10"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"f1": [1.0, np.nan, 9.0]}, "1 values are not finite: A01 f1"),
        ({"Metadata_Well": ["A01", "A1", "A01"]}, "wells stand twice: A01"),
        ({"Metadata_Well": ["H12", "A1", "A01"]}, "plate P1 lacks the wells H12"),
        ({"Metadata_Well": ["well", "A1", "A01"]}, "'well' is no well"),
        ({"Metadata_Plate": ["P3", "P3", "P2"]}, "no row is of plate P1"),
        ({"f1": ["high", "low", "high"]}, "columns are no numbers: f1"),
    ],
)
def test_misfits_are_named(results, tmp_path, changes, message):
    name = write(table(**changes), tmp_path / "t.csv")
    with pytest.raises(InputError, match=message) as error:
        import_(results, "table", name)
    assert "t.csv" in error.value.where
    assert not results.embedding("m", "P1").exists()


def test_missing_files_columns_and_forms(results, tmp_path):
    with pytest.raises(InputError, match="missing"):
        import_(results, "table", "none.csv")
    with pytest.raises(InputError, match="none names the well"):
        import_(results, "table", write(table().drop(columns="Metadata_Well"), tmp_path / "t.csv"))
    with pytest.raises(InputError, match="unknown suffix"):
        import_(results, "table", "t.xlsx")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read"):
        import_(results, "table", "torn.parquet")


def test_columns_of_cellprofiler(results, tmp_path):
    """Per-well tables of CellProfiler prefix labels with Image_, and hold names of files and numbers of images."""
    frame = table(ImageNumber=[1, 2, 3], Image_FileName_DNA=["a", "b", "c"])
    frame.columns = [c.replace("Metadata_", "Image_Metadata_") for c in frame.columns]
    _, data = import_(results, "table", write(frame, tmp_path / "t.csv"))
    assert data.var_names.tolist() == ["f1", "f2"]
    assert data.to_df().loc["P1_A01"].tolist() == [2, 4]


def test_an_index_that_was_written_is_no_feature(results, tmp_path):
    table().to_csv(tmp_path / "t.csv")
    _, data = import_(results, "table", "t.csv")
    assert data.var_names.tolist() == ["f1", "f2"]


def test_obs_of_an_h5ad_holds_no_features(results, tmp_path):
    name = write(table(), tmp_path / "t.h5ad")
    data = anndata.read_h5ad(tmp_path / name)
    data.obs["n_fields"] = 3
    data.write_h5ad(tmp_path / name)
    assert import_(results, "table", name)[1].var_names.tolist() == ["f1", "f2"]


RXRX = {
    "well_id": ["gene-134_2_A01", "gene-134_2_C10", "gene-134_3_A01", "gene-135_2_A01"],
    "experiment_name": ["gene-134", "gene-134", "gene-134", "gene-135"],
    "plate": [2, 2, 3, 2],
    "address": ["A01", "C10", "A01", "A01"],
    "concentration": [0.5, 0.5, 1.0, 1.0],
    "gene": list("abcd"),
    "feature_0": [1.0, 2.0, 3.0, 4.0],
    "feature_1": [5.0, 6.0, 7.0, 8.0],
}


@pytest.mark.parametrize("left_out", [["experiment_name", "plate", "address"], ["well_id"], []])
@pytest.mark.parametrize("plate", ["gene-134_2", "gene-134_Plate2"])
def test_embeddings_of_rxrx(results, tmp_path, left_out, plate):
    """Plates have a number within an experiment; the numbered columns are the features, a concentration is none."""
    pd.DataFrame(RXRX).drop(columns=left_out).to_parquet(tmp_path / "t.parquet")
    for path in (results.fields("P1"), results.qc("P1")):
        path.rename(path.with_name(path.name.replace("P1", plate)))
    entry = {"name": "m", "kind": "profiles", "source": "table", "table": "t.parquet", "missing": "error"}
    entry |= {"plate_column": None, "well_column": None}
    run(
        results,
        {"model": entry, "feature_plates": [plate], "exclude_failed": True},
        model="m",
        plate=plate,
        base=tmp_path,
    )
    data = anndata.read_h5ad(results.embedding("m", plate))
    assert data.obs["Metadata_Well"].tolist() == ["A01", "C10"]
    assert data.to_df().to_dict("list") == {"feature_0": [1, 2], "feature_1": [5, 6]}


def test_columns_that_the_configuration_names(results, tmp_path):
    frame = table().rename(columns={"Metadata_Plate": "Metadata_det_plate", "Metadata_Well": "position"})
    name = write(frame, tmp_path / "t.csv")
    _, data = import_(results, "table", name, plate_column="Metadata_det_plate", well_column="position")
    assert data.to_df().to_dict("list") == {"f1": [2, 1], "f2": [4, 3]}
    with pytest.raises(InputError, match="none names the plate and well"):
        import_(results, "table", name, plate_column="Plate", well_column="Well")


def test_a_table_of_one_plate_need_not_name_it(results, tmp_path):
    frame = table().drop(columns="Metadata_Plate").iloc[:2]
    write(frame, tmp_path / "P1.csv")
    assert import_(results, "table", "{plate}.csv")[1].to_df()["f1"].tolist() == [2, 1]
    with pytest.raises(InputError, match="none names the plate"):
        import_(results, "table", "P1.csv")


def other_plate(**changes: list) -> pd.DataFrame:
    columns = {"Metadata_Plate": ["P2"], "Metadata_Well": ["A01"], "f2": [1.0], "f3": [2.0]}
    return pd.DataFrame(columns | changes)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".h5ad"])
def test_plates_with_unequal_features_keep_what_all_have(results, tmp_path, suffix):
    write(table().iloc[:2], tmp_path / f"P1{suffix}")
    write(other_plate(), tmp_path / f"P2{suffix}")
    manifest, data = import_(results, "table", f"{{plate}}{suffix}", feature_plates=["P1", "P2"])
    assert data.var_names.tolist() == ["f2"]
    assert manifest.counts["features_lost"] == 1
    assert "plate P1: 1 of 2 features left out, which not all plates have" in manifest.warnings


def test_a_later_plate_must_have_the_features_that_are_kept(results, tmp_path):
    write(table().iloc[:2], tmp_path / "P1.csv")
    write(other_plate(), tmp_path / "P2.csv")
    with pytest.raises(InputError, match="plate P1 lacks 1 features that the model keeps: f3"):
        import_(results, "table", "{plate}.csv", feature_plates=["P2"])
    write(other_plate().drop(columns="f2"), tmp_path / "P2.csv")
    with pytest.raises(InputError, match="no feature in common") as caught:
        import_(results, "table", "{plate}.csv", feature_plates=["P1", "P2"])
    assert caught.value.where == "P1: 2 features; P2: 1 features"


def test_wells_with_missing_values_are_dropped_on_demand(results, tmp_path):
    name = write(table(f1=[1.0, np.inf, np.nan]), tmp_path / "t.csv")
    manifest, data = import_(results, "table", name, missing="drop_wells")
    assert data.obs["Metadata_Well"].tolist() == ["C10"]
    assert "1 wells with values that are not finite: A01" in manifest.warnings[0]


def test_features_with_missing_values_are_dropped_on_all_plates(results, tmp_path):
    """Also those that are whole on this plate, and those that are text, or plates would differ."""
    name = write(table(f1=[1.0, 2.0, np.nan], f3=["a", "b", "c"]), tmp_path / "t.csv")
    manifest, data = import_(results, "table", name, missing="drop_features", feature_plates=["P1", "P2"])
    assert data.var_names.tolist() == ["f2"]
    assert manifest.counts["features_lost"] == 2
    assert import_(results, "table", name, missing="drop_features")[1].var_names.tolist() == ["f1", "f2"]
    write(table().iloc[:2], tmp_path / "P1.csv")
    write(other_plate(f1=[np.nan]), tmp_path / "P2.csv")
    plates = {"feature_plates": ["P1", "P2"], "missing": "drop_features"}
    assert import_(results, "table", "{plate}.csv", **plates)[1].var_names.tolist() == ["f2"]


def test_rows_in_many_blocks_are_all_seen(results, tmp_path, monkeypatch):
    monkeypatch.setattr("platemae.profile_files.BLOCK_ROWS", 1)
    for suffix in (".csv", ".parquet"):
        _, data = import_(results, "table", write(table(), tmp_path / f"t{suffix}"))
        assert data.to_df().to_numpy().tolist() == [[2, 4], [1, 3]]


def test_a_column_that_stands_twice(results, tmp_path):
    (tmp_path / "t.csv").write_text("Metadata_Plate,Metadata_Well,f1,f1\nP1,A01,1,2\n")
    with pytest.raises(InputError, match="columns stand twice: f1"):
        import_(results, "table", "t.csv")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".h5ad"])
def test_damaged_tables_end_in_one_clear_error(results, tmp_path, suffix):
    rng = np.random.default_rng(0)
    write(table(), tmp_path / f"t{suffix}")
    whole = (tmp_path / f"t{suffix}").read_bytes()
    cut = [whole[:n] for n in (0, 7, len(whole) // 2, len(whole) - 9)]
    flipped = []
    for _ in range(12):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(0, len(data), 4)] ^= rng.integers(1, 255, 4).astype(np.uint8)
        flipped.append(data.tobytes())
    read = 0
    for data in cut + flipped:
        (tmp_path / f"t{suffix}").write_bytes(data)
        with suppress(PlatemaeError):  # any other error fails the test
            import_(results, "table", f"t{suffix}")
            read += 1
    # A flipped digit of plain text is another number; no table that is cut to nothing is read.
    assert read <= len(flipped)


def measured_plate(results, plate, names, wells=("A01", "A02")):
    obs = pd.DataFrame(dict.fromkeys(OBS_COLUMNS, ""), index=list(wells)).assign(Metadata_Well=list(wells))
    obs = obs.assign(Metadata_Plate=plate, Metadata_Concentration=np.nan, n_fields=2, n_cells=[7, 9][: len(wells)])
    var = pd.DataFrame({"compartment": "cell", "feature_category": "shape", "channel": ""}, index=list(names))
    x = np.arange(len(wells) * len(names), dtype=np.float32).reshape(len(wells), -1)
    write_anndata(anndata.AnnData(x, obs=obs, var=var), results.measured(plate))
    return x


def test_classical_features_that_all_plates_have(results):
    x = measured_plate(results, "P1", ["a", "b", "c"])
    measured_plate(results, "P2", ["c", "a", "d"])
    manifest, data = import_(results, "classical", feature_plates=["P1", "P2"])
    assert data.var_names.tolist() == ["a", "c"]
    assert data.X.tolist() == x[:, [0, 2]].tolist()
    assert data.obs["Metadata_Well"].tolist() == ["A01", "A02"]
    assert data.obs["n_cells"].tolist() == [7, 9]
    assert data.obs["n_fields"].tolist() == [2, 2]
    assert data.var.columns.tolist() == ["compartment", "feature_category", "channel"]
    assert manifest.counts | {"features_lost": 1, "wells_dropped": 1} == manifest.counts


def test_classical_features_that_were_not_measured(results):
    measured_plate(results, "P1", ["a", "b"])
    with pytest.raises(MissingError, match="table of wells is missing"):
        import_(results, "classical", feature_plates=["P1", "P2"])
