"""The screen of `make demo` through SLURM: results equal to those that `make demo` left here.

A quarter of an hour, so only where it is asked for: `make demo && PLATEMAE_WHOLE_DEMO=1 make slurm`. The other tests
compare a smaller screen. Both runs train in one process of as many threads.
"""

import os
import shutil

import pandas as pd
import pytest
import yaml

from tests.slurm.cluster import CountedSbatch
from tests.slurm.test_demo_slurm import OnSlurm, digests, write_site
from tests.workflow.conftest import Project, make_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not os.environ.get("PLATEMAE_WHOLE_DEMO"), reason="a quarter of an hour; PLATEMAE_WHOLE_DEMO=1 runs it"
    ),
]
EXACT = ("plates", "qc", "intensity", "datasets")


@pytest.fixture
def there(tmp_path, project, cluster):
    """A copy of the project with the demo's screen and configuration, and a site's profile; not run yet."""
    made = make_project(tmp_path / "project", project, project / "demo-screen")
    (made.root / "screen").rename(made.root / "demo-screen")
    for name in ("config.yaml", "demo-screen/plates.tsv"):
        shutil.copy2(project / name, made.root / name)
    write_site(made.root)
    path = made.root / "site/config.yaml"
    values = yaml.safe_load(path.read_text())
    values["set-resources"]["train_model"] = {"mem_mb": 2500, "runtime": 30, "gpu": 0}
    del values["set-threads"]
    path.write_text(yaml.safe_dump(values))
    return OnSlurm(made.root, cluster, CountedSbatch(tmp_path / "bin"))


def test_the_demo_is_equal_on_slurm(there, project):
    here = Project(project)
    mine = digests(here, EXACT)
    assert len(mine) == 2 * 4 + 2, "of four plates and their QC, one map and one training set: make demo comes first"
    there.submit()
    assert digests(there, EXACT) == mine
    weights = [made.root / "results/models/mae_tiny/model.safetensors" for made in (here, there)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    files = sorted((here.root / "results/scores").rglob("*.parquet"))
    assert len(files) == 9
    for file in files:
        theirs = pd.read_parquet(there.root / file.relative_to(here.root))
        pd.testing.assert_frame_equal(pd.read_parquet(file), theirs, check_exact=False, rtol=0, atol=1e-3)
    assert (there.root / "results/report/index.html").is_file()
    assert there.submit() == [], "a full rerun has nothing to do"
