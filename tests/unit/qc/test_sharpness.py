"""Power slope and Laplacian against slow definitions: a loop over rings of numpy's spectrum, and scipy.ndimage."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from platemae.qc.sharpness import STRIP_ROWS, laplacian, power_slope


def image(shape, blur=2.0, dtype="uint16", seed=0):
    rng = np.random.default_rng(seed)
    smooth_YX = ndimage.gaussian_filter(rng.normal(size=shape), blur)
    values_YX = 800 + 300 * smooth_YX / smooth_YX.std() + rng.normal(0, 5, shape)
    return values_YX.clip(0).astype(dtype)


def slow_slope(x_YX):
    """CellProfiler's definition, ring by ring: power summed over the whole spectrum, a line by numpy.polyfit."""
    rows, columns = x_YX.shape
    down, across = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in (rows, columns))
    ring_YX = np.floor(np.sqrt(down[:, None] ** 2 + across**2)) + 1
    power_YX = np.abs(np.fft.fft2(x_YX - x_YX.mean(dtype=float))) ** 2
    rings = range(2, int(np.floor(min(rows, columns) / 8)))
    return np.polyfit(np.log(list(rings)), [np.log(power_YX[ring_YX == r].sum()) for r in rings], 1)[0]


@pytest.mark.parametrize("shape", [(160, 160), (251, 300), (97, 64), (40, 33)])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_slope_is_cellprofilers(shape, dtype):
    x_YX = image(shape, dtype=dtype)
    assert power_slope(x_YX) == pytest.approx(slow_slope(x_YX.astype(float)), rel=1e-5)


def test_the_slope_is_that_of_centrosome_where_it_is_installed():
    rps = pytest.importorskip("centrosome.radial_power_spectrum").rps

    class WithPtp(np.ndarray):
        """An array with the method that numpy 2 took away."""

        def ptp(self):
            return np.ptp(np.asarray(self))

    x_YX = image((180, 220), blur=1.0)
    radius_R, _, power_R = (np.asarray(values) for values in rps(x_YX.astype(float).view(WithPtp)))
    assert power_slope(x_YX) == pytest.approx(np.polyfit(np.log(radius_R), np.log(power_R), 1)[0], rel=1e-5)


def test_the_slope_does_not_depend_on_gain_or_offset_and_falls_with_blur():
    x_YX = image((200, 200), dtype="float32")
    assert power_slope(3 * x_YX + 500) == pytest.approx(power_slope(x_YX), rel=1e-4)
    slopes = [power_slope(ndimage.gaussian_filter(x_YX, sigma)) for sigma in (0, 2, 4, 8)]
    assert slopes == sorted(slopes, reverse=True)


def test_white_noise_has_the_slope_of_the_rings_circumference():
    """Equal power everywhere, summed over rings: power grows with the radius, so the slope is near 1."""
    fields = np.random.default_rng(1).normal(1000, 10, (12, 400, 400)).astype(np.float32)
    assert np.mean([power_slope(x_YX) for x_YX in fields]) == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("shape", [(1, 1), (20, 300), (31, 31)])
def test_fields_too_small_for_two_rings_have_slope_0(shape):
    assert power_slope(np.random.default_rng(3).integers(0, 4096, shape).astype(np.uint16)) == 0


@pytest.mark.parametrize("shape", [(3, 3), (STRIP_ROWS + 1, 50), (STRIP_ROWS + 2, 50), (3 * STRIP_ROWS + 5, 41)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_laplacian_is_scipys_inside_the_border(shape, dtype):
    x_YX = (image(shape, dtype="float64") / 8).astype(dtype)
    expected = ndimage.laplace(x_YX.astype(float))[1:-1, 1:-1].var() / x_YX.astype(float).var()
    assert laplacian(x_YX) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_the_laplacian_of_white_noise_is_20_whatever_gain_and_offset():
    noise_YX = np.random.default_rng(2).normal(0, 1, (500, 500))
    for gain, offset in ((1.0, 0.0), (300.0, 5000.0)):
        assert laplacian((gain * noise_YX + offset).astype(np.float32)) == pytest.approx(20, rel=0.03)


@pytest.mark.parametrize("value", [0, 77])
def test_an_image_of_one_value_has_neither(value):
    for dtype in ("uint16", "float32"):
        x_YX = np.full((80, 80), value, dtype)
        assert (power_slope(x_YX), laplacian(x_YX)) == (0.0, 0.0)


def test_real_cells_lose_both_with_blur(shared_data):
    for path in sorted((shared_data / "bbbc013-rows-abcd" / "images").glob("Channel?-0[1-4]*.tif")):
        x_YX = tifffile.imread(path).astype(np.float32)
        blurred_YX = ndimage.gaussian_filter(x_YX, 2)
        assert power_slope(x_YX) == pytest.approx(slow_slope(x_YX.astype(float)), rel=1e-5)
        assert power_slope(blurred_YX) < power_slope(x_YX)
        assert laplacian(blurred_YX) < 0.5 * laplacian(x_YX)
