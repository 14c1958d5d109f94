"""How far each plate stands from the others before and after each correction: sentences, tables and a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.contracts import SHIFT_COLUMNS
from platemae.report.blocks import Block, Figure, Fold, Heading, Table, Text, grid
from platemae.report.figures import curves
from platemae.report.origin import Cell, cell
from platemae.report.scores import number
from platemae.report.source import Source
from platemae.report.takeaway import file_name
from platemae.store.parquet import read_parquet

LEAST_DRAWN, MAX_DRAWN = 4, 3
"""Plates that are worth a figure; models that are drawn."""

MAX_ROWS, LEAST_ROWS = 1000, 5
"""Rows of all tables of plates together, some 1 kB each, and the least of one of them."""

DIGITS = 2

SOURCES = {"negcon": "controls", "wells": "wells"}
"""Sources of the table of shifts and what the page calls them."""

INTRO = (
    "The shift of a plate is how far the mean of its wells lies from that of all plates: root mean square over "
    "features, in standard deviations within plates. By chance it is what as many wells have where plates do not "
    "differ. Controls means negative controls here, wells all but empty ones. A correction that centres each plate by "
    "its own controls brings their shift to 0 by its making; what it did to the plate is told by the wells, which also "
    "differ where plates hold other treatments."
)


@dataclass(frozen=True)
class Shifts:
    """The table of one model and correction; its index tells the places of the rows."""

    model: str
    correction: str
    path: str
    table: pd.DataFrame

    def of(self, source: str) -> pd.DataFrame:
        """Return the rows of a source that have a shift."""
        return self.table[(self.table["source"] == source) & self.table["shift"].notna()]

    def cell(self, value: float, column: str, places: Sequence[int], how: str = "") -> Cell:
        """Return a number with the rows behind it."""
        digits = 0 if column == "n" else DIGITS
        return cell(number(value, digits), self.path, [column], places, how)


def shift_blocks(source: Source) -> list[Block]:
    """Return the shifts of all models and corrections whose maps are there."""
    heading = Heading("Shift of each plate")
    found = [shifts for shifts in _read(source) if len(shifts.of("negcon")) or len(shifts.of("wells"))]
    if not found:
        why = "no map holds them. They take two plates with wells, one with two, and a map that is not older than them."
        return [heading, Text(f"Not measured: {why}", "note")]
    blocks: list[Block] = [heading, Text(INTRO), _summary(found)]
    if not any(len(shifts.of("negcon")) for shifts in found):
        blocks.append(Text("No two plates have negative controls, so all wells alone are measured.", "note"))
    for model in list(dict.fromkeys(shifts.model for shifts in found))[:MAX_DRAWN]:
        own = [shifts for shifts in found if shifts.model == model]
        blocks += _figure(model, own, source.map_plates)
    most = max(MAX_ROWS // len(found), LEAST_ROWS)
    return [*blocks, Fold("Shift of every plate", [_by_plate(shifts, most) for shifts in found], raw=True)]


def _read(source: Source) -> Iterator[Shifts]:
    for model in source.models:
        for correction in source.corrections:
            path = source.results.plate_shifts(model, correction)
            if path.is_file():
                relative = path.relative_to(source.results.root).as_posix()
                yield Shifts(model, correction, relative, read_parquet(path, SHIFT_COLUMNS))


def _summary(found: list[Shifts]) -> Table:
    """Return a row a model, correction and kind of wells: median and largest shift of its plates, beside chance."""
    rows = []
    for shifts in found:
        for name, title in SOURCES.items():
            if len(table := shifts.of(name)):
                rows.append([shifts.model, shifts.correction, title, *_overall(shifts, table)])
    numeric = ["median", "by chance", "largest"]
    caption = "Shift of plates, in standard deviations within plates: median, and the plate that stands furthest off"
    return grid(rows, ["model", "correction", "of", *numeric, "of plate"], caption, numeric, name="plate-shift")


def _overall(shifts: Shifts, table: pd.DataFrame) -> list[str | Cell]:
    """Return median shift and chance, the largest shift, and whose it is where it is more than none."""
    medians = (shifts.cell(table[c].median(), c, list(table.index), "median") for c in ("shift", "chance"))
    top = int(table["shift"].to_numpy().argmax())
    largest = shifts.cell(table["shift"].iloc[top], "shift", [table.index[top]])
    return [*medians, largest, str(table["plate"].iloc[top]) if float(str(largest)) else ""]


def _figure(model: str, own: list[Shifts], plates: Sequence[str]) -> Iterator[Figure]:
    """Draw the shifts of a model's plates in their order, a panel a source and a line a correction."""
    panels: list[tuple[str, list[tuple[str, npt.ArrayLike, npt.ArrayLike]]]] = []
    drawn = []
    for name, title in SOURCES.items():
        tables = [(shifts.correction, shifts.of(name).set_index("plate").reindex(list(plates))) for shifts in own]
        held = [(correction, table) for correction, table in tables if table["shift"].notna().sum() >= LEAST_DRAWN]
        if held:
            x = np.arange(1, len(plates) + 1)
            lines = [(correction, x, table["shift"].to_numpy()) for correction, table in held]
            chance = held[0][1]["chance"].to_numpy()
            panels.append((title, [*lines, ("chance", x, chance)]))
            drawn += [table.reset_index().assign(correction=correction) for correction, table in held]
    if panels:
        text = f"{model}: shift of {len(plates)} plates, in the order of their table, under each correction."
        data = pd.concat(drawn)[["correction", *SHIFT_COLUMNS]]
        drawing = curves(panels, "plate").showing(data)
        yield Figure(drawing, text, text, 280 * len(panels), len(panels) > 1, name=file_name("plate-shift", model))


def _by_plate(shifts: Shifts, most: int) -> Table:
    """Return the plates of one model and correction, those that stand furthest off first."""
    wide = {name: shifts.of(name).assign(row=lambda t: t.index).set_index("plate") for name in SOURCES}
    order = sorted(set().union(*(table.index for table in wide.values())), key=lambda plate: _furthest(wide, plate))
    rows = []
    for plate in order[:most]:
        row: list[object] = [plate]
        for table in wide.values():
            here = table.loc[plate] if plate in table.index else None
            named = ("n", "shift", "chance", "spread")
            row += ["" if here is None else shifts.cell(here[c], c, [here["row"]]) for c in named]
        rows.append(row)
    columns = [f"{title}: {what}" for title in SOURCES.values() for what in ("n", "shift", "by chance", "spread")]
    more = f" (the {most} furthest off; {shifts.path} has all)" if len(order) > most else ""
    caption = (
        f"{shifts.model}, {shifts.correction}: shift of {len(order)} plates{more}. Spread is the standard deviation of "
        "the plate's wells over that within plates, root mean square over features"
    )
    return grid(rows, ["plate", *columns], caption, columns)


def _furthest(wide: dict[str, pd.DataFrame], plate: str) -> tuple[float, ...]:
    return tuple(-round(table["shift"].get(plate, -1.0), DIGITS) for table in wide.values())
