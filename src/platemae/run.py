"""``platemae run``: check everything first, then call Snakemake stage by stage.

Snakemake reruns what depends on a job of the same call even when that job's output came out equal. So the stages up to
the datasets are called one after the other: a plate that was ingested again with equal pixels stops there.
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
from typing import TYPE_CHECKING

import yaml

from platemae.config import Config, read_config
from platemae.config.checks import check_cells, check_images, needs_controls
from platemae.config.chosen_plates import map_plates
from platemae.config.plates import Plate, check_layouts, layout_options, read_plates, resolve
from platemae.config.slices import basis_path
from platemae.errors import ConfigError, MissingError, raise_all
from platemae.holding.hold import Held, check_at_rest, hold
from platemae.holding.orphans import Orphans
from platemae.layout import Results
from platemae.provenance.run_record import recorded_run
from platemae.sharing.root import shared_root
from platemae.standing.code import note_code
from platemae.standing.error_notes import repeat_errors

if TYPE_CHECKING:
    from platemae.planning.submission import Cleared

PHASES = ("ingest_all", "qc_all", "intensity_all", "datasets_all", "all")
NAMED_PLATES = (
    ("datasets", "plates"),
    ("intensity", "fit_plates"),
    ("corrections", "fit_plates"),
    ("models", "feature_plates"),
)
"""Sections whose entries may name plates, and the key."""
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
        More arguments for Snakemake.
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
    phases = [target] if dry_run or target not in PHASES else PHASES[: PHASES.index(target) + 1]
    command = snakemake_command(project, configfile, profile, cores, extra)
    if dry_run:
        check_at_rest(results)
        return _snakemake([*command, "--dry-run", "--nolock", *phases], project)
    variables: dict[str, str] = {}
    if not _submits(command) and target in PHASES:
        check_raw_folders(config, project)
    if _submits(command):
        cleared = _cleared(configfile, command, limits, target)
        command, variables = [*command, *cleared.words], cleared.variables
    with hold(results, orphans, take_over=take_over, submits=_submits(command)) as held:
        plates = read_plates(project / config.plates, [reader.name for reader in config.readers])
        note_code(config, plates, results)
        if held.earlier:
            _keep_finished(configfile, profile, target)
        if held.run.submits:
            command += ["--slurm-jobname-prefix", held.run.prefix]
        with recorded_run(results, project, config, plates) as outcome:
            for phase in phases:
                code = _snakemake([*command, phase], project, held, variables)
                if code != 0:
                    held.ended = False
                    outcome.exit_code = 2 if repeat_errors(results, held.run.run_id) else code
                    return outcome.exit_code
            outcome.exit_code = 0
    return 0


def find_project() -> Path:
    """Return the folder of the Snakefile: the working directory, or the checkout that this package lies in.

    Raises
    ------
    ConfigError
        When there is none.
    """
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (folder / "Snakefile").is_file() and (folder / "rules" / "common.smk").is_file():
            return folder
    raise ConfigError("there is no platemae Snakefile here", str(Path.cwd()), "run inside the project's folder")


def find_config(configfile: Path | None, project: Path) -> Path:
    """Return the configuration: the one named, else config.yaml of the working directory, else the checkout's."""
    here = Path("config.yaml")
    return (configfile or (here if here.is_file() else project / here)).resolve()


def check_inputs(configfile: Path, project: Path) -> Config:
    """Check the configuration, plates.tsv and all layouts before anything starts.

    Raises
    ------
    ConfigError
        With all problems of the first file that has any.
    """
    config = read_config(configfile)
    shared_root()
    table = plate_table(config, project)
    plates = read_plates(table, [reader.name for reader in config.readers])
    check_images(config, plates)
    check_cells(config, plates)
    raise_all(named_plate_problems(config, plates, str(configfile)))
    raise_all(missing_file_problems(config, plates, table.parent))
    options = layout_options(config.layouts.model_dump(mode="json"), table.parent)
    check_layouts(plates, table.parent, options, needs_controls=needs_controls(config))
    return config


def plate_table(config: Config, project: Path) -> Path:
    """Return the path of plates.tsv.

    Raises
    ------
    ConfigError
        When the default one is meant, and not there yet.
    """
    table = project / config.plates
    if not table.exists() and config.plates == Config().plates:
        remedy = f"platemae synthesize-screen {table.parent}; or, for a project of your own, give --configfile FILE"
        raise ConfigError("the synthetic screen is not there yet", str(table), remedy)
    return table


def check_raw_folders(config: Config, project: Path) -> None:
    """Check that the folders of the plates still to ingest are there; of a cluster only its nodes may see them.

    Raises
    ------
    MissingError
        With all that are not.
    """
    table, results = project / config.plates, Results(project / config.results)
    problems = []
    for plate in read_plates(table, [reader.name for reader in config.readers]):
        folder = resolve(plate.path, table.parent)
        bare = config.entry("readers", plate.reader).kind == "none"
        if not bare and not folder.exists() and not results.manifest("ingest_plate", plate=plate.plate).exists():
            remedy = f"correct column path of {table}, or PLATEMAE_DATA"
            problems.append(MissingError(f"the folder of plate {plate.plate} is missing", str(folder), remedy))
    raise_all(problems)


def named_plate_problems(config: Config, plates: Sequence[Plate], where: str) -> list[ConfigError]:
    """Return the entries of the configuration that name plates which plates.tsv lacks."""
    known = {plate.plate for plate in plates}
    problems = []
    named = [("map.plates", config.map.plates)]
    for section, key in NAMED_PLATES:
        named += [(f"{section}.{entry.name}.{key}", getattr(entry, key)) for entry in getattr(config, section)]
    for place, names in named:
        unknown = sorted(set(names) - known) if isinstance(names, list) else []
        if unknown:
            what = f"{place}: no such plate: {', '.join(unknown)}"
            problems.append(ConfigError(what, where, f"plates of plates.tsv: {', '.join(sorted(known))}"))
    return problems


def missing_file_problems(config: Config, plates: Sequence[Plate], base: Path) -> list[MissingError]:
    """Return the tables of profiles and relations that are not there; Snakemake would say so hours later."""
    scored = map_plates(config, plates)
    named = [(f"benchmarks.{b.name}.{key}", path) for b in config.benchmarks for key, path in b.files(scored)]
    single = {"map.chromosome_arms": config.map.chromosome_arms, "report.published": config.report.published}
    named += [(key, path) for key, path in single.items() if path]
    for model in config.models:
        if model.kind == "profiles" and model.source == "table" and model.table:
            tables = dict.fromkeys(model.table.replace("{plate}", plate.plate) for plate in plates)
            named += [(f"models.{model.name}.table", table) for table in tables]
    for entry in config.corrections:
        models = config.rows if entry.basis else []
        named += [(f"corrections.{entry.name}.basis", basis_path(config, entry.name, m.name)) for m in models]
    gone = [(key, path) for key, name in named if not (path := resolve(name, base)).exists()]
    remedy = "correct the path, which starts at the folder of plates.tsv unless it is absolute"
    return [MissingError(f"{key}: there is no such file", str(path), remedy) for key, path in gone]


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


def _keep_finished(configfile: Path, profile: str, target: str) -> None:
    from platemae.standing.finished import keep_finished  # it plans by this module

    kept = keep_finished(configfile, profile, target)
    if kept:
        few = ", ".join(kept[:SHOWN]) + (" ..." if len(kept) > SHOWN else "")
        print(f"{len(kept)} results that jobs finished without their run are kept: {few}", file=sys.stderr)


def _cleared(configfile: Path, command: Sequence[str], limits: Limits | None, target: str) -> Cleared:
    """Check what SLURM would refuse, and return what Snakemake must be told of this cluster."""
    from platemae.planning.submission import Cleared, check_submission, cluster_arguments  # they plan by this module

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


def job_environment() -> dict[str, str]:
    """Return the variables for Snakemake: the platemae that rules call is this one, its environment active or not."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}


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
