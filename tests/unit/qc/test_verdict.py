"""Verdicts: each limit, its reason in words, and what must not matter."""

import pandas as pd
import pytest

from platemae.contracts import QC_COLUMNS
from platemae.qc.verdict import judge, passed_fields

LIMITS = {"min_focus": 0.1, "max_saturation": 0.02, "min_foreground": 0.01}
GOOD = {"focus": 0.2, "top": 3000.0, "top_share": 1e-5, "background": 200.0, "foreground": 0.3, "mean": 500.0}


def table(n=6, **changes):
    """A plate of ``n`` wells and two channels; changes are ``{(well index, channel): {measure: value}}``."""
    rows = []
    for i in range(n):
        for channel in ("DNA", "ER"):
            values = GOOD | {"focus": 0.2 if channel == "DNA" else 0.05} | changes.get(f"{i}{channel}", {})
            rows.append({"plate": "P1", "well": f"A{i + 1:02d}", "field": "1", "channel": channel} | values)
    return pd.DataFrame(rows)


def reasons(judged):
    return dict(zip(judged["well"], judged["reason"], strict=True))


def test_a_sound_plate_passes():
    judged = judge(table(), LIMITS, {})
    assert list(judged.columns) == list(QC_COLUMNS)
    assert set(judged["verdict"]) == {"pass"}
    assert set(judged["reason"]) == {""}
    assert passed_fields(judged) == {(f"A{i:02d}", "1") for i in range(1, 7)}


def test_focus_is_relative_to_the_channels_own_median():
    judged = judge(table(**{"2ER": {"focus": 0.004}, "3DNA": {"focus": 0.021}}), LIMITS, {})
    assert reasons(judged)["A03"] == "focus below 0.1 of the plate's median: ER 0.0800"
    assert reasons(judged)["A04"] == ""
    assert list(judged.loc[judged["well"] == "A03", "verdict"]) == ["fail", "fail"]


def test_the_median_leaves_out_fields_that_show_nothing():
    empty = {f"{i}{c}": {"focus": 0.0, "foreground": 0.0004} for i in range(4) for c in ("DNA", "ER")}
    judged = judge(table(**empty, **{"4DNA": {"focus": 0.01}}), LIMITS, {})
    assert reasons(judged)["A05"].startswith("focus below 0.1 of the plate's median: DNA 0.0952")
    assert reasons(judged)["A01"] == "foreground below 0.01: DNA 0.0004, ER 0.0004"


def test_saturation_is_the_share_at_the_plates_top_not_at_the_fields_own():
    clipped = {"top": 4095.0, "top_share": 0.05}
    judged = judge(table(**{"1DNA": clipped, "2DNA": {"top": 3500.0, "top_share": 0.05}}), LIMITS, {})
    assert reasons(judged)["A02"] == "saturation above 0.02: DNA 0.0500"
    assert reasons(judged)["A03"] == ""
    rows = judged[judged["channel"] == "DNA"].set_index("well")["saturation"]
    assert (rows["A02"], rows["A03"]) == (0.05, 0.0)


def test_an_all_zero_plate_fails_with_a_reason():
    nothing = {"focus": 0.0, "top": 0.0, "top_share": 1.0, "background": 0.0, "foreground": 0.0, "mean": 0.0}
    judged = judge(table(**{f"{i}{c}": nothing for i in range(6) for c in ("DNA", "ER")}), LIMITS, {})
    assert set(judged["reason"]) == {"foreground below 0.01: DNA 0.0000, ER 0.0000"}
    assert passed_fields(judged) == set()
    assert not judged[["focus", "saturation"]].isna().any().any()


def test_a_missing_channel_fails_its_field():
    dark = {"focus": 0.0, "top": 0.0, "top_share": 1.0, "foreground": 0.0}
    judged = judge(table(**{"0ER": dark}), LIMITS, {("A01", "1"): ["ER"]})
    assert reasons(judged)["A01"] == "missing image: ER; foreground below 0.01: ER 0.0000"
    assert ("A01", "1") not in passed_fields(judged)
    assert len(passed_fields(judged)) == 5


@pytest.mark.parametrize("row", [0, 5])
def test_the_order_of_rows_does_not_matter(row):
    measured = table(**{f"{row}DNA": {"focus": 0.001}})
    shuffled = measured.sample(frac=1, random_state=3)
    assert reasons(judge(measured, LIMITS, {})) == reasons(judge(shuffled, LIMITS, {}))
