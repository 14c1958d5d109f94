"""The commands of the documentation, executed: the blocks of a page one after another, in a tiny project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks_of
from tests.workflow.conftest import Project

EXECUTED = ("README.md", "docs/getting-started.md", "docs/paper-table.md", "docs/commands.md", "docs/models.md")
"""Pages whose blocks run; a block of another page is marked as not run, or is a file of a worked example."""

SCREEN = "/data/my-screen"
"""A path that stands for the reader's own plates."""

FILL_IN = """\
#!{python}
# What a person does in the editor: control wells and treatments. And a run as short as it can be, as this is a test.
import sys
from pathlib import Path

for name in sys.argv[1:]:
    head, *wells = Path(name).read_text().splitlines()
    kinds = ["negcon" if i % 6 == 0 else "treatment" for i in range(len(wells))]
    filled = [f"{{w.split()[0]}}\\tp{{i % 6}}\\t\\t\\t\\t{{kinds[i]}}" for i, w in enumerate(wells)]
    Path(name).write_text("\\n".join([head, *filled]) + "\\n")
    config = Path(name).parents[1] / "config.yaml"
    if "train:" not in config.read_text():
        short = "\\ntrain: {{steps: 4, global_batch: 4, validate_every: 2}}\\n"
        short += "corrections: [{{name: none, kind: none}}, {{name: tvn, kind: tvn}}]\\n"
        config.write_text(config.read_text().replace("  - {{name: untrained", "  # - {{name: untrained") + short)
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def desk(fresh_project, tmp_path, project) -> Project:
    """A clone as a newcomer has it: environment in .venv, plates in a folder, an editor."""
    root = fresh_project.root
    (root / ".venv").symlink_to(Path(sys.executable).parents[1])
    images_of(root / "screen", tmp_path / "data/my-screen")
    editor = tmp_path / "editor"
    editor.write_text(FILL_IN.format(python=sys.executable))
    editor.chmod(0o755)
    return fresh_project


def images_of(screen: Path, to: Path) -> None:
    """Copy a plate of the tiny screen as plain images that are named after well, field and channel."""
    for plate in ("P1",):
        (to / plate).mkdir(parents=True)
        told = json.loads((screen / f"plates/{plate}/plate.json").read_text())
        names = {f"ch{channel['index']}": channel["name"] for channel in told["channels"]}
        for path in sorted((screen / "plates" / plate).rglob("*.tiff")):
            place, channel = path.stem.split("-")
            well = f"{chr(64 + int(place[1:3]))}{place[4:6]}"
            shutil.copy2(path, to / plate / f"{well}_s{int(place[7:9])}_{names[channel]}.tiff")


def execute(desk: Project, blocks: list[Block]) -> str:
    """Run blocks in one shell that ends at the first command that fails, and return what they said."""
    parts = {"bash": "{}", "python": "python - <<'PYTHON'\n{}\nPYTHON"}
    lines = [f"echo '== {block}'\n{parts[block.language].format(block.text)}" for block in blocks]
    script = "set -euo pipefail\n" + "\n".join(lines).replace(SCREEN, str(desk.root.parent / "data/my-screen"))
    tools = desk.root.parent / "bin"  # a cluster of this machine is none of the reader's
    tools.mkdir(exist_ok=True)
    (tools / "sinfo").write_text("#!/bin/sh\n")  # no partition
    (tools / "sinfo").chmod(0o755)
    # The activation of .venv puts its folder first: the tools go behind it and before the system's.
    path = f"{Path(sys.executable).parent}:{tools}:{os.environ['PATH']}"
    outside = {"EDITOR": str(desk.root.parent / "editor"), "PATH": path}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=desk.root,
        env=desk.environment | outside,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def to_run(page: str, project: Path) -> list[Block]:
    """Return the blocks of a page that are commands and not marked."""
    found = blocks_of(project / page, project)
    return [b for b in found if b.language in ("bash", "python") and not b.why_not_run and not b.is_edit]


def test_from_a_folder_of_plates_to_a_report_and_a_published_table_beside(desk, project):
    """README, getting started, and what follows from the project that they make; equal blocks run once."""
    run: dict[str, Block] = {}
    for page in ("docs/getting-started.md", "docs/paper-table.md"):
        run |= {block.text: block for block in to_run(page, project)}
    said = execute(desk, list(run.values()))
    assert "no problem found" in said
    assert (desk.root / "my-screen/results/report/index.html").stat().st_size > 10_000
    table = said.split("last_year")[-1] + (desk.root / "my-screen/results/tables/papers/last_year.md").read_text()
    assert "0.41" in table
    (tmp := desk.root / "my-screen").rename(tmp.with_name("by-getting-started"))
    commands = [line.split("#")[0].split() for b in to_run("README.md", project) for line in b.text.splitlines()]
    walked = [line.split("#")[0].split() for text in run for line in text.splitlines()]
    for command in commands:  # README's way is the same one; the plan for a cluster is its own
        assert command in walked or command[:2] == ["platemae", "plan"], command


def test_the_plan_that_readme_shows_for_a_cluster(desk, project):
    blocks = to_run("README.md", project)
    kept = [line for b in blocks for line in b.text.splitlines() if not line.startswith("platemae run ")]
    said = execute(desk, [Block("README.md", 0, "bash", "\n".join(kept), "")])
    assert "calls of sbatch: " in said


@pytest.mark.parametrize("page", ["docs/commands.md", "docs/models.md"])
def test_the_commands_of_a_page(page, desk, project):
    blocks = to_run(page, project)
    assert blocks
    said = execute(desk, blocks)
    assert all(f"== {block}" in said for block in blocks)


def test_this_page_knows_no_page_that_is_gone(project):
    assert all((project / page).is_file() and to_run(page, project) for page in EXECUTED)
    assert os.path.isdir(project / "docs")
