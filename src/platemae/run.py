"""``platemae run``: check everything first, then call Snakemake stage by stage.

Snakemake reruns what depends on a job of the same call even when that job's output came out equal. So the stages up to
the datasets are called one after the other, whatever is made of them then: a plate that was ingested again with equal
pixels stops there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import yaml

from platemae.config.plates import read_plates
from platemae.errors import few
from platemae.holding.hold import Held, check_at_rest, hold
from platemae.holding.orphans import Orphans
from platemae.inputs import check_inputs, check_raw_folders, find_config, find_project
from platemae.layout import Results
from platemae.planning.submission import Cleared, check_submission, cluster_arguments
from platemae.provenance.run_record import recorded_run
from platemae.snakemake_call import job_environment, snakemake_command
from platemae.standing.code import note_code
from platemae.standing.error_notes import repeat_errors

_SETS = ("ingest_all", "qc_all", "intensity_all", "datasets_all")
BEFORE = {
    "ingest_all": (),
    "qc_all": _SETS[:1],
    "measure_all": _SETS[:2],
    "intensity_all": _SETS[:2],
    "datasets_all": _SETS[:3],
    "models_all": _SETS,
    "embeddings_all": _SETS,
    "all": _SETS,
}
"""Target -> those that are reached in calls of their own before it."""
FORCES = ("--forcerun", "-R", "--forceall", "-F")
"""Arguments of Snakemake that hold for a call, and would force the same jobs again in each."""
SHOWN = 5
"""Results that are named before they are only counted."""


@dataclass(frozen=True)
class Limits:
    """Space (10^9 bytes), files and folders that a quota leaves; None: as much as the disk has free."""

    quota_gb: float | None = None
    quota_files: int | None = None


def run_pipeline(
    configfile: Path | None,
    profile: str,
    cores: int | None,
    dry_run: bool,
    target: str,
    extra: Sequence[str],
    orphans: Orphans = "wait",
    take_over: bool = False,
    limits: Limits | None = None,
) -> int:
    """Run the pipeline and return the exit code: 0 done, 2 when a stage found wrong input, else Snakemake's.

    Parameters
    ----------
    configfile, profile, cores, dry_run, target
        As of the command line.
    extra
        More arguments for Snakemake; one that forces jobs makes the run a single call.
    orphans
        ``wait`` for SLURM jobs that a killed run left, or ``cancel`` them.
    take_over
        Take the folder over from a run on another host.
    limits
        What a run that submits may use; None: SLURM is not asked whether it has such partitions, accounts and nodes.

    Raises
    ------
    PlatemaeError
        When the configuration or a table is wrong, or another run holds the results folder.
    """
    project = find_project()
    configfile = find_config(configfile, project)
    config = check_inputs(configfile, project)
    results = Results(project / config.results)
    phases = [target] if dry_run else _phases(target, extra)
    command = snakemake_command(project, configfile, profile, cores, extra)
    if dry_run:
        check_at_rest(results)
        return _snakemake([*command, "--dry-run", "--nolock", "--", *phases], project)
    variables: dict[str, str] = {}
    if not _submits(command) and target in BEFORE:
        check_raw_folders(config, project)
    if _submits(command):
        cleared = _cleared(configfile, command, limits, target)
        command, variables = [*command, *cleared.words], cleared.variables
    with hold(results, orphans, take_over=take_over, submits=_submits(command)) as held:
        plates = read_plates(project / config.plates, [reader.name for reader in config.readers])
        note_code(config, plates, results)
        if held.earlier:
            _keep_finished(configfile, profile)
        if held.run.submits:
            command += ["--slurm-jobname-prefix", held.run.prefix]
        with recorded_run(results, project, config, plates) as outcome:
            for phase in phases:
                code = _snakemake([*command, "--", phase], project, held, variables)
                if code != 0:
                    held.ended = False
                    outcome.exit_code = 2 if repeat_errors(results, held.run.run_id) else code
                    return outcome.exit_code
            outcome.exit_code = 0
    return 0


def _phases(target: str, extra: Sequence[str]) -> list[str]:
    """Return the targets of the calls of Snakemake, in turn."""
    if any(word.partition("=")[0] in FORCES for word in extra):
        return [target]
    return [*BEFORE.get(target, ()), target]


def _keep_finished(configfile: Path, profile: str) -> None:
    from platemae.standing.finished import keep_finished  # slow to import, and needed after a kill alone

    kept = keep_finished(configfile, profile)
    if kept:
        print(f"{len(kept)} results that jobs finished without their run are kept: {few(kept, SHOWN)}", file=sys.stderr)


def _cleared(configfile: Path, command: Sequence[str], limits: Limits | None, target: str) -> Cleared:
    """Check what SLURM would refuse, and return what Snakemake must be told of this cluster."""
    found = Cleared()
    if limits is not None:
        quotas = limits.quota_gb, limits.quota_files
        found = check_submission(configfile, _profile_of(command), *quotas, command, target)
    return Cleared([*found.words, *cluster_arguments()], found.variables)


def _profile_of(command: Sequence[str]) -> Path:
    return Path(command[command.index("--workflow-profile") + 1])


def _submits(command: Sequence[str]) -> bool:
    """Tell whether a call of Snakemake submits to SLURM."""
    profile = _profile_of(command) / "config.yaml"
    executor = str((yaml.safe_load(profile.read_text()) or {}).get("executor"))
    for place, word in enumerate(command):
        if word in ("--executor", "-e"):
            executor = command[place + 1]
        elif word.startswith("--executor="):
            executor = word.partition("=")[2]
    return executor == "slurm"


AGAIN_SECONDS = 1.0
"""A signal so soon after another is the same one: `timeout` and srun send theirs to a process and to its group."""


def _snakemake(
    command: list[str], project: Path, held: Held | None = None, variables: Mapping[str, str] | None = None
) -> int:
    """Run Snakemake in a session of its own; SIGTERM to us becomes SIGINT to it, as it may hang for minutes on SIGTERM.

    A terminal would send Ctrl-C to Snakemake as well, beside ours: the second one ends it while it cancels its jobs.
    """
    environment = {**job_environment(), **(variables or {})}
    asked: list[float] = []
    started: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if asked and time.monotonic() - asked[-1] < AGAIN_SECONDS:
            return
        asked.append(time.monotonic())
        for pid in started:
            _ask_to_stop(pid, number)

    # Before the start: a run in the background of a shell ignores SIGINT, and so would all that it starts.
    wanted = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        wanted.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        process = subprocess.Popen(command, cwd=project, env=environment, start_new_session=True)
        started.append(process.pid)
        if asked:
            _ask_to_stop(process.pid, signal.SIGINT)
        if held is not None:
            held.note(os.getpid(), process.pid)
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask_to_stop(snakemake: int, number: int) -> None:
    """Ask Snakemake and its jobs here to stop: it waits for them, and training writes a checkpoint first.

    What a training has launched is in a session of its own, and told by that training. A terminal that is closed ends
    Snakemake as it always did: its jobs in SLURM work on, and the next run waits for them.
    """
    with suppress(ProcessLookupError):
        os.killpg(snakemake, signal.SIGHUP if number == signal.SIGHUP else signal.SIGINT)
