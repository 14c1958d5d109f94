"""Profiles alone, from five real tables: no image is needed from ingest_plate to import_profiles."""

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae.config import load_config, stage_config
from platemae.config.checks import check_images
from platemae.config.plates import read_plates
from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS
from platemae.errors import ConfigError, InputError
from platemae.layout import Results
from platemae.stages import import_profiles, ingest_plate, qc_plate


class Screen:
    """A project of plates without images; ``wells`` holds plate, well, gene and control_type of every row."""

    def __init__(self, folder, wells: pd.DataFrame, **entry):
        self.base = folder
        rows = []
        for plate, here in wells.groupby("plate", sort=False):
            layout = here[["well", "gene", "control_type"]].assign(perturbation=here["gene"])
            layout.to_csv(folder / f"{plate}.layout.tsv", sep="\t", index=False)
            rows.append([plate, "b1", "bare", "-", f"{plate}.layout.tsv"])
        columns = ["plate", "batch", "reader", "path", "layout"]
        pd.DataFrame(rows, columns=columns).to_csv(folder / "plates.tsv", sep="\t", index=False)
        model = {"name": "m", "kind": "profiles", "source": "table"} | entry
        readers = [{"name": "bare", "kind": "none"}]
        self.config = load_config({"readers": readers, "intensity": [], "datasets": [], "models": [model]})
        self.plates = read_plates(folder / "plates.tsv", ["bare"])
        self.results = Results(folder / "results")

    def cfg(self, stage, **wildcards):
        return stage_config(self.config, self.plates, stage, **wildcards)

    def run(self, plate):
        """Ingest, judge and import one plate; return the last manifest and the table."""
        made = ingest_plate.run(
            self.results, self.cfg("ingest_plate", plate=plate), plate=plate, base=self.base, threads=1
        )
        assert made.counts["channels"] == []
        qc_plate.run(self.results, self.cfg("qc_plate", plate=plate), plate=plate, threads=1)
        return self.import_(plate)

    def import_(self, plate):
        cfg = self.cfg("import_profiles", model="m", plate=plate)
        manifest = import_profiles.run(self.results, cfg, model="m", plate=plate, base=self.base)
        return manifest, anndata.read_h5ad(self.results.embedding("m", plate))


def wells_of(plates, wells, genes, negcon):
    table = pd.DataFrame({"plate": list(plates), "well": list(wells), "gene": [str(gene) for gene in genes]})
    return table.assign(control_type=np.where(negcon, "negcon", "treatment"))


def assert_rows(data, frame, plate_column, well_column, features):
    """Every row is the table's row of its plate and well."""
    expected = frame.set_index([frame[plate_column].astype(str), frame[well_column]])[list(features)]
    keys = list(zip(data.obs["Metadata_Plate"], data.obs["Metadata_Well"], strict=True))
    np.testing.assert_allclose(data.X, expected.loc[keys].to_numpy(np.float32))


def test_bbbc021(shared_data, tmp_path):
    folder = shared_data / "profiles-bbbc021-ljosa"
    path = folder / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz"
    frame = pd.read_csv(path)
    images = pd.read_csv(folder / "BBBC021_v1_image.csv.gz").drop_duplicates(
        ["Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI"]
    )
    compound = images.set_index(["Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI"])["Image_Metadata_Compound"]
    plates, wells = frame["Image_Metadata_Plate"], frame["Image_Metadata_Well"]
    genes = compound.loc[list(zip(plates, wells, strict=True))].tolist()
    screen = Screen(tmp_path, wells_of(plates, wells, genes, [gene == "DMSO" for gene in genes]), table=str(path))
    assert len(screen.plates) == 55
    for plate in ("Week10_40111", "Week1_22123"):
        manifest, data = screen.run(plate)
        here = frame[plates == plate]
        assert data.shape == (len(here), 516)
        assert (data.obs["Metadata_Control_Type"] == "negcon").sum() == 6
        assert_rows(data, frame, "Image_Metadata_Plate", "Image_Metadata_Well", data.var_names)
        assert manifest.warnings == []


def test_taorf(shared_data, tmp_path):
    path = shared_data / "profiles-taorf-l1000/taorf_u2os_72h_l1000.parquet"
    frame = pd.read_parquet(path)
    plates, wells = frame["Metadata_det_plate"], frame["Metadata_det_well"]
    table = wells_of(plates, wells, frame["Metadata_pert_mfc_desc"], frame["Metadata_pert_type"] != "trt_oe")
    columns = {"plate_column": "Metadata_det_plate", "well_column": "Metadata_det_well"}
    screen = Screen(tmp_path, table, table=str(path), **columns)
    found = [screen.run(plate.plate)[1] for plate in screen.plates]
    assert sum(data.n_obs for data in found) == 1092
    assert {data.n_vars for data in found} == {978}
    for data in found:
        assert_rows(data, frame, "Metadata_det_plate", "Metadata_det_well", data.var_names)


@pytest.mark.slow
def test_fly_rnai(shared_data, tmp_path):
    """The table has batches for plates and no wells: a gene and design gets one, as a facility would write them."""
    frame = pd.read_parquet(shared_data / "profiles-dmelsgi-rnai/single_knockdown_image_features.parquet")
    rank = frame.groupby(["Metadata_FBgn", "Metadata_dsRNA_design"]).ngroup()
    frame["Metadata_Well"] = [
        f"{'A' * (row >= 26)}{chr(65 + row % 26)}{column + 1:02d}"
        for row, column in zip(rank // 48, rank % 48, strict=True)
    ]
    frame["Metadata_Plate"] = "batch" + frame["Metadata_batch"].astype(str)
    frame.drop(columns=["Metadata_batch"]).to_parquet(tmp_path / "t.parquet")
    table = wells_of(frame["Metadata_Plate"], frame["Metadata_Well"], frame["Metadata_FBgn"], False)
    screen = Screen(tmp_path, table, table="t.parquet", missing="drop_wells")
    found = [screen.run(plate.plate) for plate in screen.plates]
    assert sum(data.n_obs for _, data in found) == 15_350, "ten wells of 15,360 hold a value that is missing"
    assert sum(manifest.counts["wells_dropped"] for manifest, _ in found) == 10
    for _, data in found:
        assert data.n_vars == 21
        assert_rows(data, frame, "Metadata_Plate", "Metadata_Well", data.var_names)


@pytest.fixture
def jumpscope(shared_data, tmp_path):
    """Three plates, a file each, named after the plate."""
    frames, rows = {}, []
    for path in sorted((shared_data / "profiles-jumpscope-yokogawa-us").glob("*.csv.gz")):
        frame = pd.read_csv(path)
        plate = frame["Metadata_Plate"].iloc[0]
        (tmp_path / f"{plate}.csv.gz").symlink_to(path)
        frames[plate] = frame
        rows.append(
            wells_of(
                frame["Metadata_Plate"],
                frame["Metadata_Well"],
                frame["Metadata_pert_iname"],
                frame["Metadata_control_type"] == "negcon",
            )
        )
    return frames, pd.concat(rows)


def test_jumpscope_keeps_the_features_that_all_plates_have(jumpscope, tmp_path):
    frames, table = jumpscope
    screen = Screen(tmp_path, table, table="{plate}.csv.gz", missing="drop_features")
    sets = [{c for c in frame if not c.startswith("Metadata_")} for frame in frames.values()]
    shared = set.intersection(*sets)
    assert len(shared) == 290
    whole = {c for c in shared if all(frame[c].notna().all() for frame in frames.values())}
    orders = set()
    for plate, frame in frames.items():
        manifest, data = screen.run(plate)
        assert set(data.var_names) == whole
        orders.add(tuple(data.var_names))
        assert data.n_obs == len(frame)
        assert_rows(data, frame, "Metadata_Plate", "Metadata_Well", data.var_names)
        lost = len([c for c in frame if not c.startswith("Metadata_")]) - len(whole)
        assert manifest.counts["features_lost"] == lost
        assert f"{lost} of" in manifest.warnings[-1]
    assert len(orders) == 1, "one order on all plates"


def test_jump_crispr(shared_data, tmp_path):
    """Raw profiles, a file a plate, and the corrected table of both."""
    folder = shared_data / "jump-crispr-trimmed"
    files = {path.stem: path for path in folder.glob("inputs/profiles/*/workspace/profiles/*/*/*.parquet")}
    assert len(files) == 2
    frames = {plate: pd.read_parquet(path) for plate, path in files.items()}
    for plate, path in files.items():
        (tmp_path / f"{plate}.parquet").symlink_to(path)
    both = pd.concat(frames.values())
    table = wells_of(both["Metadata_Plate"], both["Metadata_Well"], ["g"] * len(both), False)
    screen = Screen(tmp_path, table, table="{plate}.parquet")
    for plate, frame in frames.items():
        _, data = screen.run(plate)
        assert data.shape == (len(frame), 3)
        assert_rows(data, frame, "Metadata_Plate", "Metadata_Well", data.var_names)
    path = next(folder.glob("outputs/*/*featselect.parquet"))
    corrected = pd.read_parquet(path)
    screen = Screen(tmp_path, table, table=str(path))
    found = [screen.import_(plate)[1] for plate in files]
    assert sum(data.n_obs for data in found) == 766
    for data in found:
        assert_rows(data, corrected, "Metadata_Plate", "Metadata_Well", data.var_names)


def small(tmp_path, **entry):
    frame = pd.DataFrame({"Metadata_Plate": ["P1"] * 2, "Metadata_Well": ["A01", "B02"], "f": [1.0, 2.0]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = wells_of(["P1"] * 3, ["A01", "B02", "C03"], ["NTC", "g", "h"], [True, False, False])
    return Screen(tmp_path, table, table="t.csv", **entry)


def test_the_fields_table_comes_from_the_layout(tmp_path):
    screen = small(tmp_path)
    manifest, data = screen.run("P1")
    fields = pd.read_parquet(screen.results.fields("P1"))
    assert set(FIELDS_COLUMNS) <= set(fields.columns)
    assert fields["well"].tolist() == ["A01", "B02", "C03"]
    assert fields["group"].tolist() == ["", "", ""]
    assert len(pd.read_parquet(screen.results.qc("P1"), columns=list(QC_COLUMNS))) == 0
    assert not screen.results.store("P1").exists()
    assert data.obs["Metadata_Control_Type"].tolist() == ["negcon", "treatment"]
    assert data.obs["n_fields"].tolist() == [0, 0]
    assert "1 wells without a profile: C03" in manifest.warnings[0]


def test_places_of_wells_need_no_images(tmp_path):
    screen = small(tmp_path)
    screen.run("P1")
    cfg = screen.cfg("import_profiles", model="m", plate="P1")
    cfg["model"] |= {"source": "well_position"}
    import_profiles.run(screen.results, cfg, model="m", plate="P1", base=tmp_path)
    assert anndata.read_h5ad(screen.results.embedding("m", "P1")).X.tolist() == [[1, 1], [2, 2], [3, 3]]


def test_a_table_of_no_well_of_the_layout(tmp_path):
    screen = small(tmp_path)
    screen.run("P1")
    (tmp_path / "t.csv").write_text("Metadata_Plate,Metadata_Well,f\nP1,H12,1\n")
    with pytest.raises(InputError, match="plate P1 lacks the wells H12"):
        screen.import_("P1")


def test_models_that_need_images_are_named(tmp_path):
    screen = small(tmp_path)
    check_images(screen.config, screen.plates)
    models = [{"name": "cp", "kind": "classical"}, {"name": "means", "kind": "profiles", "source": "intensity_means"}]
    config = load_config({"readers": [{"name": "bare", "kind": "none"}], "models": models})
    with pytest.raises(ConfigError, match="plates without images: P1; models that need them: cp, means"):
        check_images(config, screen.plates)
