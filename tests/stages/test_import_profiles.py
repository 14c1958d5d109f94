"""Profiles join wells by name, and every misfit names file, column and wells."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae.contracts import FIELDS_COLUMNS, OBS_COLUMNS, QC_COLUMNS
from platemae.errors import InputError
from platemae.layout import Results
from platemae.qc.gate import PASS
from platemae.stages.import_profiles import run

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
    with pytest.raises(InputError, match="Metadata_Well"):
        import_(results, "table", write(table().drop(columns="Metadata_Well"), tmp_path / "t.csv"))
    with pytest.raises(InputError, match="unknown suffix"):
        import_(results, "table", "t.xlsx")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read"):
        import_(results, "table", "torn.parquet")
