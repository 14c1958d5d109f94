"""Scores of a map: rows complete, planted pairs found, benchmarks of wells read wells."""

import json

import pandas as pd
import pytest

from platemae.config.sections import BenchmarkEntry
from platemae.contracts import SCORE_COLUMNS
from platemae.errors import PlatemaeError
from platemae.layout import Results
from platemae.stages import build_map, score_map
from platemae.tables import write_anndata
from tests.stages.screen import GENES, embedded_plate


@pytest.fixture
def results(tmp_path):
    made = Results(tmp_path)
    for number, plate in enumerate(("P1", "P2")):
        write_anndata(embedded_plate(made, "m", plate, "B1", seed=number), made.corrected("m", "none", plate))
    build_map.run(
        made, {"map": {"entity": "gene", "aggregate": "mean"}, "plates": ["P1", "P2"]}, model="m", correction="none"
    )
    pairs = pd.DataFrame({"entity1": GENES[::2], "entity2": GENES[1::2]})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    return made


def scored(results, *entries):
    benchmarks = [BenchmarkEntry(n_bootstrap=50, n_shuffles=50, **entry).model_dump(mode="json") for entry in entries]
    cfg = {"benchmarks": benchmarks, "plates": ["P1", "P2"], "overlap": "images"}
    manifest = score_map.run(results, cfg, model="m", correction="none", base=results.root)
    return pd.read_parquet(results.scores("m", "none")), manifest


PAIRS = {"name": "planted", "kind": "known_relations", "relations": "pairs.csv"}


def test_planted_pairs_are_found_with_interval_and_chance(results):
    table, manifest = scored(results, PAIRS, {"name": "replicates", "kind": "replicate_consistency"})
    assert list(table.columns) == list(SCORE_COLUMNS)
    assert manifest.counts["rows"] == len(table)
    assert set(table["overlap"]) == {"images"}
    recall = table.query("metric == 'recall' and abs(threshold - 0.05) < 1e-9").iloc[0]
    # 12 planted pairs of 276: all in the upper 5 % (13.8 pairs), as each shares a direction of four deviations.
    assert recall["value"] > 0.8
    assert recall["ci_low"] > recall["chance"] == pytest.approx(0.1)
    assert recall["n"] == 12
    shuffled = table.query("metric == 'recall_shuffled' and abs(threshold - 0.05) < 1e-9").iloc[0]
    assert abs(shuffled["value"] - 0.1) < 0.04
    assert set(table["benchmark"]) == {"planted", "replicates"}


def test_a_benchmark_of_wells_reads_wells(results):
    table, _ = scored(results, {"name": "dose", "kind": "control_axis"})
    assert table["value"].isna().all()
    assert json.loads(table["detail"].iloc[0])["missing"].startswith("two wells of each control (24 negcon")


def test_equal_input_gives_an_equal_digest(results):
    assert scored(results, PAIRS)[1].digest == scored(results, PAIRS)[1].digest


def test_a_missing_relation_file_is_named(results):
    with pytest.raises(PlatemaeError, match="nowhere") as error:
        scored(results, PAIRS | {"relations": "nowhere.csv"})
    assert "nowhere.csv" in str(error.value)
