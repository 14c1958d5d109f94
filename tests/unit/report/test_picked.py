"""Counts of rows in a sentence are held against the rows, by both of their intervals."""

from pathlib import Path

import pandas as pd
import pytest

from tests.unit.report.picked import wrong_numbers


@pytest.mark.parametrize(("clear", "at_chance", "right"), [(1, 4, True), (2, 4, False), (1, 5, False)])
def test_a_count_of_rows_at_chance_is_held(tmp_path: Path, clear: int, at_chance: int, right: bool) -> None:
    rows = pd.DataFrame({"model": list("abcdef"), "correction": "tvn", "value": 0.2, "n": 50, "chance": 0.1})
    rows = rows.assign(ci_low=[0.15, 0.15, 0.05, 0.05, 0.05, 0.01], ci_high=[0.3, 0.3, 0.3, 0.3, 0.3, 0.05])
    rows = rows.assign(plate_ci_low=[0.12, 0.08, *[None] * 4], plate_ci_high=[0.3, 0.3, *[None] * 4])
    (tmp_path / "tables").mkdir()
    rows.to_csv(tmp_path / "tables/scores.csv", index=False)
    origin = 'data-table="tables/scores.csv" data-row="0 1 2 3 4 5" data-column="value;chance"'
    said = f"{clear} of 6 rows lie clear above chance (0.100); at chance: {at_chance} rows; below chance: f with tvn."
    wrong, _ = wrong_numbers(f"<p {origin}>{said}</p>", tmp_path)
    assert (wrong == []) == right
