"""load_data.csv, written as CellProfiler and JUMP write it."""

import gzip
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.errors import InputError, MissingError, PlatemaeError
from platemae.readers.base import Inventory
from platemae.readers.load_data import inventory
from platemae.readers.look import look
from platemae.readers.pixels import load_field

ENTRY = {"name": "jump", "kind": "load_data", "pixel_size_um": 0.6, "plate": "P1"}
CHANNELS = ("OrigDNA", "OrigER")


def name_of(well, site, channel):
    return f"{well}_{site}_{channel}.tif"


def table(folder, path_name, wells=("A01", "B12"), sites=(1, 2), plate="P1", **columns):
    rows = []
    for i, (well, site) in enumerate((w, s) for w in wells for s in sites):
        row = {"Metadata_Plate": plate, "Metadata_Well": well, "Metadata_Site": site}
        for channel in CHANNELS:
            row |= {f"FileName_{channel}": name_of(well, site, channel), f"PathName_{channel}": str(path_name)}
        rows.append(row | {key: values[i] for key, values in columns.items()})
    return pd.DataFrame(rows)


def images(folder, wells=("A01", "B12"), sites=(1, 2)):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for well in wells:
        for site in sites:
            for channel in CHANNELS:
                tifffile.imwrite(folder / name_of(well, site, channel), rng.integers(0, 999, (9, 7)).astype(np.uint16))


@pytest.fixture
def plate(tmp_path):
    folder = tmp_path / "P1"
    images(folder / "Images")
    table(folder, folder / "Images").to_csv(folder / "load_data.csv", index=False)
    return folder


def write(frame, folder, form):
    (folder / "load_data.csv").unlink()
    if form == "parquet":
        frame.to_parquet(folder / "load_data.parquet")
    else:
        frame.to_csv(folder / f"load_data.{form}", index=False)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_every_form_of_the_table_gives_the_same_fields(plate, form):
    write(table(plate, plate / "Images"), plate, form)
    found = inventory(plate, ENTRY)
    assert [(r.well, r.field) for r in found.records] == [("A01", "1"), ("A01", "2"), ("B12", "1"), ("B12", "2")]
    assert [(c.name, c.stain) for c in found.channels] == [("OrigDNA", "DNA"), ("OrigER", "ER")]
    assert (found.promised, found.found, found.unmatched) == (8, 8, ())
    expected = [tifffile.imread(plate / "Images" / name_of("B12", 1, c)) for c in CHANNELS]
    np.testing.assert_array_equal(load_field(found.records[2]), expected)


def test_rows_of_other_plates_are_left_out(plate):
    both = pd.concat([table(plate, plate / "Images"), table(plate, "/x", plate="P2")])
    both.to_csv(plate / "load_data.csv", index=False)
    assert inventory(plate, ENTRY).promised == 8
    with pytest.raises(InputError, match=r"no row of plate P3; it has P1, P2"):
        inventory(plate.rename(plate.with_name("P3")), ENTRY | {"plate": "P3"})


def test_a_table_outside_the_folder(plate, tmp_path):
    (plate / "load_data.csv").rename(tmp_path / "table.csv")
    assert inventory(plate, ENTRY | {"metadata": str(tmp_path / "table.csv")}).found == 8
    with pytest.raises(MissingError, match="table that describes the plate is missing"):
        inventory(plate, ENTRY)


@pytest.mark.parametrize("path_name", ["/scratch/of/another/machine", "C:\\data\\plate", "s3://gallery/P1/Images"])
def test_paths_of_another_machine_are_found_by_name(plate, path_name):
    table(plate, path_name).to_csv(plate / "load_data.csv", index=False)
    found = inventory(plate, ENTRY)
    assert found.found == 8
    assert found.records[0].planes["OrigDNA"][0].path == plate / "Images" / name_of("A01", 1, "OrigDNA")


def test_a_name_that_two_files_bear_is_refused(plate):
    table(plate, "/elsewhere").to_csv(plate / "load_data.csv", index=False)
    images(plate / "copy", wells=("A01",), sites=(1,))
    with pytest.raises(InputError, match="2 files bear the name"):
        inventory(plate, ENTRY)


def test_a_path_below_the_folder_is_taken_as_it_is(plate):
    images(plate / "copy")
    assert inventory(plate, ENTRY).found == 8
    (plate / "Images" / name_of("A01", 1, "OrigER")).unlink()
    found = inventory(plate, ENTRY)
    assert (found.promised, found.found, found.records[0].missing) == (8, 7, ["OrigER"])


def test_images_in_the_cloud_are_refused_with_the_way_to_get_them(plate):
    for file in (plate / "Images").iterdir():
        file.unlink()
    table(plate, "s3://gallery/P1").to_csv(plate / "load_data.csv", index=False)
    with pytest.raises(InputError, match=r"8 images lie elsewhere, such as s3://gallery/P1/A01_1") as caught:
        inventory(plate, ENTRY)
    assert "aws s3 sync" in caught.value.remedy


@pytest.mark.parametrize("scheme", ["file:", "file://", "", None])
def test_urls_of_files_and_relative_paths(plate, scheme):
    (plate / "Images").rename(plate / "my images")
    frame = table(plate, "")
    for channel in CHANNELS:
        base = "my images/" if scheme is None else f"{scheme}{plate}/my images/"
        frame[f"URL_{channel}"] = (base + frame[f"FileName_{channel}"]).str.replace(" ", "%20" if scheme else " ")
    frame = frame.drop(columns=[c for c in frame if c.startswith(("FileName", "PathName"))])
    frame.to_csv(plate / "load_data.csv", index=False)
    assert inventory(plate, ENTRY).found == 8


def test_row_and_column_numbers_positions_and_pixel_size_as_jump_writes_them(plate):
    frame = table(
        plate,
        plate / "Images",
        Metadata_Row=[1, 1, 2, 2],
        Metadata_Col=[1, 1, 12, 12],
        Metadata_PositionX=[-0.00032, 0.00032, -0.00032, 0.00032],
        Metadata_PositionY=[0.0001, 0.0001, 0.0, -0.0001],
        Metadata_ImageResolutionX=[5.98e-7] * 4,
    ).drop(columns="Metadata_Well")
    frame.to_csv(plate / "load_data.csv", index=False)
    found = inventory(plate, ENTRY | {"pixel_size_um": None})
    assert [r.well for r in found.records] == ["A01", "A01", "B12", "B12"]
    assert found.pixel_size_um == pytest.approx(0.598)
    assert [(r.y_um, r.x_um) for r in found.records] == [
        (pytest.approx(y), pytest.approx(x)) for y, x in [(-100, -320), (-100, 320), (0, -320), (100, 320)]
    ]


def test_positions_in_micrometres_stay_so(plate):
    frame = table(plate, plate / "Images", Metadata_PositionX=[-320, 320, 0, 0], Metadata_PositionY=[100, 0, 0, 0])
    frame.to_csv(plate / "load_data.csv", index=False)
    record = inventory(plate, ENTRY).records[0]
    assert (record.y_um, record.x_um) == (-100, -320)


def test_illumination_functions_are_no_channels(plate):
    frame = table(plate, plate / "Images").assign(FileName_IllumDNA="illum.npy", PathName_IllumDNA="/x")
    frame.to_csv(plate / "load_data.csv", index=False)
    assert [c.name for c in inventory(plate, ENTRY).channels] == ["OrigDNA", "OrigER"]


def test_all_bad_rows_come_together(plate):
    frame = table(plate, plate / "Images")
    frame.loc[0, "Metadata_Well"] = "Z99"
    frame.loc[1, "FileName_OrigER"] = frame.loc[1, "FileName_OrigDNA"]
    frame.loc[2, "PathName_OrigDNA"] = "../../etc"
    frame.to_csv(plate / "load_data.csv", index=False)
    with pytest.raises(InputError) as caught:
        inventory(plate, ENTRY)
    for part in ("3 problems", "row 2", "no well", "row 3", "named twice", "row 4", "not below the plate's folder"):
        assert part in caught.value.what


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "cannot be read"),
        (b"a,b\n1\n", "cannot be read"),
        (b"a,a\n1,2\n", "two columns a"),
        (b"Metadata_Well,\xff\n", "cannot be read"),
        (b"Metadata_Well,Metadata_Site\nA01,1\n", "lacks the columns FileName_"),
        (b"FileName_OrigDNA\na.tif\n", "lacks the columns Metadata_Row, Metadata_Col"),
        (b"Metadata_Well,FileName_OrigDNA,Metadata_ImageResolutionX\nA01,a.tif,x\n", "is no number"),
    ],
)
def test_a_table_that_is_none(plate, text, what):
    (plate / "load_data.csv").write_bytes(text)
    with pytest.raises(InputError, match=what):
        inventory(plate, ENTRY)


def test_a_torn_gzip_is_refused(plate):
    raw = gzip.compress((plate / "load_data.csv").read_bytes())
    (plate / "load_data.csv").unlink()
    (plate / "load_data.csv.gz").write_bytes(raw[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        inventory(plate, ENTRY)


def test_one_entry_serves_plates_whose_tables_lie_elsewhere(plate, tmp_path):
    (tmp_path / "tables/P1").mkdir(parents=True)
    (plate / "load_data.csv").rename(tmp_path / "tables/P1/load_data.csv")
    (tmp_path / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\t\tnegcon\nB12\tx\ttreatment\n")
    row = {"plate": "P1", "batch": "b", "reader": "jump", "path": "P1", "layout": "layout.tsv"}
    reader = {"name": "jump", "kind": "load_data", "pixel_size_um": 0.6, "metadata": "tables/{plate}/load_data.csv"}
    cfg = {"plate": row, "reader": reader, "ingest": {"allow_missing": False}}
    found, _, problems = look(cfg, "P1", tmp_path)
    assert (problems, found.promised, found.found) == ([], 8, 8)


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_mutated_table_ends_in_an_inventory_or_a_clear_error(plate, data):
    raw = bytearray(table(plate, plate / "Images").to_csv(index=False).encode())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(raw) - 1))
        cut = data.draw(st.integers(0, 12))
        raw[at : at + cut] = data.draw(
            st.sampled_from([b"", b",", b'"', b"\n", b"\0", b"\xff", b"../", b"1e999", b"-1"])
        )
    (plate / "load_data.csv").write_bytes(bytes(raw))
    with suppress(PlatemaeError):
        assert isinstance(inventory(plate, ENTRY), Inventory)


def test_eighty_thousand_images_are_read(plate, monkeypatch):
    wells = [f"{chr(65 + i // 24)}{i % 24 + 1:02d}" for i in range(384)]
    frame = table(plate, plate, wells=wells, sites=range(1, 105))
    frame.to_csv(plate / "load_data.csv", index=False)
    from platemae.readers import load_data
    from platemae.readers.base import RawFile

    names = [name for channel in CHANNELS for name in frame[f"FileName_{channel}"]]
    monkeypatch.setattr(load_data, "list_files", lambda folder: [RawFile(name, 1, 0.0) for name in names])
    found = inventory(plate, ENTRY)
    assert (found.promised, found.found, len(found.records)) == (79872, 79872, 39936)
