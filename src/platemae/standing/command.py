"""`platemae explain`, `accept`, `verify` at the command line: parsing; what is heavy is imported when one is called."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from platemae.layout import MANIFESTS

WILDCARDS = tuple(sorted({name for path in MANIFESTS.values() for name in re.findall(r"{(\w+)}", path)}))
"""What jobs may be of: plate, model, correction and so on."""


def add_standing(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands that say how results stand.

    Parameters
    ----------
    commands
        What `add_subparsers` of argparse returns.
    common
        Parser with the options of every command.
    """
    explain = commands.add_parser("explain", parents=[common], help="what is stale and why, in words; runs nothing")
    explain.add_argument("target", nargs="?", default="all", help="a target or a manifest (default: all)")
    explain.set_defaults(command=_explain)
    _add_accept(
        commands.add_parser(
            "accept", parents=[common], help="keep a stage's results after a change judged harmless; recorded"
        )
    )
    verify = commands.add_parser(
        "verify", parents=[common], help="hold every output against its manifest: foreign, torn, edited, gone"
    )
    verify.add_argument("--results", type=Path, default=None, help="results folder, wherever it lies now")
    verify.add_argument("--quick", action="store_true", help="compare sizes and stated digests alone; reads no array")
    verify.set_defaults(command=_verify)
    for parser in (verify, explain):
        parser.add_argument("--json", action="store_true", help="as JSON")
    for name in ("explain", "accept", "verify"):
        parser = commands.choices[name]
        parser.add_argument("--configfile", type=Path, default=None, help="configuration (default: config.yaml)")
        if name != "verify":
            parser.add_argument("--profile", default="local", help="local, slurm, or a folder with a Snakemake profile")


def _add_accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", help="name of the stage, such as train_model")
    for wildcard in WILDCARDS:
        parser.add_argument(f"--{wildcard.replace('_', '-')}", default=None, help="only jobs of this one")
    parser.add_argument("--why", required=True, help="why the change is harmless, for the ledger")
    parser.set_defaults(command=_accept)


def _explain(arguments: argparse.Namespace) -> int:
    from platemae.standing.explain import explain

    found = explain(arguments.configfile, arguments.target, arguments.profile)
    print(json.dumps(found.to_dict(), indent=1) if arguments.json else "\n".join(found.lines()))
    return 0


def _accept(arguments: argparse.Namespace) -> int:
    from platemae.standing.accept import accept

    wildcards = {name: getattr(arguments, name) for name in WILDCARDS if getattr(arguments, name) is not None}
    print(*accept(arguments.stage, wildcards, arguments.why, arguments.configfile, arguments.profile), sep="\n")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from platemae.standing.verify import verify_results

    found = verify_results(arguments.results, arguments.configfile, quick=arguments.quick)
    print(json.dumps(found.to_dict(), indent=1) if arguments.json else "\n".join(found.lines()))
    return 2 if found.findings else 0
