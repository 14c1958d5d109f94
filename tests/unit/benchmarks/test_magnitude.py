"""Energy distance against loops over pairs, its null on screens without effect, and weighted wells against copies."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import kstest

from platemae.benchmarks.batch_mixing import BatchMixingSettings
from platemae.benchmarks.compound_gene import CompoundGeneSettings
from platemae.benchmarks.energy import Reference, SizeGroup, inner_distances
from platemae.benchmarks.magnitude import Magnitude, MagnitudeSettings, _Wells
from platemae.benchmarks.neighbors import NeighborSettings
from platemae.benchmarks.recall import RecallSettings
from platemae.benchmarks.scored import Scored
from platemae.errors import ConfigError

KINDS = (BatchMixingSettings, CompoundGeneSettings, MagnitudeSettings, NeighborSettings, RecallSettings)
QUICK = {"n_null": 99, "n_bootstrap": 50, "n_plate_bootstrap": 0}


def screen(
    genes: int = 12, wells: int = 6, controls: int = 40, effect: float = 0.0, seed: int = 0, plates: int = 4
) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    rows = [(f"g{gene:03d}", f"g{gene:03d}", "treatment") for gene in range(genes) for _ in range(wells)]
    rows += [("", f"ntc{i % 3}", "negcon") for i in range(controls)]
    obs = pd.DataFrame(rows, columns=["Metadata_Gene", "Metadata_Perturbation", "Metadata_Control_Type"])
    obs["Metadata_Plate"] = [f"p{i % plates}" for i in range(len(obs))]
    obs["Metadata_Well"] = [f"w{i:04d}" for i in range(len(obs))]
    x = rng.standard_normal((len(obs), 5)) + 100
    x[: genes * wells] += effect * rng.standard_normal((genes, 5)).repeat(wells, axis=0)
    return ad.AnnData(x, obs=obs.set_axis([f"r{i}" for i in range(len(obs))]))


def score(wells: ad.AnnData, **keys: object) -> pd.DataFrame:
    settings = MagnitudeSettings(**{**QUICK, **keys})
    return Magnitude.score(Scored(read_wells=lambda: wells), settings).set_index("metric")


def mean_distance(a: list[np.ndarray], b: list[np.ndarray] | None = None) -> float:
    """Mean over pairs; among one list over pairs of different rows, copies of a row being no pair."""
    if b is not None:
        return float(np.mean([np.linalg.norm(x - y) for x in a for y in b]))
    found = [np.linalg.norm(x - y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j and (x != y).any()]
    return float(np.mean(found))


def slow_energy(x: list[np.ndarray], y: list[np.ndarray]) -> float:
    return 2 * mean_distance(x, y) - mean_distance(x) - mean_distance(y)


def groups_of(wells: ad.AnnData) -> tuple[dict[str, list[np.ndarray]], list[np.ndarray]]:
    gene = wells.obs["Metadata_Gene"].to_numpy()
    named = {name: list(wells.X[gene == name]) for name in sorted(set(gene) - {""})}
    return named, list(wells.X[(wells.obs["Metadata_Control_Type"] == "negcon").to_numpy()])


def test_energy_distances_equal_the_slow_loop() -> None:
    wells = screen(effect=1.0)
    named, controls = groups_of(wells)
    table = score(wells)
    expected = [slow_energy(x, controls) for x in named.values()]
    assert table.loc["mean_energy_distance", "value"] == pytest.approx(np.mean(expected), rel=1e-9)
    with_self = [2 * cdist(x, controls).mean() - cdist(x, x).mean() - cdist(controls, controls).mean() for x in
                 map(np.array, named.values())]  # fmt: skip
    detail = json.loads(table["detail"].iloc[0])
    assert detail["mean_with_self_pairs"] == pytest.approx(np.mean(with_self), rel=1e-9)
    assert (table["n"] == 12).all()


def test_null_sets_equal_the_slow_loop_without_their_own_wells() -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((15, 3))
    sets = np.stack([rng.choice(15, 4, replace=False) for _ in range(6)])
    weight, pattern = rng.integers(0, 3, 15).astype(float), np.array([[1.0, 1, 1, 1], [2, 1, 1, 0]])
    for of_wells in (np.ones(15), weight):
        found = Reference(cdist(y, y), of_wells).energies(sets, pattern)
        for s, chosen in enumerate(sets):
            rest = [y[i] for i in range(15) if i not in chosen for _ in range(int(of_wells[i]))]
            for u, times in enumerate(pattern):
                own = [y[i] for i, t in zip(chosen, times, strict=True) for _ in range(int(t))]
                assert found[s, u] == pytest.approx(slow_energy(own, rest), rel=1e-9)


def test_weighted_plates_equal_copies_of_wells() -> None:
    wells = screen(effect=1.0)
    scored = Scored(read_wells=lambda: wells)
    made = _Wells.of(scored, MagnitudeSettings(**QUICK))
    drawn = np.array([2, 0, 1, 1])[wells.obs["Metadata_Plate"].str[1:].astype(int)]
    table = made.measure(drawn)
    copied = wells[np.repeat(np.arange(wells.n_obs), drawn)]
    obs = copied.obs.set_axis([str(i) for i in range(copied.n_obs)])
    named, controls = groups_of(ad.AnnData(copied.X.copy(), obs=obs))
    np.testing.assert_allclose(table["energy"], [slow_energy(x, controls) for x in named.values()], rtol=1e-9)
    gone = made.measure(np.zeros(wells.n_obs, dtype=int))
    assert gone.isna().all().all()


def test_p_counts_sets_at_least_as_far() -> None:
    rng = np.random.default_rng(2)
    y, x = rng.standard_normal((20, 2)), rng.standard_normal((3, 2)) + 0.8
    sets = np.stack([rng.choice(20, 3, replace=False) for _ in range(50)])
    group = SizeGroup(["a"], np.arange(3)[None], inner_distances(x, np.arange(3)[None]), sets)
    energy, p = group.measure(Reference(cdist(y, y), np.ones(20)), cdist(x, y).mean(axis=1), np.ones(3, dtype=int))
    null = [slow_energy(list(y[s]), [y[i] for i in range(20) if i not in s]) for s in sets]
    assert energy[0] == pytest.approx(slow_energy(list(x), list(y)))
    assert p[0] == pytest.approx((1 + sum(value >= energy[0] for value in null)) / 51)


def test_p_is_uniform_without_effect_and_small_with_one() -> None:
    scored = Scored(read_wells=lambda: screen(genes=300, controls=400))
    made = _Wells.of(scored, MagnitudeSettings(**{**QUICK, "n_null": 399}))
    table = made.measure(np.ones(300 * 6 + 400, dtype=np.int64))
    assert kstest(table["p"], "uniform").pvalue > 0.001
    assert table["energy"].mean() == pytest.approx(0, abs=3 * table["energy"].std() / 300**0.5)
    strong = score(screen(genes=40, controls=60, effect=3.0))
    assert strong["value"]["share_active"] > 0.9
    assert strong["value"]["share_active_bh"] > 0.9


def test_few_wells_few_controls_and_nan_are_counted() -> None:
    wells = screen()
    wells.X[0:2] = np.nan
    wells.X[-1] = np.inf
    table = score(wells)
    detail = json.loads(table["detail"].iloc[0])
    assert (table["n"] == 11).all()
    assert (detail["n_dropped"], detail["n_controls"], detail["n_not_finite"]) == (1, 39, 3)
    few = score(screen(controls=9))
    assert few["value"].isna().all()
    assert "10 control wells beside (9 controls)" in json.loads(few["detail"].iloc[0])["reason"]
    none = score(screen(controls=0))
    assert "(0 controls)" in json.loads(none["detail"].iloc[0])["reason"]


def test_one_perturbation_has_no_interval_and_the_reason_why() -> None:
    table = score(screen(genes=1))
    assert table["value"].notna().all()
    assert table[["ci_low", "ci_high"]].isna().all(axis=None)
    assert all("1 unit" in json.loads(detail)["interval_reason"] for detail in table["detail"])


def test_wells_too_many_for_the_controls_are_the_reason_told() -> None:
    """Enough wells, and controls for the smallest perturbation: no perturbation lacks wells."""
    detail = json.loads(score(screen(wells=8, controls=14))["detail"].iloc[0])
    assert detail["n_with_too_many_wells"] == 12
    assert detail["reason"].startswith("12 perturbations have more wells than half of the 14 controls")


@pytest.mark.parametrize("key", ["n_plate_bootstrap", "seed"])
@pytest.mark.parametrize("kind", KINDS)
def test_negative_counts_and_seeds_are_named(kind: type, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} is -1"):
        kind(**{key: -1})


def test_controls_beyond_the_limit_are_drawn_by_the_seed() -> None:
    wells = screen(controls=60, effect=1.0)
    one, same, other = (score(wells, max_controls=30, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert one["value"]["mean_energy_distance"] != other["value"]["mean_energy_distance"]
    assert json.loads(one["detail"].iloc[0])["n_controls_left"] == 30


def test_order_of_rows_and_place_of_the_origin_change_nothing_and_scale_scales() -> None:
    wells = screen(effect=0.5)
    order = np.random.default_rng(3).permutation(wells.n_obs)
    mixed = ad.AnnData(wells.X[order] * 3 + 7, obs=wells.obs.iloc[order].set_axis([str(i) for i in range(len(order))]))
    one, other = (score(table, n_plate_bootstrap=8) for table in (wells, mixed))
    np.testing.assert_allclose(other["value"], one["value"] * [1, 3, 1], rtol=1e-7)
    np.testing.assert_allclose(other["plate_ci_low"]["share_active"], one["plate_ci_low"]["share_active"])


def test_rows_have_interval_chance_and_plates() -> None:
    table = score(screen(genes=30, effect=0.6), n_plate_bootstrap=30)
    for metric, row in table.iterrows():
        assert row["ci_low"] <= row["value"] <= row["ci_high"], metric
        assert row["plate_ci_low"] <= row["plate_ci_high"], metric
    assert table["chance"].tolist() == [0.05, 0.0, 0.0]
    with pytest.raises(ConfigError, match="min_wells is 1"):
        MagnitudeSettings(min_wells=1)
