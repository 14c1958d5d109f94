"""Every correction against plain numpy written from the formulas, and what must not matter to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platemae.correction.control_stats import ControlStats
from platemae.correction.registry import REGISTRY, resolve
from platemae.errors import ConfigError
from tests.unit.correction.screens import (
    Screen,
    assert_same_up_to_signs,
    corrected,
    plain_center,
    plain_centerscale,
    plain_pca_cs,
    plain_sphere,
    plain_tvn,
)

SHAPES = {
    "many": (4, 60, 12, 12),
    "few a plate": (5, 8, 24, 24),
    "few in all": (3, 8, 40, 23),
    "two a plate": (2, 2, 16, 3),
    "leading components": (3, 30, 20, 6),
}
"""Plates, controls a plate, dimensions, components that are kept."""

PLATEWISE = sorted(set(REGISTRY) - {"harmony"})
shaped = pytest.mark.parametrize(("plates", "controls", "dims", "count"), SHAPES.values(), ids=SHAPES)


@shaped
@pytest.mark.parametrize("per", ["batch", "global"])
def test_center_and_centerscale(plates: int, controls: int, dims: int, count: int, per: str) -> None:
    screen = Screen(plates, controls, dims)
    for kind, plain in (("center", plain_center), ("centerscale", plain_centerscale)):
        theirs = plain(screen.x, screen.plate, screen.control, per)
        np.testing.assert_allclose(corrected(screen, kind, per=per), theirs, rtol=1e-9, atol=1e-9)


@shaped
@pytest.mark.parametrize("per", ["batch", "global"])
def test_pca_cs(plates: int, controls: int, dims: int, count: int, per: str) -> None:
    screen = Screen(plates, controls, dims)
    theirs = plain_pca_cs(screen.x, screen.plate, screen.control, count, per)
    assert_same_up_to_signs(corrected(screen, "pca_cs", n_components=count, per=per), theirs, tol=1e-7)


@shaped
@pytest.mark.parametrize("recolor", [False, True])
@pytest.mark.parametrize("center", [False, True])
def test_tvn(plates: int, controls: int, dims: int, count: int, center: bool, recolor: bool) -> None:
    screen = Screen(plates, controls, dims)
    theirs = plain_tvn(screen.x, screen.plate, screen.control, count, 0.5, center, recolor)
    ours = corrected(screen, "tvn", n_components=count, center_per_batch=center, recolor=recolor)
    assert_same_up_to_signs(ours, theirs)


@pytest.mark.parametrize(("plates", "controls", "dims"), [(4, 60, 12), (3, 8, 40)], ids=["many", "few in all"])
@pytest.mark.parametrize("method", ["pca", "zca", "pca_cor", "zca_cor"])
@pytest.mark.parametrize(("epsilon", "center"), [(1e-6, False), (3.0, True)])
def test_sphere(plates: int, controls: int, dims: int, method: str, epsilon: float, center: bool) -> None:
    screen = Screen(plates, controls, dims)
    theirs = plain_sphere(screen.x, screen.plate, screen.control, method, epsilon, center)
    ours = corrected(screen, "sphere", method=method, epsilon=epsilon, center_per_batch=center)
    if method.startswith("zca"):
        np.testing.assert_allclose(ours, theirs, atol=1e-8 * np.abs(theirs).max())
    assert_same_up_to_signs(ours, theirs)


@pytest.mark.parametrize("method", ["pca", "zca", "pca_cor", "zca_cor"])
def test_sphered_controls_are_white_as_long_as_they_are_centred(method: str) -> None:
    """What pycytominer 1.3 to 1.6 missed (PEERS 3): the covariance of the controls must be the identity."""
    screen = Screen(3, 40, 10)
    y = corrected(screen, "sphere", method=method, epsilon=0.0)
    np.testing.assert_allclose(np.cov(y[screen.control], rowvar=False), np.eye(10), atol=1e-9)


def test_zca_stays_nearest_to_the_features() -> None:
    """Of all whitenings ZCA-cor keeps the largest correlation between each feature and its own column."""
    screen = Screen(1, 200, 6)
    own = {}
    for method in ("pca_cor", "zca_cor"):
        y = corrected(screen, "sphere", method=method)
        own[method] = np.mean([abs(np.corrcoef(screen.x[:, d], y[:, d])[0, 1]) for d in range(6)])
    assert own["zca_cor"] > own["pca_cor"]


@pytest.mark.parametrize("kind", PLATEWISE)
def test_plates_of_a_batch_are_one_unit(kind: str) -> None:
    screen, renamed = Screen(4, 6, 8), Screen(4, 6, 8)
    batch_of = {"p0": "a", "p1": "a", "p2": "b", "p3": "b"}
    renamed.plate = np.array([batch_of[name] for name in renamed.plate])
    together = corrected(screen, kind, batch_of)
    np.testing.assert_allclose(together, corrected(renamed, kind), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", PLATEWISE)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_wells_does_not_matter(kind: str, seed: int) -> None:
    screen, mixed = Screen(3, 12, 5, seed=seed), Screen(3, 12, 5, seed=seed)
    order = np.random.default_rng(seed).permutation(len(screen.x))
    mixed.x, mixed.plate, mixed.control = screen.x[order], screen.plate[order], screen.control[order]
    np.testing.assert_allclose(corrected(mixed, kind), corrected(screen, kind)[order], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("centerscale", {}), ("tvn", {}), ("tvn", {"center_per_batch": False}), ("sphere", {"method": "zca_cor"})],
)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_units_of_the_features_do_not_matter(kind: str, options: dict, seed: int) -> None:
    rng = np.random.default_rng(seed)
    screen, scaled = Screen(3, 12, 5, seed=seed), Screen(3, 12, 5, seed=seed)
    scaled.x = screen.x * rng.uniform(0.01, 100, 5) + 10 * rng.standard_normal(5)
    np.testing.assert_allclose(corrected(scaled, kind, **options), corrected(screen, kind, **options), atol=1e-6)


@pytest.mark.parametrize("kind", ["tvn", "pca_cs", "center"])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_cosines_do_not_change_when_the_embedding_is_turned(kind: str, seed: int) -> None:
    """TVN z-scores first, so a turned embedding is another one to it until its controls are white: ridge 0."""
    rng = np.random.default_rng(seed)
    screen, turned = Screen(2, 30, 5, seed=seed), Screen(2, 30, 5, seed=seed)
    turned.x = screen.x @ np.linalg.qr(rng.standard_normal((5, 5)))[0]
    options = {"ridge": 0.0} if kind == "tvn" else {}
    one, other = corrected(screen, kind, **options), corrected(turned, kind, **options)
    cosines = [y @ y.T / np.outer(np.linalg.norm(y, axis=1), np.linalg.norm(y, axis=1)) for y in (one, other)]
    np.testing.assert_allclose(cosines[0], cosines[1], atol=1e-6)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(1e-3, 1e3))
def test_scale_of_a_plate_does_not_matter_to_its_own_z_score(seed: int, factor: float) -> None:
    screen, scaled = Screen(2, 12, 4, seed=seed), Screen(2, 12, 4, seed=seed)
    scaled.x = np.where((screen.plate == "p1")[:, None], screen.x * factor, screen.x)
    np.testing.assert_allclose(corrected(scaled, "centerscale"), corrected(screen, "centerscale"), atol=1e-7)


def test_recolouring_gives_a_typical_unit_its_variance_back() -> None:
    screen = Screen(1, 400, 6)
    y = corrected(screen, "tvn", recolor=True)
    np.testing.assert_allclose(np.cov(y[screen.control], rowvar=False), 400 / 399 * np.eye(6), atol=1e-9)


def test_recolouring_puts_pooled_units_on_the_scale_of_skipped_ones() -> None:
    screen = Screen(3, 15, 6)
    stats = screen.stats() | {"p1": ControlStats.empty(6, "p1")}
    x, tvn = screen.x[screen.plate == "p1"], resolve("tvn")
    made = [
        tvn.fit(stats, {p: p for p in stats}, tvn.Settings(recolor=True, few_controls=few)).transform(x, stats["p1"])
        for few in ("pool", "skip")
    ]
    np.testing.assert_allclose(made[0], made[1], rtol=1e-5)


def test_pca_cs_keeps_features_of_unlike_units() -> None:
    """Areas of 1e4 beside correlations of 0.1: eigenvalues over ten decades are no loss of rank."""
    screen = Screen(3, 40, 6)
    screen.x = screen.x * np.logspace(-3, 3, 6)
    stats, cls = screen.stats(), resolve("pca_cs")
    facts = cls.fit(stats, {p: p for p in stats}, cls.Settings()).facts()
    assert (facts["rank"], facts["components"], facts["unresolved"]) == (6, 6, 0)


def test_pca_cs_says_what_it_cannot_resolve() -> None:
    screen = Screen(3, 40, 6)
    screen.x = screen.x * np.logspace(-8, 8, 6)
    stats, cls = screen.stats(), resolve("pca_cs")
    facts = cls.fit(stats, {p: p for p in stats}, cls.Settings()).facts()
    assert facts["rank"] == 6
    assert facts["components"] + facts["unresolved"] == 6
    assert facts["unresolved"] > 0


def test_pca_cs_component_that_is_constant_in_a_unit_keeps_the_deviation_of_all() -> None:
    screen = Screen(3, 20, 5)
    same = (screen.plate == "p1") & screen.control
    screen.x[same] = screen.x[same][0]
    stats, cls = screen.stats(), resolve("pca_cs")
    fitted = cls.fit(stats, {p: p for p in stats}, cls.Settings())
    own = screen.plate == "p1"
    y = fitted.transform(screen.x[own], stats["p1"], dtype=np.float64)
    expected = (screen.x[own] - screen.x[same][0]) @ fitted.axes / np.sqrt(fitted.values)
    np.testing.assert_allclose(y, expected, atol=1e-8)
    assert fitted.batch_facts(stats["p1"])["constant_components"] == 5


@pytest.mark.parametrize("kind", ["tvn", "pca_cs", "sphere"])
def test_fewer_controls_than_dimensions_lose_nothing_in_silence_and_never_blow_up(kind: str) -> None:
    """PEERS 1.4: 23 controls, 64 dimensions; the published code returns 23 columns, one of them noise of size 1e15."""
    screen, cls = Screen(1, 23, 64), resolve(kind)
    stats = screen.stats()
    fitted = cls.fit(stats, {"p0": "p0"}, cls.Settings())
    y = fitted.transform(screen.x, stats["p0"])
    facts = fitted.facts()
    assert (facts["n_controls"], facts["dims"], facts["rank"]) == (23, 64, 22)
    assert facts["components"] == y.shape[1] == (64 if kind == "sphere" else 22)
    assert np.linalg.matrix_rank(y) == 22
    assert np.abs(y).max() < 1e3


@pytest.mark.parametrize("kind", PLATEWISE)
@pytest.mark.parametrize("few", ["pool", "skip"])
def test_units_without_controls_stay_finite(kind: str, few: str) -> None:
    screen = Screen(4, 15, 6)
    stats = screen.stats() | {"p1": ControlStats.empty(6, "p1")}
    cls = resolve(kind)
    keys = {"few_controls": few} if kind != "none" else {}
    fitted = cls.fit(stats, {p: p for p in stats}, cls.Settings(**keys))
    for plate in stats:
        y = fitted.transform(screen.x[screen.plate == plate], stats[plate])
        assert np.isfinite(y).all()
        assert np.abs(y).max() < 100
    assert fitted.batch_facts(stats["p1"])["policy"] in (few, "none", "global")


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("sphere", {"method": "chol"}),
        ("sphere", {"epsilon": -1.0}),
        ("sphere", {"few_controls": "drop"}),
        ("pca_cs", {"n_components": 0}),
        ("pca_cs", {"per": "plate"}),
        ("center", {"few_controls": "drop"}),
        ("harmony", {"theta": -1.0}),
        ("harmony", {"n_components": 0}),
    ],
)
def test_bad_settings_are_named(kind: str, bad: dict) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(kind).Settings(**bad)
    assert next(iter(bad)) in caught.value.where


@pytest.mark.parametrize("kind", ["tvn", "pca_cs", "sphere"])
def test_identical_controls_everywhere_are_refused(kind: str) -> None:
    stats = {"p": ControlStats.from_rows(np.full((9, 4), 0.3), "p")}
    with pytest.raises(ConfigError, match="all 9 controls have the same embedding"):
        resolve(kind).fit(stats, {"p": "p"}, resolve(kind).Settings())
