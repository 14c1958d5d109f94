"""Nearest neighbours against a slow loop and scikit-learn; labels from files, exclusions, chance, intervals."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.cosine import unit_rows
from platemae.benchmarks.neighbors import NearestNeighbor, NeighborSettings, find_neighbors
from platemae.benchmarks.scored import Scored
from platemae.errors import ConfigError, ContractError, InputError

COLUMNS = ("Plate", "Well", "Batch", "Perturbation", "Gene", "Compound", "Concentration", "Control_Type")


def screen(compounds: int = 12, doses: int = 2, plates: int = 4, effect: float = 1.0, seed: int = 0) -> ad.AnnData:
    """Compounds of three mechanisms at doses, one well a plate, and two controls a plate."""
    rng = np.random.default_rng(seed)
    mechanism = rng.standard_normal((3, 16))
    rows, x = [], []
    for plate in range(plates):
        for compound in range(compounds):
            for dose in range(doses):
                name = f"c{compound:02d}"
                rows.append(
                    (f"p{plate}", f"w{len(rows)}", f"b{plate // 2}", f"{name}_{dose}", "", name, dose, "treatment")
                )
                x.append(effect * mechanism[compound % 3] + rng.standard_normal(16))
        for _ in range(2):
            rows.append((f"p{plate}", f"w{len(rows)}", f"b{plate // 2}", "", "", "DMSO", "", "negcon"))
            x.append(rng.standard_normal(16))
    obs = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in COLUMNS]).astype(str)
    obs.index = obs.index.astype(str)
    return ad.AnnData(np.array(x, dtype=np.float32), obs=obs)


def scored(wells: ad.AnnData, entity: str = "Metadata_Perturbation") -> Scored:
    how = AggregateSettings(entity=entity, n_null=9)
    return Scored(lambda: build_gene_map(wells.X, wells.obs, how), lambda: wells, how)


def mechanisms(folder: Path, compounds: int = 12) -> str:
    path = folder / "moa.csv"
    path.write_text("compound,label\n" + "".join(f"c{c:02d},m{c % 3}\n" for c in range(compounds)))
    return str(path)


def score(wells: Scored, **values) -> pd.DataFrame:
    return NearestNeighbor.score(wells, NeighborSettings(**{"n_bootstrap": 200, "n_plate_bootstrap": 20, **values}))


def by_loop(x: np.ndarray, match: list, differ: list[list]) -> tuple[list[float], list[float]]:
    """Hit and chance of every row that has an allowed one with its label."""
    hits, chances = [], []
    for i in range(len(x)):
        allowed = [j for j in range(len(x)) if j != i and all(names[i] != names[j] for names in differ)]
        if not any(match[j] == match[i] for j in allowed):
            continue
        cosine = [float(x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j])) for j in allowed]
        best = [j for j, c in zip(allowed, cosine, strict=True) if c >= max(cosine) - 1e-9]
        hits.append(np.mean([match[j] == match[i] for j in best]))
        chances.append(np.mean([match[j] == match[i] for j in allowed]))
    return hits, chances


@pytest.mark.parametrize("not_same", [(), ("compound",), ("plate",), ("compound", "batch")])
def test_wells_equal_a_loop_over_all_pairs(not_same: tuple[str, ...], tmp_path: Path) -> None:
    wells = screen(effect=0.7)
    found = score(scored(wells), rows="wells", labels=mechanisms(tmp_path), not_same=not_same).iloc[0]
    treated = wells[wells.obs["Metadata_Control_Type"] == "treatment"]
    label = [f"m{int(name[1:]) % 3}" for name in treated.obs["Metadata_Compound"]]
    differ = [treated.obs[f"Metadata_{name.title()}"].tolist() for name in not_same]
    hits, chances = by_loop(np.asarray(treated.X, dtype=float), label, differ)
    assert found["value"] == pytest.approx(np.mean(hits), abs=1e-12)
    assert found["chance"] == pytest.approx(np.mean(chances), abs=1e-12)
    assert found["n"] == len(hits) == 96
    assert found["ci_low"] <= found["value"] <= found["ci_high"]
    assert found["plate_ci_low"] <= found["plate_ci_high"]


def test_without_exclusions_the_neighbor_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    u, _ = unit_rows(rng.standard_normal((200, 10)))
    match = rng.integers(0, 9, 200)
    found = find_neighbors(u, match, [], np.zeros(200, dtype=np.int64))
    peer = NearestNeighbors(n_neighbors=1, metric="cosine").fit(u).kneighbors(return_distance=False)[:, 0]
    assert found.first.tolist() == peer.tolist()
    assert found.hits().tolist() == (match[peer] == match).astype(float).tolist()


def test_parts_change_no_answer_and_leaving_one_out_equals_fewer_candidates() -> None:
    rng = np.random.default_rng(4)
    u, _ = unit_rows(rng.integers(-1, 2, (90, 3)) + 0.25)
    match, part = rng.integers(0, 4, 90), rng.integers(0, 5, 90)
    whole = find_neighbors(u, match, [], np.zeros(90, dtype=np.int64))
    parts = find_neighbors(u, match, [], part)
    assert parts.hits() == pytest.approx(whole.hits())
    assert parts.chance == pytest.approx(whole.chance)
    weight = np.array([1, 0, 1, 1, 0])
    kept = weight[part] > 0
    fewer = find_neighbors(u[kept], match[kept], [], np.zeros(int(kept.sum()), dtype=np.int64))
    assert parts.accuracy(weight) == pytest.approx(fewer.accuracy(np.array([1])))


def test_profiles_that_are_all_alike_score_at_chance() -> None:
    match = np.arange(30) % 3
    found = find_neighbors(unit_rows(np.ones((30, 4)))[0], match, [], match * 0)
    assert found.hits() == pytest.approx(found.chance)
    assert found.chance == pytest.approx(np.full(30, 9 / 29))


def test_a_map_takes_names_from_its_wells(tmp_path: Path) -> None:
    table = score(scored(screen(effect=2.0)), labels=mechanisms(tmp_path), not_same=("compound",))
    accuracy, shuffled = table.iloc[0], table.iloc[1]
    assert (accuracy["metric"], shuffled["metric"]) == ("accuracy", "accuracy_shuffled")
    assert accuracy["source"] == "label, not same compound"
    assert accuracy["n"] == 24
    assert accuracy["value"] > 0.9
    assert accuracy["ci_low"] > accuracy["chance"]
    assert accuracy["plate_ci_low"] > accuracy["chance"]
    assert shuffled["ci_low"] <= shuffled["chance"] <= shuffled["ci_high"]
    assert shuffled["value"] == pytest.approx(shuffled["chance"], abs=0.05)


def test_labels_by_compound_and_concentration(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("compound,concentration,label\nc00,0.0,a\nc01,1.00,a\nc02,0,b\nc03,1,b\n")
    found = score(scored(screen()), labels=str(path), rows="wells").iloc[0]
    assert found["n"] == 16
    assert json.loads(found["detail"])["n_without_name"] == 80


def test_random_vectors_are_at_chance_and_rows_without_a_partner_are_counted(tmp_path: Path) -> None:
    wells = screen(effect=0.0, plates=6)
    path = tmp_path / "moa.csv"
    path.write_text(Path(mechanisms(tmp_path)).read_text().replace("c00,m0", "c00,alone"))
    found = score(scored(wells), rows="wells", labels=str(path), not_same=("compound",)).iloc[0]
    assert found["ci_low"] <= found["chance"] <= found["ci_high"]
    assert json.loads(found["detail"])["n_without_partner"] == 12


def test_row_order_changes_nothing_and_bad_wells_are_left_out(tmp_path: Path) -> None:
    wells, labels = screen(), mechanisms(tmp_path)
    x = np.array(wells.X)
    x[0], x[1, 0] = 0, np.nan
    wells.X = x
    one = score(scored(wells), rows="wells", labels=labels)
    again = score(scored(wells[::-1].copy()), rows="wells", labels=labels)
    pd.testing.assert_frame_equal(one, again)
    assert json.loads(one["detail"][0])["n_without_direction"] == 2
    assert one["n"][0] == 94


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_rotation_and_scale_change_nothing(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x, match, group = rng.standard_normal((40, 5)), rng.integers(0, 4, 40), rng.integers(0, 10, 40)
    rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    part = np.zeros(40, dtype=np.int64)
    one = find_neighbors(unit_rows(x)[0], match, [group], part)
    again = find_neighbors(unit_rows(x @ rotation * scale)[0], match, [group], part)
    assert again.first.tolist() == one.first.tolist()


def test_what_cannot_be_scored_says_why(tmp_path: Path) -> None:
    wells, labels = scored(screen()), mechanisms(tmp_path)
    none = score(wells, rows="wells", match="well").iloc[0]
    assert np.isnan(none["value"])
    assert json.loads(none["detail"])["reason"] == "no profile has an allowed one with its label"
    with pytest.raises(ContractError, match="no column 'colour'") as caught:
        score(wells, match="colour", rows="wells")
    assert "compound" in caught.value.remedy
    with pytest.raises(ContractError, match="24 rows of the map have wells of several plates: c00_0"):
        score(wells, labels=labels, not_same=("plate",))
    with pytest.raises(InputError, match="none of 96 treated wells has a direction and a name in gene"):
        score(wells, rows="wells", match="gene")
    with pytest.raises(ConfigError, match="there is no file of labels"):
        score(wells)
    with pytest.raises(ConfigError, match="rows is 'fields'"):
        NeighborSettings(rows="fields")
    with pytest.raises(ConfigError, match="cannot share 'compound' and not share it"):
        NeighborSettings(match="compound", not_same=("compound",))


def test_labels_in_other_case_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "moa.csv"
    path.write_text("compound,label\nC00,a\nC01,a\n")
    with pytest.raises(InputError) as caught:
        score(scored(screen()), rows="wells", labels=str(path))
    assert "upper and lower case" in caught.value.remedy
