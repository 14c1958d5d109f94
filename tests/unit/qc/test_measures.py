"""Measures of one channel against what the image was made to be."""

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from threadpoolctl import threadpool_limits

from platemae.qc.measures import FINE_BAND, STRUCTURE_BAND, focus, measure, noise

RNG = np.random.default_rng(5)


def cells(shape=(300, 360), sharp=1.2, seed=0):
    """Dots with detail, as a microscope would show them: values from 0 to about 1."""
    rng = np.random.default_rng(seed)
    points = np.zeros(shape)
    points[tuple(rng.integers(8, size - 8, 150) for size in shape)] = 1.0
    body = gaussian_filter(points, 6.0) / gaussian_filter(points, 6.0).max()
    grain = gaussian_filter(rng.normal(size=shape), sharp)
    return body * (1 + 0.5 * grain / grain.std())


def exposed(x_YX, gain=4000.0, offset=200.0, read=8.0, seed=1):
    rng = np.random.default_rng(seed)
    noisy_YX = gain * x_YX + offset + rng.normal(0, read, x_YX.shape)
    return noisy_YX.clip(0, 65535).astype(np.uint16)


def test_focus_is_the_share_of_power_between_the_bands_of_a_known_mixture():
    """Two plane waves of known power: slow 0.05 and fast 0.2 cycles a pixel, on whole tiles."""
    y_YX, x_YX = np.mgrid[:512, :512]
    for share in (0.0, 0.2, 0.7, 1.0):
        slow, fast = (np.sin(2 * np.pi * f * n) for f, n in ((12 / 256, x_YX), (50 / 256, y_YX)))
        mixed_YX = 1000 + 100 * (np.sqrt(1 - share) * slow + np.sqrt(share) * fast)
        assert STRUCTURE_BAND[0] < 12 / 256 < FINE_BAND[0] < 50 / 256 < FINE_BAND[1]
        assert focus(mixed_YX.astype(np.float32)) == pytest.approx(share, abs=1e-3)


def test_blur_lowers_focus_step_by_step():
    sharp_YX = cells()
    values = [focus(exposed(gaussian_filter(sharp_YX, sigma) if sigma else sharp_YX)) for sigma in (0, 1, 2, 3, 5)]
    assert values == sorted(values, reverse=True)
    assert values[2] < 0.3 * values[0]
    assert values[3] < 0.1 * values[0]


def test_focus_does_not_depend_on_gain_offset_or_depth():
    x_YX = cells()
    base = focus(exposed(x_YX, read=0.0))
    assert focus(exposed(x_YX, gain=9000.0, offset=3000.0, read=0.0)) == pytest.approx(base, rel=0.01)
    assert focus((200 * x_YX / x_YX.max()).clip(0).astype(np.uint8)) == pytest.approx(base, rel=0.1)
    assert focus(x_YX.astype(np.float32)) == pytest.approx(base, rel=0.01)


def test_noise_does_not_pass_for_detail():
    blurred_YX = gaussian_filter(cells(), 4)
    quiet = focus(exposed(blurred_YX, read=1.0))
    loud = focus(exposed(blurred_YX, read=60.0))
    assert loud == pytest.approx(quiet, abs=0.03)
    assert focus(RNG.poisson(300, (256, 256)).astype(np.uint16)) == 0


def test_uneven_light_does_not_pass_for_structure():
    y_YX, x_YX = np.mgrid[-1:1:300j, -1:1:360j]
    lit_YX = cells() * (1 - 0.3 * (x_YX**2 + y_YX**2))
    assert focus(exposed(lit_YX)) == pytest.approx(focus(exposed(cells())), rel=0.1)


@pytest.mark.parametrize("sigma", [1.0, 7.5, 40.0])
def test_noise_is_the_deviation_of_the_camera_even_under_cells(sigma):
    flat_YX = 500 + RNG.normal(0, sigma, (400, 400))
    assert noise(flat_YX) == pytest.approx(sigma, rel=0.03)
    assert noise(
        500 + 3000 * gaussian_filter(cells((400, 400)), 2) + RNG.normal(0, sigma, (400, 400))
    ) == pytest.approx(sigma, rel=0.35 if sigma < 5 else 0.1)


def test_foreground_is_the_area_of_what_is_bright():
    x_YX = RNG.normal(300, 10, (200, 200))
    x_YX[50:100, 20:120] += 500
    found = measure(x_YX.clip(0).astype(np.uint16))
    assert found.foreground == pytest.approx(50 * 100 / 200**2, rel=0.05)
    assert found.background == pytest.approx(np.quantile(x_YX, 0.05), abs=1)
    assert found.mean == pytest.approx(x_YX.mean(), abs=0.6)


def test_threads_move_no_measure():
    """A job of one thread and one of two must have equal digests."""
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(40, 160, 160)).cumsum(axis=2) * 50 + 2000
    seen = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            seen.append([measure(field.clip(0, 60000).astype(np.uint16)) for field in fields])
    assert seen[0] == seen[1]


def test_an_empty_field_has_next_to_no_foreground():
    for level in (5, 100, 2000):
        assert measure(RNG.poisson(level, (300, 300)).astype(np.uint16)).foreground < 0.002


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("value", [0, 77])
def test_an_image_of_one_value_is_measured_without_a_crash(dtype, value):
    found = measure(np.full((64, 80), value, dtype))
    assert (found.focus, found.foreground, found.background, found.mean) == (0.0, 0.0, value, value)
    assert (found.top, found.top_share) == (value, 1.0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 40), (33, 17), (256, 256), (257, 600)])
def test_any_shape(shape):
    found = measure(RNG.integers(0, 4096, shape).astype(np.uint16))
    assert 0 <= found.focus <= 1
    assert 0 <= found.foreground <= 1


def test_top_share_counts_the_plateau():
    x_YX = RNG.integers(0, 4000, (100, 100)).astype(np.uint16)
    x_YX[:7] = 4095
    assert (measure(x_YX).top, measure(x_YX).top_share) == (4095, 0.07)


def test_real_cells_blurred_by_two_pixels_lose_most_of_their_focus(shared_data):
    for path in sorted((shared_data / "bbbc013-rows-abcd" / "images").glob("Channel?-0[1-4]*.tif")):
        x_YX = tifffile.imread(path).astype(np.float32)
        blurred_YX = gaussian_filter(x_YX, 2) + RNG.normal(0, noise(x_YX), x_YX.shape)
        assert 0.03 < focus(blurred_YX) / focus(x_YX) < 0.2
        assert 0.1 < measure(x_YX).foreground < 0.9
