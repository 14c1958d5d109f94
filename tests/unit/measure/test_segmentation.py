"""Segmentation: drawn cells are found one by one, noise is not, and real nuclei are counted as an Otsu count does."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.filters import threshold_otsu

from platemae.measure.segmentation import find_nuclei, segment
from tests.unit.measure.drawn import SETTINGS, disc, draw

PLACES = [(y, x) for y in (40, 100, 160) for x in (40, 100, 160, 200)]


def test_each_drawn_cell_is_found_where_it_lies():
    x_CYX = draw(PLACES)
    objects = segment(x_CYX[0], x_CYX[1:], 1.0, SETTINGS)
    assert objects.count == len(PLACES)
    assert sorted(np.unique(objects.nuclei)) == list(range(objects.count + 1))
    assert len({objects.nuclei[y, x] for y, x in PLACES}) == len(PLACES)
    # Blur and smoothing carry the low threshold outwards, by a pixel or two.
    assert 0 <= _radii(objects.nuclei).min() - 8 <= _radii(objects.nuclei).max() - 8 <= 2
    assert 0 <= _radii(objects.cells).min() - 16 <= _radii(objects.cells).max() - 16 <= 4


def _radii(labels):
    return np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)


def test_a_nucleus_lies_in_the_cell_of_its_number():
    x_CYX = draw(PLACES)
    objects = segment(x_CYX[0], x_CYX[1:], 1.0, SETTINGS)
    inside = objects.nuclei > 0
    assert (objects.cells[inside] == objects.nuclei[inside]).all()


def test_touching_nuclei_are_cut_and_near_ones_are_not_merged():
    x_CYX = draw([(100, 60), (100, 74), (100, 160)])
    assert find_nuclei(x_CYX[0], 1.0, SETTINGS).max() == 3


def test_dim_cells_are_outlined_too():
    x_CYX = draw(PLACES, dim=0.3)
    objects = segment(x_CYX[0], x_CYX[1:], 1.0, SETTINGS)
    assert objects.count == len(PLACES)
    assert np.bincount(objects.cells.ravel())[1:].min() > 2 * np.pi * 8**2


def test_cells_and_nuclei_at_the_border_are_dropped_unless_kept():
    places = [(100, 100), (3, 60), (100, 226)]  # the last nucleus is inside, its cell is not
    x_CYX = draw(places)
    objects = segment(x_CYX[0], x_CYX[1:], 1.0, SETTINGS)
    assert (objects.count, objects.at_border) == (1, 2)
    everything = segment(x_CYX[0], x_CYX[1:], 1.0, replace(SETTINGS, drop_border=False))
    assert (everything.count, everything.at_border) == (3, 0)


def test_sizes_are_in_micrometres():
    dna_YX = draw(PLACES)[0]  # nuclei of 16 pixels
    assert find_nuclei(dna_YX, 1.0, replace(SETTINGS, max_nucleus_um=12)).max() == 0
    assert find_nuclei(dna_YX, 0.5, replace(SETTINGS, smooth_um=0.5, max_nucleus_um=12)).max() == len(PLACES)
    assert find_nuclei(dna_YX, 0.25, replace(SETTINGS, smooth_um=0.25)).max() == 0


@pytest.mark.parametrize("seed", range(5))
def test_noise_holds_no_nuclei(seed):
    noise = np.random.default_rng(seed).normal(500, 30, (200, 200)).clip(0).astype(np.uint16)
    assert find_nuclei(noise, 1.0, SETTINGS).max() == 0


@pytest.mark.parametrize("value", [0, 700, 65535])
def test_a_flat_image_holds_no_cells(value):
    flat = np.full((50, 60), value, np.uint16)
    objects = segment(flat, np.stack([flat]), 1.0, SETTINGS)
    assert objects.count == 0
    assert not objects.cells.any()


def test_without_a_body_channel_a_cell_is_what_lies_near_its_nucleus():
    x_CYX = draw([(100, 100)])
    objects = segment(x_CYX[0], (), 1.0, replace(SETTINGS, cell_distance_um=10))
    near = ndimage.distance_transform_edt(objects.nuclei == 0) <= 10
    assert (objects.cells == near).all()


def test_a_cell_reaches_no_further_than_it_may():
    x_CYX = draw([(100, 100)], body=60)
    objects = segment(x_CYX[0], x_CYX[1:], 1.0, replace(SETTINGS, cell_distance_um=12))
    far = ndimage.distance_transform_edt(objects.nuclei == 0)[objects.cells > 0].max()
    assert 11 < far <= 12


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=8, unique=True))
def test_any_arrangement_is_counted(squares):
    places = [(25 + 50 * row, 25 + 48 * column) for row, column in squares]
    x_CYX = draw(places)
    objects = segment(x_CYX[0], x_CYX[1:], 1.0, SETTINGS)
    assert objects.count == len(places)
    outside = ~np.any([disc(objects.cells.shape, y, x, 25) for y, x in places], axis=0)
    assert not objects.nuclei[outside].any()


@pytest.mark.parametrize(("image", "row", "column"), [(9, "A", "09"), (17, "B", "05"), (41, "D", "05")])
def test_real_nuclei_are_as_many_as_a_plain_otsu_count(shared_data, image, row, column):
    """The reference counts connected components: it takes touching nuclei for one, so it counts somewhat fewer."""
    x_YX = tifffile.imread(shared_data / f"bbbc013-rows-abcd/images/Channel2-{image:02d}-{row}-{column}.tif")
    smooth = ndimage.gaussian_filter(x_YX.astype(float), 1.0)
    labels, _ = ndimage.label(smooth > threshold_otsu(smooth))
    components = (np.bincount(labels.ravel())[1:] > 20).sum()
    assert components * 0.98 <= find_nuclei(x_YX, 1.0, SETTINGS).max() <= components * 1.2
