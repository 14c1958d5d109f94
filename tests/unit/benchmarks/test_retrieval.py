"""mAP of replicates and of siblings: against loops over scikit-learn, and what both say of their numbers."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control
from sklearn.metrics import average_precision_score

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.bootstrap import mean_interval
from platemae.benchmarks.ranking_null import expected_precision, least_p, p_values
from platemae.benchmarks.retrieval import Matching, MatchingSettings, Replicability, ReplicabilitySettings
from platemae.benchmarks.scored import Scored
from platemae.errors import ConfigError, InputError

METRIC = "mean_average_precision"
COLUMNS = ("Plate", "Well", "Batch", "Perturbation", "Gene", "Compound", "Concentration", "Control_Type")


def screen(effect: float = 1.0, plates: int = 4, seed: int = 0, perturbations: int = 18) -> ad.AnnData:
    """Three guides of each of six genes, a well of each on every plate, and five controls a plate; plates shift."""
    rng = np.random.default_rng(seed)
    gene = rng.standard_normal((6, 12))
    rows, x = [], []
    for plate in range(plates):
        shift = 0.3 * rng.standard_normal(12)
        for guide in range(perturbations):
            rows.append((f"p{plate}", f"w{len(rows):03d}", "b0", f"s{guide:02d}", f"g{guide % 6}", "", "", "treatment"))
            x.append(effect * gene[guide % 6] + shift + rng.standard_normal(12))
        for _ in range(5):
            rows.append((f"p{plate}", f"w{len(rows):03d}", "b0", "", "", "DMSO", "", "negcon"))
            x.append(shift + rng.standard_normal(12))
    obs = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in COLUMNS])
    obs.index = obs.index.astype(str)
    return ad.AnnData(np.array(x, dtype=np.float32), obs=obs)


def scored(wells: ad.AnnData, entity: str = "Metadata_Perturbation") -> Scored:
    how = AggregateSettings(entity=entity, n_null=9)
    return Scored(lambda: build_gene_map(wells.X, wells.obs, how), lambda: wells, how)


def replicability(wells: ad.AnnData, **values) -> pd.DataFrame:
    given = {"n_bootstrap": 200, "n_plate_bootstrap": 20, "null_size": 2000, **values}
    return Replicability.score(scored(wells), ReplicabilitySettings(**given)).set_index("metric")


def matching(wells: Scored, **values) -> pd.DataFrame:
    given = {"n_bootstrap": 200, "n_plate_bootstrap": 20, "null_size": 2000, **values}
    return Matching.score(wells, MatchingSettings(**given)).set_index("metric")


def precision(x: np.ndarray, query: int, positive: list[int], negative: list[int]) -> float:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    score = unit[positive + negative] @ unit[query]
    return average_precision_score([1] * len(positive) + [0] * len(negative), np.round(score, 11))


def test_replicates_against_controls_of_their_plate_equal_a_loop() -> None:
    wells = screen(0.8)
    x, obs = np.asarray(wells.X, dtype=float), wells.obs.reset_index(drop=True)
    treated, name, plate = (
        obs["Metadata_Control_Type"] == "treatment",
        obs["Metadata_Perturbation"],
        obs["Metadata_Plate"],
    )
    found, counts = {}, {}
    for query in np.flatnonzero(treated):
        positive = np.flatnonzero(treated & (name == name[query]) & (obs.index != query)).tolist()
        negative = np.flatnonzero(~treated & (plate == plate[query])).tolist()
        found.setdefault(name[query], []).append(precision(x, query, positive, negative))
        counts[name[query]] = (len(positive), len(positive) + len(negative))
    values = np.array([np.mean(found[key]) for key in sorted(found)])
    table = replicability(wells)
    row = table.loc["mean_average_precision"]
    assert row["value"] == pytest.approx(values.mean(), abs=1e-9)
    low, high = mean_interval(values, 200, 0)
    assert row["ci_low"] <= low < high <= row["ci_high"]
    assert row["ci_high"] - row["ci_low"] == pytest.approx(high - low, rel=0.4)
    assert row["n"] == 18
    assert set(counts.values()) == {(3, 8)}
    expected = expected_precision(np.array([3]), np.array([8]))[0]
    assert row["chance"] == pytest.approx(expected)
    normal = table.loc["mean_normalized_average_precision"]
    assert normal["value"] == pytest.approx(((values - expected) / (1 - expected)).mean(), abs=1e-9)
    assert normal["chance"] == 0
    assert row["plate_ci_low"] <= row["value"] <= row["plate_ci_high"]
    p = p_values(values, np.full(18, 3), np.full(18, 8), np.arange(18), 2000, 0)[1]
    assert table.loc["fraction_retrieved", "value"] == (false_discovery_control(p) < 0.05).mean()


def test_siblings_on_a_map_equal_a_loop() -> None:
    made = scored(screen(1.0))
    table = matching(made, match="gene")
    gene_map = made.gene_map
    x = np.asarray(gene_map.X, dtype=float)
    gene = [f"g{int(name[1:]) % 6}" for name in gene_map.obs["gene"]]
    values = []
    for query in range(18):
        positive = [j for j in range(18) if j != query and gene[j] == gene[query]]
        negative = [j for j in range(18) if gene[j] != gene[query]]
        values.append(precision(x, query, positive, negative))
    row = table.loc["mean_average_precision"]
    assert row["value"] == pytest.approx(np.mean(values), abs=1e-7)
    assert row["n"] == 18
    assert row["ci_low"] > row["chance"]
    assert row["plate_ci_low"] <= row["value"] + 0.05
    by_gene = matching(made, match="gene", group_by="gene").loc["mean_average_precision"]
    assert by_gene["n"] == 6
    assert by_gene["value"] == pytest.approx(row["value"])


def test_not_same_takes_replicates_of_one_perturbation_out() -> None:
    """Wells of one guide are no siblings of each other."""
    wells = screen(0.0)
    x = np.array(wells.X)
    guide = wells.obs["Metadata_Perturbation"].to_numpy()
    own = np.random.default_rng(5).standard_normal((18, 12)) * 5
    treated = wells.obs["Metadata_Control_Type"].to_numpy() == "treatment"
    x[treated] += own[[int(name[1:]) for name in guide[treated]]]
    wells.X = x
    every = matching(scored(wells), rows="wells", match="gene").loc["mean_average_precision"]
    apart = matching(scored(wells), rows="wells", match="gene", not_same=("perturbation",)).loc[
        "mean_average_precision"
    ]
    assert every["value"] > apart["value"] + 0.2
    assert apart["source"] == "gene, not same perturbation"


def test_labels_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("perturbation,label\n" + "".join(f"s{g:02d},g{g % 6}\n" for g in range(18)))
    made = scored(screen(1.0))
    by_file, by_column = matching(made, labels=str(path)), matching(made, match="gene")
    assert by_file["value"].tolist() == by_column["value"].tolist()


@pytest.mark.parametrize("effect", [0.0, 3.0])
def test_fraction_retrieved_is_none_at_random_and_all_with_strong_effects(effect: float) -> None:
    table = replicability(screen(effect, plates=8), null_size=5000)
    retrieved = table.loc["fraction_retrieved"]
    assert (retrieved["threshold"], retrieved["chance"]) == (0.05, 0)
    assert retrieved["value"] == pytest.approx(0.0 if effect == 0 else 1.0, abs=0.12)
    row = table.loc["mean_average_precision"]
    assert (row["ci_low"] > row["chance"]) == (effect > 0)


def test_permuted_labels_are_at_chance() -> None:
    wells = screen(2.0, plates=6)
    treated = np.flatnonzero(wells.obs["Metadata_Control_Type"] == "treatment")
    obs = wells.obs.copy()
    order = np.random.default_rng(0).permutation(treated)
    obs.iloc[treated, obs.columns.get_loc("Metadata_Gene")] = obs["Metadata_Gene"].to_numpy()[order]
    obs.iloc[treated, obs.columns.get_loc("Metadata_Perturbation")] = [f"x{i}" for i in range(len(treated))]
    row = matching(scored(ad.AnnData(wells.X, obs=obs)), rows="wells", match="gene").loc["mean_average_precision"]
    assert row["value"] == pytest.approx(row["chance"], abs=0.02)


def test_groups_that_no_ranking_would_retrieve_are_counted() -> None:
    """One replicate among six candidates: even a perfect ranking has p = 1 / 6; three among eight have 1 / 56."""
    for plates, expected in ((2, 18), (4, 0)):
        detail = json.loads(replicability(screen(plates=plates))["detail"].iloc[0])
        assert detail["n_groups_never_retrieved"] == expected


def test_least_p_is_that_of_perfect_rankings() -> None:
    group = np.array([0, 0, 1, 1, 2, 3])
    positive, total = np.array([1, 1, 1, 2, 3, 10]), np.array([6, 6, 4, 5, 9, 40])
    _, expected = p_values(np.ones(6), positive, total, group, 2000, 0)
    np.testing.assert_allclose(least_p(positive, total, group, 2000), expected, rtol=0.3)
    np.testing.assert_allclose(least_p(positive, total, group, 2000), [1 / 6, 1 / 40, 1 / 84, 1 / 2001])


def test_row_order_changes_nothing() -> None:
    wells = screen(0.8)
    pd.testing.assert_frame_equal(replicability(wells), replicability(wells[::-1].copy()))
    one, again = (matching(scored(w), match="gene") for w in (wells, wells[::-1].copy()))
    pd.testing.assert_frame_equal(one, again)


def test_single_replicates_bad_wells_and_missing_controls_are_counted_and_told() -> None:
    wells = screen(1.0)
    obs = wells.obs.copy()
    obs.iloc[0, obs.columns.get_loc("Metadata_Perturbation")] = "once"
    x = np.array(wells.X)
    x[1], x[2, 0] = 0, np.nan
    table = replicability(ad.AnnData(x, obs=obs))
    detail = json.loads(table.loc["mean_average_precision", "detail"])
    assert (detail["n_without_direction"], detail["n_queries_without_pair"]) == (2, 1)
    assert detail["groups_dropped"] == ["once"]
    assert np.isfinite(table["value"]).all()
    without = replicability(wells[wells.obs["Metadata_Control_Type"] == "treatment"].copy())
    assert without["value"].isna().all()
    assert json.loads(without["detail"].iloc[0])["reason"] == "no negative control well"
    lonely = matching(scored(wells), match="perturbation")
    assert lonely["value"].isna().all()
    assert "no profile has both a positive and a negative" in lonely["detail"].iloc[0]


def test_a_plate_without_controls_gives_no_query() -> None:
    wells = screen(1.0)
    here = (wells.obs["Metadata_Plate"] == "p0") & (wells.obs["Metadata_Control_Type"] == "negcon")
    detail = json.loads(replicability(wells[~here].copy())["detail"].iloc[0])
    assert detail["n_queries_without_pair"] == 18
    assert detail["n_queries"] == 54


def test_what_has_no_name_is_not_the_same_as_anything() -> None:
    """In a map of guides and compounds the guides stay, although a positive may not be of the same compound."""
    wells = screen(0.2)
    obs = wells.obs.copy()
    obs.loc[obs["Metadata_Perturbation"].isin(["s00", "s06"]), "Metadata_Compound"] = "both"
    made = scored(ad.AnnData(wells.X, obs=obs))
    every, apart = matching(made, match="gene"), matching(made, match="gene", not_same=("compound",))
    assert every["n"].tolist() == apart["n"].tolist() == [18, 18, 18]
    assert json.loads(every["detail"].iloc[0])["median_candidates"] == 17
    assert every.loc[METRIC, "value"] != apart.loc[METRIC, "value"]


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="alpha is 1"):
        ReplicabilitySettings(alpha=1)
    with pytest.raises(ConfigError, match="null_size is 0"):
        MatchingSettings(null_size=0)
    with pytest.raises(ConfigError, match="rows is 'cells'"):
        MatchingSettings(rows="cells")
    with pytest.raises(ConfigError, match="cannot share 'gene' and not share it"):
        MatchingSettings(match="gene", not_same=("gene",))
    for wrong in ({"match": "compound"}, {"not_same": ("compound",)}):
        with pytest.raises(InputError, match="none of 72 treated wells has a direction and a name in compound"):
            replicability(screen(1.0), **wrong)


def test_the_column_without_names_is_blamed_not_those_that_pairs_must_not_share():
    with pytest.raises(InputError) as error:
        matching(scored(screen()), rows="wells", match="compound", not_same=("perturbation",), group_by="gene")
    assert error.value.what == "none of 72 treated wells has a direction and a name in compound"
    assert error.value.where == "benchmarks: compound"
