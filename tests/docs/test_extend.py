"""The worked examples: each page of docs/extend is followed block by block in a copy of the project, which runs."""

import json
import re
import shutil

import pandas as pd
import pytest
import yaml

from platemae.layout import Results
from tests.docs.blocks import blocks_of
from tests.workflow.conftest import CONFIG, make_project

PAGES = ("reader", "model", "correction", "benchmark")
BY_HAND = """
import sys
from platemae.cli import main

def run(stage, **names):
    code = main([stage, *(word for key, name in names.items() for word in ("--" + key.replace("_", "-"), name))])
    if code:
        sys.exit(code)

both = ("P1", "P2")
[run("ingest-plate", plate=plate) for plate in both]
[run("qc-plate", plate=plate) for plate in both]
run("fit-intensity", intensity="controls")
run("build-dataset", dataset="screen")
run("train-model", model="simple")
[run("embed-plate", model="simple", plate=plate) for plate in both]
[run("summarize-controls", model="simple", fit_on="negcon", plate=plate) for plate in both]
run("fit-correction", model="simple", correction="directions")
[run("correct-plate", model="simple", correction="directions", plate=plate) for plate in both]
run("build-map", model="simple", correction="directions")
run("score-map", model="simple", correction="directions")
"""
CHANGES = {"train": {"steps": 4, "global_batch": 4, "validate_every": 2, "checkpoint_steps": 2}}


@pytest.fixture(scope="module")
def extended(tmp_path_factory, project, tiny_screen):
    """A copy of the project to which every page was applied; files -> page."""
    made = make_project(tmp_path_factory.mktemp("extended") / "project", project, tiny_screen)
    shutil.copy2(project / "pyproject.toml", made.root)
    touched = {}
    for name in PAGES:
        page = project / f"docs/extend/{name}.md"
        edits = [block for block in blocks_of(page, project) if block.is_edit]
        assert len(edits) >= 4
        touched |= {str(block.apply(made.root)): name for block in edits}
    return made, touched


def test_a_page_names_every_file_that_it_changes(extended, project):
    _, touched = extended
    for path, name in touched.items():
        page = (project / f"docs/extend/{name}.md").read_text()
        prose = re.sub(r"<!--.*?-->", "", page)
        assert path in prose or "```python" in page.split(f"<!-- write {path} -->")[-1], (name, path)


@pytest.mark.slow
def test_the_examples_pass_their_own_tests_and_the_rules_of_style(extended, project):
    made, touched = extended
    tests = [path for path in touched if path.startswith("tests/")]
    assert len(tests) == len(PAGES)
    # Of the project's own tests those that hold registries, configuration and classes together.
    for name in ("tests/unit/benchmarks/test_registry.py", "tests/unit/config/test_corrections.py"):
        (made.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(project / name, made.root / name)
        tests.append(name)
    made.call("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", *tests)
    made.call("-m", "ruff", "check", "--no-cache", *touched)
    made.call("-m", "platemae.cli", "write-config", "written")
    schema = json.loads((made.root / "written/workflow/schemas/config.schema.json").read_text())
    assert "robust_unit" in json.dumps(schema)


@pytest.mark.slow
def test_a_run_with_all_examples_ends_with_their_scores(extended, project):
    made, _ = extended
    config = yaml.safe_load(CONFIG) | CHANGES
    for name in PAGES:
        uses = [b for b in blocks_of(project / f"docs/extend/{name}.md", project) if b.language == "yaml"]
        assert len(uses) == 1
        config |= yaml.safe_load(uses[0].text)
    (made.root / "config.yaml").write_text(yaml.safe_dump(config))
    _as_acme(made.root / "screen")
    jobs = made.stale()
    assert jobs["train_model"] == 1
    assert jobs["score_map"] == 2
    made.call("-c", BY_HAND)  # all stages in one process: what is new is code, not the workflow
    scores = pd.read_parquet(Results(made.root / "results").scores("simple", "directions"))
    row = scores[scores["benchmark"] == "plates"].iloc[0]
    assert row["n"] > 20
    assert 0 <= row["value"] <= 1
    assert 0.4 < row["chance"] < 0.6  # two plates of about as many wells


def _as_acme(screen):
    """Describe the plates of the synthetic screen as the Acme imager would."""
    table = screen / "plates.tsv"
    rows = pd.read_csv(table, sep="\t", dtype=str)
    for plate in rows["path"]:
        folder = screen / plate
        told = json.loads((folder / "plate.json").read_text())
        names = {str(channel["index"]): channel["name"] for channel in told["channels"]}
        images = []
        for path in sorted(folder.rglob("*.tiff")):
            found = re.fullmatch(told["file_pattern"], path.name)
            well = f"{chr(64 + int(found['row']))}{int(found['column'])}"
            name = str(path.relative_to(folder))
            images.append(
                {"well": well, "field": int(found["field"]), "channel": names[found["channel"]], "file": name}
            )
        (folder / "run.json").write_text(json.dumps({"pixel_size_um": told["pixel_size_um"], "images": images}))
        (folder / "plate.json").unlink()
    rows.assign(reader="acme").to_csv(table, sep="\t", index=False)
