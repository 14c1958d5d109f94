"""Which column of a table holds what: names from the configuration first, then well-known ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from platemae.errors import ConfigError

ALIASES: dict[str, tuple[str, ...]] = {
    "plate": ("plate", "assayplatebarcode", "platebarcode"),
    "experiment": ("experiment", "experimentname"),
    "wellid": ("wellid",),
    "well": ("well", "wellposition", "wellname", "address", "destinationwell"),
    "row": ("row", "wellrow", "platerow"),
    "column": ("column", "col", "wellcolumn", "wellcol", "platecolumn"),
    "field": ("field", "site", "fov"),
    "perturbation": ("perturbation", "guide", "sgrna", "broadsample", "jcp2022", "treatment", "sirna"),
    "gene": ("gene", "genesymbol", "symbol", "genename", "targetgene"),
    "compound": ("compound", "compoundname", "drug", "drugname", "pertiname"),
    "concentration": ("concentration", "conc", "mmolesperliter"),
    "unit": ("unit", "units", "concentrationunit"),
    "control_type": ("controltype", "welltype", "perttype", "perturbationtype"),
    "cell": ("cell", "cellid"),
    "y": ("y", "ypx", "yposition"),
    "x": ("x", "xpx", "xposition"),
}
"""Role -> names in order of preference, as :func:`plain` spells them."""

BLANK = frozenset({"", "na", "n/a", "nan", "#n/a"})
"""What R, pandas and Excel write into a cell without a value, lower case."""

WELL_ROLES = ("plate", "experiment", "wellid", "well", "row", "column", "field")
LABEL_ROLES = ("perturbation", "gene", "compound", "control_type")
LAYOUT_ROLES = (*WELL_ROLES, *LABEL_ROLES, "concentration", "unit")

Columns = dict[str, tuple[int, ...]]
"""Role -> indices of the columns that may hold it; the first that is not blank counts."""


def plain(name: str) -> str:
    """Return a column's name without case, signs and the prefix ``Metadata_``."""
    return re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("metadata")


def value(text: str) -> str:
    """Return the text of a cell without spaces around it; empty for what stands for no value."""
    text = text.strip()
    return "" if text.lower() in BLANK else text


def find_columns(
    header: Sequence[str], given: Mapping[str, str], roles: Sequence[str], where: str
) -> tuple[Columns, list[ConfigError]]:
    """Return the columns of each of ``roles``, and what is wrong with the header.

    A well is read from one column, or from row and column when these are given or there is no other. A control label
    may stand in several columns (JUMP writes ``control_type`` and ``pert_type``): all are returned.

    Parameters
    ----------
    header
        Names of the columns.
    given
        Role -> name, from the configuration.
    roles
        Keys of ``ALIASES``.
    where
        The file, for errors.
    """
    found: Columns = {}
    problems: list[ConfigError] = []
    for role in roles:
        if role in given:
            places = [[i for i, name in enumerate(header) if name.strip() == given[role]]] if given[role] else []
            if given[role] and not places[0]:
                problems.append(_absent(given[role], header, where))
        else:
            places = [[i for i, name in enumerate(header) if plain(name) == alias] for alias in ALIASES[role]]
        places = [indices for indices in places if indices]
        problems += [_twice(header, indices, where) for indices in places if len(indices) > 1]
        if places:
            found[role] = tuple(i[0] for i in (places if role == "control_type" else places[:1]))
    if "well" in found and not {"row", "column"} <= set(given):
        found = {role: places for role, places in found.items() if role not in ("row", "column")}
    return found, problems


def has_well(columns: Columns) -> bool:
    """Return whether the columns tell the well of a row."""
    return "well" in columns or {"row", "column"} <= set(columns)


def no_well(header: Sequence[str], where: str) -> ConfigError:
    """Return the error of a table that does not say which well a row is about."""
    what = f"columns are missing: well, or row and column; there are {', '.join(header) or 'none'}"
    return ConfigError(what, where, "name the column under layouts: columns: well")


def _absent(name: str, header: Sequence[str], where: str) -> ConfigError:
    what = f"there is no column {name!r}, which layouts: columns names; there are {', '.join(header)}"
    return ConfigError(what, where, "correct layouts: columns")


def _twice(header: Sequence[str], indices: Sequence[int], where: str) -> ConfigError:
    names = ", ".join(f"{header[i]!r} (column {i + 1})" for i in indices)
    return ConfigError(f"two columns hold the same thing: {names}", where, "keep one of them")
