"""Score tables with interval, n and chance; verdicts; published numbers beside measured ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.report.blocks import Block, Figure, Fold, Heading, Items, Section, Table, Text, grid
from platemae.report.figures import curves, forest
from platemae.report.published import PUBLISHED_COLUMNS
from platemae.report.scores import Group, number, on_curve, plain, with_interval
from platemae.report.source import Source
from platemae.report.tables import caption, wide
from platemae.report.verdicts import AT, Verdict, against_chance, judge, rows_of

MAX_ROWS = 500


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
        "A number stands with its 95 % interval. A row is clear of chance when its interval does not touch the chance "
        "level, else it is called at chance and shown in grey. Rows tie when their values are equal or their intervals "
        "overlap: the data cannot tell them apart."
    )
    blocks.append(Text(intro))
    for verdict in judge(scores, len(source.map_plates)):
        blocks += _group(verdict, source.corrections)
    blocks += _curves(scores[on_curve(scores)], source.corrections)
    return Section("scores", "Scores", [*blocks, _all_rows(scores), *_published(source)])


def _curves(points: pd.DataFrame, corrections: list[str]) -> list[Block]:
    """Draw each curve over its thresholds, a panel a correction and a line a model."""
    blocks: list[Block] = []
    for (benchmark, known, metric), rows in points.groupby(["benchmark", "source", "metric"], sort=False):
        panels = [(name, _lines(rows[rows["correction"] == name])) for name in corrections]
        title = f"{benchmark}, {known}: {str(metric).replace('_', ' ')}"
        text = f"{title}, over the share of all pairs in a tail. tables/scores.csv has the numbers."
        figure = curves([panel for panel in panels if panel[1]], "share in a tail")
        blocks += [Heading(title), Figure(figure, text, text)]
    return blocks


def _lines(rows: pd.DataFrame) -> list[tuple[str, npt.ArrayLike, npt.ArrayLike]]:
    models = [(str(model), own.sort_values("threshold")) for model, own in rows.groupby("model", sort=False)]
    lines: list[tuple[str, npt.ArrayLike, npt.ArrayLike]] = [
        (model, own["threshold"].to_numpy(), own["value"].to_numpy()) for model, own in models
    ]
    chance = rows.drop_duplicates("threshold").sort_values("threshold")
    return [*lines, ("chance", chance["threshold"].to_numpy(), chance["chance"].to_numpy())] if lines else []


def _group(verdict: Verdict, corrections: list[str]) -> list[Block]:
    group = verdict.group
    blocks: list[Block] = [Heading(group.title), Text(verdict.headline)]
    if np.isfinite(group.rows["value"]).any():
        blocks.append(_forest(verdict, corrections))
    blocks.append(_wide(group, corrections))
    if verdict.details:
        blocks.append(Fold("Models under each correction, corrections of each model", [Items(verdict.details)]))
    return blocks


def _forest(verdict: Verdict, corrections: list[str]) -> Figure:
    rows = verdict.group.rows
    models = list(dict.fromkeys(rows["model"]))
    series = [(name, _numbers(rows[rows["correction"] == name], models)) for name in corrections]
    chance = [float(value) for value in rows["chance"].unique() if np.isfinite(value)]
    uri = forest(models, series, chance, verdict.group.metric.replace("_", " "))
    alt = f"Values with intervals of {len(models)} models under {', '.join(corrections)}. {verdict.headline}"
    return Figure(uri, alt, "Value with 95 % interval; the dashed line is chance.", width=640)


def _numbers(rows: pd.DataFrame, models: list[str]) -> npt.NDArray[np.float64]:
    first = rows.drop_duplicates("model").set_index("model")
    return first.reindex(models)[["value", "ci_low", "ci_high"]].to_numpy(dtype=np.float64)


def _wide(group: Group, corrections: list[str]) -> Table:
    table = wide(group, corrections)
    at_chance = {(row.model, row.correction) for row in rows_of(group) if against_chance(row) == AT}
    faint = {
        (i, j + 1)
        for i, model in enumerate(table["model"])
        for j, correction in enumerate(corrections)
        if (model, correction) in at_chance
    }
    rows = table.to_numpy().tolist()
    return Table(
        [str(c) for c in table.columns],
        rows,
        caption(group),
        frozenset(range(1, len(corrections) + 1)),
        frozenset(faint),
    )


def _all_rows(scores: pd.DataFrame) -> Fold:
    columns = [str(column) for column in scores.columns]
    numbers = ("value", "ci_low", "ci_high", "plate_ci_low", "plate_ci_high", "chance")
    rows = [
        [
            number(row[name]) if name in numbers else _whole(row[name]) if name == "n" else plain(row[name])
            for name in columns
        ]
        for row in scores.head(MAX_ROWS).to_dict("records")
    ]
    more = f" (the first {MAX_ROWS}; tables/scores.csv has all)" if len(scores) > MAX_ROWS else ""
    return Fold(f"All {len(scores)} rows{more}", [grid(rows, columns, "", [*numbers, "n", "threshold"])])


def _whole(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else ""


def _published(source: Source) -> list[Block]:
    path = source.results.tables() / "published.csv"
    heading = Heading("Published and measured")
    if not path.is_file():
        return [heading, Text("There is no table of published numbers beside these.", "note")]
    table = pd.read_csv(path, dtype={"threshold": str}, keep_default_na=True)
    joined = table[table["measured"].notna()]
    blocks: list[Block] = [heading]
    if len(joined):
        blocks.append(_beside(joined, "Published, measured, and measured minus published"))
    else:
        text = "None of the published numbers is of a benchmark and source that was measured here."
        blocks.append(Text(text))
    rest = table[table["measured"].isna()]
    if len(rest):
        blocks.append(Fold(f"{len(rest)} published numbers without a measured one", [_alone(rest)]))
    return blocks


def _beside(table: pd.DataFrame, text: str) -> Table:
    named = {
        "paper": "paper",
        "row": "published row",
        "source": "source",
        "metric": "metric",
        "measured_model": "model",
        "measured_correction": "correction",
    }
    numbers = ("published", "measured", "difference")
    rows = [
        (
            *(plain(row[key]) for key in named),
            number(row["value"]),
            with_interval(row["measured"], row["ci_low"], row["ci_high"]),
            f"{row['difference']:+.3f}",
        )
        for row in table.to_dict("records")
    ]
    return grid(rows, [*named.values(), *numbers], text, numbers)


def _alone(table: pd.DataFrame) -> Table:
    rows = [[plain(row[key]) for key in PUBLISHED_COLUMNS] for row in table.to_dict("records")]
    return grid(rows, PUBLISHED_COLUMNS, "Published numbers; the code names the source that states them", ("value",))
