"""Rows of the map: genes, compounds by concentration, both; and those left out as not consistent."""

import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.entities import GENE_AND_COMPOUND, name_entities
from platemae.errors import ContractError, InputError, PlatemaeError

WELLS = [  # gene, compound, dose, guide, wells
    ("A", "", "", "A_1", 3),
    ("A", "", "", "A_2", 2),
    ("", "aspirin", "0.50", "aspirin", 2),
    ("", "aspirin", "5e-1", "aspirin", 1),
    ("", "aspirin", "10", "aspirin", 4),
    ("", "water", "", "water", 2),
]
BOTH = AggregateSettings(entity=GENE_AND_COMPOUND, doses="apart", n_null=9)


def screen() -> tuple[np.ndarray, pd.DataFrame]:
    rows = [(g, c, d, p, "treatment") for g, c, d, p, n in WELLS for _ in range(n)] + [("", "", "", "DMSO", "negcon")]
    names = ("Gene", "Compound", "Concentration", "Perturbation", "Control_Type")
    obs = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    obs["Metadata_Plate"] = [f"p{i % 2}" for i in range(len(obs))]
    obs["Metadata_Well"] = [f"A{i:02d}" for i in range(len(obs))]
    return np.random.default_rng(0).normal(size=(len(obs), 4)).astype(np.float32), obs


def test_genes_and_compounds_at_their_doses_share_a_map():
    x, obs = screen()
    found = build_gene_map(x, obs, BOTH)
    assert found.obs["gene"].tolist() == ["A", "aspirin@0.5", "aspirin@10", "water"]
    assert found.obs["entity_kind"].tolist() == ["gene", "compound", "compound", "compound"]
    assert found.obs["compound"].tolist() == ["", "aspirin", "aspirin", "water"]
    np.testing.assert_array_equal(found.obs["concentration"], [np.nan, 0.5, 10, np.nan])
    assert found.obs["n_wells"].tolist() == [5, 3, 4, 2]
    dose = pd.to_numeric(obs["Metadata_Concentration"]).to_numpy()
    np.testing.assert_allclose(found.X[1], x[dose == 0.5].astype(float).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.X[0], (x[:3].mean(axis=0) + x[3:5].mean(axis=0)) / 2, rtol=1e-5)


def test_doses_together_are_one_row_as_ever():
    x, obs = screen()
    found = build_gene_map(x, obs, AggregateSettings(entity="Metadata_Compound", n_null=9))
    assert found.obs["gene"].tolist() == ["aspirin", "water"]
    assert found.obs["concentration"].isna().all()
    apart = build_gene_map(x, obs, AggregateSettings(entity="Metadata_Compound", doses="apart", n_null=9))
    assert apart.obs["gene"].tolist() == ["aspirin@0.5", "aspirin@10", "water"]


def test_a_map_of_genes_says_so_and_has_no_columns_of_compounds():
    found = build_gene_map(*screen(), AggregateSettings(n_null=9))
    assert found.obs["entity_kind"].tolist() == ["gene"]
    assert "compound" not in found.obs
    guides = build_gene_map(*screen(), AggregateSettings(entity="Metadata_Perturbation", n_null=9))
    assert set(guides.obs["entity_kind"]) == {"perturbation"}


def test_all_that_is_wrong_with_names_is_told_at_once():
    _, obs = screen()
    obs.loc[0, "Metadata_Compound"] = "aspirin"
    obs.loc[5, "Metadata_Concentration"] = "much"
    obs.loc[1, "Metadata_Gene"] = "water"
    with pytest.raises(PlatemaeError) as caught:
        name_entities(obs, BOTH)
    said = str(caught.value)
    for words in (
        "name a gene and a compound: p0:A00",
        "a concentration that is no number: p1:A05",
        "more than one gene: A_1",
        "of a gene and of a compound: water",
    ):
        assert words in said
    with pytest.raises(ContractError, match="Metadata_Concentration"):
        name_entities(obs.drop(columns="Metadata_Concentration"), BOTH)


def test_controls_may_be_named_as_they_like():
    _, obs = screen()
    obs.loc[len(obs) - 1, ["Metadata_Gene", "Metadata_Compound", "Metadata_Concentration"]] = ["A", "DMSO", "1 %"]
    assert name_entities(obs, BOTH).name[:1].tolist() == ["A"]


def consistent_screen() -> tuple[np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(1)
    genes = [*np.repeat([f"G{i}" for i in range(12)], 4).tolist(), "single"]
    obs = pd.DataFrame({"Metadata_Gene": genes, "Metadata_Perturbation": genes, "Metadata_Control_Type": "treatment"})
    obs["Metadata_Plate"], obs["Metadata_Well"] = "p", [f"w{i}" for i in range(len(obs))]
    x = rng.normal(size=(len(obs), 20))
    x[:16] += 3 * np.repeat(rng.normal(size=(4, 20)), 4, axis=0)
    return x, obs


def test_rows_that_are_not_consistent_are_left_out_counted_and_named():
    x, obs = consistent_screen()
    whole = build_gene_map(x, obs, AggregateSettings())
    found = build_gene_map(x, obs, AggregateSettings(filter_consistency_p=0.01))
    kept = whole.obs["p"] <= 0.01
    assert {"G0", "G1", "G2", "G3"} <= set(found.obs_names)
    assert found.obs_names.tolist() == whole.obs_names[kept].tolist()
    np.testing.assert_array_equal(found.X, whole.X[kept.to_numpy()])
    notes = found.uns["notes"]
    assert (notes["n_inconsistent"], notes["n_consistency_unknown"]) == (12 - kept.sum(), 1)
    assert notes["left_out"] == whole.obs_names[~kept].tolist()
    assert "single" in notes["left_out"]


def test_a_filter_that_leaves_nothing_is_an_error():
    x, obs = consistent_screen()
    with pytest.raises(InputError, match="no row of the map"):
        build_gene_map(x[16:], obs.iloc[16:], AggregateSettings(filter_consistency_p=0.0011))


@pytest.mark.parametrize("blank", ["NA", "nan", "None", " <NA> "])
def test_a_blank_is_no_row_of_the_map_however_it_is_written(blank):
    x, obs = screen()
    written = obs.assign(Metadata_Gene=obs["Metadata_Gene"].replace("", blank))
    settings = AggregateSettings(n_null=9)
    assert build_gene_map(x, written, settings).obs_names.tolist() == ["A"]
    assert name_entities(written, settings).name.tolist() == name_entities(obs, settings).name.tolist()
