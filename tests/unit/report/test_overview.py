"""Counts at the top of the page, and what the scores say below them."""

from types import SimpleNamespace

import pandas as pd
from numpy import nan

from platemae.contracts import SCORE_COLUMNS
from platemae.report.blocks import Statements
from platemae.report.sections import overview
from platemae.report.verdicts import judge


def test_wells_without_images_are_no_fields():
    fields = pd.DataFrame(
        {"plate": ["P1"] * 3, "batch": ["b1"] * 3, "well": ["A01", "A01", "A02"], "group": ["A/1/0", "A/1/1", ""]}
    )
    fields["control_type"] = "treatment"
    qc = pd.DataFrame({"plate": [], "well": [], "field": [], "verdict": [], "reason": []})
    source = SimpleNamespace(
        fields=fields,
        qc=qc,
        plates=["P1"],
        models=[],
        corrections=[],
        of=lambda stage: [],
        scores=(pd.DataFrame(), []),
        cfg={"exclude_failed": 1},
    )
    counts = {name: str(value) for name, value, _ in overview._facts(source)}
    assert (counts["wells"], counts["fields"]) == ("2", "2")


def test_a_verdict_stands_under_its_meaning_and_its_rows_behind_a_line():
    rows = [
        [name, "tvn", "corum", "CORUM", "recall", 0.05, 0.12, 0.05, 0.3, nan, nan, 50, 0.1, "", "{}"]
        for name in ("a", "b", "c", "d")
    ]
    rows += [["top", *rows[0][1:6], 0.9, 0.8, 1.0, *rows[0][9:]]]
    verdicts = judge(pd.DataFrame(rows, columns=list(SCORE_COLUMNS)), 1)
    (said,) = (block for block in overview._said(verdicts, 3) if isinstance(block, Statements))
    (one,) = said.statements
    assert one.meaning.startswith("Of the known pairs")
    assert "at chance: 4 rows" in str(one.text)
    assert one.names == ["At chance: a with tvn, b with tvn, c with tvn and d with tvn."]
    assert one.text.origin.row == "0 1 2 3 4"
