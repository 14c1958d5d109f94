"""Gene symbols of a source that a map does not know: spelled in another case, outdated, or really absent.

Nothing is renamed here: a benchmark says what it could not place, and ``platemae fetch-annotations --aliases`` writes a
source with symbols that are in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from platemae.errors import InputError, MissingError

_SHOWN = 10
_FORM = "give a CSV with the columns previous,current, or HGNC's table with the columns symbol and prev_symbol"


def read_aliases(path: Path) -> dict[str, str]:
    """Read a table of outdated symbols: previous -> current.

    The table is a CSV with the columns previous,current; or the tab-separated complete set of HGNC, whose
    ``prev_symbol`` holds several symbols with bars between. A previous symbol of several genes tells nothing and is
    left out, and so is one that is also in use.

    Raises
    ------
    MissingError
        If the file is not there.
    InputError
        If it is no such table.
    """
    if not path.is_file():
        raise MissingError("the table of outdated symbols is not there", str(path), "correct the path of aliases")
    try:
        with path.open(encoding="utf-8-sig") as file:
            mark = "\t" if "\t" in file.readline() else ","
        table = pd.read_csv(path, sep=mark, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"not a table of symbols: {error}", str(path), _FORM) from error
    if {"symbol", "prev_symbol"} <= set(table.columns):
        several = table.assign(previous=table["prev_symbol"].str.split("|"), current=table["symbol"])
        table = several.explode("previous", ignore_index=True)
    lost = [column for column in ("previous", "current") if column not in table.columns]
    if lost:
        raise InputError(f"no column {' and '.join(lost)}", str(path), _FORM)
    table = table[["previous", "current"]].apply(lambda column: column.str.strip())
    table = table[(table != "").all(axis=1) & ~table["previous"].isin(table["current"])].drop_duplicates()
    known = table[~table["previous"].duplicated(keep=False)]
    return dict(zip(known["previous"], known["current"], strict=True))


def compare_symbols(source: Iterable[str], genes: Iterable[str], aliases: Mapping[str, str]) -> dict[str, Any]:
    """Count the symbols of a source that a map has in no or in another spelling.

    Parameters
    ----------
    source
        Names of the source.
    genes
        Names of all rows of the map.
    aliases
        Outdated symbol -> symbol in use; the source's or the map's may be the outdated one.

    Returns
    -------
    n_symbols_case and symbols_case (the same but for upper and lower case), n_symbols_outdated and symbols_outdated,
    n_symbols_unknown (the rest, absent from the map). The lists show ``source's (map's)`` names, sorted, at most 10.
    """
    here = set(map(str, genes))
    folded = {gene.casefold(): gene for gene in sorted(here)}
    renamed = {aliases[gene]: gene for gene in sorted(here) if gene in aliases}
    case, outdated, unknown = [], [], 0
    for name in sorted(set(source) - here):
        other = aliases.get(name)
        if other in here or name in renamed:
            outdated.append(f"{name} ({other if other in here else renamed[name]})")
        elif name.casefold() in folded:
            case.append(f"{name} ({folded[name.casefold()]})")
        else:
            unknown += 1
    return {
        "n_symbols_unknown": unknown,
        "n_symbols_case": len(case),
        "symbols_case": case[:_SHOWN],
        "n_symbols_outdated": len(outdated),
        "symbols_outdated": outdated[:_SHOWN],
    }
