"""Illumination: a planted vignette is found again, and what models read is even."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from platemae.errors import ContractError
from platemae.store.illumination import EvenStore, Illumination, read_illumination
from platemae.store.illumination_fit import FEW_FIELDS, block_means, fit_illumination, update_illumination
from platemae.store.plate_reader import StoreChannel

SHAPE = (180, 240)
CHANNELS = [StoreChannel("DNA", "Hoechst"), StoreChannel("ER", "ConA")]


def vignettes():
    """A centred fall to 0.6 in the corners, and a slope across the field; mean 1."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in SHAPE), indexing="ij")
    light = np.stack([1 - 0.2 * (y**2 + x**2), 1 + 0.25 * x - 0.1 * y])
    return light / light.mean(axis=(1, 2), keepdims=True)


def cells(seed):
    """Bright spots of 6 pixels anywhere on a background, without vignette, (2, Y, X)."""
    rng = np.random.default_rng(seed)
    spots = np.zeros((2, *SHAPE))
    for c in range(2):
        spots[c, rng.integers(0, SHAPE[0], 150), rng.integers(0, SHAPE[1], 150)] = rng.gamma(4, 1.2e4, 150)
        spots[c] = gaussian_filter(spots[c], 3)
    return spots + 800


@pytest.fixture(scope="module")
def plain():
    return {f"A/{column}/{field}": cells(10 * column + field) for column in range(1, 13) for field in range(6)}


@pytest.fixture
def lit(make_plate, plain):
    """The store of a plate with the vignettes."""
    light = vignettes()
    fields = {group: (x_CYX * light).round().astype(np.uint16) for group, x_CYX in plain.items()}
    return make_plate(fields, name="lit", channels=CHANNELS)[0]


def test_planted_vignettes_are_found(lit):
    found = fit_illumination(lit, lit.fields, threads=2)
    assert found.fields == 72
    light_CYX = found.window(SHAPE, (0, SHAPE[0]), (0, SHAPE[1]))
    np.testing.assert_allclose(light_CYX.mean(axis=(1, 2)), 1, atol=2e-3)
    deviation = np.abs(light_CYX / vignettes() - 1)
    assert deviation.mean() < 0.015
    assert deviation.max() < 0.05


def test_what_is_read_is_even_and_in_source_units(lit, plain, tmp_path):
    path = tmp_path / "lit.illumination.npz"
    digest, warnings = update_illumination(lit, lit.fields, path, True, 2)
    assert warnings == []
    even = EvenStore(tmp_path / "lit.zarr", read_illumination(path))
    assert even.dtype == np.float32
    assert digest == read_illumination(path).digest
    corners, centre = (slice(0, 30), slice(0, 40)), (slice(75, 105), slice(100, 140))
    raw, corrected = (np.mean([s.read_field(g) for g in lit.fields], axis=0) for s in (lit, even))
    for c in range(2):
        before = abs(raw[c][corners].mean() / raw[c][centre].mean() - 1)
        after = abs(corrected[c][corners].mean() / corrected[c][centre].mean() - 1)
        assert after < 0.2 * before
    truth = np.mean(list(plain.values()), axis=0)
    np.testing.assert_allclose(corrected.mean(axis=(1, 2)), truth.mean(axis=(1, 2)), rtol=0.01)


def test_crops_equal_the_corrected_field(lit, tmp_path):
    path = tmp_path / "light.npz"
    update_illumination(lit, lit.fields, path, True, 1)
    even = EvenStore(tmp_path / "lit.zarr", read_illumination(path))
    whole = even.read_field("A/3/2")
    assert whole.dtype == np.float32
    np.testing.assert_allclose(even.read_crop("A/3/2", 17, 101, 64), whole[:, 17:81, 101:165], rtol=1e-5)
    slow = lit.read_field("A/3/2") / even.light.window(SHAPE, (0, SHAPE[0]), (0, SHAPE[1]))
    np.testing.assert_allclose(whole, slow, rtol=1e-6)


def test_the_grid_is_linear_between_its_centres():
    """Against numpy's interpolation along one axis, and exactly for a plane, the edges included."""
    rng = np.random.default_rng(2)
    grid_CGG = rng.uniform(0.5, 1.5, (1, 8, 1)).repeat(5, axis=2)
    light = Illumination(("a",), grid_CGG.astype(np.float32), 1)
    centres = (np.arange(8) + 0.5) * 64 / 8
    rows = np.arange(64) + 0.5
    inside = (rows >= centres[0]) & (rows <= centres[-1])
    column = light.window((64, 50), (0, 64), (7, 9))[0, :, 1]
    np.testing.assert_allclose(column[inside], np.interp(rows, centres, grid_CGG[0, :, 0])[inside], rtol=1e-5)
    y, x = np.meshgrid((np.arange(8) + 0.5) / 8, (np.arange(5) + 0.5) / 5, indexing="ij")
    plane = Illumination(("a",), (1 + 0.3 * y - 0.2 * x)[None].astype(np.float32), 1).window((64, 50), (0, 64), (0, 50))
    y, x = np.meshgrid((np.arange(64) + 0.5) / 64, (np.arange(50) + 0.5) / 50, indexing="ij")
    np.testing.assert_allclose(plane[0], 1 + 0.3 * y - 0.2 * x, rtol=1e-5)


def test_block_means_against_a_loop():
    x_CYX = np.random.default_rng(1).integers(0, 65535, (2, 37, 50)).astype(np.uint16)
    means = block_means(x_CYX, (5, 7))
    rows, columns = np.linspace(0, 37, 6).astype(int), np.linspace(0, 50, 8).astype(int)
    for i in range(5):
        for j in range(7):
            block = x_CYX[:, rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
            np.testing.assert_allclose(means[:, i, j], block.mean(axis=(1, 2)))


def test_off_removes_an_old_function(lit, tmp_path):
    path = tmp_path / "light.npz"
    update_illumination(lit, lit.fields, path, True, 1)
    assert update_illumination(lit, lit.fields, path, False, 1) == (None, [])
    assert not path.exists()
    assert read_illumination(path) is None


def test_few_fields_are_warned_about_and_none_corrects_nothing(lit, tmp_path):
    path = tmp_path / "light.npz"
    _, warnings = update_illumination(lit, lit.fields[:5], path, True, 1)
    assert f"from 5 fields; below {FEW_FIELDS}" in warnings[0]
    update_illumination(lit, [], path, True, 1)
    assert (read_illumination(path).grid_CGG == 1).all()
    np.testing.assert_allclose(
        EvenStore(tmp_path / "lit.zarr", read_illumination(path)).read_field("A/1/0"),
        lit.read_field("A/1/0"),
        rtol=1e-6,
    )


def test_a_function_that_is_damaged_or_of_other_channels(lit, tmp_path):
    path = tmp_path / "light.npz"
    Illumination(("DNA", "RNA"), np.ones((2, 4, 4), np.float32), 3).write(path)
    with pytest.raises(ContractError, match="of the channels DNA, RNA"):
        EvenStore(tmp_path / "lit.zarr", read_illumination(path))
    whole = path.read_bytes()
    for content in (b"", whole[:100], b"PK" + whole[2:50]):
        path.write_bytes(content)
        with pytest.raises(ContractError, match="cannot be understood"):
            read_illumination(path)
    for grid in (np.zeros((2, 4, 4)), np.ones((2, 4)), np.full((2, 4, 4), np.nan)):
        Illumination(("DNA", "ER"), grid.astype(np.float32), 3).write(path)
        with pytest.raises(ContractError, match="cannot be understood"):
            read_illumination(path)
