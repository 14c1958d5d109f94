"""Read layouts of any form and check them, all problems at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platemae.errors import ConfigError, raise_all
from platemae.layouts import forms
from platemae.layouts.columns import LABEL_ROLES
from platemae.layouts.concentration import concentration, unit_problems
from platemae.layouts.labels import Labeller
from platemae.layouts.metadata import read_metadata
from platemae.layouts.options import LayoutOptions
from platemae.layouts.rows import Group, Row, control_characters, cut
from platemae.wells import join_well, parse_well

Layout = dict[str, dict[str, str]]
"""Well -> perturbation, gene, compound, concentration, control_type."""


@dataclass
class Layouts:
    """The layouts of some plates, and what is wrong with them.

    Parameters
    ----------
    labeller
        Turns labels into control types.
    of_plate
        Plate -> its layout, for those that can be read.
    problems
        What is wrong, without the control labels, which ``labeller`` gathers over all files.
    sources
        Files and folders read.
    """

    labeller: Labeller
    of_plate: dict[str, Layout] = field(default_factory=dict)
    problems: list[ConfigError] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def add(self, path: Path, plates: Sequence[str]) -> None:
        """Read the layout at ``path`` for the plates that name it."""
        self.sources.append(str(path))
        try:
            found = forms.groups(path, plates, self.labeller.options)
        except ConfigError as error:
            self.problems.append(error)
            return
        for group in found:
            problems = list(group.problems)
            layout = _layout(group, self.labeller, problems)
            self.problems += cut(problems, group.source)
            self.of_plate |= dict.fromkeys(group.plates, layout)

    def all_problems(self) -> list[ConfigError]:
        """Return all that is wrong; one error for the control labels of all files."""
        more = len(self.sources) - 1
        where = self.sources[0] + (f" and {more} more" if more else "") if self.sources else ""
        return self.problems + self.labeller.problems(where, "well")


def open_layouts(options: LayoutOptions) -> Layouts:
    """Return an empty collection to which layouts are added; the metadata is read once."""
    metadata, problems = read_metadata(options)
    return Layouts(Labeller(options, metadata), problems=list(problems))


def read_layout(path: Path, plate: str, options: LayoutOptions) -> Layout:
    """Return the layout of one plate.

    Parameters
    ----------
    path
        A table, a folder of JUMP plate maps, or a Harmony assay layout.
    plate
        Plate id, which picks the plate's rows where the layout names plates.
    options
        How it is read.

    Raises
    ------
    ConfigError
        All problems at once, with row and column.
    """
    layouts = open_layouts(options)
    layouts.add(path, [plate])
    raise_all(layouts.all_problems())
    return layouts.of_plate[plate]


def _layout(group: Group, labeller: Labeller, problems: list[ConfigError]) -> Layout:
    layout: Layout = {}
    said: dict[str, list[str]] = {}
    treated: list[Row] = []
    for row in group.rows:
        try:
            well = _well(row)
        except ValueError as error:
            place = row.cell("well") if "well" in row.values else row.place
            problems.append(ConfigError(str(error), place, "write wells as A01"))
            continue
        problems += control_characters(row)
        # A table with a row a field says the same of a well several times.
        if "field" in row.values and said.get(well) == _said(row):
            continue
        if well in layout:
            problems.append(ConfigError(f"the well {well} stands twice", row.cell("well"), "keep one row a well"))
        layout[well], said[well] = _labels(well, row, labeller, problems), _said(row)
        if layout[well]["control_type"] in ("treatment", "poscon"):
            treated.append(row)
    if not group.rows and not problems:
        problems.append(ConfigError("the layout names no well", group.source, "write a row a well"))
    problems += unit_problems(treated, group.source)
    return layout


def _well(row: Row) -> str:
    if "well" in row.values:
        return parse_well(row.get("well"))
    return join_well(row.get("row"), row.get("column"))


def _said(row: Row) -> list[str]:
    return [row.get(role) for role in (*LABEL_ROLES, "concentration", "unit")]


def _labels(well: str, row: Row, labeller: Labeller, problems: list[ConfigError]) -> dict[str, str]:
    labels = labeller.label(row.values)
    if labels["control_type"] == "treatment" and not labels["perturbation"]:
        what, remedy = f"the treated well {well} has no perturbation", "name it, or mark the well empty"
        problems.append(ConfigError(what, row.cell("perturbation"), remedy))
    try:
        return labels | {"concentration": concentration(row)}
    except ConfigError as error:
        problems.append(error)
        return labels | {"concentration": ""}
