"""Nuclei counted against drawn discs and against a count by eye."""

import numpy as np
import pytest
import tifffile

from platemae.qc.cells import find_nuclei


def discs(count, radius, shape=(400, 440), apart=2.6, seed=0, noise=15.0, gradient=0.0):
    """Discs on a noisy background, no two centres closer than ``apart`` radii, and their centres."""
    rng = np.random.default_rng(seed)
    y_YX, x_YX = np.mgrid[: shape[0], : shape[1]]
    centres = []
    while len(centres) < count:
        place = rng.uniform(0, shape)
        if all(np.hypot(*(place - other)) > apart * radius for other in centres):
            centres.append(place)
    light_YX = 300 * (1 + gradient * x_YX / shape[1])
    for y, x in centres:
        light_YX = light_YX + rng.uniform(500, 1500) * ((y_YX - y) ** 2 + (x_YX - x) ** 2 <= radius**2)
    return (light_YX + rng.normal(0, noise, shape)).clip(0, 65535).astype(np.uint16), np.array(centres)


@pytest.mark.parametrize("radius", [3, 6, 9, 20])
@pytest.mark.parametrize("gradient", [0.0, 1.5])
def test_discs_are_counted_and_found_where_they_are(radius, gradient):
    count = 15 if radius == 20 else 40
    x_YX, centres_N2 = discs(count, radius, gradient=gradient)
    found_N2 = find_nuclei(x_YX, 2 * radius)
    assert len(found_N2) == pytest.approx(count, abs=1)
    distance_NM = np.hypot(*(found_N2[:, None] - centres_N2).transpose(2, 0, 1))
    # The part of a disc that the border cuts has its middle elsewhere.
    inside_N = ((found_N2 > radius) & (found_N2 < np.array(x_YX.shape) - radius)).all(axis=1)
    assert distance_NM.min(axis=1)[inside_N].max() < 0.5 * radius + 1


def test_discs_that_touch_are_told_apart():
    x_YX, _ = discs(60, 8, apart=1.9)
    assert len(find_nuclei(x_YX, 16)) == pytest.approx(60, rel=0.1)


@pytest.mark.parametrize("assumed", [0.35, 1.0, 1.5])
def test_the_usual_diameter_need_not_be_exact(assumed):
    x_YX, _ = discs(30, 9)
    assert len(find_nuclei(x_YX, 18 * assumed)) == pytest.approx(30, abs=2)


@pytest.mark.parametrize("level", [1, 50, 2000])
def test_an_empty_field_has_no_nucleus(level):
    y_YX, x_YX = np.mgrid[-1:1:300j, -1:1:300j]
    lit_YX = level * (1 - 0.3 * (y_YX**2 + x_YX**2))
    assert len(find_nuclei(np.random.default_rng(3).poisson(lit_YX).astype(np.uint16), 16)) == 0


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("value", [0, 77])
def test_an_image_of_one_value_has_no_nucleus(dtype, value):
    assert len(find_nuclei(np.full((64, 80), value, dtype), 12.0)) == 0


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (40, 41)])
def test_any_shape_and_any_diameter(shape):
    noisy_YX = np.random.default_rng(4).integers(0, 4096, shape).astype(np.uint16)
    for diameter_px in (0.5, 12.0, 500.0):
        assert find_nuclei(noisy_YX, diameter_px).shape[1] == 2


def test_real_nuclei_against_a_count_by_eye(shared_data):
    """Counted on enlarged, contrast-stretched prints; a nucleus that the crop cuts counts.

    BBBC013 well B01, top left 320 pixels (26 with a dividing pair and 3 cut ones), nuclei about 17 pixels wide; NF1
    well B7, rows to 880, columns 100 to 880 (22), nuclei 45 to 80 pixels wide.
    """
    bbbc = tifffile.imread(shared_data / "bbbc013-rows-abcd/images/Channel2-13-B-01.tif")[:320, :320]
    assert len(find_nuclei(bbbc, 17)) == pytest.approx(26, abs=3)
    folder = shared_data / "nf1-cellpainting-plate2/Plate_2_images"
    nf1 = tifffile.imread(folder / "B7_01_1_3_DAPI_001.tif")[:880, 100:880]
    for diameter_px in (30, 60):
        assert len(find_nuclei(nf1, diameter_px)) == pytest.approx(22, abs=1)
