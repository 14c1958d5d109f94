"""Plate-resampled intervals against copies of whole plates, and the reasons why there is none."""

import json
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.bootstrap import multinomial_weights
from platemae.benchmarks.plates import PlateSums, map_plate_interval, plate_interval
from platemae.benchmarks.rows import ScoreRow
from platemae.benchmarks.scored import Scored


def screen(plates: int = 4, genes: int = 5, seed: int = 0, cells: bool = False) -> ad.AnnData:
    """Two guides a gene; not every guide on every plate, one guide twice on a plate, some wells of no use."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"p{p}", f"g{g}", f"g{g}_{k}", "treatment")
        for p in range(plates)
        for g in range(genes)
        for k in range(2)
        if (p + g + k) % 3
    ]
    rows += [("p0", "g0", "g0_0", "treatment"), ("p1", "g1", "", "treatment"), ("p1", "", "NTC", "negcon")]
    columns = ["Metadata_Plate", "Metadata_Gene", "Metadata_Perturbation", "Metadata_Control_Type"]
    obs = pd.DataFrame(rows, columns=columns, index=[f"w{i}" for i in range(len(rows))])
    obs["Metadata_Well"] = obs.index
    if cells:
        obs["n_rows"] = rng.integers(1, 9, len(obs))
    x = rng.standard_normal((len(obs), 3))
    x[3, 1] = np.nan
    return ad.AnnData(x, obs=obs)


def scored_of(wells: ad.AnnData, **settings: object) -> Scored:
    how = AggregateSettings(n_null=9, **settings)
    return Scored(lambda: build_gene_map(wells.X, wells.obs, how), lambda: wells, how)


@pytest.mark.parametrize("cells", [False, True], ids=["wells", "cells"])
@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [2, 1, 0, 1], [0, 0, 4, 0], [0, 3, 1, 0]])
def test_map_of_weighted_plates_equals_one_built_of_copied_plates(weights: list[int], cells: bool) -> None:
    wells = screen(cells=cells)
    scored = scored_of(wells)
    plate = wells.obs["Metadata_Plate"].str[1:].astype(int).to_numpy()
    weight = np.array(weights)[plate]
    made = PlateSums.of(scored).map_of(weight)
    copied = np.repeat(np.arange(len(weight)), weight)
    expected = build_gene_map(wells.X[copied], wells.obs.iloc[copied], AggregateSettings(n_null=1))
    rows = scored.gene_map.obs["gene"].isin(expected.obs["gene"]).to_numpy()
    np.testing.assert_allclose(made[rows], expected.X, rtol=2e-6, atol=1e-6)
    assert np.isnan(made[~rows]).all()


def test_every_resample_sees_the_drawn_plates_and_order_of_rows_changes_nothing() -> None:
    wells = screen()
    seen = []

    def share(weight_N: np.ndarray) -> tuple[float, float]:
        seen.append(weight_N)
        return float(weight_N.mean()), np.nan

    found = plate_interval(scored_of(wells), share, 30, seed=7)
    drawn = multinomial_weights(4, 30, np.random.default_rng(7))
    codes = wells.obs["Metadata_Plate"].str[1:].astype(int).to_numpy()
    np.testing.assert_array_equal(np.array(seen), drawn[:, codes])
    assert found.of(0) == tuple(np.quantile([w.mean() for w in seen], [0.025, 0.975]))
    assert np.isnan(found.of(1)).all()
    mixed = wells[np.random.default_rng(0).permutation(wells.n_obs)].copy()
    again = plate_interval(scored_of(mixed), share, 30, seed=7)
    np.testing.assert_allclose(again.values, found.values)


def test_interval_covers_the_truth_that_plates_share() -> None:
    """Plates with an effect of their own: the wells' interval is far too narrow, the plates' is not."""
    rng = np.random.default_rng(1)
    inside = 0
    for seed in range(60):
        values = (rng.standard_normal(12)[:, None] + 0.1 * rng.standard_normal((12, 20))).ravel()
        obs = pd.DataFrame({"Metadata_Plate": np.repeat([f"p{i:02d}" for i in range(12)], 20)})
        wells = ad.AnnData(values[:, None], obs=obs.set_axis([str(i) for i in range(240)]))
        low, high = plate_interval(
            Scored(read_wells=lambda wells=wells: wells), lambda w, v=values: [w @ v / w.sum()], 200, seed
        ).of()
        inside += low <= 0 <= high
    assert inside >= 50


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: replace(s, read_wells=None), "a map alone"),
        (lambda s: replace(s, aggregate=replace(s.aggregate, method="median")), "a map by median"),
        (lambda s: replace(s, aggregate=replace(s.aggregate, guide="lost")), "no column lost"),
        (lambda s: replace(s, read_map=lambda: ad.AnnData(s.gene_map.X + 1, obs=s.gene_map.obs)), "other wells"),
        (lambda s: replace(s, read_wells=lambda: s.wells[:, :0].copy()), "other wells"),
    ],
)
def test_what_cannot_be_resampled_says_why(change: object, reason: str) -> None:
    found = map_plate_interval(change(scored_of(screen())), lambda _: [1.0], 5, 0)
    row = found.into(ScoreRow("b", "s", "m", detail={"kept": 1}))
    assert np.isnan([row.plate_ci_low, row.plate_ci_high]).all()
    assert reason in row.detail["plate_reason"]
    assert row.detail["kept"] == 1


def test_two_plates_are_too_few_and_zero_resamples_say_nothing() -> None:
    scored = scored_of(screen(plates=2))
    assert "2, fewer than 3" in plate_interval(scored, lambda _: [1.0], 5, 0).detail["plate_reason"]
    assert plate_interval(scored, lambda _: [1.0], 0, 0).detail == {}
    assert json.dumps(map_plate_interval(scored_of(screen()), lambda x: [x.shape[1]], 5, 0).detail)
