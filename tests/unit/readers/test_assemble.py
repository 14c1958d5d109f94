"""Images become fields: times, depths, projections, channels."""

import pytest

from platemae.errors import ConfigError, InputError
from platemae.readers.assemble import assemble, safe_name
from platemae.readers.base import Image, Plane


def image(folder, well="A01", field="1", channel="w1", z=0, time=0, there=True, **kw):
    path = folder / f"{well}_{field}_{channel}_{z}_{time}.tif"
    return Image(well, field, channel, Plane(path) if there else None, z, time, **kw)


def join(folder, images, found=("w1",), size=0.5, **entry):
    return assemble(folder, images, found, {"name": "scope", **entry}, pixel_size_um=size, files=[])


def names(planes):
    return [plane.path.name for plane in planes]


def test_depths_are_ordered_by_number(tmp_path):
    found = join(tmp_path, [image(tmp_path, z=z) for z in (10, 2, 1)])
    assert names(found.records[0].planes["w1"]) == ["A01_1_w1_1_0.tif", "A01_1_w1_2_0.tif", "A01_1_w1_10_0.tif"]
    assert found.n_z == 3


def test_a_projection_beside_its_stack_is_not_counted_and_alone_stands_for_it(tmp_path):
    images = [image(tmp_path, z=z) for z in (None, 1, 2)] + [image(tmp_path, channel="w2", z=None)]
    record = join(tmp_path, images, ("w1", "w2")).records[0]
    assert names(record.planes["w1"]) == ["A01_1_w1_1_0.tif", "A01_1_w1_2_0.tif"]
    assert names(record.planes["w2"]) == ["A01_1_w2_None_0.tif"]


def test_one_plane_is_taken_where_there_are_several(tmp_path):
    images = [image(tmp_path, z=z) for z in (1, 2)] + [image(tmp_path, channel="w2", z=7)]
    record = join(tmp_path, images, ("w1", "w2"), z=2).records[0]
    assert names(record.planes["w1"]) == ["A01_1_w1_2_0.tif"]
    assert names(record.planes["w2"]) == ["A01_1_w2_7_0.tif"]


def test_the_first_time_point_unless_another_is_named(tmp_path):
    images = [image(tmp_path, time=t) for t in (3, 5)]
    found = join(tmp_path, images)
    assert names(found.records[0].planes["w1"]) == ["A01_1_w1_0_3.tif"]
    assert (found.n_times, found.promised, found.notes) == (2, 1, ("2 time points; 3 is used",))
    assert names(join(tmp_path, images, time_point=5).records[0].planes["w1"]) == ["A01_1_w1_0_5.tif"]
    with pytest.raises(InputError, match="no image is of time point 4; there are 3, 5"):
        join(tmp_path, images, time_point=4)


def test_wells_and_fields_are_sorted_as_people_do(tmp_path):
    wells = [("B02", "10"), ("B02", "9"), ("A12", "1"), ("AA01", "1"), ("A02", "1")]
    found = join(tmp_path, [image(tmp_path, well, field) for well, field in wells])
    assert [(r.well, r.field) for r in found.records] == [
        ("A02", "1"),
        ("A12", "1"),
        ("B02", "9"),
        ("B02", "10"),
        ("AA01", "1"),
    ]


def test_what_the_metadata_promises_and_the_folder_lacks(tmp_path):
    images = [image(tmp_path, z=1), image(tmp_path, z=2, there=False), image(tmp_path, channel="w2", there=False)]
    found = join(tmp_path, images, ("w1", "w2"))
    record = found.records[0]
    assert (found.promised, found.found, record.missing, record.incomplete) == (3, 1, ["w2"], ("w1",))


def test_channels_are_selected_renamed_and_ordered(tmp_path):
    images = [image(tmp_path, channel=c) for c in ("DAPI", "Texas Red", "Cy5")]
    named = [
        {"source": "Cy5", "name": "Mito", "stain": "MitoTracker"},
        {"source": "DAPI", "name": "DNA", "stain": "DAPI"},
    ]
    found = join(tmp_path, images, ("DAPI", "Texas Red", "Cy5"), channels=named)
    assert list(found.records[0].planes) == [c.name for c in found.channels] == ["Mito", "DNA"]
    with pytest.raises(ConfigError, match="has no channel 'FITC'; it has 'DAPI', 'Texas Red', 'Cy5'"):
        join(tmp_path, images, ("DAPI", "Texas Red", "Cy5"), channels=[{"source": "FITC", "name": "a", "stain": "b"}])


def test_channels_of_the_metadata_get_safe_names_and_known_stains(tmp_path):
    found = join(
        tmp_path,
        [image(tmp_path, channel=c) for c in ("HOECHST 33342", "Fluorescein (FITC)")],
        ("HOECHST 33342", "Fluorescein (FITC)"),
    )
    assert [(c.name, c.stain) for c in found.channels] == [
        ("HOECHST_33342", "DNA"),
        ("Fluorescein_FITC", "Fluorescein (FITC)"),
    ]
    assert safe_name("../../etc") == "etc"


def test_the_pixel_size_must_be_known(tmp_path):
    with pytest.raises(ConfigError, match="pixel size is unknown"):
        join(tmp_path, [image(tmp_path)], size=None)
    assert join(tmp_path, [image(tmp_path)], pixel_size_um=0.3).pixel_size_um == 0.3


def test_two_images_for_one_place_are_refused(tmp_path):
    images = [image(tmp_path, z=1), image(tmp_path, z=1)]
    with pytest.raises(InputError, match="2 files for well A01, field 1, channel w1"):
        join(tmp_path, images)


def test_a_plate_without_images(tmp_path):
    with pytest.raises(InputError, match="the plate has no image"):
        join(tmp_path, [])
    with pytest.raises(InputError, match="no image of the plate is there"):
        join(tmp_path, [image(tmp_path, there=False)])
