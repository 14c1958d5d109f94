"""`platemae cite` and `crate` at the command line: parsing; what is heavy is imported when one is called."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from platemae.answers import as_json


def add_cite(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--out", type=Path, default=None, help="folder that gets methods.md and references.bib")
    parser.add_argument("--json", action="store_true", help="as JSON, with the file behind each number")
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration (default: config.yaml here, else the checkout's)"
    )
    parser.set_defaults(command=_cite)


def add_crate(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--results", type=Path, default=None, help="results folder (default: of the configuration)")
    parser.add_argument("--licence", default=None, help="address of the licence of the results (default: not stated)")
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration (default: config.yaml here, else the checkout's)"
    )
    parser.set_defaults(command=_crate)


def _cite(arguments: argparse.Namespace) -> int:
    from platemae.provenance.cite import cite, write_methods

    methods = cite(arguments.configfile)
    if arguments.json:
        quotes = [asdict(quote) for quote in methods.quotes]
        print(as_json("cite", {"text": methods.markdown(), "references": methods.bibtex(), "quotes": quotes}))
    elif arguments.out:
        print(*write_methods(methods, arguments.out), sep="\n")
    else:
        print(methods.markdown(), methods.bibtex(), sep="\n")
    return 0


def _crate(arguments: argparse.Namespace) -> int:
    from platemae.provenance.cite import crate

    print(crate(arguments.results, arguments.configfile, arguments.licence))
    return 0
