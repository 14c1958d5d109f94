"""Nulls of consistency against loops over wells, and agreement of weighted wells against copies of them."""

import json
from itertools import combinations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.consistency import ConsistencySettings, ReplicateConsistency
from platemae.benchmarks.cosine import unit_rows
from platemae.benchmarks.replicate_sets import Sets, by_size, groups, member_wells, p_values
from platemae.benchmarks.scored import Scored
from platemae.errors import ConfigError, InputError

QUICK = {"n_null": 99, "n_bootstrap": 50, "n_plate_bootstrap": 0}


def screen(
    genes: int = 30, plates: int = 4, effect: float = 1.0, batch_effect: float = 0.0, seed: int = 0, controls: int = 8
) -> ad.AnnData:
    """Every gene once on each of two plates of one batch; controls with a guide's name each."""
    rng = np.random.default_rng(seed)
    shift = batch_effect * rng.standard_normal((plates // 2, 12))
    signal = effect * rng.standard_normal((genes, 12))
    rows, x = [], []
    for plate in range(plates):
        for gene in range(genes):
            if plates > 2 and gene % (plates // 2) != plate // 2:
                continue
            rows.append((f"p{plate}", f"b{plate // 2}", f"g{gene:02d}", f"g{gene:02d}", "treatment"))
            x.append(signal[gene] + shift[plate // 2] + rng.standard_normal(12))
        for control in range(controls):
            rows.append((f"p{plate}", f"b{plate // 2}", "", f"ntc{control:02d}", "negcon"))
            x.append(shift[plate // 2] + rng.standard_normal(12))
    names = ("Plate", "Batch", "Gene", "Perturbation", "Control_Type")
    obs = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    obs["Metadata_Well"] = [f"w{i:04d}" for i in range(len(obs))]
    return ad.AnnData(np.array(x), obs=obs.set_axis([f"r{i}" for i in range(len(obs))]))


def score(wells: ad.AnnData, **keys: object) -> pd.DataFrame:
    scored = Scored(read_wells=lambda: wells)
    return ReplicateConsistency.score(scored, ConsistencySettings(**{**QUICK, **keys})).set_index("metric")


def own_values(wells: ad.AnnData, column: str, angle: bool) -> dict[str, float]:
    u = wells.X / np.linalg.norm(wells.X, axis=1, keepdims=True)
    found = {}
    for name, rows in wells.obs.reset_index().groupby(column).groups.items():
        if name and len(rows) > 1:
            cosines = np.array([u[i] @ u[j] for i, j in combinations(rows, 2)])
            found[name] = float(np.mean(np.arccos(cosines) if angle else cosines))
    return found


@pytest.mark.parametrize("measure", ["cosine", "angle"])
def test_controls_as_null_equal_a_loop(measure: str) -> None:
    wells = screen(controls=25, effect=0.5, plates=2)
    table = score(wells, null_kind="controls", measure=measure)
    sign = -1 if measure == "angle" else 1
    treated = wells[wells.obs["Metadata_Control_Type"] == "treatment"]
    control = wells[wells.obs["Metadata_Control_Type"] == "negcon"]
    own = own_values(treated, "Metadata_Gene", measure == "angle")
    null = list(own_values(control, "Metadata_Perturbation", measure == "angle").values())
    assert len(null) == 25
    p = {gene: (1 + sum(sign * v >= sign * value for v in null)) / 26 for gene, value in own.items()}
    assert table.loc["share_consistent", "value"] == pytest.approx(np.mean([v <= 0.05 for v in p.values()]))
    assert table.loc[f"mean_{measure}", "value"] == pytest.approx(np.mean(list(own.values())))
    assert table.loc[f"mean_{measure}", "chance"] == pytest.approx(np.mean(null))


def test_named_null_rows_are_not_scored_and_unknown_ones_are_refused() -> None:
    wells = screen(genes=60, effect=1.0)
    quiet = [f"g{i:02d}" for i in range(20)]
    table = score(wells, null_kind="controls", null_perturbations=tuple(quiet))
    assert table["n"].tolist() == [40, 40, 40]
    assert json.loads(table["detail"].iloc[0])["n_null"] == 20
    with pytest.raises(InputError, match="1 null perturbations are not among the treated wells: G00"):
        score(wells, null_kind="controls", null_perturbations=("G00", "g01"))
    with pytest.raises(ConfigError, match="null_kind is wells"):
        ConsistencySettings(null_perturbations=("g00",))


def test_null_perturbations_with_one_well_bias_no_p() -> None:
    """The published code sorts their NaN last and counts it as above: p 0.5 instead of 0."""
    wells = screen(controls=40, effect=2.0)
    clean = score(wells, null_kind="controls")
    extra = wells[: len(wells) // 2].copy()
    extra = extra[extra.obs["Metadata_Control_Type"] == "negcon"].copy()
    extra.obs["Metadata_Perturbation"] = [f"single{i}" for i in range(len(extra))]
    more = score(ad.concat([wells, extra], index_unique="_"), null_kind="controls")
    pd.testing.assert_frame_equal(more.drop(columns="detail"), clean.drop(columns="detail"))
    detail = json.loads(more["detail"].iloc[0])
    assert (detail["n_null"], detail["n_null_dropped"]) == (40, len(extra))


def test_too_few_null_perturbations_give_the_reason_and_no_share() -> None:
    table = score(screen(controls=5), null_kind="controls", n_plate_bootstrap=10)
    shares = table.loc[["share_consistent", "share_consistent_bh"]]
    assert shares[["value", "ci_low", "plate_ci_low"]].isna().all().all()
    assert np.isfinite(table.loc["mean_cosine", "value"])
    assert "5 null perturbations with two replicates, 19 are needed" in json.loads(shares["detail"].iloc[0])["reason"]


def test_no_control_at_all_is_a_reason_not_a_crash() -> None:
    table = score(screen(controls=0), null_kind="controls")
    assert "0 null perturbations" in json.loads(table["detail"].iloc[0])["reason"]


def test_matched_null_takes_what_a_batch_shares_out() -> None:
    """No gene has an effect, the batch a strong one: random wells call a fifth consistent, matched ones 5 %."""
    wells = screen(genes=200, effect=0.0, batch_effect=1.0)
    assert score(wells)["value"]["share_consistent"] > 0.12
    matched = score(wells, null_kind="matched", n_null=199)
    assert matched["value"]["share_consistent"] == pytest.approx(0.05, abs=0.04)
    assert matched["value"]["share_consistent_bh"] <= 0.01
    assert matched["chance"]["mean_cosine"] == pytest.approx(matched["value"]["mean_cosine"], abs=0.02)


def test_matched_sets_have_the_batches_of_their_perturbation_and_p_is_uniform() -> None:
    rng = np.random.default_rng(3)
    u, _ = unit_rows(rng.standard_normal((600, 8)))
    labels = np.repeat([f"g{i:03d}" for i in range(150)], 4).astype(object)
    batch = rng.choice(["a", "b", "c"], 600).astype(object)
    members = member_wells(labels, np.ones(600, dtype=bool))
    p = []
    for group in groups(u, members, np.arange(600), batch, "cosine", 99, 0):
        own = batch[group.own.wells].astype(str)
        assert (own == own[:1]).all()
        assert (batch[group.null.wells] == own[0]).all()
        assert all(len(set(row)) == 4 for row in group.null.wells.tolist())
        p += group.p_values(np.ones(600, dtype=np.int64))[1].tolist()
    assert len(p) == 150
    assert kstest(p, "uniform").pvalue > 0.001


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=5), st.sampled_from(["cosine", "angle"]))
def test_weighted_agreement_equals_copies_without_pairs_of_copies(weights: list[int], measure: str) -> None:
    u, _ = unit_rows(np.random.default_rng(1).standard_normal((5, 3)))
    sets = Sets.measure(u, np.arange(5)[None], measure)
    copies = [well for well, times in enumerate(weights) for _ in range(times)]
    pairs = [float(u[i] @ u[j]) for i, j in combinations(copies, 2) if i != j]
    expected = np.mean(pairs if measure == "cosine" else -np.arccos(pairs)) if pairs else np.nan
    weight = np.array([weights])
    np.testing.assert_allclose(sets.weighted(weight), [expected])
    np.testing.assert_allclose(sets.weighted_alike(weight), [[expected]])
    if weights == [1] * 5:
        np.testing.assert_allclose(sets.agreement(), [expected])


def test_p_counts_at_least_as_large_and_ignores_what_has_no_value() -> None:
    null = np.array([0.1, 0.2, np.nan, 0.2, 0.5])
    np.testing.assert_allclose(p_values(null, np.array([0.2, 0.6, 0.0, np.nan])), [4 / 5, 1 / 5, 1.0, np.nan])
    assert np.isnan(p_values(null[2:3], np.array([0.2]))).all()


def test_discoveries_equal_the_step_up_rule() -> None:
    rng = np.random.default_rng(0)
    p = np.sort(np.concatenate([rng.uniform(0, 0.02, 12), rng.uniform(0, 1, 28)]))
    obs = pd.DataFrame({"consistency": 0.5, "p": p}, index=[str(i) for i in range(40)])
    scored = Scored(lambda: ad.AnnData(np.zeros((40, 2)), obs=obs))
    table = ReplicateConsistency.score(scored, ConsistencySettings(n_bootstrap=20)).set_index("metric")
    passing = [rank for rank, value in enumerate(p, start=1) if value <= 0.05 * rank / 40]
    assert table.loc["share_consistent_bh", "value"] == pytest.approx(max(passing, default=0) / 40)


@pytest.mark.parametrize("null", ["wells", "matched", "controls"])
def test_order_of_rows_scale_and_index_change_nothing(null: str) -> None:
    wells = screen(controls=25)
    order = np.random.default_rng(5).permutation(wells.n_obs)
    mixed = ad.AnnData(wells.X[order] * 7.5, obs=wells.obs.iloc[order].set_axis([str(i) for i in range(len(order))]))
    keys = {"null_kind": null, "measure": "angle", "n_plate_bootstrap": 12}
    one, other = score(wells, **keys), score(mixed, **keys)
    pd.testing.assert_frame_equal(one, other, rtol=1e-9)


def test_interval_of_plates_of_the_default_and_chance_of_the_mean() -> None:
    wells = screen(genes=40, plates=4, effect=0.4)
    wells.obs["Metadata_Batch"] = "b"
    how = AggregateSettings(n_null=99)
    scored = Scored(lambda: build_gene_map(wells.X, wells.obs, how), lambda: wells, how)
    table = ReplicateConsistency.score(scored, ConsistencySettings(n_plate_bootstrap=60, n_bootstrap=50))
    table = table.set_index("metric")
    assert (table["plate_ci_low"] < table["plate_ci_high"])[["share_consistent", "mean_cosine"]].all()
    row = table.loc["mean_cosine"]
    assert row["plate_ci_low"] <= row["value"] <= row["plate_ci_high"]
    assert abs(row["chance"]) < 0.05
    alone = ReplicateConsistency.score(Scored(scored.read_map), ConsistencySettings(n_bootstrap=50)).set_index("metric")
    np.testing.assert_array_equal(alone["value"], table["value"])
    assert alone["plate_ci_low"].isna().all()


def test_sets_by_size_hold_every_perturbation_once() -> None:
    u, usable = unit_rows(np.vstack([np.random.default_rng(0).standard_normal((9, 3)), np.zeros((1, 3))]))
    labels = np.array(["b", "a", "b", "a", "a", "c", "", "d", "d", "c"], dtype=object)
    members = member_wells(labels, usable)
    assert {name: wells.tolist() for name, wells in members.items()} == {"a": [1, 3, 4], "b": [0, 2], "d": [7, 8]}
    found = by_size(u, members, "cosine")
    assert [(names, sets.wells.shape) for names, sets in found] == [(["a"], (1, 3)), (["b", "d"], (2, 2))]


def test_null_perturbations_with_more_wells_do_not_make_noise_look_consistent() -> None:
    """Two wells a gene, four a control: taken whole, the controls' values spread less, and p would be too small."""
    p = []
    for seed in range(8):
        wells = screen(genes=120, effect=0.0, controls=40, seed=seed)
        wells.obs["Metadata_Perturbation"] = wells.obs["Metadata_Perturbation"].astype(str)
        p.append(score(wells, null_kind="controls")["value"]["share_consistent"])
    assert np.mean(p) == pytest.approx(0.05, abs=0.035)


@pytest.mark.parametrize("told_by", ["settings", "notes"])
def test_a_map_of_consistent_rows_alone_makes_no_noise_consistent(told_by: str) -> None:
    """Rows are kept by their p: counted again on the same rows, noise would be consistent in all of them."""
    wells = screen(genes=200, effect=0.0)
    how = AggregateSettings(n_null=99, filter_consistency_p=0.05)
    gene_map = build_gene_map(wells.X, wells.obs, how)
    assert gene_map.n_obs < 40
    assert (gene_map.obs["p"] <= 0.05).all()
    how = how if told_by == "settings" else AggregateSettings(n_null=99)
    keys = ConsistencySettings(**QUICK)
    table = ReplicateConsistency.score(Scored(lambda: gene_map, lambda: wells, how), keys).set_index("metric")
    every = ReplicateConsistency.score(Scored(read_wells=lambda: wells), keys).set_index("metric")
    pd.testing.assert_frame_equal(table, every)
    assert table.loc["share_consistent", "value"] < 0.15
    assert table.loc["share_consistent", "n"] == 200
    alone = ReplicateConsistency.score(Scored(lambda: gene_map, aggregate=how), keys)
    assert alone["metric"].tolist() == every.index.tolist()
    assert alone["value"].isna().all()
    assert alone["detail"].str.contains("holds only rows that were found consistent").all()
