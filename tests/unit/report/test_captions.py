"""Captions of `snakemake --report`: they must render, as one that does not ends the whole report."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

from platemae.config import load_config

FOLDER = Path(__file__).resolve().parents[3] / "workflow" / "report"
OWN = {
    "train": {"steps": 77, "mask_ratio": 0.6},
    "report": {"title": "Screen <7>", "umap_neighbors": 11},
    "benchmarks": [{"name": "planted", "kind": "known_relations", "relations": "r.csv", "n_bootstrap": 123}],
}
CONFIG = load_config(OWN, "test").model_dump(mode="json")
QUOTED = {
    "workflow.rst": (
        "mae_tiny, untrained, intensity_means under none, centerscale, tvn",
        "77 steps",
        "60.0 %",
        "exclude",
    ),
    "report.rst": ("Screen &lt;7&gt;", "11 neighbours", "seed 0"),
    "scores.rst": ("planted (known_relations): intervals from 123 bootstrap draws",),
}


@pytest.mark.parametrize("name", ["workflow.rst", "report.rst", "scores.rst"])
def test_a_caption_renders_without_a_complaint(name: str) -> None:
    template = Environment(undefined=StrictUndefined).from_string((FOLDER / name).read_text())
    text = template.render(snakemake=SimpleNamespace(config=CONFIG))
    body = publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})["body"]
    assert len(body) > 100
    for words in QUOTED[name]:
        assert words in " ".join(body.split())
