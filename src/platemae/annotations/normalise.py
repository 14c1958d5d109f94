"""Annotation files as others write them -> ``entity1,entity2`` or ``cluster,gene``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO

import pandas as pd

from platemae.errors import InputError

_HEADERS = (
    ("entity1", "entity2"),
    ("gene1", "gene2"),
    ("genea", "geneb"),
    ("symbol1", "symbol2"),
    ("symbola", "symbolb"),
    ("protein1", "protein2"),
    ("preferrednamea", "preferrednameb"),
    ("entitya", "entityb"),
    ("officialsymbolinteractora", "officialsymbolinteractorb"),
    ("source", "target"),
)
"""Headers of the two columns, without case and punctuation."""
_BLANK = {"", "nan", "na", "n/a", "none", "-"}


def normalise(
    data: bytes, form: str, where: str, aliases: Mapping[str, str] | None = None
) -> tuple[str, dict[str, int]]:
    """Return an annotation file in the form that the benchmarks read, as CSV text.

    Parameters
    ----------
    data
        The file: pairs with one of the usual headers, separated by commas, tabs, semicolons or blanks; or clusters, a
        line each: name, tab, genes separated by blanks (CORUM_clusters.tsv) or tabs after a description (GMT), or a
        table with the columns cluster,gene.
    form
        ``pairs`` or ``clusters``.
    where
        The file's name, for errors.
    aliases
        Outdated symbol -> symbol in use: replaced.

    Returns
    -------
    text
        Pairs: each once, its two names in order, sorted; a column ``strength`` is kept. Clusters: in the file's order.
    counts
        rows, blank, self_pairs, duplicates, renamed, and pairs or clusters.

    Raises
    ------
    InputError
        If it is no such file.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not a text file: {error}", where, "give a CSV or TSV in UTF-8") from None
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise InputError("the file is empty", where, "give a CSV or TSV")
    table = _clusters(lines, where) if form == "clusters" else _pairs(lines, where)
    keys = ["cluster", "gene"] if form == "clusters" else ["entity1", "entity2"]
    named = keys[1:] if form == "clusters" else keys
    table[keys] = table[keys].apply(lambda column: column.str.strip())
    current = table[named].apply(lambda column: column.map(lambda name: (aliases or {}).get(name, name)))
    counts = {"rows": len(table), "renamed": int((current != table[named]).any(axis=1).sum())}
    table[named] = current
    blank = table[keys].apply(lambda column: column.str.casefold().isin(_BLANK)).any(axis=1)
    counts["blank"] = int(blank.sum())
    table = table[~blank]
    made, more = _unique_clusters(table) if form == "clusters" else _unique_pairs(table, where)
    if made.empty:
        raise InputError("not a single entry is left", where, f"the file must hold {form} of two names or more")
    return made.to_csv(index=False, lineterminator="\n"), counts | more


def _unique_pairs(table: pd.DataFrame, where: str) -> tuple[pd.DataFrame, dict[str, int]]:
    same = table["entity1"] == table["entity2"]
    kept = table[~same].copy()
    swapped = kept["entity1"] > kept["entity2"]
    kept.loc[swapped, ["entity1", "entity2"]] = kept.loc[swapped, ["entity2", "entity1"]].to_numpy()
    unique = kept.drop_duplicates().sort_values(list(kept.columns), kind="stable")
    twice = unique.duplicated(["entity1", "entity2"])
    if twice.any():
        one, two = unique.loc[twice, ["entity1", "entity2"]].iloc[0]
        what = f"{one} and {two} have two strengths ({int(twice.sum())} such pairs)"
        raise InputError(what, where, "keep one strength a pair, or leave the column strength out")
    return unique, {"self_pairs": int(same.sum()), "duplicates": len(kept) - len(unique), "pairs": len(unique)}


def _unique_clusters(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    unique = table.drop_duplicates()
    return unique, {"duplicates": len(table) - len(unique), "clusters": unique["cluster"].nunique()}


def _pairs(lines: list[str], where: str) -> pd.DataFrame:
    table = _table(lines, next((mark for mark in "\t,;" if mark in lines[0]), " "), where)
    plain = {re.sub(r"[^a-z0-9]", "", str(column).lower()): column for column in reversed(table.columns)}
    for left, right in _HEADERS:
        if left in plain and right in plain:
            strength = {plain["strength"]: "strength"} if "strength" in plain else {}
            names = {plain[left]: "entity1", plain[right]: "entity2", **strength}
            return table[list(names)].rename(columns=names)
    found = ", ".join(map(str, table.columns[:8]))
    remedy = "name the two columns entity1 and entity2"
    raise InputError(f"the columns of the two genes are not found (columns: {found})", where, remedy)


def _table(lines: list[str], mark: str, where: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(StringIO("\n".join(lines)), sep=mark, dtype=str, keep_default_na=False)
    except pd.errors.ParserError as error:
        raise InputError(f"not a table: {error}", where, "give a CSV or TSV with a header") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first columns for an index
        raise InputError("not a table: the rows have more columns than the header", where, "name every column")
    return table


def _clusters(lines: list[str], where: str) -> pd.DataFrame:
    mark = next((mark for mark in "\t,;" if mark in lines[0]), ",")
    if [field.strip(' "').lower() for field in lines[0].split(mark)][:2] == ["cluster", "gene"]:
        table = _table(lines, mark, where)
        return table.iloc[:, :2].set_axis(["cluster", "gene"], axis=1)
    fields = [line.split("\t") for line in lines]
    bad = [number for number, parts in enumerate(fields, 1) if len(parts) < 2]
    genes = [parts[2:] if len(parts) > 2 else " ".join(parts[1:]).split() for parts in fields]
    rows = [[parts[0], gene] for parts, members in zip(fields, genes, strict=True) for gene in members]
    if bad:
        remedy = "give a line a cluster: name, tab, genes; or a table with the columns cluster,gene"
        raise InputError("not a table of clusters", f"{where}, line {bad[0]}", remedy)
    return pd.DataFrame(rows, columns=["cluster", "gene"])
