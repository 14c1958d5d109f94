"""The stages as commands: the options that a rule passes, and those for a call by hand."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from platemae.contracts import MACHINE_KEYS
from platemae.layout import MANIFESTS
from platemae.scoring.command import add_scoring, is_by_hand, score

STAGE_HELP = {
    "ingest_plate": "raw folder of a plate -> OME-Zarr plate store and fields table",
    "qc_plate": "focus, saturation, background and foreground of each field; verdicts",
    "measure_plate": "classical features of a plate's cells, per well",
    "fit_intensity": "the map of each channel from source values to 0..255",
    "build_dataset": "index of training fields",
    "train_model": "train a model, or resume, or export finished weights again",
    "embed_plate": "a plate's wells, fields, crops or cells as vectors",
    "import_profiles": "a plate's wells from a table instead of a network",
    "summarize_controls": "n, mean and scatter of the wells of a plate that corrections are fitted on",
    "fit_correction": "fit a batch correction on the controls of its fit plates",
    "correct_plate": "align a plate",
    "build_map": "wells -> guides -> genes",
    "score_map": "benchmarks of a map, with intervals and chance",
    "compare_models": "tables of all models and corrections, published beside measured",
    "render_report": "one HTML page",
}
_EXAMPLE_NAMES = {
    "plate": "P1", "intensity": "controls", "dataset": "screen", "model": "mae", "correction": "tvn", "fit_on": "negcon"
}  # fmt: skip
_OWN_THREADS = ("ingest_plate", "qc_plate", "measure_plate", "fit_intensity")
"""Stages with threads of their own over fields, which must not start as many again inside each."""


def wildcards_of(stage: str) -> list[str]:
    """Return what a job of the stage is of: plate, model, correction and so on."""
    return re.findall(r"{(\w+)}", MANIFESTS[stage])


def stage_example(stage: str) -> str:
    """Return a call of the stage by hand."""
    names = [f"--{wildcard.replace('_', '-')} {_EXAMPLE_NAMES[wildcard]}" for wildcard in wildcards_of(stage)]
    return " ".join(["platemae", stage.replace("_", "-"), *names])


def add_stage(parser: argparse.ArgumentParser, stage: str) -> None:
    """Add the options of a stage."""
    for wildcard in wildcards_of(stage):
        words = wildcard.replace("_", " ")
        option = f"--{wildcard.replace('_', '-')}"
        parser.add_argument(option, required=stage != "score_map", default=None, help=f"name of the {words}")
    parser.add_argument(
        "--results", type=Path, default=None, help="results folder (default: that of the configuration)"
    )
    parser.add_argument("--configfile", type=Path, default=None, help="configuration, when --cfg is not given")
    parser.add_argument("--threads", type=int, default=1, help="threads of this job")
    parser.add_argument("--log", type=Path, default=None, help="file that gets JSON lines")
    if stage == "train_model":
        _add_training(parser)
    if stage == "score_map":
        add_scoring(parser)
    if stage == "embed_plate":
        parser.add_argument(
            "--processes",
            type=int,
            default=1,
            help="processes that share the plate's fields, each with a GPU of its own",
        )
    _add_passed(parser.add_argument_group("passed by the rule"), stage)
    parser.set_defaults(command=_stage, stage=stage)


def _add_passed(group: argparse._ArgumentGroup, stage: str) -> None:
    group.add_argument(
        "--cfg",
        type=_json,
        default=None,
        help="what this job reads of the configuration: JSON, @FILE, or - for standard input, as rules pass it: Linux "
        "allows an argument 131,072 bytes, which the names of some thousand plates are",
    )
    if stage in MACHINE_KEYS:
        group.add_argument("--machine", type=json.loads, default={}, help="what of it belongs to the machine, as JSON")
    group.add_argument("--code", default=None, help="code digest of the stage (default: computed)")
    group.add_argument("--base", type=Path, default=None, help="folder of plates.tsv")


def _json(text: str) -> dict[str, Any]:
    """Return a JSON object that stands in an argument, in a file, or in standard input.

    Raises
    ------
    argparse.ArgumentTypeError
        When it is none, or the file cannot be read.
    """
    place, read = "the argument", lambda: text
    if text == "-":
        place, read = "standard input", sys.stdin.read
    elif text.startswith("@"):
        place, read = text[1:], Path(text[1:]).read_text
    try:
        found = json.loads(read())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{place} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{place} is no JSON object, which starts with {{")
    return found


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes", type=int, default=1, help="data-parallel processes a node: its GPUs, or CPU processes"
    )
    parser.add_argument("--nodes", type=int, default=1, help="nodes of the SLURM job that train together")
    parser.add_argument(
        "--end-time",
        default=None,
        help="when this job is ended from outside (2026-11-21T18:00:00, or seconds since 1970): a checkpoint is "
        "written before, and the exit code is 75 (default: what SLURM says)",
    )
    parser.add_argument(
        "--snapshots",
        type=_steps,
        default=None,
        help="steps at which the network is kept, such as 1000,5000; none (default: those of the configuration)",
    )
    parser.add_argument("--retrain", action="store_true", help="throw an earlier training of the same settings away")
    parser.add_argument(
        "--accept-code",
        action="store_true",
        help="go on with a training that other code began, or export what it finished; recorded",
    )


def _steps(text: str) -> list[int]:
    return [] if text == "none" else [int(step) for step in text.split(",")]


def _stage(arguments: argparse.Namespace) -> int:
    # Before numpy and torch are imported: they read their thread count once.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1" if arguments.stage in _OWN_THREADS else str(arguments.threads))
    if arguments.stage == "score_map" and is_by_hand(arguments):
        return score(arguments)
    from platemae.job import run_stage

    wildcards = {name: getattr(arguments, name) for name in wildcards_of(arguments.stage)}
    return run_stage(arguments.stage, wildcards, arguments)
