"""The scaling study: recall against training operations, the gain over the best classifier, steadiness of training."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from platemae.errors import number_of
from platemae.report.blocks import Block, Figure, Fold, Heading, Section, Text, grid
from platemae.report.origin import SCORES, Cell, cell
from platemae.report.scaling_figure import Point, recall_against_flops
from platemae.report.scores import counted, with_interval
from platemae.report.source import Source
from platemae.report.study import NUMERIC, ORIGINS, SHOWN, STEADINESS, steadiness, studied
from platemae.report.takeaway import file_name
from platemae.report.verdicts import listed

TABLE = "tables/scaling.csv"
INTRO = (
    "A point is a model, at the operations that its training took (forward and backward passes, matrix products and "
    "convolutions alone), with its 95 % interval; snapshots of one training are joined. Gains are over the best weakly "
    "supervised classifier (WSL) under the same correction. Intervals are of each recall, not of the gain: where they "
    "overlap, two models are not set apart here. Random weights took no operations: their recall is a level line."
)


def build(source: Source) -> Section:
    """Return figure and tables of each benchmark's recall; a sentence where no training's operations are known."""
    scaling, fourier = (_read(source.results.tables() / f"{name}.csv") for name in ("scaling", "fourier"))
    blocks: list[Block] = []
    if scaling.empty:
        blocks.append(
            Text("No model with recall was trained here: there is nothing to set beside training FLOPs.", "note")
        )
    else:
        blocks.append(Text(INTRO))
        more: list[Block] = []
        for (benchmark, origin, threshold), rows in scaling.groupby(["benchmark", "source", "threshold"], sort=False):
            own = _benchmark(source, rows, f"{benchmark} · {origin} · recall at {threshold:g}")
            (more if any(isinstance(block, Figure) for block in blocks) else blocks).extend(own)
        if more:
            names = listed([block.text for block in more if isinstance(block, Heading)])
            blocks.append(Fold(f"Recall against training operations, {names}", more))
        tables = [
            grid(_cells(frame), SHOWN, text, NUMERIC, name=f"scaling-{place + 1}")
            for place, (text, frame) in enumerate(studied(scaling))
        ]
        blocks.append(Fold("All rows of the scaling study", tables))
    if len(fourier):
        shown = steadiness(fourier)
        columns = [str(column) for column in shown.columns]
        cells = [
            [cell(row[column], "tables/fourier.csv", [column.replace(" ", "_")], [place]) for column in columns]
            for place, row in enumerate(shown.to_dict("records"))
        ]
        table = grid(cells, columns, "Steadiness of training", columns[2:], name="steadiness")
        diverged = f"{number_of(int(fourier['diverged'].sum()), 'training')} diverged"
        blocks.append(Fold(f"Steadiness of training: {diverged}", [Text(f"{STEADINESS}."), table]))
    return Section("scaling", "Scaling", blocks)


def _cells(frame: pd.DataFrame) -> list[list[str | Cell]]:
    """Return the text of some rows of the study, numbers with their origin."""
    return [
        [cell(text, TABLE, ORIGINS[name], [place]) if name in ORIGINS else text for name, text in row.items()]
        for place, row in zip(frame.index, frame.to_dict("records"), strict=True)
    ]


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame()
    fourier = path.stem == "fourier"
    words = ["diverged_at"] if fourier else ["correction", "benchmark", "source", "best_wsl", "overlap"]
    # Nothing but an empty cell is missing: pandas would also take a correction called null for a gap.
    table = pd.read_csv(path, dtype=dict.fromkeys(["model", *words], str), keep_default_na=False, na_values=[""])
    return table if fourier else table.fillna({"source": "", "overlap": ""})


def _benchmark(source: Source, rows: pd.DataFrame, title: str) -> list[Block]:
    """Return the heading, the figure and a sentence on the best row of one benchmark, source and threshold."""
    rows = rows[np.isfinite(rows["recall"])]
    if rows.empty:
        return [Heading(title), Text("No recall could be measured.", "note")]
    parents = {model["name"]: model.get("parent") or model["name"] for model in source.cfg["models"]}
    random = _untrained(source, rows)
    panels, best, floor = [], [], []
    for correction, found in rows.groupby("correction", sort=False):
        panels.append((f"correction {correction}", [_point(row, parents) for row in found.to_dict("records")]))
        best.append(float(found["best_wsl_recall"].iloc[0]))
        floor.append(float(random.loc[random["correction"] == correction, "value"].max()))
    families = list(dict.fromkeys(rows["family"]))
    chance = float(rows["chance"].iloc[0])
    drawing = recall_against_flops(panels, families, chance, best, floor)
    sentence = _sentence(rows)
    alt = f"Recall of {rows['model'].nunique()} models against training FLOPs, {', '.join(families)}. {sentence}"
    width = 330 * len(panels) + 115
    data = rows[
        ["model", "family", "correction", "flops", "recall", "ci_low", "ci_high", "n", "chance", "best_wsl_recall"]
    ]
    figure = Figure(
        drawing.showing(data), alt, title, width, len(panels) > 1, name=file_name("recall-against-flops", title)
    )
    told = cell(sentence, TABLE, ["recall", "flops", "gain", "ci_low", "ci_high", "n"], [_highest(rows).name])
    return [Heading(title), Text(told), *_floor(random), figure]


def _untrained(source: Source, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the score rows of networks with random weights that measure what ``rows`` do."""
    scores, _ = source.scores
    first = rows.iloc[0]
    same = scores["model"].isin(source.untrained) & (scores["metric"] == "recall") & np.isfinite(scores["value"])
    for column in ("benchmark", "source", "threshold"):
        same &= scores[column] == first[column]
    return scores[same]


def _floor(random: pd.DataFrame) -> list[Block]:
    if random.empty:
        return []
    top = random.sort_values("value", ascending=False, kind="stable").iloc[0]
    text = f"Highest of random weights: {top['model']} under {top['correction']}, {_measured(top, 'value')}."
    return [Text(cell(text, SCORES, ["value", "ci_low", "ci_high", "n"], [top.name]))]


def _highest(rows: pd.DataFrame) -> pd.Series:
    return rows.sort_values("recall", ascending=False, kind="stable").iloc[0]


def _measured(row: pd.Series, column: str) -> str:
    """Return value, interval and n of a row."""
    return ", ".join(filter(None, [with_interval(row[column], row["ci_low"], row["ci_high"]), counted([row["n"]])]))


def _point(row: Mapping[Hashable, Any], parents: dict[str, str]) -> Point:
    model = str(row["model"])
    flops, recall, low, high = (float(row[key]) for key in ("flops", "recall", "ci_low", "ci_high"))
    return Point(str(row["family"]), parents.get(model, model), flops, recall, low, high)


def _sentence(rows: pd.DataFrame) -> str:
    """Say which model is best, and whether its interval is clear of the best classifier's."""
    top = _highest(rows)
    said = (
        f"Highest recall among trained models: {top['model']} under {top['correction']}, {_measured(top, 'recall')}, "
    )
    said += f"at {top['flops']:.3g} FLOPs"
    if not isinstance(top["best_wsl"], str) or top["model"] == top["best_wsl"]:
        return said + "."
    clear = top["ci_low"] > top["best_wsl_ci_high"]
    words = "; their intervals are apart." if clear else "; their intervals overlap."
    return f"{said}, {top['gain']:+.3f} over the best WSL ({top['best_wsl']}){words}"
