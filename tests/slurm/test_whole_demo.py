"""The screen of `make demo` on SLURM and on this machine: equal results. Half an hour, so only where it is asked for.

`PLATEMAE_WHOLE_DEMO=1 make slurm` runs it beside the others, which compare a smaller screen.
"""

import os
import shutil

import pandas as pd
import pytest

from platemae.synthetic import ScreenSettings, write_screen
from tests.slurm.cluster import CountedSbatch
from tests.slurm.test_demo_slurm import TRAINED_ALIKE, OnSlurm, digests, write_site
from tests.workflow.conftest import Project, make_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not os.environ.get("PLATEMAE_WHOLE_DEMO"), reason="half an hour; PLATEMAE_WHOLE_DEMO=1 runs it"),
]
EXACT = ("plates", "qc", "intensity", "datasets")


def demo_project(folder, project, screen) -> Project:
    """Copy the project with its own configuration, which is the demo's."""
    made = make_project(folder, project, screen)
    (folder / "screen").rename(folder / "demo-screen")
    shutil.copy2(screen / "plates.tsv", folder / "demo-screen/plates.tsv")
    shutil.copy2(project / "config.yaml", folder / "config.yaml")
    return made


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """What `platemae synthesize-screen demo-screen` writes."""
    folder = tmp_path_factory.mktemp("demo") / "screen"
    write_screen(folder, ScreenSettings(), workers=2)
    return folder


def test_the_demo_is_equal_on_slurm(tmp_path, project, screen, cluster):
    here, made = (demo_project(tmp_path / name, project, screen) for name in ("here", "there"))
    there = OnSlurm(made.root, cluster, CountedSbatch(tmp_path / "bin"))
    write_site(there.root)
    here.run(*TRAINED_ALIKE)
    there.submit()

    mine = digests(here, EXACT)
    assert len(mine) > len(EXACT)
    assert digests(there, EXACT) == mine
    weights = [made.root / "results/models/mae_tiny/model.safetensors" for made in (here, there)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    files = sorted((here.root / "results/scores").rglob("*.parquet"))
    assert files
    for file in files:
        theirs = pd.read_parquet(there.root / file.relative_to(here.root))
        pd.testing.assert_frame_equal(pd.read_parquet(file), theirs, check_exact=False, rtol=0, atol=1e-3)
    assert (there.root / "results/report/index.html").is_file()
    assert there.submit() == [], "a full rerun has nothing to do"
