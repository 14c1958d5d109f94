"""The parser of `platemae` and of each command: help in colour on a terminal, errors in three lines."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import NoReturn

from platemae.errors import PlatemaeError

EXIT_CODES = """\
exit codes:
  0    done
  1    a job failed (Snakemake says which), or a fault of the program (with a traceback)
  2    wrong input or use; three lines say what, where, and the remedy
  75   training stopped before its end and goes on when called again (time limit, preemption)
  130  interrupted with Ctrl-C"""


def help_formatter(prog: str) -> argparse.HelpFormatter:
    """Return a formatter: in colour on a terminal, unless NO_COLOR is set, and then alone is rich imported."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return argparse.RawDescriptionHelpFormatter(prog)
    from rich_argparse import RawDescriptionRichHelpFormatter

    class Formatter(RawDescriptionRichHelpFormatter):
        # Brackets in our texts are YAML lists, not rich's markup.
        text_markup = help_markup = False
        group_name_formatter = str

    return Formatter(prog)


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are as those of the stages: what, where, remedy; exit code 2."""

    groups: Mapping[str, Iterable[tuple[str, str]]] = {}
    """Title -> commands with their one-line help, for the page of `platemae --help`."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, name the nearest word where there is one, and end."""
        print(PlatemaeError(self._in_words(message), self.prog, self._remedy(message)), file=sys.stderr)
        self.exit(2)

    def format_help(self) -> str:
        """Return the help, commands by purpose where there are any."""
        if not self.groups:
            return super().format_help()
        formatter = self._get_formatter()
        formatter.add_usage("%(prog)s [-h] [--version] COMMAND ...", [], [], prefix="usage: ")
        formatter.add_text(self.description)
        for title, commands in self.groups.items():
            formatter.start_section(title)
            formatter.add_arguments([argparse.Action([], name, metavar=name, help=text) for name, text in commands])
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def _choices(self) -> list[str]:
        return [name for commands in self.groups.values() for name, _ in commands]

    def _in_words(self, message: str) -> str:
        unknown = _not_a_choice(message)
        return f"there is no command {unknown}" if self.groups and unknown else message

    def _remedy(self, message: str) -> str:
        near = difflib.get_close_matches(_not_a_choice(message) or "", self._choices(), n=1)
        more = f"`{self.prog} --help` {'lists the commands' if self.groups else 'says what it takes'}"
        return f"did you mean `{self.prog} {near[0]}`? {more}" if near else more


def _not_a_choice(message: str) -> str | None:
    """Return the word that argparse refused; it hands over nothing but its sentence."""
    found = re.search(r"invalid choice: '(.*?)' \(", message)
    return found[1] if found else None
