"""From measures to a verdict on each field, with the reason in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from platemae.contracts import QC_COLUMNS
from platemae.qc.gate import FAIL, PASS, WARN
from platemae.qc.limits import unusual, warn_limits


def judge(
    measures: pd.DataFrame, settings: Mapping[str, Any], missing: Mapping[tuple[str, str], Sequence[str]]
) -> pd.DataFrame:
    """Return the QC table of a plate.

    Parameters
    ----------
    measures
        A row a field and channel: plate, well, field, channel, the values of
        :class:`platemae.qc.measures.Measures`, and ``cells``, NaN where they were not counted.
    settings
        ``min_focus``, ``max_saturation``, ``min_foreground`` (beyond them a field fails) and ``limits``, ``mads``,
        ``warn`` (beyond them it is kept, with a warning) of the configuration.
    missing
        Channels without an image, by (well, field).

    Returns
    -------
    Columns ``QC_COLUMNS``. Saturation is the share of pixels at the largest value of the channel on the whole plate:
    the top of the range whatever the depth of the camera. A lone bright pixel is the largest value, too, but a
    negligible share. An image of zeros fails whatever the limits.
    """
    table = measures.copy()
    plate_top = table.groupby("channel")["top"].transform("max")
    clipped = (table["top"] == plate_top) & (plate_top > 0)
    table["saturation"] = table["top_share"].where(clipped, 0.0)
    places = list(zip(table["well"], table["field"], strict=True))
    failed = _failures(table, settings, missing)
    sound = table[[place not in failed for place in places]]
    warned = unusual(sound, warn_limits(sound, settings))
    table["verdict"] = [FAIL if place in failed else WARN if place in warned else PASS for place in places]
    table["reason"] = ["; ".join(failed.get(place) or warned.get(place, [])) for place in places]
    return table[list(QC_COLUMNS)]


def blank_images(qc: pd.DataFrame) -> pd.DataFrame:
    """Return the QC rows of images whose every pixel is 0."""
    return qc[qc["zeros"] == 1]


def _failures(
    table: pd.DataFrame, settings: Mapping[str, Any], missing: Mapping[tuple[str, str], Sequence[str]]
) -> dict[tuple[str, str], list[str]]:
    """Return what is wrong with each field that fails, (well, field) -> a sentence a measure."""
    places = zip(table["well"], table["field"], table["channel"], strict=True)
    absent = pd.Series([c in missing.get((w, f), ()) for w, f, c in places], index=table.index, dtype=bool)
    relative = table["focus"] / _usual_focus(table, settings["min_foreground"])
    found = {place: [f"missing image: {', '.join(channels)}"] for place, channels in missing.items()}
    for place, sentences in _findings(table[~absent], relative.fillna(0.0), settings).items():
        found.setdefault(place, []).extend(sentences)
    return found


def _usual_focus(table: pd.DataFrame, min_foreground: float) -> pd.Series:
    """Return for each row the plate's median focus of its channel, over fields that show something.

    Empty wells have no detail; where they are many, they must not set the standard. The layout is not asked, so that
    editing a label changes no verdict.
    """
    seen = table[table["foreground"] >= min_foreground]
    medians = seen.groupby("channel")["focus"].median()
    return table["channel"].map(medians)


def _findings(
    table: pd.DataFrame, relative_focus: pd.Series, settings: Mapping[str, Any]
) -> dict[tuple[str, str], list[str]]:
    """Return what is wrong with the images that are there; focus is not asked of a channel that shows nothing."""
    blank = table["zeros"] == 1
    dark = (table["foreground"] < settings["min_foreground"]) & ~blank
    relative_focus = relative_focus[table.index]
    blurred = (relative_focus < settings["min_focus"]) & ~dark & ~blank
    saturated = table["saturation"] > settings["max_saturation"]
    found: dict[tuple[str, str], list[str]] = {}
    for failed, values, title in (
        (blank, None, "blank image, every pixel is zero"),
        (blurred, relative_focus, f"focus below {settings['min_focus']:g} of the plate's median"),
        (saturated, table["saturation"], f"saturation above {settings['max_saturation']:g}"),
        (dark, table["foreground"], f"foreground below {settings['min_foreground']:g}"),
    ):
        texts = table["channel"] if values is None else table["channel"] + values.map(" {:.4f}".format)
        named = table.loc[failed, ["well", "field"]].assign(text=texts[failed])
        for (well, field), rows in named.groupby(["well", "field"], sort=False):
            found.setdefault((str(well), str(field)), []).append(f"{title}: {', '.join(rows['text'])}")
    return found
