"""Command line: parsing only. One subcommand a stage, and the commands around them; nothing heavy is imported here."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from platemae import __version__
from platemae.contracts import MACHINE_KEYS
from platemae.errors import PlatemaeError
from platemae.layout import MANIFESTS
from platemae.planning.command import add_plan
from platemae.scoring.command import add_scoring, is_by_hand, score
from platemae.standing.command import add_standing

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong input, 75 to go on, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except PlatemaeError as error:
        if arguments.debug:
            raise
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show a traceback with an error")
    parser = argparse.ArgumentParser("platemae", description="Plates in, perturbation maps out.")
    parser.add_argument("--version", action="version", version=f"platemae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands.add_parser("run", parents=[common], help="run the whole pipeline, only what is stale"))
    _add_synthesize(
        commands.add_parser("synthesize-screen", parents=[common], help="write a synthetic screen with planted truth")
    )
    _add_new(commands.add_parser("new", parents=[common], help="look at a folder of plates, write a project that runs"))
    _add_doctor(
        commands.add_parser("doctor", parents=[common], help="check all plates, layouts and the disk; reads no pixels")
    )
    add_plan(
        commands.add_parser("plan", parents=[common], help="what a run will cost, and what cannot fit, beforehand")
    )
    _add_refresh(
        commands.add_parser("refresh", parents=[common], help="look at a plate's folder again after it changed")
    )
    add_standing(commands, common)
    _add_schema(
        commands.add_parser(
            "write-config", parents=[common], help="write config.yaml and its JSON schema from the defaults"
        )
    )
    _add_export(
        commands.add_parser("export-model", parents=[common], help="write a model as a folder that a model hub takes")
    )
    _add_list_models(
        commands.add_parser(
            "list-models", parents=[common], help="every network, its parameters, and the published counts beside"
        )
    )
    _add_annotations(
        commands.add_parser(
            "fetch-annotations", parents=[common], help="download known relations and complexes, in one form"
        )
    )
    for stage in MANIFESTS:
        _add_stage(
            commands.add_parser(
                stage.replace("_", "-"), parents=[common], help=STAGE_HELP[stage], description=STAGE_HELP[stage]
            ),
            stage,
        )
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration (default: config.yaml beside the Snakefile)"
    )
    parser.add_argument("--profile", default="local", help="local, slurm, or a folder with a Snakemake profile")
    parser.add_argument("--cores", type=int, default=None, help="cores of this machine to use (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="say what would run; runs nothing")
    parser.add_argument("--target", default="all", help="what to make: ingest_all, qc_all, datasets_all, all, ...")
    parser.add_argument("snakemake_args", nargs="*", metavar="ARG", help="more arguments for Snakemake, after --")
    parser.set_defaults(command=_run)


def _add_synthesize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="where the screen is written")
    parser.add_argument("--seed", type=int, default=None, help="another seed is another screen")
    parser.add_argument("--pooled", action="store_true", help="each cell of a well carries its own guide")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw fields")
    parser.set_defaults(command=_synthesize)


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder that holds plates, at any depth")
    parser.add_argument("--out", type=Path, default=Path(), help="where the project is written (default: here)")
    parser.add_argument("--pixel-size", type=float, default=None, help="micrometres, where the files do not say it")
    parser.set_defaults(command=_new)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--configfile", type=Path, default=None, help="configuration (default: config.yaml)")
    parser.set_defaults(command=_doctor)


def _add_refresh(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plate", help="plate id")
    parser.add_argument("--configfile", type=Path, default=None, help="configuration (default: config.yaml)")
    parser.set_defaults(command=_refresh)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name of a finished model")
    parser.add_argument("folder", type=Path, help="where model.safetensors, config.json and README.md are written")
    parser.add_argument(
        "--results", type=Path, default=None, help="results folder (default: that of the configuration)"
    )
    parser.add_argument("--configfile", type=Path, default=None, help="configuration (default: config.yaml)")
    parser.set_defaults(command=_export_model)


def _add_list_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--channels", type=int, default=6, help="channels of a crop (published counts: 6)")
    parser.add_argument("--classes", type=int, default=1139, help="classes of a classifier (RxRx1: 1139)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=_list_models)


def _add_annotations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="corum, corum_clusters, humap, reactome, signor, stringdb, or a file of your own",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder that gets NAME.csv and NAME.source.json")
    parser.add_argument(
        "--accept-licence",
        action="append",
        default=[],
        metavar="LICENCE",
        help="cc-by-nc: you read the licences of CORUM and SIGNOR, and will not use them commercially",
    )
    parser.add_argument(
        "--from", dest="origin", default=None, help="folder or address where the files lie (default: their origin)"
    )
    parser.add_argument(
        "--aliases", type=Path, default=None, help="CSV with previous,current: outdated gene symbols are replaced"
    )
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration whose annotations.accept_licences counts, too"
    )
    parser.set_defaults(command=_fetch_annotations)


def _add_schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, help="project folder that gets config.yaml and workflow/schemas/config.schema.json"
    )
    parser.set_defaults(command=_write_config)


def _add_stage(parser: argparse.ArgumentParser, stage: str) -> None:
    by_hand = stage == "score_map"
    for wildcard in re.findall(r"{(\w+)}", MANIFESTS[stage]):
        words = wildcard.replace("_", " ")
        option = f"--{wildcard.replace('_', '-')}"
        parser.add_argument(option, required=not by_hand, default=None, help=f"name of the {words}")
    parser.add_argument(
        "--results", type=Path, default=None, help="results folder (default: that of the configuration)"
    )
    parser.add_argument("--configfile", type=Path, default=None, help="configuration, when --cfg is not given")
    parser.add_argument(
        "--cfg", type=json.loads, default=None, help="what this job reads of the configuration, as JSON"
    )
    if stage in MACHINE_KEYS:
        parser.add_argument("--machine", type=json.loads, default={}, help="what of it belongs to the machine, as JSON")
    parser.add_argument("--code", default=None, help="code digest of the stage (default: computed)")
    parser.add_argument("--base", type=Path, default=None, help="folder of plates.tsv")
    parser.add_argument("--threads", type=int, default=1, help="threads of this job")
    parser.add_argument("--log", type=Path, default=None, help="file that gets JSON lines")
    if stage == "train_model":
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
        parser.add_argument(
            "--retrain", action="store_true", help="throw an earlier training of the same settings away"
        )
        parser.add_argument(
            "--accept-code",
            action="store_true",
            help="go on with a training that other code began, or export what it finished; recorded",
        )
    if by_hand:
        add_scoring(parser)
    if stage == "embed_plate":
        parser.add_argument(
            "--processes",
            type=int,
            default=1,
            help="processes that share the plate's fields, each with a GPU of its own",
        )
    parser.set_defaults(command=_stage, stage=stage)


def _steps(text: str) -> list[int]:
    return [] if text == "none" else [int(step) for step in text.split(",")]


def _run(arguments: argparse.Namespace) -> int:
    from platemae.run import run_pipeline

    return run_pipeline(
        configfile=arguments.configfile,
        profile=arguments.profile,
        cores=arguments.cores,
        dry_run=arguments.dry_run,
        target=arguments.target,
        extra=arguments.snakemake_args,
    )


def _synthesize(arguments: argparse.Namespace) -> int:
    from platemae.synthetic.pooled import PooledSettings
    from platemae.synthetic.screen import write_screen
    from platemae.synthetic.settings import ScreenSettings

    form = PooledSettings if arguments.pooled else ScreenSettings
    settings = form() if arguments.seed is None else form(seed=arguments.seed)
    print(write_screen(arguments.folder, settings, workers=arguments.workers))
    return 0


def _new(arguments: argparse.Namespace) -> int:
    from platemae.preflight.project import new_project

    print(*new_project(arguments.folder, arguments.out, arguments.pixel_size), sep="\n")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from platemae.preflight.doctor import doctor

    lines, problems = doctor(arguments.configfile)
    print(*lines, sep="\n")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 2 if problems else 0


def _refresh(arguments: argparse.Namespace) -> int:
    from platemae.preflight.refresh import refresh

    print(*refresh(arguments.plate, arguments.configfile), sep="\n")
    return 0


def _export_model(arguments: argparse.Namespace) -> int:
    from platemae.config import read_config
    from platemae.layout import Results
    from platemae.models.hub import export_model

    root = arguments.results or Path(read_config(arguments.configfile or Path("config.yaml")).results)
    print(*export_model(Results(root).model(arguments.model), arguments.folder), sep="\n")
    return 0


def _list_models(arguments: argparse.Namespace) -> int:
    from platemae.models.catalogue import as_text, sizes

    found = sizes(arguments.channels, arguments.classes)
    print(json.dumps([size.to_dict() for size in found], indent=1) if arguments.json else as_text(found))
    return 0 if all(size.agrees is not False for size in found) else 1


def _fetch_annotations(arguments: argparse.Namespace) -> int:
    from platemae.annotations.catalogue import ORIGIN
    from platemae.annotations.fetch import fetch
    from platemae.benchmarks.symbols import read_aliases

    accepted = list(arguments.accept_licence)
    if arguments.configfile is not None:
        from platemae.config import read_config

        accepted += read_config(arguments.configfile).annotations.accept_licences
    aliases = read_aliases(arguments.aliases) if arguments.aliases else None
    origin = arguments.origin or ORIGIN
    print(*fetch(arguments.names, arguments.out, accepted, origin, aliases), sep="\n")
    return 0


def _write_config(arguments: argparse.Namespace) -> int:
    from platemae.config.document import write_documents

    for path in write_documents(arguments.folder):
        print(path)
    return 0


def _stage(arguments: argparse.Namespace) -> int:
    # Before numpy and torch are imported: they read their thread count once. Stages with threads of their own over
    # fields must not start as many again inside each.
    own_threads = arguments.stage in ("ingest_plate", "qc_plate", "measure_plate", "fit_intensity")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1" if own_threads else str(arguments.threads))
    if arguments.stage == "score_map" and is_by_hand(arguments):
        return score(arguments)
    from platemae.job import run_stage

    wildcards = {w: getattr(arguments, w) for w in re.findall(r"{(\w+)}", MANIFESTS[arguments.stage])}
    return run_stage(arguments.stage, wildcards, arguments)


if __name__ == "__main__":
    sys.exit(main())
