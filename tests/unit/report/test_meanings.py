"""Every metric that a benchmark writes has a sentence that says what it means."""

import pandas as pd
import pytest

from platemae.benchmarks import (
    batch_mixing,
    clusters,
    compound_gene,
    control_axis,
    linear_probe,
    magnitude,
    plate_stability,
    retrieval,
)
from platemae.report.meanings import MEANINGS, meaning
from platemae.report.scores import Group

WRITTEN = {
    *batch_mixing.BATCH_METRICS,
    batch_mixing.LABEL_METRIC,
    *clusters.METRICS,
    *compound_gene.METRICS,
    *control_axis._SOURCES,
    *linear_probe.METRICS,
    *magnitude.METRICS,
    *plate_stability.METRICS,
    *retrieval.METRICS,
    *("recall", "recall_upper", "recall_min", "recall_max"),
    *("share_consistent", "share_consistent_bh", "mean_cosine", "mean_angle", "accuracy", "median_r2"),
}


def group(metric: str, threshold: str = "", chance: float = float("nan")) -> Group:
    return Group("b", "s", metric, threshold, pd.DataFrame({"chance": [chance]}))


def test_every_metric_has_a_sentence() -> None:
    assert set(MEANINGS) == WRITTEN


@pytest.mark.parametrize("metric", sorted(WRITTEN))
def test_a_sentence_is_whole_without_threshold_and_chance(metric: str) -> None:
    said = meaning(group(metric))
    assert said.endswith(".")
    assert not set("{}") & set(said)
    assert "nan" not in said.split()
    assert "tails" not in said


def test_the_tails_of_recall_are_told_in_percent() -> None:
    assert "the 5 % most alike or the 5 % most unlike" in meaning(group("recall", "0.05", 0.1))
    assert "the 10 % most alike or the 5 % most unlike" in meaning(group("recall", "0.05", 0.15))  # tails may differ
    assert "the 5 % most alike pairs" in meaning(group("recall_upper", "0.95", 0.05))
    for threshold, chance in (("", 0.1), ("0.05", float("nan"))):
        bare = meaning(group("recall", threshold, chance))
        assert bare == "Of the known pairs, the share among the most alike or the most unlike pairs of the map."


def test_shuffled_labels_are_a_check_and_unknown_metrics_have_no_sentence() -> None:
    assert meaning(group("recall_shuffled", "0.05", 0.1)).startswith("A check: recall with shuffled labels")
    assert meaning(group("of_my_own")) == ""
