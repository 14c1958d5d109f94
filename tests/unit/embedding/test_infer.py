"""Field and well means against slow loops."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from platemae.embedding.infer import FieldSums, sum_fields, tiles_of
from platemae.embedding.tiling import tile_field
from platemae.errors import ConfigError


class Moments:
    """A model whose embedding is known in closed form: mean and maximum of each channel."""

    def embed_each(self, x_BCHW: torch.Tensor, poolings: Sequence[str]) -> dict[str, torch.Tensor]:
        return dict.fromkeys(poolings, torch.cat([x_BCHW.mean((2, 3)), x_BCHW.amax((2, 3))], 1))

    def eval(self) -> "Moments":
        return self


SHAPES = [(20, 20), (16, 8), (9, 31), (20, 20), (8, 8)]


def fields() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(0, 255, (2, *shape)).astype(np.float32) for shape in SHAPES]


def embedded(images: list[np.ndarray], mode: str = "overlap", batch: int = 128, threads: int = 1) -> FieldSums:
    cut = tiles_of(images.__getitem__, 8, mode)
    return sum_fields(Moments(), cut, len(images), size=8, poolings=("mean",), batch=batch, threads=threads)["mean"]


def slow(images: list[np.ndarray], mode: str) -> list[np.ndarray]:
    return [
        np.array([[*tile.mean((1, 2)), *tile.max((1, 2))] for tile in tile_field(*x.shape[1:], 8, mode).cut(x)])
        for x in images
    ]


@pytest.mark.parametrize("mode", ["drop", "overlap", "reflect"])
@pytest.mark.parametrize("batch", [1, 5, 1000])
def test_means_equal_slow_loops(mode, batch):
    images = fields()
    sums = embedded(images, mode, batch, threads=2)
    tiles = slow(images, mode)
    assert sums.tiles_F.tolist() == [len(t) for t in tiles]
    np.testing.assert_allclose(sums.field_means(), [t.mean(0) for t in tiles], rtol=1e-5)

    names, means, n_fields, n_tiles = sums.well_means(["B02", "A01", "B02", "B02", "A01"])
    assert names == ["A01", "B02"]
    members = {"A01": [1, 4], "B02": [0, 2, 3]}
    for i, name in enumerate(names):
        every = np.concatenate([tiles[f] for f in members[name]])
        np.testing.assert_allclose(means[i], every.mean(0), rtol=1e-5)
        assert (n_fields[i], n_tiles[i]) == (len(members[name]), len(every))


def test_threads_change_nothing():
    images = fields()
    one, three = (embedded(images, batch=7, threads=n) for n in (0, 3))
    assert np.array_equal(one.total_FD, three.total_FD)


def test_small_field_is_an_error_unless_reflected():
    images = [np.ones((2, 5, 5), np.float32)]
    with pytest.raises(ConfigError, match="5 x 5 pixels is smaller than a tile of 8"):
        embedded(images)
    assert embedded(images, "reflect").tiles_F.tolist() == [1]
