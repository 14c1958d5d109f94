"""Resampling against exact means, scikit-image and closed forms; what pixel sizes decide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize

from platemae.embedding.resample import PixelSizes, pixel_sizes, resample, size_warnings
from platemae.errors import ConfigError

sizes = st.integers(1, 40)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 4000, shape).astype(np.float32)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_whole_factor_is_the_mean_of_blocks(factor):
    x_CHW = noise(2, 6 * factor, 4 * factor)
    blocks = x_CHW.reshape(2, 6, factor, 4, factor).mean((2, 4))
    np.testing.assert_allclose(resample(x_CHW, (6, 4)), blocks, rtol=1e-5)


def test_a_broken_factor_shares_pixels_by_their_area():
    """From 3 pixels to 2 the middle one belongs to both: 1, 1/2 of an area of 1 1/2."""
    x_CHW = np.array([[[3.0, 6.0, 12.0]]])
    np.testing.assert_allclose(resample(x_CHW, (1, 2)), [[[4.0, 10.0]]])


def test_a_broken_factor_equals_a_slow_mean_over_fine_blocks():
    x_CHW = noise(1, 15, 20)
    fine = x_CHW.repeat(8, 1).repeat(8, 2)  # 15 -> 8: every new pixel is 15 x 15 fine ones
    blocks = fine.reshape(1, 8, 15, 160).mean(2).reshape(1, 8, 8, 20).mean(3)
    np.testing.assert_allclose(resample(x_CHW, (8, 8)), blocks, rtol=1e-5)


def test_enlarging_is_linear_interpolation():
    x_HW = noise(9, 13)
    expected = resize(x_HW, (22, 31), order=1, mode="edge", anti_aliasing=False, preserve_range=True)
    np.testing.assert_allclose(resample(x_HW[None], (22, 31))[0], expected, rtol=1e-4, atol=0.5)


@given(sizes, sizes, sizes, sizes)
def test_range_and_flat_fields_are_kept(height, width, new_height, new_width):
    x_CHW = noise(1, height, width)
    out = resample(x_CHW, (new_height, new_width))
    assert out.shape == (1, new_height, new_width)
    assert x_CHW.min() * (1 - 1e-5) <= out.min() <= out.max() <= x_CHW.max() * (1 + 1e-5)
    np.testing.assert_allclose(resample(np.full_like(x_CHW, 7), (new_height, new_width)), 7, rtol=1e-6)
    if new_height <= height and new_width <= width:
        np.testing.assert_allclose(out.mean(dtype=float), x_CHW.mean(dtype=float), rtol=1e-4)


def test_fine_stripes_vanish_instead_of_turning_coarse():
    """A pattern finer than the new pixel: sampling it would leave a false one of full strength."""
    stripes = np.tile(np.array([0.0, 100.0], np.float32), 50)[None, None].repeat(10, 1)
    assert np.ptp(resample(stripes, (10, 45))[:, :, ::5]) < 25
    assert np.ptp(stripes[0, 0, np.arange(45) * 100 // 45]) == 100


def test_ratio_shape_and_warnings():
    same = pixel_sizes(0.5, 0.505, "resample", "here")
    assert not same.resampled
    assert same.shape(100, 90) == (100, 90)
    assert size_warnings(same, "P1") == []
    twice = pixel_sizes(1.0, 0.5, "resample", "here")
    assert twice.shape(100, 91) == (200, 182)
    assert size_warnings(twice, "P1") == [], "recorded, and no warning up to twice"
    assert pixel_sizes(0.25, 0.65, "resample", "here").shape(1080, 1080) == (415, 415)
    for plate_um, why in ((1.01, "details are missing"), (0.2, "few pixels")):
        assert why in size_warnings(pixel_sizes(plate_um, 0.5, "resample", "here"), "P1")[0]


def test_overrides():
    ignored = pixel_sizes(0.25, 0.5, "ignore", "here")
    assert ignored.ratio == 1
    assert "plate P1 has pixels of 0.25 µm, the model was trained on 0.5 µm" in size_warnings(ignored, "P1")[0]
    assert pixel_sizes(0.25, None, 0.5, "here") == PixelSizes(0.25, 0.5, True)
    assert "states no pixel size" in size_warnings(pixel_sizes(None, 0.5, "ignore", "here"), "P1")[0]


@pytest.mark.parametrize(
    ("plate_um", "model_um", "named"), [(None, 0.5, "plate"), (0.5, None, "model"), (0.5, 0.0, "model")]
)
def test_an_unknown_size_is_an_error(plate_um, model_um, named):
    with pytest.raises(ConfigError, match=f"pixel size of the {named} is not known") as error:
        pixel_sizes(plate_um, model_um, "resample", "plate P1, model m")
    assert "ignore" in error.value.remedy
    with pytest.raises(ConfigError, match="plate and model"):
        pixel_sizes(float("nan"), None, "resample", "plate P1, model m")
