"""Training curves and facts of the models that have a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from platemae.contracts import OPTIMISER_KEYS, is_optimised
from platemae.report.blocks import Block, Figure, Fold, Heading, Section, Table, Text, grid
from platemae.report.figures import curves
from platemae.report.origin import Cell, cell
from platemae.report.source import Source
from platemae.report.takeaway import file_name

LOSSES, FOURIER, RATE = ("loss", "mse"), ("fourier",), ("lr",)
SPEED = (("Crops a second", ("crops_per_s",)), ("Share of time without data", ("data_wait_fraction",)))
Panel = tuple[str, list[tuple[str, np.ndarray, np.ndarray]]]
VOLATILE = re.compile(r"second|hour|time|date|host|device|per_s|started|finished|version", re.IGNORECASE)
"""Facts that differ from run to run: on the page, but not in its digest."""
DIGEST = re.compile(r"[0-9a-f]{64}")
"""Digests are wider than a column, and nobody reads them to the end: model.json has them whole."""
MAX_FACTS = 60
NUMBER = re.compile(r"-?[\d,.]+(e[+-]?\d+)?")


def build(source: Source) -> Section:
    """Return curves and facts of each model."""
    blocks: list[Block] = []
    for model in source.trainings:
        blocks += [Heading(model), *_curves(source, model)]
    blocks += _facts(source)
    if not source.networks:
        blocks.append(Text("No model was trained here: all rows are imported profiles.", "note"))
    return Section("training", "Training", blocks)


def _curves(source: Source, model: str) -> list[Block]:
    path = source.results.model(model) / "history.parquet"
    history = pd.read_parquet(path) if path.is_file() else pd.DataFrame()
    panels = _panels(history, _lasting(history))
    if not panels:
        kind = next(m["kind"] for m in source.cfg["models"] if m["name"] == model)
        return [Text(f"There is no training curve for {model} (kind {kind}).{_only_row(history)}", "note")]
    figures: list[Block] = [_figure(f"Training of {model}", panels, file_name("training", model))]
    if speed := _panels(history, SPEED):  # another on each run and machine
        figure = _figure(f"Throughput of {model}", speed, file_name("throughput", model))
        figures.append(replace(figure, volatile=True))
    return figures


def _figure(what: str, panels: list[Panel], name: str) -> Figure:
    lines = [(line, x, y) for _, inside in panels for line, x, y in inside]
    last = int(max(x[-1] for _, x, _ in lines))
    ends = "; ".join(f"{line} ends at {y[-1]:.4g}" for line, _, y in lines)
    data = pd.concat([pd.DataFrame({"line": line, "step": x, "value": y}) for line, x, y in lines], ignore_index=True)
    caption = f"{what}: {', '.join(line for line, _, _ in lines)} over {last:,} steps; {ends}"
    drawing = curves(panels, "step").showing(data)
    return Figure(drawing, f"{caption}.", caption, 280 * len(panels), len(panels) > 1, name=name)


def _lasting(history: pd.DataFrame) -> list[tuple[str, tuple[str, ...]]]:
    """Return title and columns of the panels that equal trainings share: the Fourier term apart from the loss."""
    validation = tuple(name for name in map(str, history.columns) if name.startswith("val"))
    return [
        ("Loss", LOSSES + tuple(name for name in validation if "fourier" not in name)),
        ("Fourier term", FOURIER + tuple(name for name in validation if "fourier" in name)),
        ("Learning rate", RATE),
    ]


def _panels(history: pd.DataFrame, wanted: Sequence[tuple[str, tuple[str, ...]]]) -> list[Panel]:
    """Return the panels that the history has columns for."""
    if "step" not in history or len(history) < 2:
        return []
    found = [(title, [line for name in names for line in _line(history, name)]) for title, names in wanted]
    return [(title, lines) for title, lines in found if lines]


def _only_row(history: pd.DataFrame) -> str:
    """Return the validation losses of a model that was not trained step by step."""
    if len(history) != 1:
        return ""
    row = history.iloc[0]
    known = [f"{name.replace('_', ' ')} {row[name]:.4g}" for name in ("val_loss", "val_mse") if pd.notna(row.get(name))]
    return f" As it is: {', '.join(known)}." if known else ""


def _line(history: pd.DataFrame, name: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    if name in history:
        y = pd.to_numeric(history[name]).to_numpy(dtype=np.float64)
        there = np.isfinite(y)
        if there.any():
            yield name.replace("_", " "), history["step"].to_numpy()[there], y[there]


def _facts(source: Source) -> list[Block]:
    """Return the facts of model.json, a column a model; times and machines stand apart."""
    facts: dict[str, dict[str, str]] = {}
    for model in source.trainings:
        path = source.results.model(model) / "model.json"
        if path.is_file():
            facts[model] = dict(list(flat(_chosen(json.loads(path.read_text()))))[:MAX_FACTS])
    without = [model for model in source.trainings if model not in facts]
    blocks: list[Block] = [Text(f"There is no model.json of {', '.join(without)}.", "note")] if without else []
    keys = list(dict.fromkeys(key for found in facts.values() for key in found))
    lasting = [key for key in keys if not VOLATILE.search(key)]
    passing = [key for key in keys if VOLATILE.search(key)]
    if lasting:
        table = _fact_table(facts, lasting, "models")
        blocks += [Heading("Facts"), Fold(f"{len(lasting)} measures and settings of {len(facts)} models", [table])]
    if passing:
        blocks.append(
            replace(_fact_table(facts, passing, "models-time-and-machine"), caption="Time and machine", volatile=True)
        )
    return blocks


def _chosen(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that tell models apart, results first; of the intensity map its name alone.

    What was not optimised has no steps and no learning rate, though its settings hold their defaults.
    """
    intensity = facts.get("intensity")
    chosen = facts | {"intensity": intensity.get("name") if isinstance(intensity, dict) else intensity}
    steps = int((facts.get("training") or {}).get("steps", 0))
    if not is_optimised(str(facts.get("kind")), steps) and isinstance(settings := facts.get("settings"), dict):
        chosen["settings"] = {key: value for key, value in settings.items() if key not in OPTIMISER_KEYS}
    first = ("training", "kind", "dataset", "intensity", "channels")
    return {key: chosen.get(key) for key in (*first, *facts) if key != "name"}


def _fact_table(facts: dict[str, dict[str, str]], keys: list[str], name: str) -> Table:
    rows = [
        [
            key.replace("_", " ").replace(".", ": "),
            *(_fact(found.get(key, ""), model, key) for model, found in facts.items()),
        ]
        for key in keys
    ]
    return grid(rows, ["fact", *facts], "", list(facts), name=name)


def _fact(text: str, model: str, key: str) -> str | Cell:
    """Return a fact; a number with its place in model.json."""
    numeric = NUMBER.fullmatch(text)
    return cell(text, f"models/{model}/model.json", [key.replace(".", "/")]) if numeric else text


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the numbers and texts in nested JSON as (dotted key, text); short lists are joined, long ones counted."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list):
        named = [item["name"] if isinstance(item, dict) and "name" in item else item for item in value]
        short = len(named) <= 12 and all(isinstance(item, int | float | str) for item in named)
        yield prefix, ", ".join(_text(item) for item in named) if short else f"{len(value)} entries"
    elif value is not None:
        yield prefix, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str) and DIGEST.fullmatch(value):
        return f"{value[:12]}..."
    return f"{value:.5g}" if isinstance(value, float) else str(value)
