"""Inputs on which the published code dies, or changes a result in silence: here an error that names it, or a policy.

One test a row of what was found when EFAAR_benchmarking 2248f40 was run on such inputs; the docstring says what it did.
"""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.consistency import ConsistencySettings, ReplicateConsistency
from platemae.benchmarks.magnitude import Magnitude, MagnitudeSettings
from platemae.benchmarks.recall import KnownRelations, RecallSettings
from platemae.benchmarks.scored import Scored
from platemae.correction.control_stats import ControlStats
from platemae.correction.pca_cs import PCACS, PCACSSettings
from platemae.correction.tvn import TVN, TVNSettings
from platemae.errors import ConfigError, ContractError, InputError, PlatemaeError

GENES = [f"GENE{i:02d}" for i in range(40)]
PAIRS = [(GENES[i], GENES[i + 1]) for i in range(0, 40, 2)]
DIMS = 12


def wells(seed: int = 0, plates: int = 3, controls: int = 20) -> ad.AnnData:
    """Pairs of genes share a direction; three plates, each gene once on each, controls beside."""
    rng = np.random.default_rng(seed)
    direction = np.random.default_rng(9).standard_normal((20, DIMS)).repeat(2, axis=0) * 2
    rows, x = [], []
    for plate in range(plates):
        for place, gene in enumerate(GENES):
            rows.append((f"P{plate}", f"A{place:02d}", gene, f"{gene}_1", "treatment"))
            x.append(direction[place] + rng.standard_normal(DIMS))
        for control in range(controls):
            rows.append((f"P{plate}", f"B{control:02d}", "", f"NTC{control}", "negcon"))
            x.append(rng.standard_normal(DIMS))
    names = ("Plate", "Well", "Gene", "Perturbation", "Control_Type")
    obs = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    return ad.AnnData(np.array(x), obs=obs.set_axis([f"w{i}" for i in range(len(obs))]))


def scored_of(table: ad.AnnData) -> Scored:
    how = AggregateSettings(n_null=99)
    return Scored(lambda: build_gene_map(table.X, table.obs, how), lambda: table, how)


def recall(scored: Scored, folder: Path, pairs: list[tuple[str, str]] = PAIRS) -> pd.DataFrame:
    pd.DataFrame(pairs, columns=["entity1", "entity2"]).to_csv(folder / "known.csv", index=False)
    settings = RecallSettings(relations=str(folder / "known.csv"), n_bootstrap=30, n_shuffles=20, n_plate_bootstrap=10)
    return KnownRelations.score(scored, settings)


def stats_of(table: ad.AnnData, of_plate: dict[str, int] | None = None) -> dict[str, ControlStats]:
    """Statistics of each plate's controls, of the first few where ``of_plate`` says how many."""
    found = {}
    for plate, rows in table.obs.reset_index(drop=True).groupby("Metadata_Plate"):
        own = rows.index[rows["Metadata_Control_Type"] == "negcon"][: (of_plate or {}).get(str(plate))]
        found[str(plate)] = ControlStats.from_rows(np.asarray(table.X)[own], str(plate))
    return found


@pytest.mark.parametrize("left", [0, 1])
def test_a_thin_plate_stops_by_name_or_follows_a_policy(left: int) -> None:
    """There: "array must not contain infs or NaNs", the plate not named."""
    table = wells()
    stats = stats_of(table, {"P1": left})
    own = {plate: plate for plate in stats}
    with pytest.raises(PlatemaeError, match="P1"):
        TVN.fit(stats, own, TVNSettings())
    for policy in ("pool", "skip"):
        fitted = TVN.fit(stats, own, TVNSettings(few_controls=policy))
        assert np.isfinite(fitted.transform(np.asarray(table.X), stats["P1"])).all()


@pytest.mark.parametrize(("kind", "settings"), [(TVN, TVNSettings()), (PCACS, PCACSSettings())], ids=["tvn", "pca_cs"])
def test_a_plate_without_a_label_stops_by_name(kind: type, settings: object) -> None:
    """There: the same message."""
    stats = stats_of(wells())
    with pytest.raises(PlatemaeError, match="P2"):
        kind.fit(stats, {"P0": "b", "P1": "b"}, settings)


def test_fewer_controls_than_dimensions_is_told_and_stays_in_range() -> None:
    """There: columns are lost in silence, and values reach 6.9e15."""
    table = wells(controls=3)
    stats = stats_of(table)
    fitted = TVN.fit(stats, {plate: plate for plate in stats}, TVNSettings())
    made = fitted.transform(np.asarray(table.X), stats["P0"])
    assert made.shape[1] == 8 < DIMS  # nine controls span eight directions
    assert np.abs(made).max() < 1e3
    assert fitted.counts.n_controls == 9


def test_a_nan_names_its_well_in_a_correction_and_is_left_out_of_a_map(tmp_path: Path) -> None:
    """There: an error of scikit-learn without the row; in `aggregate` the NaN spreads to the whole gene."""
    table = wells()
    stats = stats_of(table)
    fitted = TVN.fit(stats, {plate: plate for plate in stats}, TVNSettings())
    table.X[5, 3] = np.nan
    with pytest.raises(PlatemaeError, match="A05"):
        fitted.transform(np.asarray(table.X)[:9], stats["P0"], labels=[f"P0:A{i:02d}" for i in range(9)])
    gene_map = scored_of(table).gene_map
    assert np.isfinite(gene_map.X).all()
    assert gene_map.uns["notes"]["not_finite"] == ["P0:A05"]
    assert recall(scored_of(table), tmp_path)["value"].notna().all()
    assert (
        json.loads(Magnitude.score(scored_of(table), MagnitudeSettings(min_wells=2))["detail"][0])["n_not_finite"] == 1
    )


def test_an_absent_control_label_is_an_error_with_a_remedy_or_a_reason() -> None:
    """There: "Found array with 0 sample(s)"."""
    table = wells(controls=0)
    with pytest.raises(ConfigError, match="no control in all 3 plates") as caught:
        TVN.fit(stats_of(table), {f"P{i}": "b" for i in range(3)}, TVNSettings(few_controls="pool"))
    assert caught.value.remedy
    magnitude = Magnitude.score(scored_of(table), MagnitudeSettings())
    assert magnitude["value"].isna().all()
    assert "0 controls" in json.loads(magnitude["detail"][0])["reason"]


def test_lower_case_symbols_are_recognised(tmp_path: Path) -> None:
    """There: "No objects to concatenate"."""
    with pytest.raises(InputError) as caught:
        recall(scored_of(wells()), tmp_path, [(a.lower(), b.lower()) for a, b in PAIRS])
    assert "upper and lower case" in caught.value.remedy


def test_no_known_pair_in_the_map_is_a_row_with_its_reason(tmp_path: Path) -> None:
    """There: "No objects to concatenate"."""
    table = recall(scored_of(wells()), tmp_path, [(GENES[0], "OTHER"), (GENES[1], "MORE")])
    assert table["value"].isna().all()
    assert json.loads(table["detail"][0])["reason"] == "no known pair has both genes in the map"


def test_genes_named_twice_are_refused_by_name(tmp_path: Path) -> None:
    """There: "inhomogeneous shape"; the check that was meant to say so is a ValueError that is never raised."""
    made = scored_of(wells()).gene_map.copy()
    made.obs["gene"] = [GENES[1], *GENES[1:]]
    with pytest.raises(ContractError, match="1 genes have more than one row: GENE01"):
        recall(Scored(lambda: made), tmp_path)


def test_two_hundred_zero_rows_shift_nothing(tmp_path: Path) -> None:
    """There: cosines of 0 enter null and query, and CORUM recall goes from 0.165 to 0.200 in silence."""
    made = scored_of(wells()).gene_map
    clean = recall(Scored(lambda: made), tmp_path)
    extra = [f"ZERO{i:03d}" for i in range(200)]
    obs = pd.DataFrame({"gene": [*GENES, *extra]}, index=[*GENES, *extra])
    zeros = ad.AnnData(np.vstack([made.X, np.zeros((200, DIMS))]), obs=obs)
    table = recall(Scored(lambda: zeros), tmp_path, [*PAIRS, (GENES[0], extra[0]), (extra[1], extra[2])])
    np.testing.assert_array_equal(table["value"], clean["value"])
    detail = json.loads(table["detail"][0])
    assert (detail["n_dropped"], detail["n_pairs_outside_map"]) == (200, 2)


def test_a_null_perturbation_with_one_replicate_biases_no_p() -> None:
    """There: its NaN sorts last and counts as a null value above: p 0.5 instead of 0."""
    table = wells(controls=25)
    settings = ConsistencySettings(null_kind="controls", n_bootstrap=20, n_plate_bootstrap=0)
    clean = ReplicateConsistency.score(scored_of(table), settings)
    single = table[table.obs["Metadata_Control_Type"] == "negcon"][:30].copy()
    single.obs["Metadata_Perturbation"] = [f"ONE{i}" for i in range(30)]
    more = ReplicateConsistency.score(scored_of(ad.concat([table, single], index_unique="_")), settings)
    np.testing.assert_array_equal(more["value"], clean["value"])
    assert json.loads(more["detail"][0])["n_null_dropped"] == 30


def test_no_negative_control_perturbation_gives_the_reason() -> None:
    """There: a TypeError on unpacking."""
    settings = ConsistencySettings(null_kind="controls", n_bootstrap=20, n_plate_bootstrap=0)
    table = ReplicateConsistency.score(scored_of(wells(controls=0)), settings).set_index("metric")
    assert np.isnan(table.loc["share_consistent", "value"])
    assert "0 null perturbations" in json.loads(table.loc["share_consistent", "detail"])["reason"]


def test_a_shuffled_index_of_the_metadata_changes_nothing(tmp_path: Path) -> None:
    """There it works: all masks are positional."""
    table = wells()
    odd = ad.AnnData(table.X, obs=table.obs.set_axis(np.random.default_rng(0).permutation(table.obs_names)))
    for score in (
        lambda s: recall(s, tmp_path),
        lambda s: ReplicateConsistency.score(s, ConsistencySettings(n_bootstrap=20, n_plate_bootstrap=10)),
        lambda s: Magnitude.score(s, MagnitudeSettings(min_wells=3, n_null=99, n_bootstrap=20, n_plate_bootstrap=10)),
    ):
        pd.testing.assert_frame_equal(score(scored_of(odd)), score(scored_of(table)))
