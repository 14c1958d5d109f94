"""RxRx1 and RxRx3 folders, written after the READMEs of recursionpharma/rxrx-datasets."""

from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.errors import ConfigError, InputError, MissingError, PlatemaeError
from platemae.readers.base import Inventory
from platemae.readers.pixels import load_field
from platemae.readers.rxrx import inventory

RXRX1 = "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id\n"
RXRX3 = "well_id,experiment_name,plate,address,gene,treatment,SMILES,concentration,perturbation_type,cell_type\n"
SMILES = '"CC1=[N+](CCCC)C2=CC=CC=C2C(N)=C1 |c:1,13,t:16,19|"'
ENTRY = {"name": "rxrx", "kind": "rxrx", "plate": "P", "pixel_size_um": 1.3}
RNG = np.random.default_rng(0)


def rxrx1(root, wells=("B02", "M23"), sites=(1, 2)):
    folder = root / "images" / "HUVEC-01" / "Plate1"
    folder.mkdir(parents=True)
    text = RXRX1
    pixels = {}
    for experiment, plate in (("HUVEC-01", 1), ("HUVEC-01", 2), ("HEPG2-08", 1)):
        for well in wells:
            for site in sites:
                key = f"{experiment}_{plate}_{well}"
                text += f"{key}_{site},{key},HUVEC,train,{experiment},{plate},{well},{site},treatment,s1,7\n"
    for well in wells:
        for site in sites:
            for w in range(1, 7):
                x_YX = RNG.integers(0, 255, (8, 10)).astype(np.uint8)
                pixels[well, site, w] = x_YX
                (folder / f"{well}_s{site}_w{w}.png").write_bytes(imagecodecs.png_encode(x_YX))
    (root / "metadata.csv").write_text(text)
    return folder, pixels


def rxrx3(root, names="{well}_s1_{channel}.jp2"):
    folder = root / "compound-004" / "Plate7"
    folder.mkdir(parents=True)
    text = RXRX3
    for well in ("J36", "AF48"):
        text += f"compound-004_7_{well},compound-004,7,{well},,Dequalinium,{SMILES},0.25,COMPOUND,HUVEC\n"
        text += f"gene-088_7_{well},gene-088,7,{well},RPLP2,RPLP2_guide_4,,,CRISPR,HUVEC\n"
        for channel in range(1, 7):
            data = imagecodecs.jpeg2k_encode(RNG.integers(0, 65535, (16, 16)).astype(np.uint16), reversible=True)
            (folder / names.format(well=well, channel=channel)).write_bytes(data)
    (folder / "metadata.csv").write_text(text)
    return folder


def test_rxrx1_sites_channels_stains_and_pixels(tmp_path):
    folder, pixels = rxrx1(tmp_path)
    found = inventory(folder, ENTRY)
    assert [(r.well, r.field) for r in found.records] == [("B02", "1"), ("B02", "2"), ("M23", "1"), ("M23", "2")]
    assert [c.name for c in found.channels] == ["DNA", "ER", "Actin", "RNA", "Mito", "Golgi"]
    assert (found.promised, found.found, found.unmatched) == (24, 24, ())
    assert found.pixel_size_um == 1.3
    np.testing.assert_array_equal(load_field(found.records[3]), [pixels["M23", 2, w] for w in range(1, 7)])


@pytest.mark.parametrize("names", ["{well}_s1_{channel}.jp2", "{well}_s1_w{channel}.jp2"])
def test_rxrx3_wells_beyond_z_and_its_own_pixel_size(tmp_path, names):
    found = inventory(rxrx3(tmp_path, names), ENTRY | {"pixel_size_um": None})
    assert [r.well for r in found.records] == ["J36", "AF48"]
    assert (found.promised, found.found, found.pixel_size_um) == (12, 12, 0.65)
    assert load_field(found.records[1]).dtype == np.uint16


def test_rxrx1_states_no_pixel_size(tmp_path):
    with pytest.raises(ConfigError, match="pixel size is unknown"):
        inventory(rxrx1(tmp_path)[0], ENTRY | {"pixel_size_um": None})


def test_what_the_metadata_promises_is_missed(tmp_path):
    folder, _ = rxrx1(tmp_path)
    for w in range(1, 7):
        (folder / f"M23_s2_w{w}.png").unlink()
    (folder / "B02_s1_w6.png").unlink()
    found = inventory(folder, ENTRY)
    assert (found.promised, found.found) == (24, 17)
    assert [r.missing for r in found.records] == [["Golgi"], [], [], ["DNA", "ER", "Actin", "RNA", "Mito", "Golgi"]]


def test_wells_that_the_metadata_lacks_are_noted(tmp_path):
    folder, _ = rxrx1(tmp_path)
    text = (tmp_path / "metadata.csv").read_text()
    (tmp_path / "metadata.csv").write_text("".join(x for x in text.splitlines(True) if ",M23," not in x))
    found = inventory(folder, ENTRY)
    assert found.notes == ("the metadata lists no well M23 (1 such wells have images)",)


def test_channels_of_the_entry_go_first(tmp_path):
    folder, pixels = rxrx1(tmp_path)
    named = [{"source": "5", "name": "mito", "stain": "MitoTracker"}, {"source": "1", "name": "dna", "stain": "DAPI"}]
    found = inventory(folder, ENTRY | {"channels": named})
    assert found.promised == 8
    np.testing.assert_array_equal(load_field(found.records[0]), [pixels["B02", 1, w] for w in (5, 1)])


def test_the_metadata_may_lie_elsewhere_but_not_nowhere(tmp_path):
    folder, _ = rxrx1(tmp_path)
    (tmp_path / "metadata.csv").rename(tmp_path / "m.csv")
    assert inventory(folder, ENTRY | {"metadata": str(tmp_path / "m.csv")}).found == 24
    with pytest.raises(MissingError, match="table that describes the plate is missing"):
        inventory(folder, ENTRY)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("HUVEC-01,1", "HUVEC-09,1", "no row of experiment HUVEC-01, plate 1"),
        (",well,", ",address,", "lacks the columns well"),
        (",B02,", ",B77,", "no well"),
    ],
)
def test_metadata_that_does_not_fit(tmp_path, old, new, what):
    folder, _ = rxrx1(tmp_path)
    text = (tmp_path / "metadata.csv").read_text().replace(old, new)
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(InputError, match=what):
        inventory(folder, ENTRY)


def test_a_folder_that_is_not_named_so(tmp_path):
    folder, _ = rxrx1(tmp_path)
    with pytest.raises(InputError, match="name of the folder does not say"):
        inventory(folder.rename(folder.with_name("first")), ENTRY)


@settings(
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_metadata_ends_in_an_inventory_or_a_clear_error(tmp_path, data):
    if not (tmp_path / "metadata.csv").exists():
        rxrx1(tmp_path)
        (tmp_path / "sound.csv").write_bytes((tmp_path / "metadata.csv").read_bytes())
    raw = bytearray((tmp_path / "sound.csv").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at, cut = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 9))
        raw[at : at + cut] = data.draw(
            st.sampled_from([b"", b",", b'"', b"\n", b"\0", b"\xff", b"99999999999999999999"])
        )
    (tmp_path / "metadata.csv").write_bytes(bytes(raw))
    with suppress(PlatemaeError):
        assert isinstance(inventory(tmp_path / "images" / "HUVEC-01" / "Plate1", ENTRY), Inventory)
