"""The page of a training: where it stands, its curves, and what the network makes of crops. One file, all inside it."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from platemae.contracts import write_text
from platemae.live.curves import Points, panel
from platemae.live.png import data_uri, tiles
from platemae.look import BASE_CSS

Words = Mapping[str, str]
Row = Mapping[str, Any]
PAGE = "training.html"
REFRESH_SECONDS = 30
_BADGE, _BADGE_END = "<!--badge-->", "<!--/badge-->"
PANELS = (
    ("Loss", "", {"training": "loss", "validation": "val_loss"}),
    ("Pixel error", "mean squared", {"training": "mse", "validation": "val_mse"}),
    ("Fourier part", "", {"training": "fourier", "validation": "val_fourier"}),
    ("Learning rate", "", {"rate": "lr"}),
    ("Gradient norm", "before clipping", {"norm": "grad_norm"}),
    ("Speed", "crops a second, all processes", {"crops": "crops_per_s"}),
    ("Waiting for crops", "share of the time", {"share": "data_wait_fraction"}),
    ("Arithmetic", "TFLOP/s, all processes", {"rate": "tflops"}),
    ("Memory", "GB, most so far", {"memory": "memory_gb"}),
)
WORDS = {"running": "Running", "finished": "Finished", "failed": "Failed", "continue": "Stopped, can go on"}
_RUNNING = re.compile("<!--running-->.*?<!--/running-->", re.DOTALL)
"""What has a meaning only while the training runs."""


def render(
    about: Mapping[str, str],
    state: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    crops_KRCHW: np.ndarray | None,
) -> str:
    """Return the page.

    Parameters
    ----------
    about
        ``model`` and ``channels``, and other words on what is trained: heading -> text.
    state
        The ``start`` event of the loop, and ``attempt``.
    history
        Rows of the loop.
    crops_KRCHW
        Crop, what was seen of it and what was made of it, in that order; None where there are none.
    """
    last = history[-1] if history else {}
    step, steps = int(last.get("step", state["step"])), int(state["steps"])
    script = _text("training.js")
    panels = [panel(title, unit, _series(history, lines)) for title, unit, lines in PANELS]
    return (
        _templates()
        .get_template("training.html.j2")
        .render(
            about=about,
            step=step,
            steps=steps,
            seconds=REFRESH_SECONDS,
            facts=_facts(about, state, last, step, steps),
            badge=Markup(_badge("running", f"step {step:,} of {steps:,}, {remaining(last, step, steps)}")),
            panels=[Markup(drawn) for drawn in panels if drawn],
            pictures=[] if crops_KRCHW is None else [data_uri(tiles(crop_RCHW)) for crop_RCHW in crops_KRCHW],
            style=Markup(BASE_CSS) + _text("training.css"),
            script=script,
            script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            written=f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}",
        )
    )


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("platemae.live"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(name: str) -> Markup:
    """Return style or script, which stand in the page as they are."""
    return Markup(Path(__file__).with_name("templates").joinpath(name).read_text())


def _facts(about: Words, state: Row, last: Row, step: int, steps: int) -> dict[str, str]:
    facts = {"Step": f"{step:,} of {steps:,}", "Crops seen": f"{last.get('crops', 0):,}"}
    processes = f"{state['world_size']} process" + ("es" if state["world_size"] > 1 else "")
    facts |= {"Device": f"{state['device']}, {state['precision']}", "World size": processes}
    facts["Attempt"] = str(state["attempt"])
    return facts | {name.capitalize(): text for name, text in about.items() if name != "model"}


def remaining(last: Row, step: int, steps: int) -> str:
    """Say how long the remaining steps take at the speed of the last row; validation comes on top."""
    speed = last.get("crops_per_s") or 0.0
    if step >= steps:
        return "all steps done"
    if not speed or not step or not math.isfinite(speed):
        return "time to go not known yet"
    minutes = (steps - step) * last["crops"] / step / speed / 60
    if minutes < 100:
        return f"about {max(1, round(minutes))} min to go"
    return f"about {minutes / 60:.0f} h to go" if minutes < 6000 else f"about {minutes / 1440:.0f} days to go"


def _series(history: Sequence[Mapping[str, Any]], lines: Mapping[str, str]) -> dict[str, Points]:
    return {
        name: [(row["step"], row[key]) for row in history if row.get(key) is not None] for name, key in lines.items()
    }


def _badge(look: str, text: str) -> str:
    return _templates().get_template("badge.html.j2").render(look=look, word=WORDS[look], text=text)


def close(folder: Path, look: str, text: str) -> None:
    """Write on the page of a training how it ended, and stop it from being read again and again.

    Parameters
    ----------
    folder
        Its state folder; without a page there nothing happens.
    look
        finished, failed or continue.
    text
        What to say of it.
    """
    path = folder / PAGE
    if not path.is_file():
        return
    page = path.read_text()
    start, end = page.find(_BADGE), page.find(_BADGE_END)
    if start < 0 or end < start:
        return
    write(path, _RUNNING.sub("", page[:start] + _BADGE + _badge(look, text) + page[end:]))


def write(path: Path, text: str) -> None:
    """Write a page that a reader finds whole; a disk that does not take it ends no training."""
    with suppress(OSError):
        write_text(path, text)
