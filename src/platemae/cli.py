"""Command line: parsing only. One subcommand a stage, and the commands around them; nothing heavy is imported here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from platemae import __version__
from platemae.console.catalogue import GROUPS
from platemae.console.parser import EXIT_CODES, CommandParser, help_formatter
from platemae.errors import PlatemaeError

_EPILOG = f"""{EXIT_CODES}

`platemae COMMAND --help` has an example of each. NO_COLOR=1 turns colours off; docs/commands.md has more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong input, 75 to go on, 130 interrupted."""
    parser = whole_parser()
    arguments = parser.parse_args(sys.argv[1:] or ["--help"] if argv is None else argv)
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


def whole_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    common = CommandParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show a traceback with an error")
    parser = CommandParser(
        "platemae",
        description="Plates in, perturbation maps out.",
        epilog=_EPILOG,
        formatter_class=help_formatter,  # type: ignore[arg-type]  # a function, so that rich is imported late
    )
    parser.groups = {title: [(c.name, c.help) for c in commands] for title, commands in GROUPS.items()}
    parser.add_argument("--version", action="version", version=f"platemae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, prog="platemae")
    for command in (command for group in GROUPS.values() for command in group):
        command.add(
            commands.add_parser(
                command.name,
                parents=[common],
                help=command.help,
                description=f"{command.help}.",
                epilog=f"example:\n  {command.example}",
                formatter_class=help_formatter,
            )
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
