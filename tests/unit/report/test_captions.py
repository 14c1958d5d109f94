"""Captions of `snakemake --report`: they must render, as one that does not ends the whole report."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

FOLDER = Path(__file__).resolve().parents[3] / "workflow" / "report"
CONFIG = {"models": [{"name": "mae_tiny"}, {"name": "untrained"}], "corrections": [{"name": "tvn"}]}


@pytest.mark.parametrize("name", ["workflow.rst", "report.rst", "scores.rst"])
def test_a_caption_renders_without_a_complaint(name: str) -> None:
    template = Environment(undefined=StrictUndefined).from_string((FOLDER / name).read_text())
    text = template.render(snakemake=SimpleNamespace(config=CONFIG))
    body = publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})["body"]
    assert len(body) > 100
    if name == "workflow.rst":
        assert "mae_tiny, untrained under tvn" in " ".join(body.split())
