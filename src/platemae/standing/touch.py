"""Have Snakemake take over the present parameters and code of finished jobs: its ``--touch`` does the bookkeeping."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from platemae.errors import PlatemaeError
from platemae.layout import MANIFESTS
from platemae.snakemake_call import job_environment, last_words, snakemake_command


def touch(
    project: Path,
    configfile: Path,
    profile: str,
    stage: str,
    wildcards: Sequence[Mapping[str, str]],
    *,
    force: bool = False,
) -> None:
    """Touch the outputs of jobs of one stage, and of no other rule's, in one call of Snakemake.

    Parameters
    ----------
    project, configfile, profile
        As of ``platemae run``.
    stage, wildcards
        The jobs, at most `CALL`.
    force
        Also those that Snakemake does not think stale.

    Raises
    ------
    PlatemaeError
        When Snakemake does not.
    """
    targets = [MANIFESTS[stage].format(**of) for of in wildcards]
    extra = ["--allowed-rules", stage, "--touch", *(["--force"] if force else []), "--", *targets]
    command = snakemake_command(project, configfile, profile, 1, extra)
    done = subprocess.run(command, cwd=project, env=job_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PlatemaeError(f"Snakemake cannot touch the results:\n{last_words(done)}", stage, "platemae explain")
