"""One job: call a stage, write its manifest last, and its provenance beside.

The configuration is imported only by a job that reads it: its sections take half a second to build, and a rule hands
a job its slice.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import platform
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platemae import logs
from platemae.contracts import Manifest
from platemae.data.lease import slurm_job
from platemae.errors import PlatemaeError, disk_error, is_disk_error, writing
from platemae.fingerprint import code_digest, digest_json
from platemae.holding.orphans import RUN_ID
from platemae.job_record import write_record
from platemae.layout import Results
from platemae.standing.error_notes import forget_error, note_error
from platemae.standing.record import libraries, size_and_digest


def run_stage(stage: str, wildcards: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Run one stage for one set of wildcards and return the exit code.

    Raises
    ------
    PlatemaeError
        What the stage found wrong; it is also noted in ``logs/errors`` for `platemae run`.
    """
    with writing("the log of the job"):
        log = logs.start(stage, arguments.log)
    results = Results(arguments.results or Path())
    try:
        cfg, machine, base, code = _settings(stage, wildcards, arguments)
        if arguments.results is None and arguments.cfg is None:
            results = _results_by_hand(arguments)
        started = time.time()
        manifest = _call(
            stage,
            results,
            _joined(cfg, machine),
            wildcards,
            arguments,
            base=base,
            code=code,
            run_id=os.environ.get(RUN_ID, ""),
        )
        if int(os.environ.get("RANK", "0")) > 0:
            return 0  # the first process writes for all
        _write_provenance(results, stage, wildcards, (cfg, machine), code, manifest, started)
        for warning in manifest.warnings:
            log.warning("%s", warning)
        manifest.write(results.manifest(stage, **wildcards))
        forget_error(results, stage, wildcards)
    except (PlatemaeError, OSError) as error:
        problem = _problem(error, stage, wildcards)
        if problem is None:
            raise
        log.error("%s", problem.what)
        note_error(results, stage, wildcards, problem)
        raise problem from None
    log.info(
        "%s done in %.1f s: %s", " ".join(wildcards.values()) or "all", time.time() - started, _few(manifest.counts)
    )
    return 0


def _settings(
    stage: str, wildcards: Mapping[str, str], arguments: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Any], Path, str]:
    """Return what the rule passed; a job run by hand reads the configuration itself."""
    if arguments.cfg is not None:
        machine = getattr(arguments, "machine", {})
        return arguments.cfg, machine, arguments.base or Path(), arguments.code or code_digest(stage)
    from platemae.config import machine_config, read_config, stage_config, stage_entries
    from platemae.config.machine import earlier_twins, shared_snapshots
    from platemae.config.plates import read_plates

    path = _configfile(arguments)
    config = read_config(path)
    table = Path(config.plates)
    plates = read_plates(table, [reader.name for reader in config.readers])
    code = arguments.code or code_digest(stage, stage_entries(config, plates, stage, **wildcards))
    if stage == "train_model" and arguments.snapshots is None:
        arguments.snapshots = shared_snapshots(config, earlier_twins(config, plates), wildcards["model"])
    cfg = stage_config(config, plates, stage, **wildcards)
    return cfg, machine_config(config, plates, stage, **wildcards), arguments.base or table.parent, code


def _results_by_hand(arguments: argparse.Namespace) -> Results:
    from platemae.config import read_config

    return Results(Path(read_config(_configfile(arguments)).results))


def _joined(cfg: dict[str, Any], machine: dict[str, Any]) -> dict[str, Any]:
    if not machine:
        return cfg
    from platemae.config import with_machine

    return with_machine(cfg, machine)


def _configfile(arguments: argparse.Namespace) -> Path:
    return arguments.configfile or Path("config.yaml")


def _call(
    stage: str,
    results: Results,
    cfg: dict[str, Any],
    wildcards: Mapping[str, str],
    arguments: argparse.Namespace,
    **extra: Any,
) -> Manifest:
    run = importlib.import_module(f"platemae.stages.{stage}").run
    offered = {**vars(arguments), **extra}
    accepted = [
        name for name in inspect.signature(run).parameters if name in offered and name not in ("results", "cfg")
    ]
    return run(
        results,
        cfg,
        **{name: offered[name] for name in accepted},
        **{w: v for w, v in wildcards.items() if w not in accepted},
    )


def _problem(error: Exception, stage: str, wildcards: Mapping[str, str]) -> PlatemaeError | None:
    """Return what a user can act on: our own errors, and those of the disk; None for mistakes of the program."""
    if isinstance(error, OSError) and is_disk_error(error):
        return disk_error(error, f"{stage} of {', '.join(wildcards.values()) or 'all'} was stopped")
    return error if isinstance(error, PlatemaeError) else None


def _write_provenance(
    results: Results,
    stage: str,
    wildcards: Mapping[str, str],
    read: tuple[dict[str, Any], dict[str, Any]],
    code: str,
    manifest: Manifest,
    started: float,
) -> None:
    record = {
        "stage": stage,
        "wildcards": dict(wildcards),
        "parameters": read[0],
        "parameters_digest": digest_json(read[0]),
        "machine": read[1],
        "code_digest": code,
        "content_digest": manifest.digest,
        "outputs": {
            path.relative_to(results.root).as_posix(): list(size_and_digest(path))
            for path in results.outputs(stage, **wildcards)
            if path.is_file()
        },
        "libraries": libraries(),
        "python": sys.version.split()[0],
        "host": platform.node(),
        "run": os.environ.get(RUN_ID),
        "slurm": slurm_job(),
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - started, 3),
    }
    write_record(results, stage, wildcards, record)


def _few(counts: Mapping[str, Any]) -> str:
    """Return the short numbers and words of a manifest as one readable line."""
    short = {key: value for key, value in counts.items() if isinstance(value, int | float | str)}
    words = [f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in short.items()]
    return ", ".join(word for word in words if len(word) < 50)
