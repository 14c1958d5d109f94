"""MetaXpress folders become fields: the three real plates, and the forms that they do not show."""

import re
from itertools import product

import numpy as np
import pytest
import tifffile

from platemae.errors import ConfigError, InputError, MissingError
from platemae.readers.checks import inventory_problems
from platemae.readers.imagexpress import inventory
from platemae.readers.pixels import load_field

ENTRY = {"name": "ix", "kind": "imagexpress", "pixel_size_um": 0.5}
GUID = "0E94C24B-45E4-450A-9919-257C714278F7"  # begins with digits, as wavelengths do


def htd(wells=("B02", "B03"), sites=(True, True), waves=("DAPI", "FITC"), **more):
    """Return the text of an HTD file of a 96-well plate, sites in one row."""
    lines = ['"HTSInfoFile", Version 1.0', '"Description", "5 µm steps, first: WellsSelection"']
    for row in range(1, 9):
        flags = [f"{'ABCDEFGH'[row - 1]}{column:02d}" in wells for column in range(1, 13)]
        lines.append(f'"WellsSelection{row}", ' + ", ".join(str(flag).upper() for flag in flags))
    lines.append(f'"Sites", {str(len(sites) > 1).upper()}')
    lines.append('"SiteSelection1", ' + ", ".join(str(flag).upper() for flag in sites))
    lines.append(f'"Waves", {str(len(waves) > 1).upper()}')
    lines += [f'"WaveName{n}", "{name}"\r\n"WaveCollect{n}", 1' for n, name in enumerate(waves, 1)]
    facts = {"TimePoints": 1, "ZSeries": "FALSE", "ZSteps": 0, **more}
    return "\r\n".join([*lines, *(f'"{key}", {value}' for key, value in facts.items()), '"EndFile"'])


def write(folder, text, names):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "p.HTD").write_bytes(text.encode("latin-1"))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(wells=("B02", "B03"), sites=(1, 2), waves=(1, 2), folder="TimePoint_1"):
    return [f"{folder}/p_{well}_s{s}_w{w}.TIF" for well, s, w in product(wells, sites, waves)]


def selected(text, key):
    """Return how often TRUE stands in the lines of a key: the test's own reading of an HTD file."""
    return sum(line.count("TRUE") for line in text.splitlines() if line.startswith(f'"{key}'))


@pytest.mark.parametrize(("plate", "channels", "n_z", "n_times"), [(3420, 1, 1, 1), (3434, 3, 2, 1), (3435, 2, 1, 2)])
def test_the_real_plates_ingest_whole(shared_data, plate, channels, n_z, n_times):
    folder = shared_data / f"vendor-imagexpress-exported/9987_Plate_{plate}"
    text = (folder / "9987.HTD").read_text(encoding="latin-1")
    found = inventory(folder, {"name": "ix"})
    n_fields = selected(text, "WellsSelection") * max(selected(text, "SiteSelection"), 1)
    assert len(found.records) == n_fields
    assert [c.name for c in found.channels] == re.findall(r'"WaveName\d+", "([^"]*)"', text.replace(" Red", "_Red"))[
        :channels
    ]
    files = [path for path in folder.rglob("*.TIF") if "ZStep_0" not in path.parts]
    assert (found.n_z, found.n_times) == (n_z, n_times)
    assert n_fields * channels * n_z * n_times == len(files)
    assert found.unmatched == ()
    assert found.promised == found.found
    wells = {record.well: "treatment" for record in found.records}
    assert inventory_problems("p", folder, found, wells, allow_missing=False) == []


def test_the_notes_say_what_the_export_left_out(shared_data):
    folder = shared_data / "vendor-imagexpress-exported"
    assert inventory(folder / "9987_Plate_3420", {"name": "ix"}).notes == ()
    assert inventory(folder / "9987_Plate_3434", {"name": "ix"}).notes == (
        "9987.HTD lists the channels Cy5, of which no image is there",
        "9987.HTD lists 3 depths, of which 2 are there",
    )
    assert inventory(folder / "9987_Plate_3435", {"name": "ix"}).notes[1:] == (
        "9987.HTD lists the channels Texas Red, Cy5, of which no image is there",
        "9987.HTD lists 6 time points, of which 2 are there",
    )


@pytest.mark.parametrize("plate", [3420, 3434, 3435])
def test_the_pixels_of_the_real_plates_and_their_size(shared_data, plate):
    folder = shared_data / f"vendor-imagexpress-exported/9987_Plate_{plate}"
    found = inventory(folder, {"name": "ix"})
    first = next(iter(sorted(folder.rglob("*.TIF"))))
    with tifffile.TiffFile(first) as tiff:
        assert found.pixel_size_um == tiff.metaseries_metadata["PlaneInfo"]["spatial-calibration-x"]
    for record in found.records:
        for c, planes in enumerate(record.planes.values()):
            stem = f"9987_{record.well}" + ("" if plate == 3420 else f"_s{record.field}_w{c + 1}")
            depths = [f"ZStep_{z}/" for z in (1, 2)] if plate == 3434 else [""]
            paths = [folder / f"TimePoint_1/{depth}{stem}.TIF" for depth in depths]
            assert [plane.path for plane in planes] == paths
            stack = np.stack([tifffile.imread(path) for path in paths])
            assert np.array_equal(load_field(record)[c], stack.max(axis=0))


def test_a_projection_stands_for_its_channel_where_there_is_no_stack(tmp_path):
    one = {"wells": ["B02"], "sites": [1]}
    stack = [
        *names(**one, waves=[1], folder="TimePoint_1/ZStep_0"),
        *names(**one, waves=[2], folder="TimePoint_1/ZStep_0"),
    ]
    stack += [name for z in (1, 2, 3) for name in names(**one, waves=[1], folder=f"TimePoint_1/ZStep_{z}")]
    write(tmp_path, htd(["B02"], [True], ZSeries="TRUE", ZSteps=3, ZProjection="TRUE"), stack)
    (record,) = inventory(tmp_path, ENTRY).records
    assert [plane.path.parent.name for plane in record.planes["DAPI"]] == ["ZStep_1", "ZStep_2", "ZStep_3"]
    assert [plane.path.parent.name for plane in record.planes["FITC"]] == ["ZStep_0"]


def test_the_database_writes_guids_thumbnails_and_projections_above_the_stack(tmp_path):
    stem = "my_p_B02_s1_w1"
    files = [f"{stem}{GUID}.tif", f"{stem}_thumb{GUID}.tif", f"my_p_B02_s1_w2{GUID}.tif"]
    files += [f"ZStep_{z}/{stem}{thumb}{GUID.lower()}.tif" for z in (1, 2) for thumb in ("", "_thumb")]
    write(tmp_path, htd(["B02"], [True], ZSeries="TRUE", ZSteps=2), files)
    found = inventory(tmp_path, ENTRY)
    (record,) = found.records
    assert [plane.path.parent.name for plane in record.planes["DAPI"]] == ["ZStep_1", "ZStep_2"]
    assert [plane.path.name for plane in record.planes["FITC"]] == [f"my_p_B02_s1_w2{GUID}.tif"]
    assert (found.promised, found.found, found.unmatched, found.notes) == (4, 4, (), ())


@pytest.mark.parametrize(
    ("name", "site", "channel"),
    [
        ("p_B02.TIF", "1", "DAPI"),
        (f"p_B02{GUID}.tif", "1", "DAPI"),
        ("p_B02_s12.TIF", "12", "DAPI"),
        (f"p_B02_s1{GUID}.tif", "1", "DAPI"),
        ("p_B02_w2.TIF", "1", "FITC"),
        ("A01_C03_p_B02_s3_w2.TIF", "3", "FITC"),
        ("p_b2_s3_w2.TIFF", "3", "FITC"),
        ("B02_s3_w2.png", "3", "FITC"),
        ("P1_B02_w2.TIF", "1", "FITC"),
        ("A1_A2_B02.TIF", "1", "DAPI"),
    ],
)
def test_names_with_and_without_site_wavelength_and_guid(tmp_path, name, site, channel):
    write(tmp_path, htd(["B02"], [True]), [f"TimePoint_1/{name}"])
    record = next(r for r in inventory(tmp_path, ENTRY).records if r.planes[channel])
    assert (record.well, record.field, record.planes[channel][0].path.name) == ("B02", site, name)


@pytest.mark.parametrize("gone", [0, 3, 7])
def test_a_missing_file_is_noticed(tmp_path, gone):
    files = names()
    lost = files.pop(gone)
    write(tmp_path, htd(), files)
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found) == (8, 7)
    (gap,) = [record for record in found.records if record.missing]
    well, site, wave = re.search(r"p_(B0\d)_s(\d)_w(\d)", lost).groups()
    assert (gap.well, gap.field, gap.missing) == (well, site, [["DAPI", "FITC"][int(wave) - 1]])


def test_a_depth_that_one_well_has_is_promised_for_all(tmp_path):
    files = [name for z in (1, 2) for name in names(folder=f"TimePoint_1/ZStep_{z}")]
    files = [name for name in files if not name.endswith("ZStep_2/p_B03_s2_w1.TIF")]
    files = [name for name in files if "ZStep_2" not in name or "_w1" in name]  # FITC has one plane
    write(tmp_path, htd(ZSeries="TRUE", ZSteps=2), files)
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found) == (12, 11)
    assert [(r.well, r.field, r.incomplete) for r in found.records if r.incomplete] == [("B03", "2", ("DAPI",))]


def test_times_are_folders_and_each_channel_has_its_own(tmp_path):
    files = [name for t in (1, 2, 10) for name in names(folder=f"TimePoint_{t}") if "_w1" in name or t == 1]
    write(tmp_path, htd(TimePoints=10), files)
    found = inventory(tmp_path, ENTRY)
    assert (found.n_times, found.promised, found.found) == (3, 8, 8)
    assert found.notes == ("3 time points; 1 is used", "p.HTD lists 10 time points, of which 3 are there")
    later = inventory(tmp_path, {**ENTRY, "time_point": 10})
    assert (later.promised, later.found) == (4, 4)


@pytest.mark.parametrize(("sites", "numbers"), [([True, False, True], [1, 2]), ([False, True, True], [2, 3])])
def test_sites_count_in_turn_or_over_the_grid_as_the_files_say(tmp_path, sites, numbers):
    files = names(sites=numbers)
    write(tmp_path, htd(sites=sites), files[:-1])
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found) == (8, 7)
    assert {record.field for record in found.records} == {str(number) for number in numbers}


def test_wavelengths_that_were_not_collected_are_not_missed_and_equal_names_get_a_number(tmp_path):
    text = htd(waves=("TL", "DAPI", "TL")).replace('"WaveCollect2", 1', '"WaveCollect2", 0')
    write(tmp_path, text, names(waves=[1, 3]))
    found = inventory(tmp_path, ENTRY)
    assert [c.name for c in found.channels] == ["TL_w1", "TL_w3"]
    assert found.notes == ()


def test_the_htd_file_may_lie_among_the_images_and_other_files_are_no_images(tmp_path):
    write(tmp_path / "TimePoint_1", htd(), [])
    for name in (*names(), "overview.tif", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert inventory(tmp_path, ENTRY).unmatched == ("notes.txt", "overview.tif")


def test_what_is_no_htd_file(tmp_path):
    with pytest.raises(MissingError, match="the HTD file of a plate is missing"):
        inventory(tmp_path, ENTRY)
    for text, what in (
        ("", "no HTD file"),
        ("\0\0\0", "no HTD file"),
        (htd(wells=()), "selects no well"),
        (htd(sites=(False, False)), "selects no site"),
        (htd(waves=()), "the plate has no image"),
        (htd(TimePoints="many"), "TimePoints of the HTD file is no number: 'many'"),
        (htd(TimePoints="9" * 5000), "TimePoints of the HTD file is no number"),
        (htd().replace("WellsSelection8", "WellsSelection80").replace("FALSE", "TRUE"), "row '80'"),
    ):
        write(tmp_path, text, [])
        with pytest.raises(InputError, match=what):
            inventory(tmp_path, ENTRY)


def test_two_htd_files_are_two_plates(tmp_path):
    write(tmp_path, htd(), names())
    (tmp_path / "q.htd").write_text(htd(), encoding="latin-1")
    with pytest.raises(InputError, match=r"2 HTD files, such as p.HTD and q.htd"):
        inventory(tmp_path, ENTRY)


def test_a_promise_beyond_reason_is_refused_at_once(tmp_path):
    write(
        tmp_path,
        htd(wells=[f"{row}{c:02d}" for row in "ABCDEFGH" for c in range(1, 13)], sites=[True] * 99999),
        names(),
    )
    with pytest.raises(InputError, match="promises more than"):
        inventory(tmp_path, ENTRY)


def test_a_name_beyond_the_largest_plate_is_told(tmp_path):
    write(tmp_path, htd(), ["p_ZZ99_s1_w1.TIF"])
    with pytest.raises(InputError, match="no well"):
        inventory(tmp_path, ENTRY)


def description(state="on", size="0.65", unit="um"):
    return (
        f'<MetaData><PlaneInfo><prop id="spatial-calibration-state" type="bool" value="{state}"/>'
        f'<prop id="spatial-calibration-x" type="float" value="{size}"/>'
        f'<prop id="spatial-calibration-units" type="string" value="{unit}"/></PlaneInfo></MetaData>'
    )


def test_the_pixel_size_comes_from_a_header_unless_the_reader_sets_it(tmp_path):
    files = names()
    write(tmp_path, htd(), files)
    pixels = np.zeros((4, 4), np.uint16)
    tifffile.imwrite(tmp_path / files[2], pixels, description=description())  # those before it cannot be read
    assert inventory(tmp_path, {"name": "ix"}).pixel_size_um == 0.65
    assert inventory(tmp_path, ENTRY).pixel_size_um == 0.5


@pytest.mark.parametrize("wrong", [{"state": "off"}, {"size": "nan"}, {"size": "-1"}, {"unit": "pixel"}, {"size": "a"}])
def test_a_calibration_that_is_none_must_be_set(tmp_path, wrong):
    write(tmp_path, htd(["B02"], [True], ["DAPI"]), [])
    tifffile.imwrite(tmp_path / "p_B02.TIF", np.zeros((4, 4), np.uint16), description=description(**wrong))
    with pytest.raises(ConfigError, match="pixel size is unknown"):
        inventory(tmp_path, {"name": "ix"})


def test_the_calibration_of_older_software_is_in_its_own_tags(tmp_path):
    write(tmp_path, htd(["B02"], [True], ["DAPI"]), [])
    path = tmp_path / "p_B02.TIF"
    plane = (33629, 5, 3, (0, 1, 2451545, 0, 2451545, 0), True)  # UIC2: z distance, dates
    tifffile.imwrite(
        path,
        np.zeros((4, 4), np.uint16),
        byteorder="<",
        metadata=None,
        extratags=[plane, (33628, 4, 6, (0,) * 6, True)],
    )
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages.first.tags
        uic1, uic2 = tags[33628], tags[33629]
        at = uic1.valueoffset
        entry1, entry2 = uic1.offset, uic2.offset
    numbers = len(data)
    data += np.array([13, 20], "<u4").tobytes() + np.array([3], "<u4").tobytes() + b"um\0"  # 13/20 of a micrometre
    pairs = [4, numbers, 6, numbers + 8, 3, 1]  # XCalibration, CalibrationUnits, SpatialCalibration
    data[at : at + 24] = np.array(pairs, "<u4").tobytes()
    data[entry1 + 4 : entry1 + 8] = np.array([3], "<u4").tobytes()
    data[entry2 + 4 : entry2 + 8] = np.array([1], "<u4").tobytes()
    path.write_bytes(bytes(data))
    assert inventory(tmp_path, {"name": "ix"}).pixel_size_um == 0.65
