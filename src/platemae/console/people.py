"""The commands that people type, but for those of planning, standing and scoring: options, and the call."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from platemae.answers import as_json


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration (default: config.yaml here, else the checkout's)"
    )
    parser.add_argument("--profile", default="local", help="local, slurm, or a folder with a Snakemake profile")
    parser.add_argument("--cores", type=int, default=None, help="cores of this machine to use (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="say what would run; runs nothing")
    parser.add_argument("--target", default="all", help="what to make: ingest_all, qc_all, datasets_all, all, ...")
    parser.add_argument(
        "--orphans",
        choices=("wait", "cancel"),
        default="wait",
        help="SLURM jobs of a run that was killed: wait for them and keep what they finish (default), or cancel them",
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="take the results folder over from a run on another host that you have seen to be over",
    )
    parser.add_argument("--quota-gb", type=float, default=None, help="space that is left (default: free on the disk)")
    parser.add_argument("--quota-files", type=int, default=None, help="files and folders that a quota leaves")
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="submit to SLURM whatever sinfo says of its partitions, for sites where a QOS allows more",
    )
    parser.add_argument("snakemake_args", nargs="*", metavar="ARG", help="more arguments for Snakemake, after --")
    parser.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    from platemae.run import Limits, run_pipeline

    limits = None if arguments.unchecked else Limits(arguments.quota_gb, arguments.quota_files)
    return run_pipeline(
        configfile=arguments.configfile,
        profile=arguments.profile,
        cores=arguments.cores,
        dry_run=arguments.dry_run,
        target=arguments.target,
        extra=arguments.snakemake_args,
        orphans=arguments.orphans,
        take_over=arguments.take_over,
        limits=limits,
    )


def add_synthesize(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("folder", type=Path, help="where the screen is written")
    parser.add_argument("--seed", type=int, default=None, help="another seed is another screen")
    parser.add_argument("--pooled", action="store_true", help="each cell of a well carries its own guide")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw fields")
    parser.set_defaults(command=_synthesize)


def _synthesize(arguments: argparse.Namespace) -> int:
    from platemae.synthetic.pooled import PooledSettings
    from platemae.synthetic.screen import write_screen
    from platemae.synthetic.settings import ScreenSettings

    form = PooledSettings if arguments.pooled else ScreenSettings
    settings = form() if arguments.seed is None else form(seed=arguments.seed)
    print(write_screen(arguments.folder, settings, workers=arguments.workers))
    return 0


def add_new(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "folder", type=Path, help="folder that holds plates: metadata up to six folders down, images at any depth"
    )
    parser.add_argument("--out", type=Path, default=Path(), help="where the project is written (default: here)")
    parser.add_argument("--pixel-size", type=float, default=None, help="micrometres, where the files do not say it")
    parser.set_defaults(command=_new)


def _new(arguments: argparse.Namespace) -> int:
    from platemae.preflight.project import new_project

    print(*new_project(arguments.folder, arguments.out, arguments.pixel_size), sep="\n")
    return 0


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration (default: config.yaml here, else the checkout's)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from platemae.preflight.doctor import doctor

    found = doctor(arguments.configfile)
    print(as_json("doctor", found.to_dict()) if arguments.json else "\n".join(found.lines()))
    for problem in found.problems:
        print(problem, file=sys.stderr)
    return 2 if found.problems else 0


def add_refresh(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("plate", help="plate id")
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration (default: config.yaml here, else the checkout's)"
    )
    parser.set_defaults(command=_refresh)


def _refresh(arguments: argparse.Namespace) -> int:
    from platemae.preflight.refresh import refresh

    print(*refresh(arguments.plate, arguments.configfile), sep="\n")
    return 0


def add_export_model(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("model", help="name of a finished model")
    parser.add_argument("folder", type=Path, help="where model.safetensors, config.json and README.md are written")
    parser.add_argument(
        "--results", type=Path, default=None, help="results folder (default: that of the configuration)"
    )
    parser.add_argument("--configfile", type=Path, default=None, help="configuration (default: config.yaml here)")
    parser.set_defaults(command=_export_model)


def _export_model(arguments: argparse.Namespace) -> int:
    from platemae.config import read_config
    from platemae.layout import Results
    from platemae.models.hub import export_model

    root = arguments.results or Path(read_config(arguments.configfile or Path("config.yaml")).results)
    print(*export_model(Results(root).model(arguments.model), arguments.folder), sep="\n")
    return 0


def add_list_models(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--channels", type=int, default=6, help="channels of a crop (published counts: 6)")
    parser.add_argument("--classes", type=int, default=1139, help="classes of a classifier (RxRx1: 1139)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=_list_models)


def _list_models(arguments: argparse.Namespace) -> int:
    from platemae.models.catalogue import as_text, sizes

    found = sizes(arguments.channels, arguments.classes)
    if arguments.json:
        print(as_json("list-models", {"models": [size.to_dict() for size in found]}))
    else:
        print(as_text(found))
    return 0 if all(size.agrees is not False for size in found) else 1


def add_fetch_annotations(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
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


def add_write_config(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "folder", type=Path, help="project folder that gets config.yaml and workflow/schemas/config.schema.json"
    )
    parser.set_defaults(command=_write_config)


def _write_config(arguments: argparse.Namespace) -> int:
    from platemae.config.document import write_documents

    for path in write_documents(arguments.folder):
        print(path)
    return 0


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell that will read the script")
    parser.set_defaults(command=_completion)


def _completion(arguments: argparse.Namespace) -> int:
    from platemae.cli import whole_parser
    from platemae.console.completion import script

    print(script(whole_parser(), arguments.shell))
    return 0
