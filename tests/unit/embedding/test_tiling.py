"""Tiles cover what they promise to cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platemae.embedding.tiling import tile_field
from platemae.errors import ConfigError

sizes = st.integers(1, 90)


def hits(height: int, width: int, tiling) -> np.ndarray:
    count = np.zeros((height, width), int)
    for y, x in tiling.origins:
        assert 0 <= y <= height - tiling.size
        assert 0 <= x <= width - tiling.size
        count[y : y + tiling.size, x : x + tiling.size] += 1
    return count


@given(sizes, sizes, st.integers(1, 32))
def test_overlap_covers_every_pixel_with_the_fewest_tiles(height, width, size):
    if min(height, width) < size:
        with pytest.raises(ConfigError, match="smaller than a tile"):
            tile_field(height, width, size, "overlap")
        return
    tiling = tile_field(height, width, size, "overlap")
    assert hits(height, width, tiling).min() >= 1
    assert len(tiling.origins) == int(np.ceil(height / size) * np.ceil(width / size))
    rows = sorted({y for y, _ in tiling.origins})
    assert rows[0] == 0
    assert rows[-1] == height - size
    assert np.ptp(np.diff(rows)) <= 1 if len(rows) > 2 else True


@given(sizes, sizes, st.integers(1, 32))
def test_drop_never_reads_a_pixel_twice_and_drops_less_than_a_tile(height, width, size):
    if min(height, width) < size:
        return
    count = hits(height, width, tile_field(height, width, size, "drop"))
    assert count.max() == 1
    assert count.sum() == (height - height % size) * (width - width % size)


@given(sizes, sizes, st.integers(1, 32))
def test_reflect_holds_every_pixel(height, width, size):
    field = np.arange(height * width, dtype=np.float32).reshape(1, height, width)
    tiles = tile_field(height, width, size, "reflect").cut(field)
    assert tiles.shape[1:] == (1, size, size)
    assert np.array_equal(np.unique(tiles), field.reshape(-1))


@pytest.mark.parametrize(
    ("height", "width", "count"), [(640, 640, 9), (1080, 1080, 25), (904, 1224, 20), (256, 256, 1)]
)
def test_sizes_of_real_instruments(height, width, count):
    tiling = tile_field(height, width, 256, "overlap")
    assert hits(height, width, tiling).min() >= 1
    assert len(tiling.origins) == count


def test_reflect_mirrors_at_the_edge():
    field = np.array([[[1.0, 2.0, 3.0]]])
    tile = tile_field(1, 3, 5, "reflect").cut(field)[0, 0]
    assert tile[0].tolist() == [2, 1, 2, 3, 2]


def test_unknown_mode_is_named():
    with pytest.raises(ConfigError, match="mirror"):
        tile_field(10, 10, 5, "mirror")
