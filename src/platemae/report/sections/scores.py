"""Score tables with interval, n and chance; verdicts; published numbers beside measured ones."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.errors import number_of
from platemae.report.blocks import Block, Figure, Fold, Heading, Items, Section, Table, Text, grid
from platemae.report.figures import curves, forest
from platemae.report.meanings import meaning
from platemae.report.origin import SCORES, Cell, cell
from platemae.report.published import PUBLISHED_COLUMNS
from platemae.report.scores import INTERVALS, Group, number, on_curve, plain, whole, with_interval
from platemae.report.source import Source
from platemae.report.tables import OVERLAP, caption, wide
from platemae.report.takeaway import file_name
from platemae.report.verdicts import (
    ABOVE,
    AT,
    BELOW,
    MIXING,
    SHUFFLED,
    Verdict,
    against_chance,
    judge,
    listed,
    rows_of,
)

MAX_ROWS = 500
PUBLISHED_TABLE = "tables/published.csv"


def build(source: Source) -> Section:
    """Return a figure, a table and sentences for every benchmark, source and metric."""
    scores, missing = source.scores
    blocks: list[Block] = []
    if missing:
        blocks.append(Text(f"Without scores: {', '.join(missing)}.", "note"))
    if not len(scores):
        blocks.append(Text("No score was measured.", "note"))
        return Section("scores", "Scores", [*blocks, *_published(source)])
    intro = (
        "A number stands with its 95 % interval, from resampled genes, perturbations or wells. Where plates were "
        "resampled, too, a second interval is in brackets. A row is clear of chance when neither touches the chance "
        "level, else it is called at chance and shown in grey. Rows are not set apart when their values are equal or "
        "intervals of one kind overlap; they may differ all the same, as rows share genes and wells."
    )
    blocks.append(Text(intro))
    if (scores["plate_ci_low"].notna()).any():
        blocks.append(
            Fold("Why an interval of plates may not hold its value", [Text(_plate_intervals(scores))], quiet=True)
        )
    subsets: list[Block] = []
    wholes: dict[str, list[Verdict]] = {}
    for verdict in judge(scores, len(source.map_plates)):
        if "[" in verdict.group.source:
            subsets += _group(verdict, source.corrections)
        else:
            wholes.setdefault(verdict.group.benchmark, []).append(verdict)
    for benchmark, (first, *others) in wholes.items():
        blocks += _benchmark(benchmark, first, others, source.corrections)
    blocks += _published(source)
    if subsets:
        count = sum(isinstance(block, Heading) for block in subsets)
        blocks.append(Fold(f"Parts of the known sets, each scored alone: {count} tables", subsets, raw=True))
    blocks += _curves(scores[on_curve(scores)], source.corrections)
    return Section("scores", "Scores", [*blocks, _all_rows(scores)])


def _benchmark(benchmark: str, first: Verdict, others: list[Verdict], corrections: list[str]) -> list[Block]:
    """Return a benchmark's first number, its checks that failed, and all others behind one fold."""
    blocks = _group(first, corrections, shown=first.group.metric not in MIXING)  # those are on Corrections
    failed = [verdict for verdict in others if _is_failed_check(verdict)]
    for verdict in failed:
        blocks += _group(verdict, corrections, shown=False)
    rest = [verdict for verdict in others if not _is_failed_check(verdict)]
    if rest:
        names = listed([verdict.group.title.removeprefix(f"{benchmark} · ") for verdict in rest])
        inside = [block for verdict in rest for block in _group(verdict, corrections)]
        blocks.append(Fold(f"{number_of(len(rest), 'more number')} of {benchmark}: {names}", inside))
    return blocks


def _is_failed_check(verdict: Verdict) -> bool:
    rows = rows_of(verdict.group)
    return verdict.group.metric.endswith(SHUFFLED) and any(against_chance(row) in (ABOVE, BELOW) for row in rows)


def _plate_intervals(scores: pd.DataFrame) -> Cell:
    """Say what resampled plates do to a value, and how many rows lie outside of their own plate interval."""
    rows = scores[scores["plate_ci_low"].notna() & scores["plate_ci_high"].notna()]
    outside = (rows["value"] < rows["plate_ci_low"]) | (rows["value"] > rows["plate_ci_high"])
    text = (
        "A draw of plates with replacement holds fewer different plates, on average 63 % of many and 70 % of three: "
        "less is averaged, so values of resamples tend to lie lower, and their interval may not hold the value itself"
    )
    return Cell(f"{text}. That is so in {int(outside.sum())} of the {len(rows)} rows that have one.")


def _curves(points: pd.DataFrame, corrections: list[str]) -> list[Block]:
    """Draw each curve over its thresholds, a panel a correction and a line a model."""
    blocks: list[Block] = []
    for (benchmark, known, metric), rows in points.groupby(["benchmark", "source", "metric"], sort=False):
        panels = [(name, _lines(rows[rows["correction"] == name])) for name in corrections]
        title = f"{benchmark}, {known}: {str(metric).replace('_', ' ')}"
        text = f"{title}, over the share of all pairs in a tail. tables/scores.csv has the numbers."
        drawing = curves([panel for panel in panels if panel[1]], "share in a tail")
        data = rows[["model", "correction", "threshold", "value", "ci_low", "ci_high", "n", "chance"]]
        name = file_name("curve", str(benchmark), str(known), str(metric))
        width, scroll = 280 * len(panels), len(panels) > 1
        blocks += [Heading(title), Figure(drawing.showing(data), text, text, width, scroll, name=name)]
    return blocks


def _lines(rows: pd.DataFrame) -> list[tuple[str, npt.ArrayLike, npt.ArrayLike]]:
    models = [(str(model), own.sort_values("threshold")) for model, own in rows.groupby("model", sort=False)]
    lines: list[tuple[str, npt.ArrayLike, npt.ArrayLike]] = [
        (model, own["threshold"].to_numpy(), own["value"].to_numpy()) for model, own in models
    ]
    chance = rows.drop_duplicates("threshold").sort_values("threshold")
    return [*lines, ("chance", chance["threshold"].to_numpy(), chance["chance"].to_numpy())] if lines else []


def _group(verdict: Verdict, corrections: list[str], shown: bool = True) -> list[Block]:
    """Return one group of rows: its verdict, then figure and table, which are behind a fold unless they are shown."""
    group = verdict.group
    meant = [Text(text, "small")] if (text := meaning(group)) else []
    said: list[Block] = [Heading(group.title), *meant, Text(verdict.cell(verdict.headline))]
    blocks: list[Block] = [_forest(verdict, corrections)] if np.isfinite(group.rows["value"]).any() else []
    blocks.append(score_table(group, corrections))
    details: list[Block] = [Items(verdict.names)] if verdict.names else []
    details += [Items([verdict.cell(text) for text in verdict.details])] if verdict.details else []
    if details:
        blocks.append(
            Fold("Rows by name, models under each correction, corrections of each model", details, quiet=True)
        )
    return [*said, *blocks] if shown else [*said, Fold("Figure and table", blocks, quiet=True)]


def _forest(verdict: Verdict, corrections: list[str]) -> Figure:
    rows = verdict.group.rows
    models = [str(model) for model in dict.fromkeys(rows["model"])]
    series = [(name, _numbers(rows[rows["correction"] == name], models)) for name in corrections]
    chance = [float(value) for value in rows["chance"].unique() if np.isfinite(value)]
    drawing = forest(models, series, chance, verdict.group.metric.replace("_", " "))
    alt = f"Values with intervals of {len(models)} models under {', '.join(corrections)}. {verdict.headline}"
    data = rows[["model", "correction", "value", "ci_low", "ci_high", "n", "chance"]]
    name = file_name("scores", *_name(verdict.group))
    return Figure(drawing.showing(data), alt, "Value with 95 % interval; the dashed line is chance.", 640, name=name)


def _numbers(rows: pd.DataFrame, models: list[str]) -> npt.NDArray[np.float64]:
    first = rows.drop_duplicates("model").set_index("model")
    return first.reindex(models)[["value", "ci_low", "ci_high"]].to_numpy(dtype=np.float64)


def score_table(group: Group, corrections: list[str]) -> Table:
    """Return one group, a row a model and a column a correction; cells at chance are grey and called so."""
    table = wide(group, corrections)
    at_chance = {(row.model, row.correction) for row in rows_of(group) if against_chance(row) == AT}
    faint = {
        (i, j + 1)
        for i, model in enumerate(table["model"])
        for j, correction in enumerate(corrections)
        if (model, correction) in at_chance
    }
    rows = [
        [_cell(text, name, str(row[0]), group) for name, text in zip(table.columns, row, strict=True)]
        for row in table.itertuples(index=False)
    ]
    right = frozenset(range(1, len(corrections) + 1))
    name = file_name("table", *_name(group))
    text = cell(caption(group), SCORES, ["n", "chance", "threshold", "source"], group.rows.index)
    return Table([str(c) for c in table.columns], rows, text, right, frozenset(faint), name=name)


def _name(group: Group) -> list[str]:
    return [part for part in (group.benchmark, group.source, group.metric, group.threshold) if part]


def _cell(text: str, column: str, model: str, group: Group) -> str | Cell:
    """Return a cell with the score rows behind it."""
    rows = group.rows[group.rows["model"] == model]
    if column == OVERLAP:
        return cell(text, SCORES, ["overlap", "detail"], rows.index)
    if column == "model":
        return text
    return cell(text, SCORES, INTERVALS, rows.index[rows["correction"] == column])


def _all_rows(scores: pd.DataFrame) -> Fold:
    columns = [str(column) for column in scores.columns]
    numbers = (*INTERVALS, "chance")

    def shown(place: Hashable, row: dict[Hashable, Any], name: str) -> str | Cell:
        text = number(row[name]) if name in numbers else whole(row[name]) if name == "n" else plain(row[name])
        return cell(text, SCORES, [name], [place]) if name in (*numbers, "n", "threshold") else text

    first = scores.head(MAX_ROWS)
    rows = [
        [shown(place, row, name) for name in columns]
        for place, row in zip(first.index, first.to_dict("records"), strict=True)
    ]
    more = f" (the first {MAX_ROWS}; tables/scores.csv has all)" if len(scores) > MAX_ROWS else ""
    return Fold(f"All {len(scores)} rows{more}", [grid(rows, columns, "", [*numbers, "n", "threshold"])], raw=True)


def _published(source: Source) -> list[Block]:
    path = source.results.tables() / "published.csv"
    heading = Heading("Published and measured")
    if not path.is_file():
        return [heading, Text("There is no table of published numbers beside these.", "note")]
    table = pd.read_csv(path, dtype={"threshold": str, "source": str, "note": str}, keep_default_na=True)
    joined = table[table["measured"].notna()]
    blocks: list[Block] = [heading]
    for name, rows in joined.groupby("table", sort=False):
        blocks.append(_beside(rows, str(name)))
    if not len(joined):
        text = "None of the published numbers is of a benchmark and source that was measured here."
        blocks.append(Text(text))
    rest = table[table["measured"].isna()]
    if len(rest):
        blocks.append(Fold(f"{len(rest)} published numbers without a measured one", [_alone(rest)], raw=True))
    return blocks


def _beside(table: pd.DataFrame, name: str) -> Table:
    """Return one published table: each cell that was measured here, too, with interval, n and chance."""
    named = {"row": "published row", "column": "column", "measured_model": "model", "measured_correction": "correction"}
    numbers = ("published", "measured", "difference", "n", "chance")
    rows = []
    for place, row in zip(table.index, table.to_dict("records"), strict=True):
        measured = with_interval(row["measured"], row["ci_low"], row["ci_high"])
        texts = (
            (number(row["value"]), ["value"]),
            (measured, ["measured", "ci_low", "ci_high"]),
            (f"{row['difference']:+.3f}", ["difference"]),
            (whole(row["n"]), ["n"]),
            (number(row["chance"]), ["chance"]),
        )
        cells = [cell(text, PUBLISHED_TABLE, columns, [place]) for text, columns in texts]
        rows.append((*(plain(row[key]) for key in named), *cells))
    paper = ", ".join(filter(None, map(plain, table["paper"].unique())))
    text = f"{name}{f' of {paper}' if paper else ''}: published, measured [95 % interval], and measured minus published"
    return grid(rows, [*named.values(), *numbers], text, numbers, name=file_name("published", name))


def _alone(table: pd.DataFrame) -> Table:
    places = [column for column in PUBLISHED_COLUMNS if column != "value"]
    rows = [
        [*(plain(row[key]) for key in places), cell(plain(row["value"]), PUBLISHED_TABLE, ["value"], [place])]
        for place, row in zip(table.index, table.to_dict("records"), strict=True)
    ]
    text = "Published numbers; the code names the source that states them"
    return grid(rows, [*places, "value"], text, ("value",))
