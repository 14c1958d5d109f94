"""`platemae new`: from a folder of plates to a project that Snakemake accepts."""

import csv
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import yaml

from platemae.cli import main
from platemae.config import read_config
from platemae.config.plates import read_plates
from platemae.errors import InputError
from platemae.preflight.project import new_project
from platemae.preflight.survey import find_plates

# Folder of real data -> plates, kind, wells, fields and channels of the first plate, as the READMEs beside them say.
REAL = {
    "bbbc013-rows-abcd": (1, "pattern", 48, 48, 2),
    "nf1-cellpainting-plate2": (1, "pattern", 5, 5, 3),
    "vendor-operetta-harmony": (1, "operetta", 1, 2, 1),
    "vendor-imagexpress-exported": (3, "imagexpress", 1, 1, 1),
    "vendor-yokogawa-cv8000": (1, "cellvoyager", 3, 12, 2),
    "jump-rab30-zarr": (2, "image_table", 1, 1, 5),
}


def write_plate(folder, wells=("A01", "B02"), name="{well}_s1_{channel}.tif", px=40):
    folder.mkdir(parents=True)
    for well in wells:
        for channel in ("DAPI", "GFP"):
            tifffile.imwrite(folder / name.format(well=well, channel=channel), np.zeros((px, px), np.uint16))


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_every_real_folder_gives_a_project_that_snakemake_accepts(name, shared_data, tmp_path, project, capsys):
    n_plates, kind, wells, fields, channels = REAL[name]
    assert main(["new", str(shared_data / name), "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    numbers = f"{kind}, {wells} wells, {fields} fields, {channels} channels ("
    assert re.sub(r"\b1 (well|field|channel)s", r"1 \1", numbers) in said
    config = read_config(tmp_path / "config.yaml")
    plates = read_plates(tmp_path / "plates.tsv", [reader.name for reader in config.readers])
    assert len(plates) == n_plates
    command = [sys.executable, "-m", "snakemake", "-n", "-q", "--snakefile", str(project / "Snakefile")]
    command += ["--configfile", str(tmp_path / "config.yaml"), "--scheduler", "greedy"]
    outcome = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_the_plates_of_rxrx_folders_and_of_its_parquet_files_are_found(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "rxrx1" / "images" / "HUVEC-01" / "Plate1"
    folder.mkdir(parents=True)
    (tmp_path / "rxrx1" / "metadata.csv").write_text("experiment,plate,well,site\nHUVEC-01,1,B02,1\n")
    assert [(p.name, p.entry["kind"]) for p in find_plates(tmp_path)] == [("HUVEC-01_Plate1", "rxrx")]
    keys = ["gene-001/Plate1/A01_s1_1", "gene-001/Plate1/A02_s1_1", "gene-002/Plate10/A01_s1_1"]
    core = tmp_path / "core"
    core.mkdir()
    pq.write_table(pa.table({"__key__": keys, "jp2": [{"bytes": b"x", "path": ""}] * 3}), core / "train-0.parquet")
    pq.write_table(pa.table({"well_id": ["a"]}), core / "embeddings.parquet")
    assert [p.name for p in find_plates(core)] == ["gene-001_Plate1", "gene-002_Plate10"]


def test_plates_of_one_form_share_a_reader_and_their_layouts_wait_to_be_filled_in(tmp_path):
    for plate in ("P1", "P2"):
        write_plate(tmp_path / "raw" / plate / "images")
    lines = new_project(tmp_path / "raw", tmp_path / "out", pixel_size_um=0.3)
    assert lines[0].startswith(
        "P1: pattern, 2 wells, 2 fields, 2 channels (DAPI, GFP), 1 z, 1 time point, 40 x 40 uint16, 0.3 µm"
    )
    config = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert [reader["name"] for reader in config["readers"]] == ["pattern"]
    assert [entry["kind"] for entry in config["benchmarks"]] == ["replicate_consistency", "batch_mixing"]
    assert config["readers"][0]["pixel_size_um"] == 0.3
    assert [c["stain"] for c in config["readers"][0]["channels"]] == ["DNA", "GFP"]
    rows = list(csv.DictReader((tmp_path / "out" / "plates.tsv").open(), delimiter="\t"))
    assert [row["plate"] for row in rows] == ["P1", "P2"]
    layout = (tmp_path / "out" / rows[0]["layout"]).read_text().splitlines()
    assert [line.split("\t")[0] for line in layout] == ["well", "A01", "B02"]


def test_plates_of_other_channels_and_the_layouts_that_were_found_are_told(shared_data, tmp_path):
    lines = new_project(shared_data / "vendor-imagexpress-exported", tmp_path / "ix")
    assert lines[3].startswith("not all plates have FITC, Texas Red, ")
    config = (tmp_path / "ix" / "config.yaml").read_text()
    # Plates share a reader: what it says holds for all of them, not for the first alone.
    assert "# channels by the metadata: DAPI (DNA), FITC (FITC), Texas_Red (Texas Red)" in config
    assert "z: max # 2 depths" in config
    assert "# 2 time points" in config
    lines = new_project(shared_data / "vendor-operetta-harmony", tmp_path / "op")
    assert any(line.startswith("found the layout of 1 plate: ") and line.endswith("drug_layout.csv") for line in lines)


def beside(tmp_path, **tables):
    """Return the layout that is found for a plate of two wells with tables beside it, and what is told."""
    write_plate(tmp_path / "screen" / "P1")
    for name, text in tables.items():
        (tmp_path / "screen" / f"{name}.csv").write_text(text)
    lines = new_project(tmp_path / "screen", tmp_path / "out")
    row = next(csv.DictReader((tmp_path / "out" / "plates.tsv").open(), delimiter="\t"))
    return row["layout"], "\n".join(lines)


def test_a_table_beside_the_plate_that_names_all_its_wells_is_its_layout(tmp_path):
    sizes, other = "well,area\nA01,1\nB02,2\n", "well,compound\nA01,DMSO\n"
    found, _ = beside(tmp_path, drugs="well;drug\nA01;DMSO\nB2;aspirin\n", sizes=sizes, other=other)
    assert found == str(tmp_path / "screen" / "drugs.csv")


def test_of_two_tables_none_is_guessed_and_unknown_columns_are_told(tmp_path):
    one = "well,compound\nA01,DMSO\nB02,aspirin\n"
    found, told = beside(tmp_path / "two", one=one, two=one)
    assert found == "layouts/P1.tsv"
    assert "one.csv" in told
    assert "two.csv may each be its layout" in told
    found, told = beside(tmp_path / "odd", odd="Well,Control\nA01,positive\nB02,negative\n")
    assert found == "layouts/P1.tsv"
    assert "odd.csv names wells, and has columns Well, Control" in told


@pytest.mark.parametrize(("gpu", "preset"), [(True, "vit_s16"), (False, "tiny")])
def test_the_network_fits_the_machine(gpu, preset, shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr("platemae.preflight.project.has_gpu", lambda: gpu)
    new_project(shared_data / "vendor-operetta-harmony", tmp_path / "op")
    assert f"kind: mae, preset: {preset}," in (tmp_path / "op" / "config.yaml").read_text()


def test_plates_of_equal_folder_names_get_ids_of_their_own(tmp_path):
    for batch in ("week1", "week2"):
        write_plate(tmp_path / batch / "P1")
    assert [plate.name for plate in find_plates(tmp_path)] == ["week1_P1", "week2_P1"]


def files_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "left", [("plates.tsv", "config.yaml"), ("layouts/P1.tsv", "layouts/P2.tsv"), ("config.yaml",)]
)
def test_a_second_call_overwrites_nothing_and_names_all_that_is_there(left, tmp_path):
    for plate in ("P1", "P2"):
        write_plate(tmp_path / "raw" / plate)
    out = tmp_path / "out"
    for name in left:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    with pytest.raises(InputError, match="is there already") as refused:
        new_project(tmp_path / "raw", out)
    assert all(str(out / name) in refused.value.what for name in left)
    assert files_of(out) == dict.fromkeys(left, "mine")


def test_a_table_of_images_that_is_there_is_not_overwritten(shared_data, tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "jump-rab30-zarr.csv").write_text("mine")
    with pytest.raises(InputError, match=r"is there already: .*jump-rab30-zarr\.csv"):
        new_project(shared_data / "jump-rab30-zarr", tmp_path)
    assert files_of(tmp_path) == {"tables/jump-rab30-zarr.csv": "mine"}


def test_what_the_files_do_not_say_is_marked(tmp_path):
    write_plate(tmp_path / "raw")
    new_project(tmp_path / "raw", tmp_path / "out")
    marked = [line for line in (tmp_path / "out" / "config.yaml").read_text().splitlines() if "CHECK" in line]
    assert [line.split(":")[0].strip() for line in marked] == ["channels", "pixel_size_um"]


def test_a_plate_that_cannot_be_read_is_left_out_by_name(tmp_path):
    write_plate(tmp_path / "raw" / "P1")
    write_plate(tmp_path / "raw" / "P2")
    for path in (tmp_path / "raw" / "P2").iterdir():
        path.write_bytes(b"")
    lines = new_project(tmp_path / "raw", tmp_path / "out")
    assert lines[1].startswith("P2: pattern, left out: a TIFF cannot be read")
    assert "P2" not in (tmp_path / "out" / "plates.tsv").read_text()


@pytest.mark.parametrize(
    "make", [lambda p: None, lambda p: p.mkdir(), lambda p: (p.mkdir(), (p / "a.txt").write_text(""))]
)
def test_a_folder_without_plates_is_an_error(tmp_path, make, capsys):
    make(tmp_path / "raw")
    assert main(["new", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]) == 2
    assert "remedy:" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
