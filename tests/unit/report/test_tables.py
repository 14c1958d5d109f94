import numpy as np
import pandas as pd
import pytest

from platemae.contracts import SCORE_COLUMNS
from platemae.report.scores import groups
from platemae.report.sections.scores import _curves, _lines
from platemae.report.tables import benchmark_csv, benchmark_latex, benchmark_markdown, benchmarks, caption, wide

CORRECTIONS = ["none", "tvn"]


def scores() -> pd.DataFrame:
    rows = [
        ["mae_1", "none", "corum", "CORUM", "recall", 0.05, 0.12344, 0.1, 0.15, np.nan, np.nan, 100, 0.1, "images", ""],
        ["mae_1", "tvn", "corum", "CORUM", "recall", 0.05, 0.622, 0.6, 0.64, np.nan, np.nan, 120, 0.1, "images", ""],
        ["pca|x", "tvn", "corum", "CORUM", "recall", 0.05, 0.3, *[np.nan] * 4, 120, 0.1, "none", ""],
        ["mae_1", "none", "corum", "CORUM", "recall", 0.1, *[np.nan] * 5, 0, 0.2, "images", "{}"],
    ]
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def test_the_wide_table_equals_one_made_by_hand() -> None:
    first, second = groups(scores())
    expected = pd.DataFrame(
        {
            "model": ["mae_1", "pca|x"],
            "none": ["0.123 [0.100, 0.150]", ""],
            "tvn": ["0.622 [0.600, 0.640]", "0.300"],
            "overlap": ["images", "none"],
        }
    )
    pd.testing.assert_frame_equal(wide(first, CORRECTIONS), expected)
    assert wide(second, CORRECTIONS).to_numpy().tolist() == [["mae_1", "", "", "images"]]


def test_the_caption_states_n_and_chance() -> None:
    first, second = groups(scores())
    assert caption(first) == "corum · CORUM · recall at 0.05: value [interval]; n = 100 to 120; chance 0.100"
    assert caption(second).endswith("n = 0; chance 0.200")


def test_the_caption_names_models_trained_on_the_labels() -> None:
    table = scores()
    table.loc[table["model"] == "pca|x", "overlap"] = "labels"
    first, second = groups(table)
    assert caption(first).endswith("chance 0.100; trained on these labels: pca|x")
    assert "trained on" not in caption(second)


def test_the_csv_holds_every_group_of_a_benchmark() -> None:
    found = benchmarks(scores())
    assert list(found) == ["corum"]
    table = benchmark_csv(found["corum"], CORRECTIONS)
    assert list(table) == ["source", "metric", "threshold", "model", "none", "tvn", "chance", "n", "overlap"]
    assert table.to_numpy().tolist() == [
        [
            "CORUM",
            "recall",
            "0.05",
            "mae_1",
            "0.123 [0.100, 0.150]",
            "0.622 [0.600, 0.640]",
            "0.100",
            "100 to 120",
            "images",
        ],
        ["CORUM", "recall", "0.05", "pca|x", "", "0.300", "0.100", "120", "none"],
        ["CORUM", "recall", "0.1", "mae_1", "", "", "0.200", "0", "images"],
    ]


def test_two_entries_that_measured_the_same_stand_in_one_cell() -> None:
    twice = pd.concat([scores().iloc[:1], scores().iloc[:1].assign(value=0.2)])
    (group,) = groups(twice)
    assert wide(group, ["none"])["none"].tolist() == ["0.123 [0.100, 0.150]; 0.200 [0.100, 0.150]"]


def test_markdown_and_latex_escape_their_marks() -> None:
    found = benchmarks(scores())["corum"]
    markdown = benchmark_markdown(found, CORRECTIONS).splitlines()
    assert markdown[2] == "| model | none | tvn | overlap |"
    assert markdown[3] == "| --- | ---: | ---: | --- |"
    assert markdown[4] == "| mae\\_1 | 0.123 [0.100, 0.150] | 0.622 [0.600, 0.640] | images |"
    assert markdown[5] == "| pca\\|x |  | 0.300 | none |"
    latex = benchmark_latex(found, CORRECTIONS)
    assert r"mae\_1 & 0.123 [0.100, 0.150] & 0.622 [0.600, 0.640] & images \\" in latex
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 2
    assert r"\begin{tabular}{lrrl}" in latex


def test_every_table_says_with_counts_what_training_saw() -> None:
    counted = '{"overlap": "images: 2 of 4 plates, 90 of 180 wells"}'
    table = scores()
    table.loc[table["model"] == "mae_1", "detail"] = counted
    first, _ = groups(table)
    assert wide(first, CORRECTIONS)["overlap"].tolist() == ["images: 2 of 4 plates, 90 of 180 wells", "none"]
    found = benchmarks(table)["corum"]
    for text in (benchmark_markdown(found, CORRECTIONS), benchmark_latex(found, CORRECTIONS)):
        assert text.count("images: 2 of 4 plates, 90 of 180 wells") == 2
    table.loc[0, "detail"] = '{"overlap": "images: 1 of 2 plates, 9 of 9 wells"}'
    first, _ = groups(table)
    both = "images: 1 of 2 plates, 9 of 9 wells; images: 2 of 4 plates, 90 of 180 wells"
    assert wide(first, CORRECTIONS)["overlap"].tolist() == [both, "none"], "where entries of corrections differ"


def test_a_second_interval_from_plates_stands_behind_the_first() -> None:
    table = scores().iloc[1:2].assign(plate_ci_low=0.55, plate_ci_high=0.71)
    (group,) = groups(table)
    assert wide(group, ["tvn"])["tvn"].tolist() == ["0.622 [0.600, 0.640] (plates [0.550, 0.710])"]
    assert "value [interval] (plates [interval from resampling plates]); n = 120" in caption(group)


def test_a_curve_is_drawn_a_panel_a_correction_and_a_line_a_model() -> None:
    keys = {
        "benchmark": "corum",
        "source": "CORUM",
        "metric": "recall_curve",
        "n": 9,
        "ci_low": 0.1,
        "ci_high": 0.9,
        "detail": "{}",
    }
    points = pd.DataFrame(
        [
            keys | {"model": model, "correction": correction, "threshold": q, "value": 3 * q, "chance": 2 * q}
            for model in ("mae", "zero")
            for correction in ("none", "tvn")
            for q in (0.2, 0.1)
        ]
    )
    heading, figure = _curves(points, ["none", "tvn", "absent"])
    assert "recall curve" in heading.text
    assert figure.drawing.uri.startswith("data:image/svg+xml")
    (name, x, y), _, chance = _lines(points[points["correction"] == "tvn"])
    assert (name, list(x), list(y)) == ("mae", [0.1, 0.2], pytest.approx([0.3, 0.6]))
    assert (chance[0], list(chance[2])) == ("chance", pytest.approx([0.2, 0.4]))
    assert _curves(points.head(0), ["none"]) == []
