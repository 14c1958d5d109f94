"""Shift and spread of plates, against a plain loop, what chance gives, and what corrections take away."""

import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.shift import plate_shifts
from platemae.contracts import SHIFT_COLUMNS
from tests.unit.correction.screens import Screen, corrected

KINDS = ["none", "center", "centerscale", "pca_cs", "tvn", "sphere"]


def obs_of(plate, kind) -> pd.DataFrame:
    return pd.DataFrame({"Metadata_Plate": plate, "Metadata_Control_Type": kind})


def of_screen(screen: Screen, x_ND: np.ndarray) -> pd.DataFrame:
    table = plate_shifts(x_ND, obs_of(screen.plate, np.where(screen.control, "negcon", "treatment")))
    assert list(table.columns) == list(SHIFT_COLUMNS)
    return table.set_index(["source", "plate"])


def plain_shifts(x_ND, plate, kept) -> dict[str, tuple[float, float]]:
    """Shift and spread of each plate, feature by feature."""
    names = sorted(set(plate[kept]))
    shift, spread = {name: [] for name in names}, {name: [] for name in names}
    for x in x_ND.T:
        own = {name: x[kept & (plate == name)] for name in names}
        within = sum(((v - v.mean()) ** 2).sum() for v in own.values()) / (kept.sum() - len(names))
        for name in names:
            shift[name].append((own[name].mean() - x[kept].mean()) ** 2 / within)
            spread[name].append(own[name].var(ddof=1) / within)
    return {name: (np.mean(shift[name]) ** 0.5, np.mean(spread[name]) ** 0.5) for name in names}


@pytest.mark.parametrize("kind", KINDS)
def test_shifts_after_each_kind_equal_a_plain_loop(kind):
    screen = Screen(plates=4, controls=9, dims=6, treated=7)
    x_ND = corrected(screen, kind)
    table = of_screen(screen, x_ND)
    for source, kept in (("negcon", screen.control), ("wells", np.ones_like(screen.control))):
        for name, (shift, spread) in plain_shifts(x_ND, screen.plate, kept).items():
            row = table.loc[source, name]
            assert row["shift"] == pytest.approx(shift, rel=1e-9, abs=1e-9)
            assert row["spread"] == pytest.approx(spread, rel=1e-9)
            assert row["n"] == (kept & (screen.plate == name)).sum()
            assert row["chance"] == pytest.approx(np.sqrt(1 / row["n"] - 1 / kept.sum()))


def test_what_centres_each_plate_brings_its_controls_to_0_and_what_scales_them_to_1():
    screen = Screen(plates=4, controls=9, dims=6)
    before = of_screen(screen, screen.x)
    assert before.loc["negcon", "shift"].min() > 0.2
    assert np.ptp(before.loc["negcon", "spread"]) > 0.1
    for kind in ("center", "centerscale", "pca_cs", "tvn"):
        assert of_screen(screen, corrected(screen, kind)).loc["negcon", "shift"].max() < 1e-6
    np.testing.assert_allclose(of_screen(screen, corrected(screen, "centerscale")).loc["negcon", "spread"], 1)


def test_joined_units_keep_what_sets_their_plates_apart():
    """Two plates a batch are centred together: each keeps its distance from the other."""
    screen = Screen(plates=4, controls=9, dims=6)
    batch = {"p0": "a", "p1": "a", "p2": "b", "p3": "b"}
    assert of_screen(screen, corrected(screen, "center", batch)).loc["negcon", "shift"].min() > 0.05


def test_a_known_offset_in_standard_deviations():
    rng = np.random.default_rng(0)
    x_ND = rng.normal(size=(40_000, 3)) * [1, 10, 100]
    plate = np.repeat(["a", "b"], 20_000)
    x_ND[plate == "b"] += np.array([1, 10, 100]) * 3  # each mean lies 1.5 deviations from that of both
    table = plate_shifts(x_ND, obs_of(plate, "negcon"))
    np.testing.assert_allclose(table["shift"], 1.5, rtol=0.02)
    np.testing.assert_allclose(table["spread"], 1, rtol=0.02)


def test_plates_that_do_not_differ_have_the_shift_of_chance():
    rng = np.random.default_rng(1)
    plate = np.repeat(["a", "b", "c"], [3, 12, 48])
    squares = [plate_shifts(rng.normal(size=(63, 400)), obs_of(plate, "negcon"))["shift"][:3] ** 2 for _ in range(30)]
    table = plate_shifts(rng.normal(size=(63, 2)), obs_of(plate, "negcon"))
    np.testing.assert_allclose(np.sqrt(np.mean(squares, axis=0)), table["chance"][:3], rtol=0.05)


def test_constant_features_broken_wells_and_order_change_nothing():
    screen = Screen(plates=3, controls=5, dims=4)
    expected = of_screen(screen, screen.x)
    constant = np.full((len(screen.x), 1), 0.1) + 1e-10 * np.random.default_rng(0).normal(size=(len(screen.x), 1))
    more = np.vstack([np.hstack([screen.x, constant, np.ones_like(constant)]), np.full((2, 6), np.nan)])
    plate, control = np.append(screen.plate, ["p0", "p1"]), np.append(screen.control, [True, False])
    order = np.random.default_rng(2).permutation(len(more))
    obs = obs_of(plate, np.where(control, "negcon", "treatment"))
    obs.loc[len(screen.x) :, "Metadata_Control_Type"] = ["negcon", "poscon"]
    table = plate_shifts(more[order], obs.iloc[order]).set_index(["source", "plate"])
    pd.testing.assert_frame_equal(table, expected, check_exact=False)


def test_empty_wells_are_no_wells():
    rng = np.random.default_rng(3)
    x_ND, plate = rng.normal(size=(20, 2)), np.repeat(["a", "b"], 10)
    kind = np.tile(["negcon", "treatment", "poscon", "treatment", "empty"], 4)
    x_ND[kind == "empty"] += 1000
    table = plate_shifts(x_ND, obs_of(plate, kind)).set_index(["source", "plate"])
    assert table["n"].tolist() == [2, 2, 8, 8]
    assert table["shift"].max() < 3


@pytest.mark.parametrize(
    ("plate", "missing"),
    [(["a", "a", "a"], ["shift", "chance", "spread"]), (["a", "b", "c"], ["shift", "chance", "spread"])],
    ids=["one plate", "a well each"],
)
def test_what_cannot_be_measured_is_missing(plate, missing):
    table = plate_shifts(np.random.default_rng(4).normal(size=(3, 2)), obs_of(plate, "negcon"))
    assert table[missing].isna().all(axis=None)
    assert table.loc[table["source"] == "negcon", "n"].sum() == 3


def test_a_plate_with_one_control_has_a_shift_and_no_spread_and_one_without_has_neither():
    x_ND = np.random.default_rng(5).normal(size=(6, 2))
    table = plate_shifts(x_ND, obs_of(["a", "a", "a", "b", "c", "c"], ["negcon"] * 4 + ["treatment"] * 2))
    controls = table[table["source"] == "negcon"].set_index("plate")
    assert controls["n"].to_dict() == {"a": 3, "b": 1, "c": 0}
    assert controls["shift"].notna().to_dict() == {"a": True, "b": True, "c": False}
    assert controls["spread"].notna().to_dict() == {"a": True, "b": False, "c": False}
