"""How platemae calls Snakemake: with which words, and in which environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from platemae.errors import ConfigError

T = TypeVar("T")


CALL = 2000
"""Manifests that one call of Snakemake is given; a command line has an end."""
SAID = 8
"""Lines of each of its streams that are repeated where it fails."""


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


def in_calls(many: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield parts that are short enough for one call each."""
    for start in range(0, len(many), CALL):
        yield many[start : start + CALL]


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Return the end of what a call that failed has said: Snakemake uses both streams."""
    return "\n".join([*done.stderr.splitlines()[-SAID:], *done.stdout.splitlines()[-SAID:]])


def job_environment() -> dict[str, str]:
    """Return the variables for Snakemake: the platemae that rules call is this one, its environment active or not."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}
