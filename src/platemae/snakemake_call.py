"""How platemae calls Snakemake: with which words, and in which environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from platemae.errors import ConfigError


def profile_folder(project: Path, profile: str) -> Path:
    """Return the folder of a profile: one of ours by its name, else one of the site.

    Raises
    ------
    ConfigError
        When there is no such profile.
    """
    for folder in (project / "workflow" / "profiles" / profile, Path(profile).resolve()):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(f"there is no profile {profile}", profile, "local, slurm, or a folder with a config.yaml")


def snakemake_command(
    project: Path, configfile: Path, profile: str, cores: int | None, extra: Sequence[str]
) -> list[str]:
    """Return the call of Snakemake, without its target.

    Raises
    ------
    ConfigError
        When there is no such profile.
    """
    folder = profile_folder(project, profile)
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(project / "Snakefile"),
        "--configfile",
        str(configfile),
    ]
    command += ["--workflow-profile", str(folder)]
    return command + (["--cores", str(cores)] if cores else []) + list(extra)


def job_environment() -> dict[str, str]:
    """Return the variables for Snakemake: the platemae that rules call is this one, its environment active or not."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}
