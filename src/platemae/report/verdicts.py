"""What the score rows allow one to say, in words: chance, ties, the effect of a correction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from platemae.report.origin import SCORES, Cell, cell
from platemae.report.scores import INTERVALS, Group, counted, groups, number, with_interval

ABOVE, BELOW, AT = "above chance", "below chance", "at chance"
SHUFFLED = "_shuffled"
"""Ending of metrics measured on shuffled labels: a check of the benchmark, on which no model can be better."""

MIXING = ("same_batch_share", "batch_silhouette", "batch_variance")
"""Metrics of what a correction takes away."""

LOWER_IS_BETTER = (*MIXING, "mean_angle")

INLINE = 3
"""Rows that a sentence names; more are counted, and named apart."""

FEW = 30
"""So many that are scored; of fewer a share of one half has an interval of 0.18 or more to either side."""

NO_INTERVAL, NO_CHANCE, NOT_MEASURED = "no interval", "no chance level", "not measured"


@dataclass(frozen=True)
class Verdict:
    """Sentences about one group of comparable rows.

    Parameters
    ----------
    group
        The rows.
    headline
        One or two sentences for the overview.
    names
        The rows that the headline only counts, by name.
    details
        Further sentences: models under each correction, corrections of each model.
    """

    group: Group
    headline: str
    names: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def cell(self, sentence: str) -> Cell:
        """Return a sentence with the score rows that its numbers come from."""
        return cell(sentence, SCORES, (*INTERVALS, "n", "chance"), self.group.rows.index)


def judge(scores: pd.DataFrame, n_plates: int) -> list[Verdict]:
    """Return a verdict for every group of comparable rows.

    Parameters
    ----------
    scores
        ``SCORE_COLUMNS``.
    n_plates
        Plates behind the rows; it chooses between "this plate" and "these plates".
    """
    subject = "this plate" if n_plates == 1 else "these plates"
    verdicts = []
    for group in groups(scores):
        rows = rows_of(group)
        if group.metric.endswith(SHUFFLED):
            verdicts.append(Verdict(group, shuffled_sentence(rows)))
            continue
        headline = " ".join(filter(None, [chance_sentence(rows), highest_sentence(rows, subject), *_reasons(group)]))
        if group.metric in LOWER_IS_BETTER:
            headline += " Lower is better" + (": batches are mixed where it is at chance." if _mixes(group) else ".")
        verdicts.append(Verdict(group, headline, _names(rows), [*_by_correction(rows, subject), *_by_model(rows)]))
    return verdicts


def _mixes(group: Group) -> bool:
    return group.metric in MIXING


@dataclass(frozen=True)
class Row:
    """One measured number with its intervals; ``chance`` is the level without signal."""

    model: str
    correction: str
    value: float
    ci_low: float
    ci_high: float
    n: float
    chance: float
    plate_ci_low: float = np.nan
    plate_ci_high: float = np.nan

    @property
    def name(self) -> str:
        """Model and correction."""
        return f"{self.model} with {self.correction}"

    @property
    def text(self) -> str:
        """Value, interval and n."""
        n = counted([self.n])
        return with_interval(self.value, self.ci_low, self.ci_high) + (f", {n}" if n else "")

    @property
    def bounded(self) -> bool:
        """Whether it has an interval."""
        return bool(np.isfinite(self.ci_low) and np.isfinite(self.ci_high))

    @property
    def intervals(self) -> list[tuple[float, float]]:
        """The interval, then that of resampled plates; of each only what is there."""
        found = ((self.ci_low, self.ci_high), (self.plate_ci_low, self.plate_ci_high))
        return [pair for pair in found if np.isfinite(pair).all()]


def rows_of(group: Group) -> list[Row]:
    """Return the rows of a group, in order."""
    columns = list(Row.__dataclass_fields__)
    return [Row(*values) for values in group.rows[columns].itertuples(index=False)]


def against_chance(row: Row) -> str:
    """Say where the intervals lie: above, below or at chance, or why that cannot be said.

    A row is clear of chance where its interval is, and that of resampled plates, too; one that touches chance is not.
    """
    if not np.isfinite(row.value):
        return NOT_MEASURED
    if not np.isfinite(row.chance):
        return NO_CHANCE
    if not row.bounded:
        return NO_INTERVAL
    if all(low > row.chance for low, _ in row.intervals):
        return ABOVE
    return BELOW if all(high < row.chance for _, high in row.intervals) else AT


def tie(a: Row, b: Row) -> bool:
    """Tell whether two rows are not set apart: equal values, or intervals that overlap.

    Those of resampled plates count, too, where both rows have one. Two rows may differ though their intervals overlap:
    they share genes and wells, and the scores hold no paired difference.
    """
    if np.isclose(a.value, b.value, rtol=0, atol=1e-12):
        return True
    both = zip(a.intervals, b.intervals, strict=False) if a.bounded and b.bounded else ()
    return any(low <= other_high and other_low <= high for (low, high), (other_low, other_high) in both)


def too_small(rows: Sequence[Row], n_plates: int) -> str:
    """Say what makes a screen too small to tell rows apart that tie: one plate, or few that are scored; empty if none.

    One plate holds each perturbation in a well or two, and says nothing of the next plate.
    """
    fewest = min(rows, key=lambda row: row.n if np.isfinite(row.n) else np.inf)
    return "one plate" if n_plates == 1 else counted([fewest.n]) if fewest.n < FEW else ""


def chance_sentence(rows: Sequence[Row]) -> str:
    """Say how many rows are clear of chance, and name those that are not, or count them where they are many."""
    found = _by_standing(rows)
    level = sorted({number(row.chance) for row in rows} - {""}, key=float)
    parts = []
    if level and found.keys() != {NOT_MEASURED}:
        chance = level[0] if len(level) == 1 else f"{level[0]} to {level[-1]}"
        parts.append(f"{len(found.get(ABOVE, []))} of {len(rows)} rows lie clear above chance ({chance})")
    for kind, ending in ENDINGS.items():
        names = [row.name for row in found.get(kind, [])]
        if names:
            parts.append(f"{ending}: {'all rows' if len(names) == len(rows) else _few(names)}")
    return _sentence("; ".join(parts))


ENDINGS = {
    AT: "at chance",
    BELOW: "below chance",
    NO_INTERVAL: "without interval, so not judged",
    NO_CHANCE: "without a chance level, so not judged against it",
    NOT_MEASURED: "not measured",
}


def _by_standing(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(against_chance(row), []).append(row)
    return found


def _names(rows: Sequence[Row]) -> list[str]:
    """Name the rows that the sentences on chance and on the highest row count."""
    standing = _by_standing(rows)
    found = {
        ENDINGS.get(kind, kind): [row.name for row in standing[kind]] for kind in (*ENDINGS, ABOVE) if kind in standing
    }
    measured = [row for row in rows if np.isfinite(row.value)]
    if measured and not _all_tie(measured):
        top = max(measured, key=lambda row: row.value)
        found[f"not set apart from {top.name}"] = [row.name for row in measured if row is not top and tie(top, row)]
    counted_only = {what: names for what, names in found.items() if INLINE < len(names) < len(rows)}
    return [_sentence(f"{what}: {listed(names, len(names))}") for what, names in counted_only.items()]


def _few(names: Sequence[str]) -> str:
    return listed(names) if len(names) <= INLINE else f"{len(names)} rows"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "." if text else ""


def shuffled_sentence(rows: Sequence[Row]) -> str:
    """Say whether shuffled labels give chance, as they must."""
    judged = [row for row in rows if against_chance(row) in (ABOVE, BELOW, AT)]
    away = [row for row in judged if against_chance(row) != AT]
    if away:
        texts = [f"{row.name} ({row.text})" for row in away]
        return f"With shuffled labels these rows are not at chance, so their scores are in doubt: {listed(texts)}."
    return f"With shuffled labels all {len(judged)} rows are at chance, as they must be." if judged else "Not measured."


def _reasons(group: Group) -> list[str]:
    """Return why rows without a value were not measured, as their detail states it."""
    details = [_detail(row["detail"]) for row in group.rows.to_dict("records") if not np.isfinite(row["value"])]
    found = [str(detail[key]) for detail in details for key in ("reason", "missing") if detail.get(key)]
    return [f"Reason: {'; '.join(dict.fromkeys(found))}."] if found else []


def _detail(text: object) -> dict[str, object]:
    try:
        detail = json.loads(str(text))
    except ValueError:
        return {}
    return detail if isinstance(detail, dict) else {}


def highest_sentence(rows: Sequence[Row], subject: str) -> str:
    """Name the highest row and those that tie with it."""
    measured = [row for row in rows if np.isfinite(row.value)]
    if len(measured) < 2:
        return f"The only row is {measured[0].name}: {measured[0].text}." if measured else ""
    top = max(measured, key=lambda row: row.value)
    others = [row for row in measured if row is not top]
    if _all_tie(measured):
        return _together(f"All {len(measured)} rows", subject)
    return f"The highest row is {top.name}, {top.text}; {_standing(top, others, [row.name for row in others], 'rows')}."


def _standing(top: Row, others: Sequence[Row], names: Sequence[str], what: str) -> str:
    say = _few if what == "rows" else listed
    tied = [name for row, name in zip(others, names, strict=True) if tie(top, row)]
    unjudged = [n for r, n in zip(others, names, strict=True) if not tie(top, r) and not (top.bounded and r.bounded)]
    if tied:
        return f"not set apart from {say(tied)}, as intervals overlap"
    if unjudged:
        return f"without intervals it cannot be set apart from {say(unjudged)}"
    return f"its interval is clear of the {'other ' + what[:-1] if len(others) == 1 else 'other ' + what}"


def _together(names: str, subject: str) -> str:
    return f"{names} have equal values or intervals that overlap: not set apart on {subject}."


def _all_tie(rows: Sequence[Row]) -> bool:
    return all(tie(a, b) for i, a in enumerate(rows) for b in rows[i + 1 :])


def _by_correction(rows: Sequence[Row], subject: str) -> list[str]:
    """Compare the models under each correction."""
    sentences = []
    for correction in dict.fromkeys(row.correction for row in rows):
        here = [row for row in rows if row.correction == correction and np.isfinite(row.value)]
        if len(here) < 2:
            continue
        if _all_tie(here):
            names = listed([row.model for row in here])
            sentences.append(_together(f"Under {correction}, {names}", subject))
            continue
        top = max(here, key=lambda row: row.value)
        others = [row for row in here if row is not top]
        standing = _standing(top, others, [row.model for row in others], "models")
        sentences.append(f"Under {correction}, {top.model} is highest ({top.text}); {standing}.")
    return sentences


def _by_model(rows: Sequence[Row]) -> list[str]:
    """Compare each model's other corrections with its first one."""
    sentences = []
    for model in dict.fromkeys(row.model for row in rows):
        here = [row for row in rows if row.model == model and np.isfinite(row.value)]
        for row in here[1:]:
            sentences.append(_effect(here[0], row))
    return sentences


def _effect(base: Row, row: Row) -> str:
    change = row.value - base.value
    numbers = f"from {base.text} ({base.correction}) to {row.text} ({row.correction})"
    if tie(base, row):
        return f"For {row.model}, {base.correction} and {row.correction} are not set apart: {numbers}."
    direction = "raises" if change > 0 else "lowers"
    sure = "the intervals are apart" if base.bounded and row.bounded else "without intervals, so unproven"
    return f"For {row.model}, {row.correction} {direction} the value by {number(abs(change))}, {numbers}; {sure}."


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return names as a list in words, cut after ``most``."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
