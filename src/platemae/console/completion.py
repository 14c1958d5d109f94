"""The script with which a shell completes commands, options and files."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completions of a parser and its commands for bash, zsh or fish."""
    for one in _all_parsers(parser):
        one.formatter_class = argparse.HelpFormatter  # no colours in a script
        for action in one._actions:
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)


def _all_parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [parser, *(sub for found in choices for sub in found.values())]
