"""Facts of models as the section on training shows them."""

import json
from types import SimpleNamespace

import pytest

from platemae.report.blocks import Fold
from platemae.report.sections.training import _facts, flat


@pytest.mark.parametrize(
    ("kind", "steps", "shown"), [("mae", 800, True), ("mae", 0, False), ("untrained", 0, False), ("tile_pca", 0, False)]
)
def test_a_model_that_was_not_optimised_has_no_steps_and_no_learning_rate(tmp_path, kind, steps, shown):
    facts = {"kind": kind, "settings": {"steps": steps, "lr": 0.001, "mask_ratio": 0.75}, "training": {"steps": steps}}
    (tmp_path / "model.json").write_text(json.dumps(facts))
    source = SimpleNamespace(trainings=["m"], results=SimpleNamespace(model=lambda model: tmp_path))
    (fold,) = (block for block in _facts(source) if isinstance(block, Fold))
    (table,) = fold.blocks
    names = [row[0].text if hasattr(row[0], "text") else row[0] for row in table.rows]
    assert ("settings: steps" in names, "settings: lr" in names) == (shown, shown)
    assert "settings: mask ratio" in names


def test_digests_are_cut_to_what_a_column_holds():
    assert dict(flat({"weights_sha256": "0123456789abcdef" * 4})) == {"weights_sha256": "0123456789ab..."}
