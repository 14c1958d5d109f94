"""Groups of the SLURM profile: Snakemake's checks that are left out cannot fail, the others still do."""

import subprocess
import sys

import pytest

RULES = """\
from platemae.snakemake_groups import check_mixed_groups_only
check_mixed_groups_only()
rule all:
    input: expand("c/{plate}", plate=range(4))
rule first:
    output: "a/{plate}"
    group: "one"
    shell: "touch {output}"
rule between:
    input: "a/{plate}"
    output: "b/{plate}"
    shell: "touch {output}"
rule last:
    input: "b/{plate}"
    output: "c/{plate}"
    group: "GROUP"
    shell: "touch {output}"
"""


@pytest.mark.parametrize(("group", "works"), [("other", True), ("one", False)])
def test_a_group_that_depends_on_itself_is_still_refused(tmp_path, group, works):
    (tmp_path / "Snakefile").write_text(RULES.replace("GROUP", group))
    # All eight jobs in one group: of two groups of four Snakemake chooses the members at random, and they may be sound.
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--group-components", f"{group}=8"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == works, done.stderr
    assert works or "depends on itself" in done.stderr + done.stdout, done.stderr
