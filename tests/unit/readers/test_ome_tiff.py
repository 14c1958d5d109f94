"""OME-TIFFs that tifffile wrote, and plate sections after the OME schema."""

from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.errors import ConfigError, InputError, PlatemaeError
from platemae.readers.base import Inventory
from platemae.readers.ome_tiff import inventory
from platemae.readers.ome_xml import parse_ome
from platemae.readers.pixels import load_field

RNG = np.random.default_rng(0)
PATTERN = r"(?P<well>[A-P]\d+)_f(?P<field>\d+)\.ome\.tiff?"
ENTRY = {"name": "ome", "kind": "ome_tiff", "pattern": PATTERN}
PHYSICAL = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm"}
NAMESPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def stack(*shape):
    return RNG.integers(0, 4000, (*shape, 20, 24)).astype(np.uint16)


def write(path, x, axes="CYX", channels=("DAPI", "Actin"), **metadata):
    """Write an OME-TIFF with tifffile, the reference for where planes lie."""
    metadata = {"axes": axes, "Channel": {"Name": list(channels)}, **PHYSICAL, **metadata}
    tifffile.imwrite(path, x, photometric="minisblack", metadata=metadata, ome=True)


def plate_xml(images, samples, uuid='UUID="urn:uuid:1"'):
    """Return OME-XML: (id, tiff data) of images, (row, column, index, image id, position) of samples."""
    wells = "".join(
        f'<Well ID="W:{row}:{column}" Row="{row}" Column="{column}"><WellSample ID="S:{index}" Index="{index}" {at}>'
        f'<ImageRef ID="{image}"/></WellSample></Well>'
        for row, column, index, image, at in samples
    )
    found = "".join(
        f'<Image ID="{i}"><Pixels ID="P{i}" DimensionOrder="XYCZT" Type="uint16" SizeX="24" SizeY="20" SizeC="2" '
        f'SizeZ="1" SizeT="1" PhysicalSizeX="0.65" PhysicalSizeY="0.65"><Channel ID="C:0" Name="DNA"/>'
        f'<Channel ID="C:1" Fluor="Alexa 488"/>{data}</Pixels></Image>'
        for i, data in images
    )
    head = f'<?xml version="1.0" encoding="UTF-8"?><OME {NAMESPACE} {uuid}>'
    return f'{head}<Plate ID="Plate:0">{wells}</Plate>{found}</OME>'


def with_xml(path, x, xml):
    tifffile.imwrite(path, x, photometric="minisblack", metadata=None, description=xml.encode())


def test_a_file_a_field_with_the_well_in_its_name(tmp_path):
    pixels = {name: stack(2) for name in ("B3_f1", "B03_f02", "P24_f1")}
    for name, x_CYX in pixels.items():
        write(tmp_path / f"{name}.ome.tif", x_CYX)
    tifffile.imwrite(tmp_path / "thumbnail.tif", np.zeros((4, 4), np.uint8))
    found = inventory(tmp_path, ENTRY)
    assert [(r.well, r.field) for r in found.records] == [("B03", "1"), ("B03", "2"), ("P24", "1")]
    assert [(c.name, c.stain) for c in found.channels] == [("DAPI", "DNA"), ("Actin", "Actin")]
    assert (found.pixel_size_um, found.promised, found.found) == (0.5, 6, 6)
    assert found.unmatched == ("thumbnail.tif",)
    for record, x_CYX in zip(found.records, (pixels["B3_f1"], pixels["B03_f02"], pixels["P24_f1"]), strict=True):
        np.testing.assert_array_equal(load_field(record), x_CYX)


@pytest.mark.parametrize("axes", ["TZCYX", "TCZYX", "CZTYX", "ZCTYX"])
def test_planes_of_every_order_of_dimensions(tmp_path, axes):
    sizes = {"T": 2, "Z": 3, "C": 2}
    x = stack(*(sizes[a] for a in axes[:3]))
    write(tmp_path / "A01_f1.ome.tif", x, axes)
    found = inventory(tmp_path, ENTRY | {"time_point": 1})
    assert (found.n_times, found.n_z, found.promised) == (2, 3, 6)
    x_TZCYX = np.transpose(x, [axes.index(a) for a in "TZCYX"])
    np.testing.assert_array_equal(load_field(found.records[0]), x_TZCYX[1].max(axis=0))
    one = inventory(tmp_path, ENTRY | {"z": 2})
    np.testing.assert_array_equal(load_field(one.records[0]), x_TZCYX[0, 2])


def test_a_file_a_well_with_several_series(tmp_path):
    pixels = [stack(2) for _ in range(3)]
    with tifffile.TiffWriter(tmp_path / "C05.ome.tif", ome=True) as tiff:
        for x_CYX in pixels:
            tiff.write(x_CYX, photometric="minisblack", metadata={"axes": "CYX", **PHYSICAL})
    found = inventory(tmp_path, ENTRY | {"pattern": r"(?P<row>[A-H])(?P<column>\d+)\.ome\.tif"})
    assert [(r.well, r.field) for r in found.records] == [("C05", "0"), ("C05", "1"), ("C05", "2")]
    for record, x_CYX in zip(found.records, pixels, strict=True):
        np.testing.assert_array_equal(load_field(record), x_CYX)


def test_the_plate_section_goes_before_the_name(tmp_path):
    images = [(f"Image:{i}", f'<TiffData IFD="{2 * i}" PlaneCount="2"/>') for i in range(3)]
    samples = [
        (0, 1, 7, "Image:1", ""),
        (0, 1, 3, "Image:0", 'PositionX="0.1" PositionXUnit="mm" PositionY="-20" PositionYUnit="µm"'),
        (31, 47, 0, "Image:2", 'PositionX="5" PositionY="5"'),
    ]
    x = stack(6)
    with_xml(tmp_path / "Z9_f1.ome.tif", x, plate_xml(images, samples))
    found = inventory(tmp_path, ENTRY)
    assert [(r.well, r.field) for r in found.records] == [("A02", "0"), ("A02", "1"), ("AF48", "0")]
    assert [c.name for c in found.channels] == ["DNA", "Alexa_488"]
    assert found.pixel_size_um == 0.65
    assert [(r.y_um, r.x_um) for r in found.records] == [(-20, 100), (None, None), (None, None)]
    np.testing.assert_array_equal(load_field(found.records[1]), x[2:4])


def test_a_companion_names_the_files_of_all_planes(tmp_path):
    data = [
        "".join(
            f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1">'
            f'<UUID FileName="w{i}_c{c}.ome.tif">urn:uuid:{i}{c}</UUID></TiffData>'
            for c in range(2)
        )
        for i in range(2)
    ]
    xml = plate_xml([(f"Image:{i}", data[i]) for i in range(2)], [(1, i, i, f"Image:{i}", "") for i in range(2)])
    (tmp_path / "plate.companion.ome").write_text(xml)
    only = f'<OME {NAMESPACE}><BinaryOnly MetadataFile="plate.companion.ome" UUID="urn:uuid:1"/></OME>'
    pixels = {(i, c): stack() for i in range(2) for c in range(2)}
    for (i, c), x_YX in pixels.items():
        with_xml(tmp_path / f"w{i}_c{c}.ome.tif", x_YX, only)
    (tmp_path / "w1_c1.ome.tif").unlink()
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found, found.unmatched) == (4, 3, ())
    assert [(r.well, r.missing) for r in found.records] == [("B01", []), ("B02", ["Alexa_488"])]
    np.testing.assert_array_equal(load_field(found.records[0]), [pixels[0, 0], pixels[0, 1]])


@pytest.mark.parametrize("place", ['IFD="0"', 'PlaneCount="1"', ""])
def test_files_that_repeat_the_same_xml_count_once(tmp_path, place):
    """A block that states neither page nor count has as many planes as its file has pages: up to the next block."""
    data = '<TiffData FirstC="{c}" {p}><UUID FileName="c{c}.ome.tif">urn:uuid:{c}</UUID></TiffData>'
    both = data.format(c=0, p=place) + data.format(c=1, p=place)
    for c in range(2):
        xml = plate_xml([("Image:0", both)], [(0, 0, 0, "Image:0", "")], uuid=f'UUID="urn:uuid:{c}"')
        with_xml(tmp_path / f"c{c}.ome.tif", stack(), xml)
    assert (inventory(tmp_path, ENTRY).promised, inventory(tmp_path, ENTRY).found) == (2, 2)


def test_stage_positions_count_from_the_middle_of_the_well(tmp_path):
    for field, x_um in ((1, 50_000.0), (2, 50_600.0)):
        plane = {
            "PositionX": [x_um] * 2,
            "PositionXUnit": ["µm"] * 2,
            "PositionY": [1.0] * 2,
            "PositionYUnit": ["mm"] * 2,
        }
        write(tmp_path / f"A01_f{field}.ome.tif", stack(2), Plane=plane)
    assert [(r.y_um, r.x_um) for r in inventory(tmp_path, ENTRY).records] == [(0, -300), (0, 300)]


def test_a_file_that_lacks_pages_is_incomplete(tmp_path):
    xml = plate_xml([("Image:0", '<TiffData IFD="0" PlaneCount="2"/>')], [(0, 0, 0, "Image:0", "")])
    with_xml(tmp_path / "A01.ome.tif", stack(1), xml)
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found, found.records[0].missing) == (2, 1, ["Alexa_488"])


def test_no_plate_section_and_no_pattern(tmp_path):
    write(tmp_path / "A01_f1.ome.tif", stack(2))
    with pytest.raises(ConfigError, match="does not say the well"):
        inventory(tmp_path, ENTRY | {"pattern": None})
    with pytest.raises(ConfigError, match="the pattern has the groups field"):
        inventory(tmp_path, ENTRY | {"pattern": r"(?P<field>\d)"})


def test_pixels_of_two_sizes_are_refused_unless_the_entry_says_one(tmp_path):
    write(tmp_path / "A01_f1.ome.tif", stack(2))
    write(tmp_path / "A01_f2.ome.tif", stack(2), PhysicalSizeX=0.6, PhysicalSizeY=0.6, PhysicalSizeYUnit="µm")
    with pytest.raises(InputError, match=r"pixels of 0\.5 to 0\.6 micrometres"):
        inventory(tmp_path, ENTRY)
    assert inventory(tmp_path, ENTRY | {"pixel_size_um": 0.5}).pixel_size_um == 0.5


BOMB = '<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><OME>&b;</OME>'


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('SizeC="2"', 'SizeC="999999999"', "claims 999999999 planes"),
        ('SizeC="2"', 'SizeC="3"', "2 channels are described, SizeC is 3"),
        ('Row="0"', 'Row="77"', "is no well"),
        ('Row="0"', 'Row="x"', "Row is 'x'"),
        ('PlaneCount="2"', 'PlaneCount="99999"', "names planes 0 to 99998 of 2"),
        ('Name="DNA"', 'Name="DNA" SamplesPerPixel="3"', "colour image"),
        ('PhysicalSizeY="0.65"', 'PhysicalSizeY="0.7"', "no square"),
        ('"XYCZT"', '"XYCCC"', "DimensionOrder"),
        ("</OME>", "</OM>", "cannot be understood"),
    ],
)
def test_xml_that_makes_no_sense(tmp_path, old, new, what):
    xml = plate_xml([("Image:0", '<TiffData IFD="0" PlaneCount="2"/>')], [(0, 0, 0, "Image:0", "")])
    with_xml(tmp_path / "a.ome.tif", stack(2), xml.replace(old, new))
    with pytest.raises(InputError, match=what):
        inventory(tmp_path, ENTRY)


def test_entities_and_paths_that_leave_the_folder_are_refused(tmp_path):
    (tmp_path / "a.companion.ome").write_text(BOMB)
    with pytest.raises(InputError, match="declares entities"):
        inventory(tmp_path, ENTRY)
    data = '<TiffData IFD="0"><UUID FileName="../../secret.tif">urn:uuid:9</UUID></TiffData>'
    (tmp_path / "a.companion.ome").write_text(plate_xml([("Image:0", data)], [(0, 0, 0, "Image:0", "")]))
    with pytest.raises(InputError, match="not below the plate's folder"):
        inventory(tmp_path, ENTRY)


def test_false_counts_are_refused():
    block = '<TiffData PlaneCount="900000"/>'
    xml = plate_xml([("Image:0", block * 50)], []).replace('SizeZ="1"', 'SizeZ="500000"')
    many = plate_xml([(f"Image:{i}", "") for i in range(20)], []).replace('SizeT="1"', 'SizeT="200000"')
    with pytest.raises(InputError, match="more planes are listed"):
        parse_ome(xml.encode(), "x")
    with pytest.raises(InputError, match="claims 400000 planes"):
        parse_ome(many.encode(), "x")


def test_truncated_files_come_together(tmp_path):
    for name in ("A01_f1.ome.tif", "A01_f2.ome.tif"):
        write(tmp_path / name, stack(2))
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:6])
    with pytest.raises(InputError, match="2 problems"):
        inventory(tmp_path, ENTRY)


@settings(
    max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_xml_ends_in_an_inventory_or_a_clear_error(tmp_path, data):
    images = [(f"Image:{i}", f'<TiffData IFD="{2 * i}" PlaneCount="2"/>') for i in range(2)]
    raw = bytearray(
        plate_xml(images, [(0, i, i, f"Image:{i}", 'PositionX="1" PositionXUnit="m"') for i in range(2)]).encode()
    )
    bits = [b"", b"<", b'"', b"\0", b"\xff", b"-1", b"99999999999", b"nan", b"1e999", b"../", b"</Well>"]
    for _ in range(data.draw(st.integers(1, 6))):
        at, cut = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 9))
        raw[at : at + cut] = data.draw(st.sampled_from(bits))
    (tmp_path / "a.companion.ome").write_bytes(bytes(raw))
    with suppress(PlatemaeError):
        assert isinstance(inventory(tmp_path, ENTRY), Inventory)
