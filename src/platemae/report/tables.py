"""Wide score tables (a row a model, a column a correction) as CSV, Markdown and LaTeX."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from platemae.report.scores import Group, counted, groups, number, plain, with_interval

LEADING = ("source", "metric", "threshold", "model")
OVERLAP = "overlap"
TRAILING = ("chance", "n", OVERLAP)
_TEXT = ("model", OVERLAP, "row", "column", "benchmark", "correction")
SENTENCE = "unlike"
"""Column of a paper's table that holds a sentence: it is wrapped."""


def wide(group: Group, corrections: Sequence[str]) -> pd.DataFrame:
    """Return one group as text: rows are models, columns ``model``, the corrections, and ``overlap`` with training.

    A cell is ``value [low, high]``, with ``(plates [low, high])`` behind where plates were resampled, too; it is empty
    where nothing was measured, and holds several numbers, set apart by semicolons, where two entries of the
    configuration measured the same thing.
    """
    rows = []
    for model, measured in group.rows.groupby("model", sort=False):
        cells: dict[str, list[str]] = {name: [] for name in corrections}
        for row in measured.to_dict("records"):
            cells[row["correction"]].append(_cell(row))
        joined = {name: "; ".join(filter(None, cells[name])) for name in corrections}
        rows.append({"model": str(model), **joined, OVERLAP: seen(measured)})
    return pd.DataFrame(rows, columns=["model", *corrections, OVERLAP])


def seen(rows: pd.DataFrame) -> str:
    """Return what training saw of the scored wells: the word of the rows, with the counts of their details."""
    said = []
    for word, detail in zip(rows["overlap"], rows["detail"], strict=True):
        try:
            said.append(str(json.loads(detail)["overlap"]))
        except (TypeError, ValueError, KeyError):  # scores of an earlier version have the word alone
            said.append(plain(word))
    return "; ".join(filter(None, dict.fromkeys(said)))


def _cell(row: Mapping[Hashable, Any]) -> str:
    text = with_interval(row["value"], row["ci_low"], row["ci_high"])
    low, high = number(row["plate_ci_low"]), number(row["plate_ci_high"])
    return f"{text} (plates [{low}, {high}])" if text and low and high else text


def caption(group: Group) -> str:
    """Say what the numbers are: interval, sample size, chance, and which models were trained on these labels."""
    chance = sorted({number(value) for value in group.rows["chance"]} - {""}, key=float)
    n = counted(group.rows["n"])
    level = f"; chance {' to '.join(dict.fromkeys([chance[0], chance[-1]]))}" if chance else "; no chance level"
    taught = group.rows.loc[group.rows["overlap"] == "labels", "model"].unique()
    warned = f"; trained on these labels: {', '.join(map(str, taught))}" if len(taught) else ""
    plates = " (plates [interval from resampling plates])" if group.rows["plate_ci_low"].notna().any() else ""
    return f"{group.title}: value [interval]{plates}{'; ' + n if n else ''}{level}{warned}"


def benchmark_csv(found: Sequence[Group], corrections: Sequence[str]) -> pd.DataFrame:
    """Return all groups of one benchmark in one table, with what each measures in front and chance and n behind."""
    frames = []
    for group in found:
        frame = wide(group, corrections)
        for place, (column, text) in enumerate(
            zip(LEADING[:3], (group.source, group.metric, group.threshold), strict=True)
        ):
            frame.insert(place, column, text)
        by_model = group.rows.groupby("model", sort=False)
        frame["chance"] = [_span(rows["chance"]) for _, rows in by_model]
        frame["n"] = [counted(rows["n"]).removeprefix("n = ") for _, rows in by_model]
        frame[OVERLAP] = frame.pop(OVERLAP)
        frames.append(frame)
    columns = [*LEADING, *corrections, *TRAILING]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _span(values: pd.Series) -> str:
    known = sorted({number(value) for value in values} - {""}, key=float)
    return known[0] if len(known) == 1 else " to ".join([known[0], known[-1]]) if known else ""


def benchmark_markdown(found: Sequence[Group], corrections: Sequence[str]) -> str:
    """Return the groups of one benchmark as Markdown tables, each with its caption."""
    parts = []
    for group in found:
        parts.append(markdown_table(wide(group, corrections), caption(group)))
    return "\n".join(parts)


def markdown_table(frame: pd.DataFrame, text: str) -> str:
    """Return a table of text as Markdown, its caption above; columns of text are left-aligned."""
    lines = [_bar(frame.columns), _bar("---" if c in (*_TEXT, SENTENCE) else "---:" for c in frame.columns)]
    lines += [_bar(_markdown(cell) for cell in row) for row in frame.itertuples(index=False)]
    return f"{_markdown(text)}\n\n" + "\n".join(lines) + "\n"


def benchmark_latex(found: Sequence[Group], corrections: Sequence[str]) -> str:
    """Return the groups of one benchmark as LaTeX tables with ``booktabs`` rules."""
    return "\n".join(latex_table(wide(group, corrections), caption(group)) for group in found)


def benchmarks(scores: pd.DataFrame) -> dict[str, list[Group]]:
    """Return the groups by benchmark."""
    found: dict[str, list[Group]] = {}
    for group in groups(scores):
        found.setdefault(group.benchmark, []).append(group)
    return found


def _bar(cells: Sequence[str] | object) -> str:
    return "| " + " | ".join(cells) + " |"  # type: ignore[arg-type]


def _markdown(text: str) -> str:
    for mark in "\\|<>*_`":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")


def _alignment(column: str) -> str:
    if column == SENTENCE:
        return r"p{0.4\textwidth}"
    return "l" if column in _TEXT else "r"


_LATEX = {mark: f"\\{mark}" for mark in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "·": r"$\cdot$",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(mark, mark) for mark in text)


def latex_table(frame: pd.DataFrame, text: str) -> str:
    """Return a table of text as LaTeX with ``booktabs`` rules; columns of text are left-aligned."""
    lines = [
        r"\begin{table}",
        rf"\caption{{{_latex(text)}}}",
        rf"\begin{{tabular}}{{{'l' + ''.join(map(_alignment, frame.columns[1:]))}}}",
        r"\toprule",
        " & ".join(map(_latex, frame.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex, row)) + r" \\" for row in frame.itertuples(index=False)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
