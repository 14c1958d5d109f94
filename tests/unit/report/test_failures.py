"""Pictures of failed fields."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from platemae.report import failures
from platemae.report.browser_thumbnails import EDGE


def source(reasons: list[str]) -> SimpleNamespace:
    wells = [f"A{place + 1:02d}" for place in range(len(reasons))]
    qc = pd.DataFrame({"plate": "P1", "well": wells, "field": "0", "reason": reasons, "verdict": "fail"})
    fields = qc[["plate", "well", "field"]].assign(batch="b", group=[f"A/{place}/0" for place in range(len(reasons))])
    return SimpleNamespace(qc=qc, fields=fields)


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> list:
    seen: list = []

    def paint(spot: failures.Spot) -> np.ndarray:
        seen.append(spot.group)
        return np.full((EDGE, EDGE, 3), (255, 0, 0), np.uint8)

    monkeypatch.setattr(failures, "Album", lambda source: SimpleNamespace(painters={"P1": paint}))
    return seen


def test_each_reason_is_shown_before_one_is_shown_twice(painted: list) -> None:
    (figure,) = failures.failure_blocks(source(["focus in DNA: 0.1"] * 30 + ["saturation in ER: 0.9"]))
    assert len(painted) == failures.MAX_FIELDS
    assert painted[:2] == ["A/0/0", "A/30/0"]
    assert "24 of 31 failed fields" in figure.caption
    assert figure.pictures[1][1] == "P1 A31, field 0: saturation in ER: 0.9", "the whole reason, not a cut of it"
    assert len(figure.pictures) == failures.MAX_FIELDS
    first = Image.open(io.BytesIO(base64.b64decode(figure.pictures[0][0].partition(",")[2])))
    assert (np.asarray(first) == (255, 0, 0)).all()
    picture = np.asarray(Image.open(io.BytesIO(figure.drawing.forms["png"])).convert("RGB"))
    assert 0.3 < (picture == (255, 0, 0)).all(-1).mean() < 0.95


def test_nothing_failed_and_nothing_to_cut_from(painted: list, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures.failure_blocks(source([])) == []
    monkeypatch.setattr(failures, "Album", lambda source: SimpleNamespace(painters={}))
    (text,) = failures.failure_blocks(source(["focus: 0.1"]))
    assert "No failed field can be shown" in text.text
