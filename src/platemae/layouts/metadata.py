"""Perturbation metadata: tables that say what a perturbation is, joined by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from platemae.errors import ConfigError, few, raise_all
from platemae.layouts.columns import LABEL_ROLES, find_columns
from platemae.layouts.options import LayoutOptions
from platemae.layouts.rows import Row, control_characters, cut, read
from platemae.layouts.text import read_table

Metadata = dict[str, dict[str, str]]
"""Perturbation -> gene, compound, control_type. The empty name is that of wells without one: JUMP's DMSO."""


def read_metadata(options: LayoutOptions) -> tuple[Metadata, list[ConfigError]]:
    """Return the metadata of all tables, and what is wrong with them; the first table that says a thing counts."""
    metadata: Metadata = {}
    problems: list[ConfigError] = []
    for path in options.metadata:
        try:
            found = _read(path, options.columns)
        except ConfigError as error:
            problems.append(error)
            continue
        for name, labels in found.items():
            known = metadata.setdefault(name, {})
            metadata[name] = labels | {role: text for role, text in known.items() if text}
    return metadata, problems


def _read(path: Path, given: Mapping[str, str]) -> Metadata:
    """Read one table.

    Raises
    ------
    ConfigError
        When it cannot be read, has no column of perturbations, or says two things of one.
    """
    table = read_table(path, "correct layouts: metadata")
    # The configured names are those of the layouts; the metadata may have the well-known ones.
    known = {role: name for role, name in given.items() if name in table.header}
    columns, problems = find_columns(table.header, known, LABEL_ROLES, f"{path}, row 1")
    if not problems and "perturbation" not in columns:
        what = f"the metadata has no column of perturbations; there are {few(table.header)}"
        problems.append(ConfigError(what, f"{path}, row 1", "name it under layouts: columns: perturbation"))
    raise_all(problems)
    found: Metadata = {}
    names = {role: table.header[places[0]] for role, places in columns.items()}
    for line, cells in table.rows():
        labels = read(cells, columns)
        problems += control_characters(Row(f"{path}, row {line}", dict(labels), names))
        name = labels.pop("perturbation")
        if found.setdefault(name, labels) != labels:
            what = f"the metadata says two things of {name!r}: {found[name]} and {labels}"
            problems.append(ConfigError(what, f"{path}, row {line}", "keep one row a perturbation"))
    raise_all(cut(problems, str(path)))
    return found
