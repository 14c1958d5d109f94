"""Harmony: the joint alignment, what its file refuses, and life without the package."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from platemae.correction.harmony import Harmony, HarmonySettings
from platemae.errors import ConfigError, ContractError, InputError
from tests.unit.correction.screens import Screen

BATCH = {f"p{index}": f"p{index}" for index in range(3)}


def fitted(screen: Screen, settings: HarmonySettings | None = None) -> tuple[Harmony, dict]:
    rows = {}
    for name in BATCH:
        own = screen.x[screen.plate == name].astype(np.float32)
        rows[name] = own, [f"{name}_{index}" for index in range(len(own))]
    return Harmony.fit(screen.stats(), BATCH, settings or HarmonySettings(), rows), rows


@pytest.fixture
def screen() -> Screen:
    pytest.importorskip("harmonypy")
    made = Screen(3, 40, 6, treated=60)
    made.x = made.x.astype(np.float32).astype(np.float64)
    return made


def test_equals_harmonypy_on_sklearns_components(screen: Screen) -> None:
    import harmonypy

    made, rows = fitted(screen, HarmonySettings(n_components=4, theta=1.0, seed=3))
    scaler = StandardScaler().fit(screen.x[screen.control])
    pca = PCA(4, svd_solver="full").fit(scaler.transform(screen.x[screen.control]))
    sign = np.sign(np.take_along_axis(pca.components_, np.abs(pca.components_).argmax(1)[:, None], 1))
    y = pca.transform(scaler.transform(screen.x)) * sign.T
    theirs = harmonypy.run_harmony(
        y, {"u": screen.plate}, ["u"], theta=1.0, random_state=3, nclust=10, ncores=1, verbose=False
    ).Z_corr
    stats = screen.stats()
    ours = np.vstack([made.transform(x, stats[name], labels) for name, (x, labels) in rows.items()])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_planted_shift_between_plates_shrinks(screen: Screen) -> None:
    rng = np.random.default_rng(0)
    screen.x = 0.5 * rng.standard_normal(screen.x.shape)
    screen.x[:, 0] += np.where(np.arange(len(screen.x)) % 2, 4, -4)  # two kinds of wells on every plate
    screen.x[:, 1] += 1.5 * (screen.plate == "p1")
    made, _ = fitted(screen)
    scaled = StandardScaler().fit(screen.x[screen.control]).transform(screen.x)

    def gap(y: np.ndarray) -> float:
        return float(np.linalg.norm(y[screen.plate == "p1"].mean(axis=0) - y[screen.plate == "p0"].mean(axis=0)))

    assert gap(made.aligned) < 0.6 * gap(scaled)
    kind = np.arange(len(screen.x)) % 2 == 1
    apart = [np.linalg.norm(y[kind].mean(axis=0) - y[~kind].mean(axis=0)) for y in (made.aligned, scaled)]
    assert apart[0] > 0.9 * apart[1], "what differs between wells of every plate stays"


def test_same_seed_same_wells_also_after_a_round_trip(screen: Screen, tmp_path: Path) -> None:
    made, rows = fitted(screen)
    again, _ = fitted(screen)
    np.testing.assert_array_equal(made.aligned, again.aligned)
    made.save(tmp_path / "h.npz")
    back = Harmony.load(tmp_path / "h.npz")
    x, labels = rows["p2"]
    order = np.random.default_rng(1).permutation(len(x))
    stats = screen.stats()["p2"]
    out = back.transform(x[order], stats, [labels[i] for i in order])
    np.testing.assert_array_equal(out, made.transform(x, stats, labels)[order])
    assert back.facts() == made.facts()
    assert back.batch_facts(stats) == {"unit": "p2", "n_controls": 40, "policy": "joint"}


def test_new_and_changed_wells_are_refused(screen: Screen) -> None:
    made, rows = fitted(screen)
    x, labels = rows["p0"]
    stats = screen.stats()["p0"]
    with pytest.raises(ContractError, match="1 rows were not part of the fit, such as p9_0") as caught:
        made.transform(x[:1], stats, ["p9_0"])
    assert "fit_correction again" in caught.value.remedy
    with pytest.raises(ContractError, match="embedded again"):
        made.transform(x + 1, stats, labels)
    with pytest.raises(ContractError, match="names of the rows"):
        made.transform(x, stats)


def test_one_unit_has_nothing_to_align(screen: Screen) -> None:
    stats = {"p0": screen.stats()["p0"]}
    x = screen.x[screen.plate == "p0"].astype(np.float32)
    made = Harmony.fit(stats, {"p0": "p0"}, HarmonySettings(), {"p0": (x, [f"w{i}" for i in range(len(x))])})
    scaler = StandardScaler().fit(screen.x[(screen.plate == "p0") & screen.control])
    y = scaler.transform(x)
    np.testing.assert_allclose(made.aligned @ made.aligned.T, y @ y.T, rtol=1e-3, atol=1e-3)


def test_wells_of_one_name_and_nan_are_refused(screen: Screen) -> None:
    with pytest.raises(InputError, match="share their name"):
        Harmony.fit(screen.stats(), BATCH, HarmonySettings(), {"p0": (screen.x[:2], ["a", "a"])})
    screen.x[3, 0] = np.nan
    with pytest.raises(InputError, match="p0_3"):
        Harmony.fit(
            Screen(3, 40, 6).stats(), BATCH, HarmonySettings(), {"p0": (screen.x[:5], [f"p0_{i}" for i in range(5)])}
        )


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harmonypy", None)
    with pytest.raises(ConfigError, match="harmonypy") as caught:
        fitted(Screen(3, 10, 4))
    assert "platemae[harmony]" in caught.value.remedy
