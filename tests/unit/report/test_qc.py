import numpy as np
import pandas as pd

from platemae.report.qc import FAIL, WARN, layout, reason_kind, with_verdict


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
