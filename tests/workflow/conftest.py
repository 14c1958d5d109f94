"""A tiny project that a test may edit: the workflow, a copy of the package, a screen of two plates, a small net."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from platemae.synthetic.screen import write_screen
from platemae.synthetic.settings import ScreenSettings
from tests.workflow import dry_runs

SCREEN = ScreenSettings(
    plates=("P1", "P2", "P3"),
    batches=("B1", "B1", "B2"),
    rows=4,
    columns=6,
    negcon_wells=6,
    poscon_wells=2,
    modules=2,
    genes_per_module=3,
    strengths=(1.0, 0.5),
    inactive_genes=2,
    ntc_guides=2,
    fields_per_well=1,
    height=64,
    width=64,
    cells_per_field=5.0,
)

CONFIG = """\
results: results
plates: screen/plates.tsv
train: {steps: 4, global_batch: 4, validate_every: 2, checkpoint_steps: 2}
intensity:
  - {name: controls, fit_plates: [P1, P2]}
datasets:
  - {name: screen, plates: [P1, P2], validation_fraction: 0.2}
models:
  - {name: mae, kind: mae, dataset: screen, intensity: controls, architecture: ARCHITECTURE}
  - {name: means, kind: profiles, source: intensity_means}
corrections:
  - {name: none, kind: none, fit_plates: [P1, P2]}
  - {name: tvn, kind: tvn, fit_plates: [P1, P2]}
benchmarks:
  - {name: planted, kind: known_relations, relations: relations.csv, n_bootstrap: 20, n_shuffles: 20}
""".replace(
    "ARCHITECTURE",
    "{crop_px: 32, patch_px: 8, width: 32, depth: 1, heads: 2, decoder_width: 32, decoder_depth: 1, decoder_heads: 2}",
)


@dataclass
class Project:
    """A copy of the project in a folder of its own."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """The copied package is imported instead of the installed one."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "PYTHONPATH": str(self.root / "src"), "PATH": path, "OMP_NUM_THREADS": "1"}

    def call(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run Python with arguments inside the project."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Call ``platemae run``."""
        return self.call("-m", "platemae.cli", "run", "--cores", "2", *arguments, check=check)

    def stale(self, *arguments: str) -> dict[str, int]:
        """Return the rules that a dry run would execute, with their number of jobs."""
        done = dry_runs.call(["--cores", "2", "--dry-run", *arguments], self.root, self.root / "src")
        assert done.returncode == 0, done.stdout[-6000:]
        return jobs_of(done.stdout)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text in a file; the text must be there."""
        file = self.root / path
        text = file.read_text()
        assert old in text, (path, old)
        file.write_text(text.replace(old, new, 1))


def jobs_of(output: str) -> dict[str, int]:
    """Return Snakemake's table of jobs, without the targets."""
    rows = re.findall(r"^(\w+) +(\d+)$", output, re.M)
    return {rule: int(count) for rule, count in rows if not rule.endswith("all") and rule != "total"}


def make_project(folder: Path, source: Path, screen: Path) -> Project:
    """Copy workflow and package, and link nothing: a test may edit all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Snakefile", "rules", "envs", "workflow", "src"):
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy2
        copy(
            source / name,
            folder / name,
            **({"ignore": shutil.ignore_patterns("__pycache__")} if copy is shutil.copytree else {}),
        )
    shutil.copytree(screen, folder / "screen")
    (folder / "config.yaml").write_text(CONFIG)
    keep_plates(folder, ("P1", "P2"))
    return Project(folder)


def keep_plates(folder: Path, plates: tuple[str, ...]) -> None:
    """Cut plates.tsv to some plates; the raw folders stay."""
    table = folder / "screen/plates.tsv"
    full = folder / "screen/plates.full.tsv"
    if not full.exists():
        shutil.copy2(table, full)
    header, *rows = full.read_text().splitlines()
    table.write_text("\n".join([header, *(row for row in rows if row.split("\t")[0] in plates)]) + "\n")


@pytest.fixture(scope="session")
def tiny_screen(tmp_path_factory) -> Path:
    """Three plates of 24 wells, 64 x 64 pixels."""
    root = tmp_path_factory.mktemp("screen") / "screen"
    write_screen(root, SCREEN, workers=2)
    return root


@pytest.fixture
def fresh_project(tmp_path, project, tiny_screen) -> Project:
    """A project in which nothing ran yet."""
    return make_project(tmp_path / "project", project, tiny_screen)
