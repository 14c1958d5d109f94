"""Planes become fields: missing channels are zeros, stacks are projected, what differs is refused."""

import numpy as np
import pytest
import tifffile

from platemae.errors import InputError
from platemae.readers.base import FieldRecord, Plane
from platemae.readers.pixels import brenner, load_field, project

RNG = np.random.default_rng(0)


def planes(folder, arrays, name="z"):
    for i, array in enumerate(arrays):
        tifffile.imwrite(folder / f"{name}{i}.tif", array)
    return tuple(Plane(folder / f"{name}{i}.tif") for i in range(len(arrays)))


def record(channels, projection="max"):
    return FieldRecord("A01", "1", channels, projection)


def test_a_missing_channel_is_zeros_in_its_place(tmp_path):
    x_YX = RNG.integers(1, 4000, (20, 30)).astype(np.uint16)
    found_CYX = load_field(record({"DNA": (), "ER": planes(tmp_path, [x_YX])}))
    assert found_CYX.dtype == np.uint16
    np.testing.assert_array_equal(found_CYX, np.stack([np.zeros_like(x_YX), x_YX]))


def test_a_maximum_projection_is_that_of_numpy(tmp_path):
    stack_ZYX = RNG.integers(0, 65535, (5, 20, 30)).astype(np.uint16)
    np.testing.assert_array_equal(project(planes(tmp_path, stack_ZYX), "max"), stack_ZYX.max(axis=0))


def test_best_focus_takes_the_sharp_plane_whole(tmp_path):
    from scipy.ndimage import gaussian_filter

    sharp_YX = (RNG.random((64, 64)) > 0.9).astype(np.float32) * 1000
    stack = [gaussian_filter(sharp_YX, s).astype(np.uint16) for s in (3, 1, 0, 2)]
    np.testing.assert_array_equal(project(planes(tmp_path, stack), "best_focus"), stack[2])


def test_brenner_is_the_sum_over_rows():
    x_YX = RNG.integers(0, 255, (7, 5)).astype(np.uint8)
    slow = [float(int(x_YX[y + 2, x]) - int(x_YX[y, x])) ** 2 for y in range(5) for x in range(5)]
    assert brenner(x_YX) == pytest.approx(np.mean(slow))


@pytest.mark.parametrize("other", [np.zeros((20, 31), np.uint16), np.zeros((20, 30), np.uint8)])
def test_planes_that_differ_are_refused_by_file(tmp_path, other):
    first = np.zeros((20, 30), np.uint16)
    with pytest.raises(InputError, match="another one of its stack") as caught:
        load_field(record({"DNA": planes(tmp_path, [first, other])}))
    assert caught.value.where.endswith("z1.tif")
    with pytest.raises(InputError, match="another one of its field") as caught:
        load_field(record({"DNA": planes(tmp_path, [first]), "ER": planes(tmp_path, [other], "er")}))
    assert caught.value.where.endswith("er0.tif")


def test_all_planes_that_cannot_be_read_come_together(tmp_path):
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(InputError) as caught:
        load_field(record({"DNA": (Plane(tmp_path / "a.tif"),), "ER": (Plane(tmp_path / "b.tif"),)}))
    assert "a.tif" in str(caught.value)
    assert "b.tif" in str(caught.value)
    assert "channel ER" in str(caught.value)


def test_a_field_without_any_image_is_refused_by_name():
    with pytest.raises(InputError, match="no image of the field is there") as caught:
        load_field(record({"DNA": (), "ER": ()}))
    assert caught.value.where == "well A01, field 1"
