"""The page of a training: where it stands, its curves, and what the network makes of crops. One file, all inside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from platemae.contracts import write_text
from platemae.live.curves import Points, panel
from platemae.live.png import data_uri, tiles

Words = Mapping[str, str]
Row = Mapping[str, Any]
PAGE = "training.html"
REFRESH_SECONDS = 30
_BADGE, _BADGE_END, _REFRESH = (
    "<!--badge-->",
    "<!--/badge-->",
    f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">',
)
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
STYLE = """
:root{color-scheme:light dark;--ground:#fff;--text:#16202c;--soft:#4a5766;--line:#d5dce4;--first:#0b5cad;
--second:#b3420a;--run:#0b5cad;--good:#1b6b35;--bad:#a81616;--wait:#7a5200}
@media(prefers-color-scheme:dark){:root{--ground:#11161c;--text:#eef2f6;--soft:#b3bfcb;--line:#36424f;--first:#7db8f5;
--second:#f5a46e;--run:#1f5f9f;--good:#1f6b39;--bad:#b02525;--wait:#7a5200}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:1200px;background:var(--ground);color:var(--text);
font:16px/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem}
.badge{color:#fff;border-radius:.4rem;padding:.5rem .8rem;margin:.6rem 0}
.running{background:var(--run)}.finished{background:var(--good)}.failed{background:var(--bad)}
.continue{background:var(--wait)}
progress{width:100%;height:1.1rem}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:.6rem}
dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-weight:600}
.curves{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(290px,1fr))}
figure{margin:0;border:1px solid var(--line);border-radius:.5rem;padding:.6rem}
figcaption{font-size:.9rem;min-height:3rem}figcaption span{margin-right:.8rem}
small,footer{color:var(--soft)}
svg{width:100%;display:block}svg.key{width:24px;display:inline}svg text{font-size:12px;fill:var(--soft)}
.grid{stroke:var(--line);stroke-width:1}
.crops img{max-width:100%;image-rendering:pixelated;background:#fff;margin:.3rem 0}
"""


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
    facts = _facts(about, state, last, step, steps)
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in facts.items())
    drawn = [panel(title, unit, _series(history, lines)) for title, unit, lines in PANELS]
    name = escape(about["model"])
    safe = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">{_REFRESH}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{safe}">
<title>{name}: step {step:,} of {steps:,}</title><style>{STYLE}</style></head><body>
<h1>Training of {name}</h1>
{_BADGE}{_badge("running", f"step {step:,} of {steps:,}, {remaining(last, step, steps)}")}{_BADGE_END}
<progress max="{steps}" value="{step}">{step} of {steps}</progress>
<dl>{listed}</dl>
<h2>Curves</h2><div class="curves">{"".join(drawn) or "<p>No row yet.</p>"}</div>
{_pictures(about["channels"], crops_KRCHW)}
<footer>Written {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}; read again every {REFRESH_SECONDS} s while it runs.
What it says is of that time: a job that was killed cannot say so here.</footer>
</body></html>
"""


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


def _pictures(channels: str, crops_KRCHW: np.ndarray | None) -> str:
    if crops_KRCHW is None or not len(crops_KRCHW):
        return ""
    uris = [data_uri(tiles(crop_RCHW)) for crop_RCHW in crops_KRCHW]
    images = "".join(f'<div><img alt="crop {i}" src="{uri}"></div>' for i, uri in enumerate(uris, 1))
    words = "Validation crops, a column a channel. Rows: the crop, what the network sees of it (the rest in blue), "
    words += "what it makes of that."
    return f'<h2>Reconstructions</h2><p>{words} Channels: {escape(channels)}.</p><div class="crops">{images}</div>'


def _badge(look: str, text: str) -> str:
    word = {"running": "Running", "finished": "Finished", "failed": "Failed", "continue": "Stopped, can go on"}[look]
    return f'<div class="badge {look}"><b>{word}</b> {escape(text)}</div>'


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
    write(path, (page[:start] + _BADGE + _badge(look, text) + page[end:]).replace(_REFRESH, "", 1))


def write(path: Path, text: str) -> None:
    """Write a page that a reader finds whole; a disk that does not take it ends no training."""
    with suppress(OSError):
        write_text(path, text)
