"""Features: cp_measure's own on hand-made masks, and the plain ones by skimage and slow loops."""

import sys
from typing import get_args

import numpy as np
import pytest
from skimage.measure import regionprops_table

from platemae.config.sections import FEATURE_GROUPS
from platemae.errors import ConfigError
from platemae.measure.features import GROUPS, measure_objects
from platemae.measure.segmentation import Objects
from tests.unit.measure.drawn import disc

pytest.importorskip("cp_measure")
from cp_measure.bulk import get_core_measurements, get_correlation_measurements

SHAPE = (120, 140)
CHANNELS = ("DNA", "ER", "Mito")
FULL = 4095.0


@pytest.fixture(scope="module")
def field():
    """Three cells, no two alike, and three channels of noise over gradients."""
    nuclei, cells = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    for i, (y, x, radius) in enumerate([(30, 30, 10), (35, 95, 13), (85, 60, 16)], start=1):
        cells[disc(SHAPE, y, x, 1.7 * radius)] = i
        nuclei[disc(SHAPE, y, x + 2, radius)] = i
    rng = np.random.default_rng(0)
    x_CYX = rng.normal(1200, 200, (3, *SHAPE)) + np.linspace(0, 900, SHAPE[1])
    x_CYX[1] += 0.4 * x_CYX[0]
    x_CYX[0][nuclei > 0] += 900
    return x_CYX.clip(0, FULL).astype(np.uint16), Objects(nuclei, cells, 3, 0)


def measured(field, *groups):
    x_ND, columns = measure_objects(field[0], field[1], CHANNELS, groups, FULL)
    assert columns["name"].is_unique
    assert len(columns) == x_ND.shape[1]
    return dict(zip(columns["name"], x_ND.T, strict=True)), columns.set_index("name")


def test_area_and_mean_are_those_of_skimage(field):
    x, _ = measured(field, "shape", "intensity")
    for title, labels in (("Nuclei", field[1].nuclei), ("Cells", field[1].cells)):
        expected = regionprops_table(labels, properties=("area", "eccentricity", "solidity"))
        assert x[f"{title}_AreaShape_Area"] == pytest.approx(expected["area"])
        assert x[f"{title}_AreaShape_Eccentricity"] == pytest.approx(expected["eccentricity"], abs=1e-6)
        assert x[f"{title}_AreaShape_Solidity"] == pytest.approx(expected["solidity"])
        for c, channel in enumerate(CHANNELS):
            means = [field[0][c][labels == i].mean() / FULL for i in (1, 2, 3)]
            tops = [field[0][c][labels == i].max() / FULL for i in (1, 2, 3)]
            assert x[f"{title}_Intensity_MeanIntensity_{channel}"] == pytest.approx(means)
            assert x[f"{title}_Intensity_MaxIntensity_{channel}"] == pytest.approx(tops)


@pytest.mark.parametrize(
    ("group", "function", "key", "name"),
    [
        ("texture", "texture", "Contrast_3_00_256", "Texture_Contrast_ER_3_00_256"),
        ("texture", "texture", "InfoMeas2_3_03_256", "Texture_InfoMeas2_ER_3_03_256"),
        (
            "radial_distribution",
            "radial_distribution",
            "RadialDistribution_FracAtD_2of4",
            "RadialDistribution_FracAtD_ER_2of4",
        ),
        (
            "radial_zernikes",
            "radial_zernikes",
            "RadialDistribution_ZernikeMagnitude_4_2",
            "RadialDistribution_ZernikeMagnitude_ER_4_2",
        ),
        ("granularity", "granularity", "Granularity_3", "Granularity_3_ER"),
        ("intensity", "intensity", "Intensity_MADIntensity", "Intensity_MADIntensity_ER"),
    ],
)
def test_features_of_a_channel_are_those_of_cp_measure(field, group, function, key, name):
    x, columns = measured(field, group)
    direct = get_core_measurements()[function](field[1].cells, field[0][1] / FULL)
    np.testing.assert_allclose(x[f"Cells_{name}"], direct[key])
    row = columns.loc[f"Cells_{name}"]
    assert (row["compartment"], row["channel"]) == ("cell", "ER")
    assert row["feature_category"] == {"radial_zernikes": "radial_distribution"}.get(group, group)


def test_features_of_shape_are_those_of_cp_measure(field):
    x, columns = measured(field, "shape", "zernike")
    functions = get_core_measurements()
    direct = {k: v for f in ("sizeshape", "feret", "zernike") for k, v in functions[f](field[1].nuclei, None).items()}
    places = {k for k in direct if k.startswith(("Center_", "BoundingBoxM"))}
    assert len(places) == 6
    kept = {name.removeprefix("Nuclei_AreaShape_") for name in x if name.startswith("Nuclei_")}
    assert kept == set(direct) - places
    for key in kept:
        np.testing.assert_allclose(x[f"Nuclei_AreaShape_{key}"], direct[key])
    assert set(columns["feature_category"]) == {"shape"}
    assert set(columns["channel"]) == {""}


def test_pairs_name_the_measured_channel_first(field):
    x, columns = measured(field, "correlation")
    one, other, cells = field[0][0] / FULL, field[0][2] / FULL, field[1].cells
    pearson = [np.corrcoef(one[cells == i], other[cells == i])[0, 1] for i in (1, 2, 3)]
    assert x["Cells_Correlation_Correlation_DNA_Mito"] == pytest.approx(pearson)
    manders = get_correlation_measurements()["manders_fold"](one, other, cells)
    assert x["Cells_Correlation_Manders_DNA_Mito"] == pytest.approx(manders["Correlation_Manders_1"])
    assert x["Cells_Correlation_Manders_Mito_DNA"] == pytest.approx(manders["Correlation_Manders_2"])
    assert columns.loc["Cells_Correlation_Manders_Mito_DNA", "channel"] == "DNA,Mito"
    assert len(x) == 2 * 3 * 6


def test_where_a_cell_lies_does_not_matter(field):
    """The same field, shifted: no feature may tell where its cells were."""
    x_CYX, objects = field
    groups = ("shape", "intensity", "texture", "radial_distribution", "correlation")
    here, columns = measure_objects(x_CYX, objects, CHANNELS, groups, FULL)
    shifted = Objects(np.roll(objects.nuclei, (3, 5), (0, 1)), np.roll(objects.cells, (3, 5), (0, 1)), 3, 0)
    there, _ = measure_objects(np.roll(x_CYX, (3, 5), (1, 2)), shifted, CHANNELS, groups, FULL)
    differs = ~np.isclose(here, there, rtol=1e-6, atol=1e-9, equal_nan=True).all(axis=0)
    assert columns["name"][differs].tolist() == []


def test_the_configuration_offers_these_groups():
    assert set(get_args(FEATURE_GROUPS)) == set(GROUPS)


def test_a_missing_library_is_one_clear_error(field, monkeypatch):
    monkeypatch.setitem(sys.modules, "cp_measure.bulk", None)
    with pytest.raises(ConfigError, match="cp_measure") as caught:
        measured(field, "shape")
    assert "pip install" in caught.value.remedy
