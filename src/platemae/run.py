"""``platemae run``: check everything first, then call Snakemake stage by stage.

Snakemake reruns what depends on a job of the same call even when that job's output came out equal. So the stages up to
the datasets are called one after the other: a plate that was ingested again with equal pixels stops there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from platemae.config import Config, read_config
from platemae.config.plates import Plate, check_layouts, layout_options, read_plates, resolve
from platemae.config.slices import basis_path, check_cells, check_images, map_plates, needs_controls
from platemae.contracts import write_text
from platemae.errors import ConfigError, MissingError, PlatemaeError, raise_all
from platemae.layout import Results
from platemae.standing.code import note_code

PHASES = ("ingest_all", "qc_all", "intensity_all", "datasets_all", "all")
NAMED_PLATES = (
    ("datasets", "plates"),
    ("intensity", "fit_plates"),
    ("corrections", "fit_plates"),
    ("models", "feature_plates"),
)
"""Sections whose entries may name plates, and the key."""

RUN_ID = "PLATEMAE_RUN_ID"
"""Environment variable that every process of one run inherits; it tells the orphans of a killed run."""


def run_pipeline(
    configfile: Path | None, profile: str, cores: int | None, dry_run: bool, target: str, extra: Sequence[str]
) -> int:
    """Run the pipeline and return the exit code: 0 done, 2 when a stage found wrong input, else Snakemake's.

    Raises
    ------
    PlatemaeError
        When the configuration or a table is wrong, or another run holds the results folder.
    """
    project = find_project()
    configfile = (configfile or project / "config.yaml").resolve()
    config = check_inputs(configfile, project)
    results = Results(project / config.results)
    phases = [target] if dry_run or target not in PHASES else PHASES[: PHASES.index(target) + 1]
    command = snakemake_command(project, configfile, profile, cores, extra) + (["--dry-run"] if dry_run else [])
    seen = _size(results.errors())
    with hold(results):
        if not dry_run:
            note_code(config, read_plates(project / config.plates, [r.name for r in config.readers]), results)
        for phase in phases:
            code = _snakemake([*command, phase], project, results)
            if code != 0:
                return 2 if _repeat_errors(results.errors(), seen) else code
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


def check_inputs(configfile: Path, project: Path) -> Config:
    """Check the configuration, plates.tsv and all layouts before anything starts.

    Raises
    ------
    ConfigError
        With all problems of the first file that has any.
    """
    config = read_config(configfile)
    table = project / config.plates
    if not table.exists() and config.plates == Config().plates:
        raise ConfigError(
            "the synthetic screen is not there yet", str(table), f"platemae synthesize-screen {table.parent}"
        )
    plates = read_plates(table, [reader.name for reader in config.readers])
    check_images(config, plates)
    check_cells(config, plates)
    raise_all(named_plate_problems(config, plates, str(configfile)))
    raise_all(missing_file_problems(config, plates, table.parent))
    options = layout_options(config.layouts.model_dump(mode="json"), table.parent)
    check_layouts(plates, table.parent, options, needs_controls=needs_controls(config))
    return config


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


def snakemake_command(
    project: Path, configfile: Path, profile: str, cores: int | None, extra: Sequence[str]
) -> list[str]:
    """Return the call of Snakemake, without its target.

    Raises
    ------
    ConfigError
        When there is no such profile.
    """
    folder = project / "workflow" / "profiles" / profile
    if not (folder / "config.yaml").is_file():
        folder = Path(profile).resolve()
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"there is no profile {profile}", str(folder), "local, slurm, or a folder with a config.yaml")
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


def _snakemake(command: list[str], project: Path, results: Results) -> int:
    """Run Snakemake; SIGTERM to us becomes SIGINT to it, as it may hang for minutes on SIGTERM."""
    # The platemae that the rules call must be this one, also when the environment was not activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    asked: list[int] = []
    started: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for pid in started:
            _interrupt(pid)

    # Before the start: a run in the background of a shell ignores SIGINT, and so would all that it starts.
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        process = subprocess.Popen(command, cwd=project, env={**os.environ, "PATH": path})
        started.append(process.pid)
        if asked:
            _interrupt(process.pid)
        _note_holder(results, process.pid)
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(pid: int) -> None:
    """Ask Snakemake to stop, and its jobs: it waits for them, and training writes a checkpoint first."""
    with suppress(psutil.NoSuchProcess):
        for asked in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                asked.send_signal(signal.SIGINT)


def _repeat_errors(path: Path, seen: int) -> bool:
    """Print the errors that stages reported during this run once more, below Snakemake's own words."""
    if _size(path) <= seen:
        return False
    with path.open("rb") as file:
        file.seek(seen)
        lines = [line for line in file.read().splitlines() if line.endswith(b"}")]  # one may be cut by a full disk
    for line in map(json.loads, dict.fromkeys(lines)):  # a retry ends in the same error
        error = PlatemaeError(line["what"], line["where"], line["remedy"])
        print(f"\n{line['stage']} {' '.join(line['wildcards'].values())}\n{error}", file=sys.stderr)
    return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# -- one run at a time in a results folder ----------------------------------------------------------------------------


@contextmanager
def hold(results: Results) -> Iterator[None]:
    """Hold the results folder; take it over from a run whose process is proven dead.

    Raises
    ------
    PlatemaeError
        When another run is alive, or cannot be proven dead.
    """
    _clear_dead_run(results)
    _sweep(results)
    os.environ[RUN_ID] = uuid.uuid4().hex
    try:
        yield
    finally:
        _holder_file(results).unlink(missing_ok=True)


def _holder_file(results: Results) -> Path:
    return results.root / ".snakemake" / "platemae-run.json"


def _note_holder(results: Results, pid: int) -> None:
    holder = {"host": _host(), "run_id": os.environ[RUN_ID], "processes": [_identity(os.getpid()), _identity(pid)]}
    write_text(_holder_file(results), json.dumps(holder))


def _host() -> str:
    """Return this boot of this machine: a process of another host or before a reboot cannot be looked up here."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{os.uname().nodename} {boot.read_text().strip() if boot.exists() else ''}"


def _identity(pid: int) -> dict[str, Any]:
    return {"pid": pid, "created": psutil.Process(pid).create_time()}


def _alive(identity: dict[str, Any]) -> bool:
    try:
        process = psutil.Process(identity["pid"])
        return abs(process.create_time() - identity["created"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def check_at_rest(results: Results) -> None:
    """Check that no run of this machine works in the results folder, and change nothing there.

    Raises
    ------
    PlatemaeError
        When one does.
    """
    try:
        holder = json.loads(_holder_file(results).read_text())
    except (OSError, ValueError):
        return
    living = [one["pid"] for one in holder["processes"] if holder["host"] == _host() and _alive(one)]
    if living:
        raise PlatemaeError(
            f"a run works in this folder (process {living[0]})", str(results.root), "wait for it, or stop it"
        )


def _clear_dead_run(results: Results) -> None:
    locks = list((results.root / ".snakemake" / "locks").glob("*"))
    holder_file = _holder_file(results)
    if not holder_file.exists():
        if locks:
            raise PlatemaeError(
                "Snakemake's lock is set, and nothing says by whom",
                str(results.root),
                "when no Snakemake works there: snakemake --unlock",
            )
        return
    holder = json.loads(holder_file.read_text())
    if holder["host"] != _host():
        raise PlatemaeError(
            f"a run on another host, or before a reboot, holds the results folder: {holder['host']}",
            str(results.root),
            f"when it is over, delete {holder_file} and run snakemake --unlock",
        )
    living = [identity["pid"] for identity in holder["processes"] if _alive(identity)]
    if living:
        raise PlatemaeError(
            f"another run works in this folder (process {living[0]})",
            str(results.root),
            "wait for it, or stop it with Ctrl-C",
        )
    _end_orphans(holder["run_id"])
    for lock in locks:
        lock.unlink(missing_ok=True)
    holder_file.unlink()


def _sweep(results: Results) -> None:
    """Remove temporary files that killed jobs left; no other run works in the folder now.

    Stores clean up after themselves, and are not walked: they may hold a million files.
    """
    for folder, below, files in os.walk(results.root):
        below[:] = [name for name in below if not name.endswith(".zarr") and name != ".snakemake"]
        for name in files:
            if name.startswith(".") and ".tmp-" in name:
                Path(folder, name).unlink(missing_ok=True)


def _end_orphans(run_id: str) -> None:
    """End the jobs that a killed run left behind: they carry its id in their environment."""
    orphans = [process for process in psutil.process_iter() if _environment(process).get(RUN_ID) == run_id]
    for process in orphans:
        print(f"ending process {process.pid}, left by a run that was killed", file=sys.stderr)
        process.terminate()
    _, stubborn = psutil.wait_procs(orphans, timeout=10)
    for process in stubborn:
        process.kill()
    psutil.wait_procs(stubborn, timeout=10)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        return {}
