"""The maps page: order, neighbours, known sets."""

import base64
import io
import json
import re

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from platemae.contracts import SCORE_COLUMNS
from platemae.errors import ContractError
from platemae.layout import Results
from platemae.report.blocks import Page, walk
from platemae.report.browser_maps import clustered, most_consistent, nearest, read_map
from platemae.report.page import files_of, render
from platemae.report.sections import maps
from platemae.report.source import Source

HOSTILE = "<img src=x onerror=alert(1)>"
CFG = {
    "models": [{"name": "mae", "kind": "mae"}],
    "corrections": [{"name": "none", "kind": "none"}, {"name": "tvn", "kind": "tvn"}],
    "benchmarks": [{"name": "planted", "kind": "known_relations"}, {"name": "wells", "kind": "replicate_consistency"}],
}


def unpacked(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def write_map(results: Results, correction: str, x_GD: np.ndarray, names: list[str]) -> None:
    obs = pd.DataFrame({"gene": names, "consistency": np.linspace(0.9, 0.1, len(names))}, index=names)
    path = results.map("mae", correction)
    path.parent.mkdir(parents=True, exist_ok=True)
    anndata.AnnData(x_GD.astype(np.float32), obs=obs).write_h5ad(path)


@pytest.fixture(name="x_GD")
def modules() -> np.ndarray:
    """Three modules of eight rows in a mixed order."""
    rng = np.random.default_rng(5)
    return (np.eye(3, 12)[np.arange(24) % 3] + rng.normal(0, 0.15, (24, 12))).astype(np.float32)


@pytest.fixture
def source(tmp_path, x_GD) -> Source:
    results = Results(tmp_path)
    names = [HOSTILE, *(f"G{i}" for i in range(1, 24))]
    for correction in ("none", "tvn"):
        write_map(results, correction, x_GD if correction == "tvn" else x_GD[:, ::-1], names)
        rows = [
            ["planted", "relations", "recall", 0.05, 0.5, 0.4, 0.6, np.nan, np.nan, 72, 0.1, "", "{}"],
            ["planted", "relations", "recall", 0.1, 0.22, 0.1, 0.3, np.nan, np.nan, 72, 0.2, "", "{}"],
            ["planted", "relations", "recall_shuffled", 0.1, 0.2, 0.1, 0.3, np.nan, np.nan, 72, 0.2, "", "{}"],
            ["wells", "wells", "mean_cosine", np.nan, 0.2, 0.1, 0.3, np.nan, np.nan, 60, np.nan, "", "{}"],
        ]
        table = pd.DataFrame([["mae", correction, *row] for row in rows], columns=list(SCORE_COLUMNS))
        results.scores("mae", correction).parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(results.scores("mae", correction))
    return Source(results, CFG)


def test_clustering_puts_modules_side_by_side(x_GD):
    unit = x_GD / np.linalg.norm(x_GD, axis=1, keepdims=True)
    order, cosine = clustered(unit)
    assert sorted(order) == list(range(24))
    assert (np.diff(order % 3) != 0).sum() == 2
    np.testing.assert_allclose(cosine, cosine_similarity(x_GD)[np.ix_(order, order)], atol=1e-6)


def test_nearest_rows_are_those_of_a_slow_loop(x_GD):
    unit = x_GD / np.linalg.norm(x_GD, axis=1, keepdims=True)
    places, cosine = nearest(unit, 4)
    known = cosine_similarity(x_GD)
    for row in range(24):
        best = sorted((-known[row, other], other) for other in range(24) if other != row)[:4]
        assert places[row].tolist() == [other for _, other in best]
        np.testing.assert_allclose(cosine[row], [-value for value, _ in best], atol=1e-6)
    assert nearest(unit[:3], 10)[0].shape == (3, 2)


def test_rows_without_direction_are_left_out_and_named(tmp_path):
    results = Results(tmp_path)
    write_map(results, "tvn", np.array([[1.0, 2], [0, 0], [np.nan, 1], [2, 1]]), ["A", "B", "C", "D"])
    rows = read_map(results.map("mae", "tvn"))
    assert (rows.names, rows.left_out) == (["A", "D"], ["B", "C"])
    assert most_consistent(rows, 1).tolist() == [0]  # A agrees best


def test_a_file_that_is_no_map_is_named(tmp_path):
    path = tmp_path / "broken.h5ad"
    path.write_bytes(b"no map")
    with pytest.raises(ContractError, match="a map cannot be read"):
        read_map(path)


def test_the_page_holds_cosines_neighbours_and_known_sets(source, x_GD):
    section = maps.build(source)
    html = render("Screen", [Page("maps", "Maps", [section])])
    assert "<img src=x" not in html
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', html, re.S)
    data = json.loads(text)
    assert [one["title"] for one in data["maps"]] == ["mae, none", "mae, tvn"]
    assert data["first"] == 1
    (names,) = data["names"]
    shown = data["maps"][1]
    order = unpacked(shown["order"], "<u4")
    cosine = unpacked(shown["cosines"], "<i2").reshape(24, 24) * data["step"]
    np.testing.assert_allclose(cosine, cosine_similarity(x_GD)[np.ix_(order, order)], atol=data["step"])
    near = unpacked(shown["near"], "<u4").reshape(24, shown["neighbours"])
    listed = pd.read_csv(io.BytesIO(files_of([Page("maps", "Maps", [section])])[shown["file"]]))
    assert [names[place] for place in near[2]] == listed[listed["row"] == names[2]]["neighbour"].tolist()


def test_known_sets_stand_beside_chance_and_name_their_table(source):
    (table,) = [block for block in walk([Page("maps", "Maps", [maps.build(source)])]) if block.type == "table"]
    cells = [[str(cell) for cell in row] for row in table.rows]
    assert cells == [
        ["relations", "recall at 0.05", "mae", "tvn", "0.500 [0.400, 0.600]", "0.100", "72"],
        ["relations", "recall at 0.1", "mae", "tvn", "0.220 [0.100, 0.300]", "0.200", "72"],
    ]
    assert table.faint == {(1, 4)}  # its interval holds chance
    assert (table.rows[0][4].origin.table, table.rows[0][4].origin.row) == ("tables/scores.csv", "4")


def test_large_maps_are_cut_to_the_rows_that_agree_best_and_the_page_says_so(source, monkeypatch):
    monkeypatch.setattr(maps, "MAX_SHOWN", 6)
    section = maps.build(source)
    assert "Of 24 rows the 6 whose replicates agree best are drawn." in section.blocks[0].text
    order = unpacked(section.blocks[1].data["maps"][0]["order"], "<u4")
    assert sorted(order) == list(range(6))


def test_no_map_is_said(tmp_path):
    assert maps.build(Source(Results(tmp_path), CFG)).blocks[0].text == "No map was found."
