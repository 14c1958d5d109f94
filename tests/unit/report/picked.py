"""Picks the numbers out of a report's HTML and looks each up in the table that it names."""

import json
import re
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd

NUMBER = re.compile(r"(?<![\w.@-])[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?: ?%)?(?![\w.]*\w)")
VOID = {"img", "meta", "br", "link", "input", "hr"}


@dataclass
class Told:
    """An element that names its table, and the text in it."""

    table: str
    row: str
    column: str
    how: str
    tag: str
    text: str = ""


class Picker(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Told] = []
        self._open: list[Told | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {key: value or "" for key, value in attrs}
        told = None
        if "data-table" in names:
            told = Told(*(names.get(f"data-{key}", "") for key in ("table", "row", "column", "how")), tag)
            self.found.append(told)
        if tag not in VOID:
            self._open.append(told)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for told in self._open:
            if told is not None:
                told.text += data


def wrong_numbers(page: str, results: Path) -> tuple[list[str], int]:
    """Return what stands on the page and not in its table, and how many numbers were compared."""
    wrong, compared = [], 0
    for told in Picker(page).found:
        expected = _expected(told, results)
        exact = told.tag in ("td", "dd") and " " not in told.row and "detail" not in told.column
        printed = _numbers(told.text) if told.tag == "td" else [n for n in _numbers(told.text) if "." in n or exact]
        compared += len(printed)
        for place, text in enumerate(printed):
            candidates = expected[place : place + 1] if exact and len(printed) == len(expected) else expected
            if not any(_same(text, value) for value in candidates):
                wrong.append(f"{text} in {told.text!r} is not in {told.table} {told.row} {told.column}: {candidates}")
        if told.table.endswith(".csv") and "*" not in told.table and told.tag != "td":
            wrong += _wrong_sentence(told, results)
    return wrong, compared


MEASURED = re.compile(r"(-?\d\.\d+) \[(-?\d\.\d+), (-?\d\.\d+)\](?:, n = (\d+))?")
COUNTED = re.compile(r"(\d+) of (\d+) rows lie clear above chance")
AT_CHANCE = re.compile(r"at chance: (\d+) rows")
HIGHEST = re.compile(
    r"(?:[Hh]ighest (?:row is|recall among trained models:|of random weights:)) (\S+) (?:with|under) (\S+), (\S+)"
)
SIZE = re.compile(r"\bn = (\d+)(?: to (\d+))?")


def _wrong_sentence(told: Told, results: Path) -> list[str]:
    """Return what a sentence or a caption says that the rows behind it do not: each number is held by its own row."""
    table = _table(results / told.table)
    rows = table.iloc[[int(place) for place in told.row.split()]] if told.row else table
    if not {"model", "correction", "n", "ci_low"} <= set(rows):
        return []
    value = "value" if "value" in rows else "recall"
    wrong = []
    for *numbers, n in MEASURED.findall(told.text):
        held = pd.Series(True, rows.index)
        for text, column in zip(numbers, (value, "ci_low", "ci_high"), strict=True):
            held &= rows[column].map(lambda cell, text=text: _same(text, cell))
        if n:
            held &= rows["n"] == int(n)
        wrong += [] if held.any() else [f"no row holds {numbers}, n = {n}: {told.text!r}"]
    for clear, of in COUNTED.findall(told.text):
        expected = (int(_clear(rows, "low", 1).sum()), len(rows))
        wrong += [] if (int(clear), int(of)) == expected else [f"{expected} rows are clear: {told.text!r}"]
    for count in AT_CHANCE.findall(told.text):
        expected = int((~_clear(rows, "low", 1) & ~_clear(rows, "high", -1)).sum())
        wrong += [] if int(count) == expected else [f"{expected} rows are at chance: {told.text!r}"]
    for model, correction, shown in HIGHEST.findall(told.text):
        own = rows[(rows["model"] == model) & (rows["correction"] == correction)][value]
        top = any(_same(shown.rstrip(",;"), cell) and cell == rows[value].max() for cell in own)
        wrong += [] if top else [f"{model} with {correction} is not the highest: {told.text!r}"]
    for size in [int(n) for found in SIZE.findall(told.text) for n in found if n]:
        wrong += [] if (rows["n"] == size).any() else [f"n = {size} is of no row: {told.text!r}"]
    return wrong


def _clear(rows: pd.DataFrame, end: str, side: int) -> pd.Series:
    """Tell which rows lie on one side of chance with both of their intervals."""
    own, plate = side * (rows[f"ci_{end}"] - rows["chance"]) > 0, rows[f"plate_ci_{end}"]
    return own & (plate.isna() | (side * (plate - rows["chance"]) > 0))


def _numbers(text: str) -> list[str]:
    return NUMBER.findall(text.replace(" at chance", ""))


def _same(text: str, value: float) -> bool:
    """Tell whether a number was printed from a value: equal to half a unit of its last digit."""
    bare = text.replace(",", "").rstrip("% ")
    if text.endswith("%"):
        value *= 100
    mantissa, _, power = bare.partition("e")
    step = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    if "." not in mantissa and not power and abs(value) >= 10_000 and bare.endswith("0"):
        step = 10.0 ** (len(bare) - len(bare.rstrip("0")))  # five digits of a large number
    return abs(float(bare) - value) <= step * 0.5001


def _expected(told: Told, results: Path) -> list[float]:
    """Return the values behind an element; of text columns every number in them."""
    paths = sorted(results.glob(told.table)) if "*" in told.table else [results / told.table]
    columns = told.column.split(";")
    values = [[_values(path, told.row, column) for column in columns] for path in paths]
    flat = [value for of_path in values for of_column in of_path for value in of_column]
    match told.how:
        case "median":
            return [float(np.nanmedian(flat))]
        case "sum":
            return [sum(flat)]
        case "balance":
            columns_sum = [sum(value for of_path in values for value in of_path[k]) for k in range(len(columns))]
            return [columns_sum[0] - sum(columns_sum[1:])]
        case "share":
            return [(flat[0] - flat[1]) / (flat[2] - flat[3])]
        case "ratio":
            return [flat[0] / flat[1]]
        case "difference":
            return [flat[0] - sum(flat[1:])]
    if told.tag not in ("td", "dd"):  # a sentence may tell by how much values differ
        first = [value for of_path in values for value in of_path[0]]
        flat += [a - b for a in first for b in first]
    if " " in told.row or "detail" in told.column:
        return flat
    return [value for value in flat if np.isfinite(value)]


def _values(path: Path, row: str, column: str) -> list[float]:
    if path.suffix == ".json":
        value = _json(path)
        for part in column.split("/"):
            value = value[int(part)] if isinstance(value, list) else value[part]
        return [float(value)]
    if path.suffix == ".npz":
        array = np.load(path)[column]
        return [float(array if array.ndim == 0 else array[int(row)])]
    table = _table(path)
    cells = table[column] if row == "" else table[column].iloc[[int(place) for place in row.split()]]
    found = []
    for value in cells:
        if isinstance(value, str):
            found += [float(number.replace(",", "").rstrip("% ")) for number in NUMBER.findall(value)]
        else:
            found.append(float("nan") if value is None else float(value))
    return found


@cache
def _json(path: Path) -> object:
    return json.loads(path.read_text())


@cache
def _table(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
