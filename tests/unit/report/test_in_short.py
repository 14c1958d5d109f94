"""The first lines of the page: a trained network beside random weights and chance."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from platemae.contracts import SCORE_COLUMNS
from platemae.report.blocks import Statement
from platemae.report.in_short import in_short
from platemae.report.verdicts import judge

MODELS = [{"name": "mae", "kind": "mae"}, {"name": "zero", "kind": "untrained"}, {"name": "cp", "kind": "profiles"}]


def short(
    *rows: tuple,
    metric: str = "recall",
    twins: list[str] | None = None,
    chance: float = 0.1,
    n: float = 50,
    plates: int = 4,
) -> Statement | None:
    """Rows are (model, correction, value, low, high)."""
    lines = [
        [model, correction, "corum", "CORUM", metric, 0.05, value, low, high, np.nan, np.nan, n, chance, "", "{}"]
        for model, correction, value, low, high in rows
    ]
    source = SimpleNamespace(
        cfg={"models": MODELS}, untrained=["zero"], twins=lambda model: twins or [], map_plates=["P"] * plates
    )
    return in_short(source, judge(pd.DataFrame(lines, columns=list(SCORE_COLUMNS)), plates))


def test_trained_random_and_chance_stand_in_one_line_with_their_rows() -> None:
    said = short(
        ("cp", "none", 0.9, 0.8, 1.0),
        ("mae", "none", 0.2, 0.05, 0.4),
        ("mae", "tvn", 0.3, 0.2, 0.4),
        ("zero", "none", 0.5, 0.4, 0.6),
        ("zero", "tvn", 0.15, 0.05, 0.3),
        twins=["zero"],
    )
    assert said is not None
    assert said.about == "In short: corum · CORUM · recall at 0.05"
    assert str(said.text) == (
        "Of the known pairs, the trained network (mae with tvn, the highest of 2 rows of trained networks) finds "
        "0.300 [0.200, 0.400], n = 50; the same network with random weights (zero with tvn) 0.150 [0.050, 0.300], "
        "n = 50 (at chance); chance is 0.100. Trained is clear of chance, and not set apart from random weights, as "
        "intervals overlap: training may have added nothing."
    )
    assert said.text.origin.row == "2 4"
    assert said.meaning.startswith("Of the known pairs, the share among the 5 %")


def test_each_standing_is_called_what_it_is() -> None:
    above = str(short(("mae", "tvn", 0.6, 0.5, 0.7), ("zero", "tvn", 0.2, 0.15, 0.3)).text)
    assert above.endswith("Trained is clear of chance, and above random weights, with intervals apart.")
    assert "; a network with random weights (zero" in above  # not known to be the same
    below = str(short(("mae", "tvn", 0.2, 0.05, 0.3), ("zero", "tvn", 0.5, 0.4, 0.6)).text)
    assert "0.200 [0.050, 0.300], n = 50 (at chance)" in below
    assert below.endswith("Trained is at chance, and below random weights, with intervals apart.")
    alone = str(short(("mae", "tvn", 0.02, 0.01, 0.05), ("zero", "none", 0.5, 0.4, 0.6)).text)
    assert alone.endswith(
        "below chance. No network with random weights stands beside it, so what training adds is not known."
    )
    nan = np.nan
    bare = str(short(("mae", "tvn", 0.6, nan, nan), ("zero", "tvn", 0.2, nan, nan), metric="top", chance=nan).text)
    assert bare == (
        "The trained network (mae with tvn) reaches 0.600, n = 50; a network with random weights (zero with tvn) "
        "0.200, n = 50. Trained is not judged (no chance level); without intervals it cannot be set apart "
        "from random weights."
    )


def test_a_tie_on_one_plate_or_of_few_says_nothing_of_training() -> None:
    rows = ("mae", "tvn", 0.3, 0.2, 0.4), ("zero", "tvn", 0.15, 0.05, 0.3)
    text = "and not set apart from random weights, as intervals overlap; this screen ({}) is too small to tell what "
    assert str(short(*rows, plates=1).text).endswith(text.format("one plate") + "training adds.")
    assert str(short(*rows, n=29).text).endswith(text.format("n = 29") + "training adds.")
    assert str(short(*rows, n=30).text).endswith("overlap: training may have added nothing.")
    assert str(short(*rows, n=np.nan).text).endswith("overlap: training may have added nothing.")
    apart = ("mae", "tvn", 0.6, 0.5, 0.7), rows[1]
    assert str(short(*apart, n=9, plates=1).text).endswith("above random weights, with intervals apart.")


def test_nothing_is_said_where_nothing_was_trained_or_measured() -> None:
    assert short(("cp", "tvn", 0.6, 0.5, 0.7), ("zero", "tvn", 0.2, 0.15, 0.3)) is None
    assert short(("mae", "tvn", np.nan, np.nan, np.nan)) is None
    assert short(("mae", "tvn", 0.5, 0.4, 0.6), metric="recall_shuffled") is None
