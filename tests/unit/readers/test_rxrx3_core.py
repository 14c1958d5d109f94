"""RxRx3-core's parquet files, written after its page on Hugging Face and the README of rxrx-datasets."""

import shutil
from contextlib import suppress

import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.errors import InputError, MissingError, PlatemaeError
from platemae.readers.base import Inventory
from platemae.readers.pixels import load_field
from platemae.readers.rxrx3_core import inventory

ENTRY = {"name": "core", "kind": "rxrx3_core", "plate": "compound-004_Plate7"}
HEADER = "well_id,experiment_name,plate,address,gene,treatment,SMILES,concentration,perturbation_type,cell_type\n"
RNG = np.random.default_rng(3)


@pytest.fixture
def core(tmp_path):
    """Two shards of 5 rows a group; plates interleaved, wells cut by the border of the shards."""
    keys = [
        f"{plate}/{well}_s1_{channel}"
        for well in ("J36", "AA02", "B07")
        for plate in ("compound-004/Plate7", "gene-088/Plate7")
        for channel in range(1, 7)
    ]
    pixels = {key: RNG.integers(0, 255, (32, 32)).astype(np.uint8) for key in keys}
    (tmp_path / "data").mkdir()
    for number, part in enumerate((keys[:15], keys[15:])):
        images = [
            {"bytes": imagecodecs.jpeg2k_encode(pixels[key], reversible=True), "path": f"{key}.jp2"} for key in part
        ]
        table = pa.table({"__key__": part, "jp2": images, "__url__": ["hf://x"] * len(part)})
        pq.write_table(table, tmp_path / "data" / f"train-0000{number}-of-00002.parquet", row_group_size=5)
    pq.write_table(pa.table({"well_id": ["x"]}), tmp_path / "OpenPhenom_rxrx3_core_embeddings.parquet")
    return tmp_path, pixels


@pytest.mark.parametrize(
    ("plate", "prefix"),
    [
        ("compound-004_Plate7", "compound-004/Plate7"),
        ("compound-004_7", "compound-004/Plate7"),
        ("gene-088_07", "gene-088/Plate7"),
    ],
)
def test_a_plate_by_its_id(core, plate, prefix):
    folder, pixels = core
    found = inventory(folder, ENTRY | {"plate": plate})
    assert [(r.well, r.field) for r in found.records] == [("B07", "1"), ("J36", "1"), ("AA02", "1")]
    assert [c.name for c in found.channels] == ["DNA", "ER", "Actin", "RNA", "Mito", "Golgi"]
    assert (found.pixel_size_um, found.promised, found.unmatched) == (0.65, None, ())
    for record in found.records:
        expected = [pixels[f"{prefix}/{record.well}_s1_{channel}"] for channel in range(1, 7)]
        np.testing.assert_array_equal(load_field(record), expected)


def test_the_metadata_says_which_wells_there_should_be(core):
    folder, _ = core
    rows = "".join(f"c_{w},compound-004,7,{w},,x,,0.25,COMPOUND,HUVEC\n" for w in ("J36", "AA02", "B07", "C01"))
    (folder / "metadata_rxrx3_core.csv").write_text(HEADER + rows)
    found = inventory(folder, ENTRY)
    assert (found.promised, found.found) == (24, 18)
    assert [r.well for r in found.records if r.missing] == ["C01"]


def test_a_plate_that_is_not_there(core):
    with pytest.raises(
        InputError, match=r"no parquet file holds images of compound-004/Plate9: they hold compound-004"
    ):
        inventory(core[0], ENTRY | {"plate": "compound-004_Plate9"})


@pytest.mark.parametrize("plate", ["compound", None, ""])
def test_an_id_that_says_nothing(core, plate):
    with pytest.raises(InputError, match="does not say which plate"):
        inventory(core[0], ENTRY | {"plate": plate})


def test_metadata_that_is_named_must_be_there(core):
    with pytest.raises(MissingError, match="metadata of RxRx3-core is missing"):
        inventory(core[0], ENTRY | {"metadata": str(core[0] / "no.csv")})


def test_a_truncated_shard_is_refused(core):
    shard = core[0] / "data" / "train-00001-of-00002.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(InputError, match="a parquet file cannot be read"):
        inventory(core[0], ENTRY)


def test_keys_that_name_no_well_are_refused(core):
    table = pa.table({"__key__": ["compound-004/Plate7/README"], "jp2": [{"bytes": b"", "path": ""}]})
    pq.write_table(table, core[0] / "data" / "extra.parquet")
    with pytest.raises(InputError, match="'README' names no well, site and channel"):
        inventory(core[0], ENTRY)


def test_damaged_bytes_are_refused_when_pixels_are_read(core):
    folder, _ = core
    table = pa.table({"__key__": ["x_1/Plate1/A01_s1_1"], "jp2": [{"bytes": b"\xff\x4f\xff\x51junk", "path": ""}]})
    pq.write_table(table, folder / "data" / "extra.parquet")
    record = inventory(folder, ENTRY | {"plate": "x_1_1"}).records[0]
    with pytest.raises(InputError, match="channel DNA: an image"):
        load_field(record)


# -- any names, any order, any gap ------------------------------------------------------------------------------------

PROPERTY = settings(
    max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OWN, OTHER = "compound-004/Plate7", "compound-004/Plate70"
PLACES = st.tuples(
    st.sampled_from([OWN, OWN, OTHER]),
    st.sampled_from("A B Z AA AF".split()),
    st.integers(1, 48),
    st.integers(1, 2),
    st.integers(1, 6),
)


def write_shards(folder, keys, shards, rows_a_group):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number in range(shards):
        part = keys[number::shards]
        images = pa.array(
            [{"bytes": b"", "path": ""}] * len(part), pa.struct({"bytes": pa.binary(), "path": pa.string()})
        )
        table = pa.table({"__key__": pa.array(part, pa.string()), "jp2": images})
        pq.write_table(table, folder / f"train-{number}.parquet", row_group_size=rows_a_group)


@given(
    places=st.lists(PLACES, min_size=1, max_size=25, unique=True),
    shards=st.integers(1, 3),
    rows_a_group=st.integers(1, 5),
)
@PROPERTY
def test_every_image_lands_in_its_place_and_nothing_else_does(tmp_path, places, shards, rows_a_group):
    keys = [f"{plate}/{row}{column:02d}_s{site}_{channel}" for plate, row, column, site, channel in places]
    write_shards(tmp_path / "core", keys, shards, rows_a_group)
    own = [place[1:] for place in places if place[0] == OWN]
    if not own:
        with pytest.raises(InputError, match="no parquet file holds images"):
            inventory(tmp_path / "core", ENTRY)
        return
    found = inventory(tmp_path / "core", ENTRY)
    fields = sorted({place[:3] for place in own}, key=lambda place: (len(place[0]), place))
    assert [(r.well, r.field) for r in found.records] == [(f"{row}{x:02d}", str(site)) for row, x, site in fields]
    channels = sorted({place[3] for place in own})
    for record, place in zip(found.records, fields, strict=True):
        for channel, planes in zip(channels, record.planes.values(), strict=True):
            row, column, site = place
            expected = [f"{OWN}/{row}{column:02d}_s{site}_{channel}"] if (*place, channel) in own else []
            assert [pq.read_table(p.path)["__key__"][p.index[0]].as_py() for p in planes] == expected


@given(
    keys=st.lists(
        st.one_of(st.none(), st.text("AFs_/w0123456789.jp", max_size=12).map(lambda text: f"{OWN}/{text}"), st.text()),
        max_size=6,
    )
)
@PROPERTY
def test_any_keys_end_in_an_inventory_or_a_clear_error(tmp_path, keys):
    write_shards(tmp_path / "core", keys, 1, 2)
    with suppress(PlatemaeError):
        assert isinstance(inventory(tmp_path / "core", ENTRY), Inventory)
