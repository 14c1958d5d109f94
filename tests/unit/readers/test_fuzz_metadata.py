"""Damaged and hostile metadata of instruments ends in an inventory or in an error to act on: no traceback, no hang."""

import contextlib
import errno
import io
import os
import time
from importlib import import_module

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.errors import InputError, PlatemaeError
from platemae.readers.base import Inventory

PATIENCE_S = 20
"""Far above what a few kilobytes take, far below a hang."""

OPERETTA = """\ufeff<?xml version="1.0" encoding="utf-8"?>
<EvaluationInputData xmlns="http://www.perkinelmer.com/PEHH/HarmonyV6"><Plates><Plate><PlateRows>8</PlateRows></Plate>
</Plates><Wells><Well><id>0203</id><Row>2</Row><Col>3</Col><Image id="0203K1F1P1R1" /></Well></Wells>
<Maps><Map><Entry ChannelID="1"><ChannelName>DAPI</ChannelName>
<ImageResolutionX Unit="m">3E-07</ImageResolutionX></Entry>
<Entry ChannelID="2"><ChannelName>FITC</ChannelName></Entry></Map></Maps><Images>
<Image Version="1"><id>0203K1F1P1R1</id><State>Ok</State><URL>a1.tiff</URL><Row>2</Row><Col>3</Col><FieldID>1</FieldID>
<PlaneID>1</PlaneID><TimepointID>0</TimepointID><ChannelID>1</ChannelID><PositionX Unit="m">1E-4</PositionX>
<PositionY Unit="m">-1E-4</PositionY></Image>
<Image Version="1"><id>0203K1F1P2R1</id><State>Ok</State><URL>a2.tiff</URL><Row>2</Row><Col>3</Col><FieldID>1</FieldID>
<PlaneID>2</PlaneID><TimepointID>0</TimepointID><ChannelID>2</ChannelID></Image></Images></EvaluationInputData>"""

CELLVOYAGER = """<?xml version="1.0" encoding="utf-8"?>
<bts:MeasurementData bts:Version="1.0" xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0">
<bts:MeasurementRecord bts:Type="IMG" bts:Column="8" bts:Row="4" bts:TimePoint="1" bts:FieldIndex="1" bts:ZIndex="1"
 bts:TimelineIndex="1" bts:X="-567.1" bts:Y="402.9" bts:Z="0.0" bts:Ch="1">a1.tiff</bts:MeasurementRecord>
<bts:MeasurementRecord bts:Type="IMG" bts:Column="8" bts:Row="5" bts:TimePoint="2" bts:FieldIndex="1" bts:ZIndex="1"
 bts:TimelineIndex="2" bts:X="-567.1" bts:Y="402.9" bts:Z="0.0" bts:Ch="2">a2.tiff</bts:MeasurementRecord>
<bts:MeasurementRecord bts:Type="ERR" bts:Column="8" bts:Row="5" bts:TimePoint="1">AF Error</bts:MeasurementRecord>
</bts:MeasurementData>"""

DETAIL = """<?xml version="1.0" encoding="utf-8"?>
<bts:MeasurementDetail bts:MeasurementSettingFileName="s.mes" xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0">
<bts:MeasurementChannel bts:Ch="1" bts:HorizontalPixelDimension="0.325" /></bts:MeasurementDetail>"""

SETTING = """<bts:MeasurementSetting xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"><bts:ChannelList>
<bts:Channel bts:Ch="1" bts:Target="DAPI" /></bts:ChannelList></bts:MeasurementSetting>"""

HTD = """"HTSInfoFile", Version 1.0\r\n"Description", "two wells"\r\n"TimePoints", 2\r\n"ZSeries", TRUE\r\n"ZSteps", 2
"XWells", 3\r\n"YWells", 2\r\n"WellsSelection1", FALSE, TRUE, TRUE\r\n"WellsSelection2", FALSE, FALSE, FALSE
"Sites", TRUE\r\n"XSites", 2\r\n"SiteSelection1", TRUE, TRUE\r\n"Waves", TRUE\r\n"NWavelengths", 2
"WaveName1", "DAPI"\r\n"WaveName2", "FITC"\r\n"WaveCollect1", 1\r\n"WaveCollect2", 1\r\n"EndFile"\r\n"""

IMAGES = ("a1.tiff", "a2.tiff")
TIMES = tuple(f"TimePoint_1/ZStep_{z}/p_A{c}_s{s}_w1.TIF" for z in (1, 2) for c in ("02", "03") for s in (1, 2))

PLATES = {
    # name: kind, the file that is damaged, all metadata files, image files
    "operetta": ("operetta", "Index.idx.xml", {"Index.idx.xml": OPERETTA}, IMAGES),
    "records": ("cellvoyager", "MeasurementData.mlf", {"MeasurementData.mlf": CELLVOYAGER}, IMAGES),
    "detail": (
        "cellvoyager",
        "MeasurementDetail.mrf",
        {"MeasurementDetail.mrf": DETAIL, "MeasurementData.mlf": CELLVOYAGER, "s.mes": SETTING},
        IMAGES,
    ),
    "setting": (
        "cellvoyager",
        "s.mes",
        {"s.mes": SETTING, "MeasurementData.mlf": CELLVOYAGER, "MeasurementDetail.mrf": DETAIL},
        IMAGES,
    ),
    "htd": ("imagexpress", "p.HTD", {"p.HTD": HTD}, TIMES),
}

TOKENS = [
    b"../",
    b"..\\",
    b"/etc/passwd",
    b"\0",
    b"&a;",
    b"<!DOCTYPE a [<!ENTITY a 'a'>]>",
    b"<Image>",
    b"</Images>",
    b"<" * 50,
    b"9" * 5000,
    b"-1",
    b"1e999",
    b"nan",
    b"TRUE, " * 5000,
    b'"',
    b"\xff\xfe",
    "٣²µ".encode(),
    b"\r\n",
]


@st.composite
def damages(draw):
    """Return edits (where, how long a part goes, what comes in its place), each a share of the file's length."""
    what = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4), st.just(b""))
    return [
        (draw(st.floats(0, 1)), draw(st.sampled_from([0, 0, 1, 2, 10, 200])), draw(what), draw(st.booleans()))
        for _ in range(draw(st.integers(1, 4)))
    ]


def damaged(data, edits):
    for where, length, new, twice in edits:
        at = int(where * len(data))
        kept = data[at : at + length]
        data = data[:at] + (kept + new + kept if twice else new) + data[at + length :]
    return data


def folder_of(root, name):
    """Write a plate's folder once and return it, with its reader, the file that is damaged, and its sound bytes."""
    kind, target, texts, images = PLATES[name]
    for image in images:
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        (root / image).write_bytes(b"x")
    for file, text in texts.items():
        (root / file).write_bytes(text.encode("utf-8"))
    return import_module(f"platemae.readers.{kind}").inventory, root / target


def ends_well(read, folder):
    """Return the inventory, or None after an error of ours; any other error fails the test."""
    started = time.monotonic()
    found = None
    with contextlib.suppress(PlatemaeError):
        found = read(folder, {"name": "scope", "pixel_size_um": 0.5})
        assert isinstance(found, Inventory)
        root = folder.resolve()
        used = {p.path for record in found.records for planes in record.planes.values() for p in planes}
        assert all(path.resolve().is_relative_to(root) for path in used)
    assert time.monotonic() - started < PATIENCE_S
    return found


FUZZ = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", PLATES)
def test_what_the_fuzz_damages_is_sound_before(tmp_path, name):
    read, _ = folder_of(tmp_path, name)
    assert ends_well(read, tmp_path) is not None


@pytest.mark.parametrize("name", PLATES)
@given(edits=damages())
@FUZZ
def test_damaged_metadata_ends_well(tmp_path, name, edits):
    read, path = folder_of(tmp_path, name)
    path.write_bytes(damaged(path.read_bytes(), edits))
    ends_well(read, tmp_path)


@pytest.mark.parametrize("name", PLATES)
@given(share=st.floats(0, 1, exclude_max=True))
@settings(FUZZ, max_examples=30)
def test_metadata_that_is_cut_off_ends_well(tmp_path, name, share):
    read, path = folder_of(tmp_path, name)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    found = ends_well(read, tmp_path)
    if path.suffix not in (".HTD",):  # an HTD file is lines: a cut one may still say what is needed
        assert found is None


@pytest.mark.parametrize("name", PLATES)
def test_metadata_that_may_not_be_read_is_named(tmp_path, name, monkeypatch):
    read, path = folder_of(tmp_path, name)
    plain = io.open

    def guarded(file, *args, **kw):  # root, who may run the tests, is refused nothing
        if str(file) == str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return plain(file, *args, **kw)

    monkeypatch.setattr(io, "open", guarded)
    with pytest.raises(InputError, match="Permission denied") as caught:
        read(tmp_path, {"name": "scope", "pixel_size_um": 0.5})
    assert str(path) in str(caught.value)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    read, _ = folder_of(tmp_path, "htd")
    plain = os.scandir

    def guarded(path):
        if str(path).endswith("ZStep_1"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(InputError, match="cannot be looked into: Permission denied") as caught:
        read(tmp_path, {"name": "scope", "pixel_size_um": 0.5})
    assert caught.value.where.endswith("TimePoint_1/ZStep_1")


REAL = {
    "operetta": ("operetta", "vendor-operetta-harmony/operetta_plate/Images", "Index.idx.xml"),
    "cellvoyager": ("cellvoyager", "vendor-yokogawa-cv8000", "MeasurementData.mlf"),
    "imagexpress": ("imagexpress", "vendor-imagexpress-exported/9987_Plate_3434", "9987.HTD"),
}


@pytest.fixture(params=REAL)
def real(request, shared_data, tmp_path):
    """Names of a real plate's images, empty, and its real metadata."""
    kind, folder, name = REAL[request.param]
    source = sorted((shared_data / folder).rglob(name))[0].parent
    for path in source.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            content = b"" if path.suffix.lower() in (".tif", ".tiff") else path.read_bytes()
            (tmp_path / path.relative_to(source)).write_bytes(content)
    path = tmp_path / name
    return import_module(f"platemae.readers.{kind}").inventory, path, path.read_bytes()


@given(edits=damages())
@FUZZ
def test_damaged_metadata_of_real_plates_ends_well(real, edits):
    read, path, data = real
    path.write_bytes(data)
    assert ends_well(read, path.parent) is not None
    path.write_bytes(damaged(data, edits))
    ends_well(read, path.parent)


@pytest.mark.parametrize("name", [name for name in PLATES if name != "htd"])
def test_entity_bombs_are_refused(tmp_path, name):
    read, path = folder_of(tmp_path, name)
    text = path.read_text(encoding="utf-8-sig").split("?>")[-1]
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    path.write_text(
        f'<!DOCTYPE x [<!ENTITY a0 "ha">{levels}]>' + text.replace("DAPI", "&a11;").replace("a1.tiff", "&a11;")
    )
    with pytest.raises(InputError, match="declares entities"):
        read(tmp_path, {"name": "scope", "pixel_size_um": 0.5})


@pytest.mark.parametrize("outside", ["../secret.tiff", "/etc/hostname", "a/../../secret.tiff", "..\\secret.tiff"])
@pytest.mark.parametrize("name", ["operetta", "records"])
def test_files_outside_the_plate_are_refused(tmp_path, name, outside):
    (tmp_path / "secret.tiff").write_bytes(b"x")
    read, path = folder_of(tmp_path / "plate", name)
    path.write_bytes(path.read_bytes().replace(b"a1.tiff", outside.encode()))
    with pytest.raises(InputError, match="not below the plate's folder"):
        read(tmp_path / "plate", {"name": "scope", "pixel_size_um": 0.5})


@pytest.mark.parametrize("name", ["operetta", "records", "htd"])
def test_a_link_out_of_the_plate_is_refused(tmp_path, name):
    (tmp_path / "secret.tiff").write_bytes(b"x")
    read, _ = folder_of(tmp_path / "plate", name)
    image = tmp_path / "plate" / PLATES[name][3][0]
    image.unlink()
    image.symlink_to(tmp_path / "secret.tiff")
    with pytest.raises(InputError, match="leads out of the plate's folder"):
        read(tmp_path / "plate", {"name": "scope", "pixel_size_um": 0.5})
