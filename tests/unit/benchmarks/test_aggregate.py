"""Wells to guides to genes against a pandas-free loop."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.consensus import consensus
from platemae.config.sections import MapSection
from platemae.errors import ConfigError, ContractError, InputError

LAYOUT = [  # gene, guide, wells
    ("B", "B_1", 3),
    ("A", "A_1", 1),
    ("A", "A_2", 4),
    ("C", "C_1", 2),
]


def screen() -> tuple[np.ndarray, pd.DataFrame]:
    rows = [(gene, guide, "treatment") for gene, guide, wells in LAYOUT for _ in range(wells)]
    rows += [("POS", "POS_1", "poscon")] * 2 + [("", "DMSO", "negcon")] * 3 + [("", "lost", "treatment")]
    obs = pd.DataFrame(rows, columns=["Metadata_Gene", "Metadata_Perturbation", "Metadata_Control_Type"])
    obs["Metadata_Plate"] = [f"p{index % 3}" for index in range(len(obs))]
    obs["Metadata_Well"] = [f"A{index:02d}" for index in range(len(obs))]
    return np.random.default_rng(0).standard_normal((len(obs), 6)).astype(np.float32), obs


def expected(x: np.ndarray, obs: pd.DataFrame, gene: str, how: str) -> np.ndarray:
    take = {"mean": np.mean, "median": np.median}[how]
    guides = dict.fromkeys(name for g, name, _ in LAYOUT if g == gene)
    per_guide = [take(x[(obs["Metadata_Perturbation"] == guide).to_numpy()].astype(float), axis=0) for guide in guides]
    return take(np.array(per_guide), axis=0)


@pytest.mark.parametrize("how", ["mean", "median"])
def test_guides_weigh_equally_whatever_their_wells(how: str) -> None:
    x, obs = screen()
    table = build_gene_map(x, obs, AggregateSettings(method=how))
    assert table.obs["gene"].tolist() == table.obs_names.tolist() == ["A", "B", "C"]
    for row, gene in enumerate("ABC"):
        np.testing.assert_allclose(table.X[row], expected(x, obs, gene, how), rtol=1e-6, atol=1e-7)
    assert table.X.dtype == np.float32


def test_counts_and_notes() -> None:
    x, obs = screen()
    table = build_gene_map(x, obs, AggregateSettings())
    assert table.obs["n_wells"].tolist() == [5, 3, 2]
    assert table.obs["n_guides"].tolist() == [2, 1, 1]
    assert table.obs["n_plates"].tolist() == [3, 3, 2]
    assert table.obs["consistency"].between(-1, 1).all()
    assert table.obs["p"].between(0, 1).all()
    notes = table.uns["notes"]
    assert (notes["n_wells"], notes["n_not_treated"], notes["n_without_gene"]) == (16, 5, 1)


def test_controls_never_enter_the_map_not_even_as_a_gene_that_is_treated_too() -> None:
    x, obs = screen()
    obs.loc[obs["Metadata_Control_Type"] == "poscon", ["Metadata_Gene", "Metadata_Perturbation"]] = ["A", "A_1"]
    clean = build_gene_map(*screen(), AggregateSettings())
    table = build_gene_map(x, obs, AggregateSettings())
    assert table.obs_names.tolist() == ["A", "B", "C"]
    np.testing.assert_array_equal(table.X, clean.X)


def test_nan_wells_are_left_out_counted_and_named() -> None:
    """The published code spreads one NaN to the whole gene."""
    x, obs = screen()
    x[4, 2] = np.nan
    table = build_gene_map(x, obs, AggregateSettings())
    assert np.isfinite(table.X).all()
    assert table.obs.loc["A", "n_wells"] == 4
    assert table.uns["notes"]["n_not_finite"] == 1
    assert table.uns["notes"]["not_finite"] == ["p1:A04"]
    np.testing.assert_allclose(table.X[0], (x[3] + x[5:8].mean(axis=0)) / 2, rtol=1e-5, atol=1e-6)


def test_rows_match_by_position_whatever_the_index() -> None:
    x, obs = screen()
    plain = build_gene_map(x, obs, AggregateSettings())
    odd = obs.set_axis([0] * len(obs))
    np.testing.assert_array_equal(build_gene_map(x, odd, AggregateSettings()).X, plain.X)
    pd.testing.assert_frame_equal(build_gene_map(x, odd, AggregateSettings()).obs, plain.obs)
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_allclose(build_gene_map(x[order], obs.iloc[order], AggregateSettings()).X, plain.X, rtol=1e-5)


def test_null_from_controls_is_a_choice() -> None:
    x, obs = screen()
    x[obs["Metadata_Control_Type"] != "treatment"] = 1.0
    without = build_gene_map(x, obs, AggregateSettings()).obs["p"]
    with_controls = build_gene_map(x, obs, AggregateSettings(null_from_controls=True)).obs["p"]
    assert (with_controls > without).any()


def test_compounds_by_another_column() -> None:
    x, obs = screen()
    obs = obs.rename(columns={"Metadata_Gene": "Metadata_Compound"})
    config = AggregateSettings(entity="Metadata_Compound")
    assert build_gene_map(x, obs, config).obs_names.tolist() == ["A", "B", "C"]


def test_categories_and_missing_values_in_obs() -> None:
    x, obs = screen()
    plain = build_gene_map(x, obs, AggregateSettings())
    obs["Metadata_Gene"] = obs["Metadata_Gene"].replace("", np.nan).astype("category")
    obs["Metadata_Plate"] = obs["Metadata_Plate"].astype("category")
    obs["Metadata_Control_Type"] = obs["Metadata_Control_Type"].astype("category")
    pd.testing.assert_frame_equal(build_gene_map(x, obs, AggregateSettings()).obs, plain.obs)


def test_map_is_written_and_read_unchanged(tmp_path: Path) -> None:
    table = build_gene_map(*screen(), AggregateSettings())
    table.write_h5ad(tmp_path / "map.h5ad")
    back = ad.read_h5ad(tmp_path / "map.h5ad")
    np.testing.assert_array_equal(back.X, table.X)
    assert back.obs["gene"].astype(str).tolist() == ["A", "B", "C"]
    assert back.uns["notes"]["n_wells"] == 16


def test_bad_inputs_are_refused_by_name() -> None:
    x, obs = screen()
    with pytest.raises(ContractError, match="no column Metadata_Control_Type"):
        build_gene_map(x, obs.drop(columns="Metadata_Control_Type"), AggregateSettings())
    with pytest.raises(ContractError, match="15 rows of X for 16 of obs"):
        build_gene_map(x[1:], obs, AggregateSettings())
    with pytest.raises(InputError, match="no treated well"):
        build_gene_map(x, obs.assign(Metadata_Gene=""), AggregateSettings())
    torn = obs.copy()
    torn.loc[0, "Metadata_Gene"] = "A"
    with pytest.raises(InputError, match="1 guides belong to more than one gene: B_1"):
        build_gene_map(x, torn, AggregateSettings())
    with pytest.raises(ConfigError, match="'mode' is not allowed"):
        AggregateSettings(method="mode")


def test_consensus_at_both_levels() -> None:
    x, obs = screen()
    table = build_gene_map(x, obs, AggregateSettings(method="consensus"))
    wells = {guide: x[(obs["Metadata_Perturbation"] == guide).to_numpy()].astype(float) for _, guide, _ in LAYOUT}
    guides = {guide: consensus(rows, np.zeros(len(rows), dtype=int))[0] for guide, rows in wells.items()}
    np.testing.assert_allclose(table["A"].X[0], (guides["A_1"] + guides["A_2"]) / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(table["B"].X[0], guides["B_1"], rtol=1e-5, atol=1e-6)
    assert np.abs(table["B"].X[0] - wells["B_1"].mean(axis=0)).max() > 1e-3


def test_the_switches_at_their_defaults_change_nothing() -> None:
    x, obs = screen()
    plain = {"entity": "gene", "aggregate": "mean"}
    whole = MapSection().model_dump(mode="json")
    assert AggregateSettings.of(whole) == AggregateSettings.of(plain) == AggregateSettings()
    table = build_gene_map(x, obs, AggregateSettings.of(whole))
    assert table.obs.columns.tolist() == ["gene", "n_wells", "n_guides", "n_plates", "consistency", "p", "entity_kind"]
