"""Crops around cells and masked neighbours, against slow loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platemae.embedding.cells import BACKGROUND, crop_origins, hide_others, leaves_field, mirrored, territories
from platemae.embedding.infer import Cut

HEIGHT, WIDTH = 30, 40


def scattered(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(0, HEIGHT - 1, count), rng.uniform(0, WIDTH - 1, count)], 1)


@given(st.floats(0, 200), st.floats(0, 200), st.integers(1, 33))
def test_a_crop_is_centred_as_well_as_whole_pixels_allow(y, x, size):
    origin = crop_origins(np.array([[y, x]]), size)[0]
    assert np.abs(origin + (size - 1) / 2 - [y, x]).max() <= 0.5 + 1e-9


def test_even_crops_of_whole_positions_lie_all_the_same_way():
    assert crop_origins(np.array([[10.0, 11.0], [12.0, 13.0]]), 4).tolist() == [[9, 10], [11, 12]]


@pytest.mark.parametrize("size", [7, 16, 64])
def test_crops_equal_a_slow_mirror(size):
    """Pixel by pixel: a row beyond the edge is the row as far inside it; 64 is wider than the field."""
    field = np.random.default_rng(1).normal(size=(2, HEIGHT, WIDTH)).astype(np.float32)
    places = np.concatenate([scattered(20), [[0, 0], [HEIGHT - 1, WIDTH - 1]]])
    origins = crop_origins(places, size)
    padded, within = mirrored(field, origins, size)
    cut = Cut(padded, within)

    def fold(i: int, length: int) -> int:
        i %= 2 * (length - 1)
        return min(i, 2 * (length - 1) - i)

    outside = leaves_field(origins, HEIGHT, WIDTH, size)
    for k, (y0, x0) in enumerate(origins):
        rows, columns = [fold(y0 + i, HEIGHT) for i in range(size)], [fold(x0 + i, WIDTH) for i in range(size)]
        crop = np.empty((2, size, size), np.float32)
        cut.write(k, crop)
        assert np.array_equal(crop, field[:, rows][:, :, columns])
        assert outside[k] == (min(y0, x0) < 0 or y0 + size > HEIGHT or x0 + size > WIDTH)


def test_every_pixel_goes_to_its_nearest_cell():
    places = scattered(9)
    ground = territories(places, HEIGHT, WIDTH)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            nearest = int(np.argmin(((places - [y, x]) ** 2).sum(1)))
            assert ground.nearest_HW[y, x] == ground.place_K[nearest]


def test_cells_at_one_position_share_their_ground():
    places = np.array([[5.0, 5.0], [20.0, 20.0], [5.0, 5.0]])
    ground = territories(places, HEIGHT, WIDTH)
    assert ground.place_K[0] == ground.place_K[2] != ground.place_K[1]


def test_neighbours_become_background_and_the_own_cell_stays():
    rng = np.random.default_rng(2)
    field = rng.uniform(0, 255, (2, HEIGHT, WIDTH)).astype(np.float32)
    places = scattered(6, seed=4)
    origins = crop_origins(places, 12)
    padded, within = mirrored(field, origins, 12)
    ground = territories(places, HEIGHT, WIDTH)
    nearest = mirrored(ground.nearest_HW, origins, 12)[0]
    cut = Cut(padded, within, nearest, ground.place_K)
    for k in range(6):
        crop, plain = np.empty((2, 12, 12), np.float32), np.empty((2, 12, 12), np.float32)
        cut.write(k, crop)
        Cut(padded, within).write(k, plain)
        (y0, x0) = within[k]
        own = nearest[y0 : y0 + 12, x0 : x0 + 12] == ground.place_K[k]
        assert own.any()
        for c in range(2):
            assert np.array_equal(crop[c][own], plain[c][own])
            assert np.unique(crop[c][~own]).size <= 1
            assert (crop[c][~own] == np.quantile(plain[c], BACKGROUND, method="lower")).all()


def test_a_crop_without_neighbours_is_left_as_it_is():
    crop = np.random.default_rng(0).normal(size=(1, 4, 4)).astype(np.float32)
    before = crop.copy()
    hide_others(crop, np.zeros((4, 4), bool))
    assert np.array_equal(crop, before)
