"""TVN against the published steps on rows, closed forms, and screens with few controls."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import fractional_matrix_power
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from platemae.correction.control_stats import ControlStats
from platemae.correction.linalg import inverse_root, psd_factor
from platemae.correction.tvn import TVN, TVNSettings
from platemae.errors import ConfigError
from tests.unit.correction.screens import Screen, assert_same_up_to_signs


def corrected(screen: Screen, config: TVNSettings, batch_of: Mapping[str, str] | None = None) -> np.ndarray:
    """Fit and transform plate by plate in float64, as the stages do."""
    stats = screen.stats()
    batch = dict(batch_of or {name: name for name in stats})
    fitted = TVN.fit(stats, batch, config)
    out = np.empty((len(screen.x), fitted.whiten.shape[1]))
    for name in stats:
        unit = ControlStats.merge([stats[other] for other in stats if batch[other] == batch[name]], batch[name])
        own = screen.plate == name
        out[own] = fitted.transform(screen.x[own], unit, dtype=np.float64)
    return out


def reference(screen: Screen, batch: np.ndarray, ridge: float, center: bool, components: int) -> np.ndarray:
    """Apply the steps one after the other to rows, with the tools that the recipe names."""
    con = screen.control
    z = StandardScaler().fit(screen.x[con]).transform(screen.x)
    y = PCA(n_components=components, svd_solver="full").fit(z[con]).transform(z)
    y = StandardScaler().fit(y[con]).transform(y)
    for name in np.unique(batch):
        own = batch == name
        if center:
            y[own] -= y[own & con].mean(axis=0)
        cov = np.cov(y[own & con], rowvar=False, ddof=1) + ridge * np.eye(components)
        y[own] = y[own] @ fractional_matrix_power(cov, -0.5).real
    return y


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize(
    ("plates", "controls", "dims", "components"),
    [(4, 60, 12, 12), (5, 8, 24, 24), (3, 8, 40, 23), (2, 2, 16, 3), (3, 30, 20, 6)],
    ids=["many", "few a plate", "few in all", "two a plate", "leading components"],
)
def test_equals_the_published_steps(plates: int, controls: int, dims: int, components: int, center: bool) -> None:
    screen = Screen(plates, controls, dims)
    config = TVNSettings(n_components=components, center_per_batch=center)
    theirs = reference(screen, screen.plate, 0.5, center, components)
    assert_same_up_to_signs(corrected(screen, config), theirs)


def test_plates_of_a_batch_share_one_alignment() -> None:
    screen = Screen(4, 6, 10)
    batch_of = {"p0": "a", "p1": "a", "p2": "b", "p3": "b"}
    theirs = reference(screen, np.array([batch_of[name] for name in screen.plate]), 0.5, True, 10)
    assert_same_up_to_signs(corrected(screen, TVNSettings(), batch_of), theirs)


def test_ridge_zero_makes_controls_white_in_every_unit() -> None:
    screen = Screen(3, 50, 8)
    y = corrected(screen, TVNSettings(ridge=0, center_per_batch=True))
    for name in ("p0", "p1", "p2"):
        own = y[(screen.plate == name) & screen.control]
        np.testing.assert_allclose(np.cov(own, rowvar=False), np.eye(8), atol=1e-10)
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-10)


def test_one_unit_with_the_default_ridge_shrinks_controls_to_two_thirds() -> None:
    screen = Screen(1, 400, 6)
    n = 400
    y = corrected(screen, TVNSettings())
    expected = (n / (n - 1)) / (n / (n - 1) + 0.5)
    np.testing.assert_allclose(np.cov(y[screen.control], rowvar=False), expected * np.eye(6), atol=1e-10)
    assert expected == pytest.approx(1 / 1.5, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_whitening_forgets_any_affine_map_of_the_embedding(seed: int) -> None:
    """Scaling and shifting features changes nothing; mixing them neither, once the controls are white."""
    rng = np.random.default_rng(seed)
    screen, moved = Screen(1, 40, 5, seed=seed), Screen(1, 40, 5, seed=seed)
    moved.x = screen.x * rng.uniform(0.01, 100, 5) + rng.standard_normal(5) * 10
    one = corrected(screen, TVNSettings())
    np.testing.assert_allclose(one @ one.T, (other := corrected(moved, TVNSettings())) @ other.T, rtol=1e-6, atol=1e-6)
    moved.x = screen.x @ (rng.standard_normal((5, 5)) + 3 * np.eye(5))
    mixed = corrected(moved, TVNSettings(ridge=0))
    plain = corrected(screen, TVNSettings(ridge=0))
    np.testing.assert_allclose(mixed @ mixed.T, plain @ plain.T, rtol=1e-5, atol=1e-5)


def test_fewer_controls_than_dimensions_keeps_the_rank_and_never_blows_up() -> None:
    """The published code returns 23 columns for 23 controls, one of them rounding noise of size 1e15."""
    screen = Screen(1, 23, 64)
    stats = screen.stats()
    fitted = TVN.fit(stats, {"p0": "p0"}, TVNSettings())
    y = fitted.transform(screen.x, stats["p0"])
    assert y.shape == (43, 22)
    assert y.dtype == np.float32
    assert np.abs(y).max() < 1e3
    facts = fitted.facts()
    assert (facts["n_controls"], facts["dims"], facts["rank"], facts["components"]) == (23, 64, 22, 22)
    unit = fitted.batch_facts(stats["p0"])
    assert unit == {"unit": "p0", "n_controls": 23, "rank": 22, "ridge": 0.5, "policy": "own"}


def test_rank_is_of_the_data_not_of_the_rows() -> None:
    """Copied and constant features, and float32 rounding, add no component."""
    screen = Screen(3, 30, 6)
    wide = np.hstack([screen.x, 2 * screen.x[:, :3], np.full((len(screen.x), 2), 0.1)]).astype(np.float32)
    screen.x = wide.astype(np.float64)
    y = corrected(screen, TVNSettings())
    assert y.shape[1] == 6
    assert np.isfinite(y).all()
    stats = screen.stats()
    assert TVN.fit(stats, {name: name for name in stats}, TVNSettings()).facts()["rank"] == 6


def test_identical_controls_on_one_plate_leave_the_ridge_alone() -> None:
    screen = Screen(3, 20, 5)
    same = (screen.plate == "p1") & screen.control
    screen.x[same] = screen.x[same][0]
    stats = screen.stats()
    fitted = TVN.fit(stats, {name: name for name in stats}, TVNSettings())
    own = screen.plate == "p1"
    y = fitted.transform(screen.x[own], stats["p1"], dtype=np.float64)
    white = (screen.x[own] - screen.x[same][0]) / fitted.scale @ fitted.whiten
    np.testing.assert_allclose(y, white / np.sqrt(0.5), rtol=1e-6, atol=1e-6)
    assert fitted.batch_facts(stats["p1"])["rank"] == 0


def few_controls_screen() -> tuple[Screen, dict[str, ControlStats], dict[str, str]]:
    screen = Screen(4, 15, 6)
    stats = screen.stats()
    stats["p1"] = ControlStats.from_rows(screen.x[:0], "p1")
    stats["p3"] = ControlStats.from_rows(screen.x[:1], "p3")
    return screen, stats, {name: name for name in stats}


def test_units_without_controls_stop_the_fit_by_name() -> None:
    _, stats, batch_of = few_controls_screen()
    with pytest.raises(ConfigError, match="2 problems") as caught:
        TVN.fit(stats, batch_of, TVNSettings())
    assert "batch unit p1" in str(caught.value)
    assert "batch unit p3" in str(caught.value)
    assert "few_controls" in caught.value.remedy


def test_a_new_plate_without_controls_stops_the_transform_by_name() -> None:
    screen = Screen(2, 15, 6)
    stats = screen.stats()
    fitted = TVN.fit(stats, {name: name for name in stats}, TVNSettings())
    with pytest.raises(ConfigError, match="0 controls") as caught:
        fitted.transform(screen.x, ControlStats.empty(6, "late plate"))
    assert caught.value.where == "batch unit late plate"


def test_pool_and_skip_for_units_without_controls() -> None:
    screen, stats, batch_of = few_controls_screen()
    x = screen.x[screen.plate == "p1"]
    skip = TVN.fit(stats, batch_of, TVNSettings(few_controls="skip"))
    pool = TVN.fit(stats, batch_of, TVNSettings(few_controls="pool"))
    white = skip.transform(x, stats["p1"], dtype=np.float64)
    np.testing.assert_allclose(white, (x - skip.mean) / skip.scale @ skip.whiten, atol=1e-12)
    n = 31
    np.testing.assert_allclose(
        pool.transform(x, stats["p1"], dtype=np.float64), white / np.sqrt(n / (n - 1) + 0.5), atol=1e-12
    )
    assert skip.batch_facts(stats["p3"]) == {"unit": "p3", "n_controls": 1, "rank": 0, "ridge": 0.5, "policy": "skip"}
    assert pool.batch_facts(stats["p0"])["policy"] == "own"


def test_ridge_zero_on_a_thin_plate_is_refused_by_name() -> None:
    screen = Screen(4, 6, 10)
    with pytest.raises(ConfigError, match="cannot be inverted with ridge 0") as caught:
        corrected(screen, TVNSettings(ridge=0))
    assert caught.value.where == "batch unit p0"


def test_identical_controls_everywhere_are_refused() -> None:
    stats = {"p": ControlStats.from_rows(np.full((9, 4), 0.3), "p")}
    with pytest.raises(ConfigError, match="all 9 controls have the same embedding"):
        TVN.fit(stats, {"p": "p"}, TVNSettings())


@pytest.mark.parametrize("bad", [{"ridge": -1}, {"ridge": float("nan")}, {"n_components": 0}, {"few_controls": "drop"}])
def test_bad_settings_are_named(bad: dict) -> None:
    with pytest.raises(ConfigError) as caught:
        TVNSettings(**bad)
    assert next(iter(bad)) in caught.value.where


def test_fit_reads_one_plate_at_a_time() -> None:
    """A lazy mapping serves: nothing keeps the statistics of all plates."""

    class Lazy(Mapping[str, ControlStats]):
        def __init__(self, screen: Screen) -> None:
            self.screen, self.reads = screen, 0

        def __getitem__(self, plate: str) -> ControlStats:
            self.reads += 1
            return ControlStats.from_rows(self.screen.x[(self.screen.plate == plate) & self.screen.control], plate)

        def __iter__(self):
            return iter(["p0", "p1", "p2"])

        def __len__(self) -> int:
            return 3

    screen = Screen(3, 20, 5)
    lazy = Lazy(screen)
    fitted = TVN.fit(lazy, {name: name for name in lazy}, TVNSettings())
    assert lazy.reads >= 3
    np.testing.assert_array_equal(fitted.whiten, TVN.fit(screen.stats(), {n: n for n in lazy}, TVNSettings()).whiten)


@settings(max_examples=40, deadline=None)
@given(dims=st.integers(1, 8), rank=st.integers(0, 8), ridge=st.floats(1e-3, 10), seed=st.integers(0, 10_000))
def test_inverse_root_squares_back(dims: int, rank: int, ridge: float, seed: int) -> None:
    factor = np.random.default_rng(seed).standard_normal((dims, rank))
    root = inverse_root(factor, ridge).after(np.eye(dims))
    whole = root @ (factor @ factor.T + ridge * np.eye(dims)) @ root
    np.testing.assert_allclose(whole, np.eye(dims), atol=1e-7)
    np.testing.assert_allclose(root, root.T, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(dims=st.integers(1, 10), rank=st.integers(0, 10), seed=st.integers(0, 10_000))
def test_factor_gives_the_matrix_back(dims: int, rank: int, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((rank, dims))
    gram = rows.T @ rows
    factor = psd_factor(gram, max_rank=min(rank, dims))
    assert factor.shape == (dims, min(rank, dims))
    np.testing.assert_allclose(factor @ factor.T, gram, atol=1e-10)
