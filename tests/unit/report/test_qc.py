import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd

from platemae.contracts import QC_COLUMNS
from platemae.report.qc import FAIL, WARN, layout, reason_kind, with_verdict
from platemae.report.sections import plates


def test_values_lie_at_their_wells_and_nowhere_else() -> None:
    plate = layout(pd.Series({"A02": 5.0, "B01": 7.0}), (2, 3))
    assert np.isnan(plate).sum() == 4
    assert plate[0, 1] == 5
    assert plate[1, 0] == 7


def test_a_failed_field_counts_once_whatever_its_channels() -> None:
    rows = [("P", "A01", "0", c, v, r) for c in ("DNA", "ER") for v, r in [("fail", "out of focus")]]
    rows += [("P", "A01", "1", c, "pass", "") for c in ("DNA", "ER")]
    qc = pd.DataFrame(rows, columns=["plate", "well", "field", "channel", "verdict", "reason"])
    assert with_verdict(qc, FAIL).to_numpy().tolist() == [["P", "A01", "0", "out of focus"]]
    assert len(with_verdict(qc, WARN)) == 0


def test_reasons_that_differ_in_their_numbers_are_one_kind() -> None:
    assert reason_kind("focus below 0.05: DNA 0.0002") == reason_kind("focus below 0.05: ER 0.01") == "focus below 0.05"
    assert reason_kind("channel missing: ER; saturated: DNA 0.4") == "channel missing; saturated"


def test_a_plate_without_counted_cells_is_told_and_warns_nobody() -> None:
    rows = pd.DataFrame([["P1", "A01", "0", "ER"], ["P1", "A02", "0", "ER"]], columns=list(QC_COLUMNS[:4]))
    qc = rows.assign(verdict="pass", reason="", cells=np.nan).reindex(columns=list(QC_COLUMNS))
    qc[["focus", "mean", "background", "saturation"]] = [[0.2, 10.0, 3.0, 0.0], [0.4, 30.0, 5.0, 0.0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = plates._numbers(SimpleNamespace(qc=qc, of=lambda stage: []))
    (shown,) = (dict(zip(table.columns, map(str, row), strict=True)) for row in table.rows)
    assert {name: shown[name] for name in ("cells", "foreground", "focus", "mean")} == {
        "cells": "not counted",
        "foreground": "not measured",
        "focus": "0.3",
        "mean": "20",
    }
