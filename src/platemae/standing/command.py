"""`explain`, `accept`, `verify`, `clean` at the command line: parsing; what is heavy is imported when one is called."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from platemae.answers import as_json
from platemae.layout import MANIFESTS

WILDCARDS = tuple(sorted({name for path in MANIFESTS.values() for name in re.findall(r"{(\w+)}", path)}))
"""What jobs may be of: plate, model, correction and so on."""
LEFTOVERS = ("results", "trainings", "plates")
"""What may be removed apart: what a run makes again, what it takes a training to make, and what needs raw images."""


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("target", nargs="?", default="all", help="a target or a manifest (default: all)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    _add_configuration(parser)
    parser.set_defaults(command=_explain)


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--results", type=Path, default=None, help="results folder, wherever it lies now")
    parser.add_argument("--quick", action="store_true", help="compare sizes and stated digests alone; reads no array")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration (default: config.yaml here, else the checkout's)"
    )
    parser.set_defaults(command=_verify)


def add_accept(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("stage", help="name of the stage, such as train_model")
    for wildcard in WILDCARDS:
        parser.add_argument(f"--{wildcard.replace('_', '-')}", default=None, help="only jobs of this one")
    parser.add_argument("--why", required=True, help="why the change is harmless, for the ledger")
    _add_configuration(parser)
    parser.set_defaults(command=_accept)


def add_clean(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--remove", nargs="+", default=[], choices=LEFTOVERS, metavar="GROUP",
        help=f"remove what is listed of these: {', '.join(LEFTOVERS)} (plates: the stores, made of raw images)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration (default: config.yaml here, else the checkout's)"
    )
    parser.set_defaults(command=_clean)


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration (default: config.yaml here, else the checkout's)"
    )
    parser.add_argument("--profile", default="local", help="local, slurm, or a folder with a Snakemake profile")


def _explain(arguments: argparse.Namespace) -> int:
    from platemae.standing.explain import explain

    found = explain(arguments.configfile, arguments.target, arguments.profile)
    print(as_json("explain", found.to_dict()) if arguments.json else "\n".join(found.lines()))
    return 0


def _accept(arguments: argparse.Namespace) -> int:
    from platemae.standing.accept import accept

    wildcards = {name: getattr(arguments, name) for name in WILDCARDS if getattr(arguments, name) is not None}
    print(*accept(arguments.stage, wildcards, arguments.why, arguments.configfile, arguments.profile), sep="\n")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from platemae.standing.verify import verify_results

    found = verify_results(arguments.results, arguments.configfile, quick=arguments.quick)
    print(as_json("verify", found.to_dict()) if arguments.json else "\n".join(found.lines()))
    return 2 if found.findings else 0


def _clean(arguments: argparse.Namespace) -> int:
    from platemae.standing.clean import clean

    found = clean(arguments.configfile, arguments.remove)
    print(as_json("clean", found.to_dict()) if arguments.json else "\n".join(found.lines()))
    return 0
