"""Verdicts: each limit, its reason in words, and what must not matter."""

from typing import get_args

import pandas as pd
import pytest

from platemae.config.sections import QC_MEASURES
from platemae.contracts import QC_COLUMNS
from platemae.qc.gate import kept_fields
from platemae.qc.limits import WATCHED
from platemae.qc.verdict import blank_images, judge

LIMITS = {"min_focus": 0.1, "max_saturation": 0.02, "min_foreground": 0.01, "limits": "robust", "mads": 6.0, "warn": {}}
GOOD = {"focus": 0.2, "top": 3000.0, "top_share": 1e-5, "background": 200.0, "foreground": 0.3, "mean": 500.0}
GOOD |= {"slope": -1.5, "laplacian": 0.1, "zeros": 0.0, "cells": 20.0}
BLANK = {"focus": 0.0, "top": 0.0, "top_share": 1.0, "background": 0.0, "foreground": 0.0, "mean": 0.0}
BLANK |= {"slope": 0.0, "laplacian": 0.0, "zeros": 1.0}


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


def kept(judged):
    """Wells that go on."""
    fields = judged.drop_duplicates("well")
    return set(fields["well"][kept_fields(fields, judged)])


def test_a_sound_plate_passes():
    judged = judge(table(), LIMITS, {})
    assert list(judged.columns) == list(QC_COLUMNS)
    assert set(judged["verdict"]) == {"pass"}
    assert set(judged["reason"]) == {""}
    assert kept(judged) == {f"A{i:02d}" for i in range(1, 7)}


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
    judged = judge(table(**{f"{i}{c}": BLANK for i in range(6) for c in ("DNA", "ER")}), LIMITS, {})
    assert set(judged["reason"]) == {"blank image, every pixel is zero: DNA, ER"}
    assert kept(judged) == set()
    assert not judged.drop(columns="reason").isna().any().any()


def test_a_blank_image_fails_whatever_the_limits():
    judged = judge(table(**{"1ER": BLANK}), LIMITS | {"min_foreground": 0.0, "min_focus": 0.0}, {})
    assert reasons(judged)["A02"] == "blank image, every pixel is zero: ER"
    assert kept(judged) == {f"A{i:02d}" for i in (1, 3, 4, 5, 6)}
    assert blank_images(judged)[["well", "channel"]].to_numpy().tolist() == [["A02", "ER"]]


def test_a_missing_channel_fails_its_field_and_is_named_once():
    judged = judge(table(**{"0ER": BLANK}), LIMITS, {("A01", "1"): ["ER"]})
    assert reasons(judged)["A01"] == "missing image: ER"
    assert kept(judged) == {f"A{i:02d}" for i in range(2, 7)}


def test_the_gate_keeps_all_or_leaves_out_what_failed():
    judged = judge(table(**{"1ER": BLANK}), LIMITS, {})
    fields = judged.drop_duplicates("well").iloc[::-1]
    assert list(kept_fields(fields, judged)) == [True, True, True, True, False, True]
    assert kept_fields(fields, judged, exclude_failed=False).all()
    unknown = fields.assign(field="2")
    assert not kept_fields(unknown, judged).any()


def spread(n=24, **changes):
    """A plate whose measures vary as a ramp around the good values: the deviation of every one is known."""
    ramp = {f"{i}{c}": {"mean": 500.0 + i, "cells": 40.0 + i % 5} for i in range(n) for c in ("DNA", "ER")}
    return table(n, **{key: ramp[key] | changes.get(key, {}) for key in ramp})


def test_robust_limits_warn_and_keep():
    """501 to 523 and 2000 have the median 512.5 and, from it, the median absolute deviation 6."""
    judged = judge(spread(**{"0ER": {"mean": 2000.0}}), LIMITS, {})
    found = judged.set_index(["well", "channel"])
    assert found.loc[("A01", "ER"), "verdict"] == found.loc[("A01", "DNA"), "verdict"] == "warn"
    low, high = 512.5 - 6 * 6 * 1.4826, 512.5 + 6 * 6 * 1.4826
    assert found.loc[("A01", "ER"), "reason"] == f"mean unusual: ER 2000 ({low:.4g} to {high:.4g})"
    assert (judged["verdict"] == "pass").sum() == 46
    assert len(kept(judged)) == 24


def test_cells_are_judged_once_a_field():
    judged = judge(spread(**{f"3{c}": {"cells": 1.0} for c in ("DNA", "ER")}), LIMITS, {})
    assert reasons(judged)["A04"].startswith("cells unusual: 1 (")
    assert reasons(judged)["A04"].count("1 (") == 1


def test_a_failed_field_sets_no_limit_and_gets_no_warning():
    lost = {f"{i}{c}": BLANK for i in range(10) for c in ("DNA", "ER")}
    judged = judge(spread(**lost, **{"20DNA": {"mean": 700.0}}), LIMITS, {})
    assert list(judged["verdict"].value_counts().sort_index()) == [20, 26, 2]
    assert "unusual" not in reasons(judged)["A01"]


def test_few_fields_and_equal_values_set_no_robust_limit():
    assert set(judge(spread(11, **{"0ER": {"mean": 9000.0}}), LIMITS, {})["verdict"]) == {"pass"}
    assert set(judge(table(24, **{"0ER": {"mean": 9000.0}}), LIMITS, {})["verdict"]) == {"pass"}


def test_fixed_limits_have_open_ends():
    limits = LIMITS | {"limits": "fixed", "warn": {"mean": [None, 600.0], "cells": [30.0, None]}}
    judged = judge(table(4, **{"0ER": {"mean": 601.0}, "1ER": {"mean": -9.0}}), limits, {})
    assert reasons(judged)["A01"] == "mean unusual: ER 601 (-inf to 600); cells unusual: 20 (30 to inf)"
    assert reasons(judged)["A02"] == "cells unusual: 20 (30 to inf)"


def test_a_plate_without_a_dna_channel_has_no_cells_and_no_limit_on_them():
    judged = judge(spread().assign(cells=float("nan")), LIMITS, {})
    assert set(judged["verdict"]) == {"pass"}


@pytest.mark.parametrize("row", [0, 5])
def test_the_order_of_rows_does_not_matter(row):
    measured = table(**{f"{row}DNA": {"focus": 0.001}})
    shuffled = measured.sample(frac=1, random_state=3)
    assert reasons(judge(measured, LIMITS, {})) == reasons(judge(shuffled, LIMITS, {}))


def test_the_configuration_names_the_measures_that_can_have_limits():
    assert set(get_args(QC_MEASURES)) == set(WATCHED) <= set(QC_COLUMNS)
