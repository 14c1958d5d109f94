import json

import numpy as np
import pandas as pd
import pytest

from platemae.contracts import SCORE_COLUMNS
from platemae.report.tables import caption
from platemae.report.verdicts import (
    ABOVE,
    AT,
    BELOW,
    NO_CHANCE,
    NO_INTERVAL,
    NOT_MEASURED,
    Row,
    Verdict,
    against_chance,
    judge,
    listed,
    tie,
)


def row(value: float, low: float, high: float, chance: float = 0.1, model: str = "m", correction: str = "tvn") -> Row:
    return Row(model, correction, value, low, high, 50, chance)


def scores(*rows: tuple, metric: str = "recall", detail: str = "{}") -> pd.DataFrame:
    """Rows are (model, correction, value, low, high)."""
    lines = [
        [model, correction, "planted", "relations", metric, 0.05, value, low, high, *[np.nan] * 2, 50, 0.1, "", detail]
        for model, correction, value, low, high in rows
    ]
    return pd.DataFrame(lines, columns=list(SCORE_COLUMNS))


def only(verdicts: list[Verdict]) -> Verdict:
    assert len(verdicts) == 1
    return verdicts[0]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (row(0.3, 0.2, 0.4), ABOVE),
        (row(0.05, 0.01, 0.09), BELOW),
        (row(0.2, 0.05, 0.4), AT),
        (row(0.2, 0.1, 0.4), AT),  # touching is not clear
        (row(0.2, np.nan, np.nan), NO_INTERVAL),
        (row(0.2, 0.1, 0.4, chance=np.nan), NO_CHANCE),
        (row(np.nan, np.nan, np.nan), NOT_MEASURED),
    ],
)
def test_a_row_stands_above_below_or_at_chance(given: Row, word: str) -> None:
    assert against_chance(given) == word


def test_rows_tie_when_intervals_overlap_or_values_are_equal() -> None:
    assert tie(row(0.3, 0.2, 0.4), row(0.5, 0.4, 0.6))
    assert not tie(row(0.3, 0.2, 0.39), row(0.5, 0.4, 0.6))
    assert tie(row(1.0, np.nan, np.nan), row(1.0, 0.9, 1.0))
    assert not tie(row(0.9, np.nan, np.nan), row(1.0, 0.8, 1.0))


def on_plates(low: float, high: float, value: float = 0.3) -> Row:
    return Row("m", "tvn", value, value - 0.1, value + 0.1, 50, 0.1, low, high)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (on_plates(0.15, 0.35), ABOVE),
        (on_plates(0.097, 0.264), AT),  # the interval of genes is clear, that of plates holds chance
        (on_plates(0.11, 0.3, value=0.15), AT),
        (on_plates(0.01, 0.05, value=-0.05), BELOW),
    ],
)
def test_a_row_is_clear_where_both_of_its_intervals_are(given: Row, word: str) -> None:
    assert against_chance(given) == word


def test_rows_are_set_apart_where_their_plate_intervals_are_too() -> None:
    assert tie(on_plates(0.1, 0.6, value=0.3), on_plates(0.5, 0.9, value=0.7))
    assert not tie(on_plates(0.1, 0.4, value=0.3), on_plates(0.5, 0.9, value=0.7))
    assert not tie(on_plates(0.1, 0.4, value=0.3), row(0.7, 0.6, 0.8))  # one has none: nothing to compare


def test_a_clear_winner_is_named_with_interval_and_n() -> None:
    table = scores(("mae", "none", 0.2, 0.15, 0.25), ("mae", "tvn", 0.6, 0.5, 0.7), ("zero", "tvn", 0.11, 0.08, 0.14))
    verdict = only(judge(table, 4))
    assert verdict.headline == (
        "2 of 3 rows lie clear above chance (0.100); at chance: zero with tvn. "
        "The highest row is mae with tvn, 0.600 [0.500, 0.700], n = 50; its interval is clear of the other rows."
    )
    assert verdict.details == [
        "Under tvn, mae is highest (0.600 [0.500, 0.700], n = 50); its interval is clear of the other model.",
        "For mae, tvn raises the value by 0.400, from 0.200 [0.150, 0.250], n = 50 (none) to 0.600 [0.500, 0.700], "
        "n = 50 (tvn); the intervals are apart.",
    ]


def test_a_correction_that_harms_is_said_to_lower() -> None:
    verdict = only(judge(scores(("mae", "none", 0.6, 0.5, 0.7), ("mae", "tvn", 0.2, 0.1, 0.3)), 4))
    assert any("tvn lowers the value by 0.400" in sentence for sentence in verdict.details)


def test_rows_that_all_tie_cannot_be_told_apart() -> None:
    table = scores(("mae", "none", 1.0, 0.8, 1.0), ("zero", "none", 0.95, 0.7, 1.0), ("pca", "none", 1.0, 0.9, 1.0))
    one, several = only(judge(table, 1)), only(judge(table, 2))
    assert "All 3 rows have equal values or intervals that overlap: not set apart on this plate." in one.headline
    assert "not set apart on these plates." in several.headline
    assert (
        "Under none, mae, zero and pca have equal values or intervals that overlap: not set apart on this plate."
        in one.details
    )


def test_ties_with_the_highest_row_are_named_though_not_all_rows_tie() -> None:
    table = scores(("a", "tvn", 0.6, 0.5, 0.7), ("b", "tvn", 0.55, 0.45, 0.65), ("c", "tvn", 0.2, 0.15, 0.25))
    assert "not set apart from b with tvn, as intervals overlap." in only(judge(table, 1)).headline


def test_levels_of_chance_are_told_from_the_lowest() -> None:
    table = scores(("a", "tvn", 0.6, 0.5, 0.7), ("b", "tvn", 0.2, 0.1, 0.3)).assign(chance=[-0.003, -0.139])
    assert "above chance (-0.139 to -0.003)" in only(judge(table, 1)).headline
    assert "chance -0.139 to -0.003" in caption(only(judge(table, 1)).group)


def test_many_rows_are_counted_in_the_sentence_and_named_apart() -> None:
    table = scores(*[(name, "tvn", 0.12 + 0.01 * place, 0.05, 0.3) for place, name in enumerate("abcd")], *[
        ("clear", "tvn", 0.28, 0.2, 0.4), ("top", "tvn", 0.9, 0.8, 1.0)
    ])  # fmt: skip
    verdict = only(judge(table, 1))
    assert verdict.headline.startswith(
        "2 of 6 rows lie clear above chance (0.100); at chance: 4 rows. The highest row is"
    )
    assert verdict.names == ["At chance: a with tvn, b with tvn, c with tvn and d with tvn."]
    low = scores(("low", "tvn", 0.02, 0.01, 0.03))
    tied = only(judge(pd.concat([table[:-1], low], ignore_index=True), 1))
    assert "not set apart from 4 rows, as intervals overlap" in tied.headline
    assert tied.names[-1] == "Not set apart from clear with tvn: a with tvn, b with tvn, c with tvn and d with tvn."


def test_values_without_intervals_are_not_set_apart() -> None:
    verdict = only(judge(scores(("a", "tvn", 0.6, np.nan, np.nan), ("b", "tvn", 0.2, np.nan, np.nan)), 1))
    assert "without interval, so not judged: all rows" in verdict.headline
    assert "without intervals it cannot be set apart from b with tvn" in verdict.headline


def test_a_value_that_was_not_measured_comes_with_its_reason() -> None:
    detail = json.dumps({"reason": "fewer than 20 pairs"})
    verdict = only(judge(scores(("a", "tvn", np.nan, np.nan, np.nan), detail=detail), 1))
    assert verdict.headline == "Not measured: all rows. Reason: fewer than 20 pairs."


def test_shuffled_labels_are_a_check_not_a_competition() -> None:
    good = scores(("a", "tvn", 0.1, 0.08, 0.12), ("b", "tvn", 0.11, 0.07, 0.13), metric="recall_shuffled")
    assert only(judge(good, 1)).headline == "With shuffled labels all 2 rows are at chance, as they must be."
    bad = scores(("a", "tvn", 0.3, 0.2, 0.4), ("b", "tvn", 0.11, 0.07, 0.13), metric="recall_shuffled")
    assert "in doubt: a with tvn (0.300 [0.200, 0.400], n = 50)" in only(judge(bad, 1)).headline


def test_different_thresholds_are_never_compared() -> None:
    table = scores(("a", "tvn", 0.6, 0.5, 0.7), ("b", "tvn", 0.2, 0.1, 0.3))
    table["threshold"] = [0.05, 0.1]
    verdicts = judge(table, 1)
    assert [verdict.group.threshold for verdict in verdicts] == ["0.05", "0.1"]
    assert all("The only row is" in verdict.headline for verdict in verdicts)


def test_lists_in_words() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"


def test_where_lower_is_better_it_is_said() -> None:
    lines = scores(("a", "none", 0.9, 0.8, 1.0), ("a", "tvn", 0.3, 0.2, 0.4), metric="same_batch_share")
    assert "Lower is better" in only(judge(lines, 3)).headline
    angle = only(judge(lines.assign(metric="mean_angle"), 3)).headline
    assert angle.endswith("Lower is better.")  # of replicates: no batches are mixed
    assert "Lower is better" not in only(judge(lines.assign(metric="recall"), 3)).headline
