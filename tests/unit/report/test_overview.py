"""Counts at the top of the page."""

from types import SimpleNamespace

import pandas as pd

from platemae.report.sections import overview


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
