"""Curves as SVG that stands in a page: one panel, a line a series."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 200, 62, 10, 10, 26
MAX_POINTS = 400
LINES = ('stroke="var(--accent)"', 'stroke="var(--warn)" stroke-dasharray="7 3"')
"""Told apart by dashes as well as by colour."""
Points = Sequence[tuple[float, float]]
Scale = Callable[[float], float]


def panel(title: str, unit: str, series: Mapping[str, Points]) -> str:
    """Return a figure with a title and at most two lines; empty where there is nothing to draw.

    Parameters
    ----------
    title
        What the curves are of.
    unit
        Behind the title; may be empty.
    series
        Name of a line -> (step, value), in order of steps; values that are not finite are left out.
    """
    kept = {name: _thinned([p for p in points if math.isfinite(p[1])]) for name, points in series.items()}
    everything = [point for points in kept.values() for point in points]
    if not everything:
        return ""
    steps, values = [p[0] for p in everything], [p[1] for p in everything]
    across, up = _scale(min(steps), max(steps), LEFT, WIDTH - RIGHT), _scale(*_room(values), HEIGHT - BOTTOM, TOP)
    parts = [_value_axis(values, up), _step_axis(steps, across)]
    for (_name, points), look in zip(kept.items(), LINES, strict=False):
        places = [(across(step), up(value)) for step, value in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke-width="2" {look}/>')
        if len(places) < 30:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" {look} fill="none"/>' for x, y in places]
    names = " ".join(_key(name, points, look) for (name, points), look in zip(kept.items(), LINES, strict=False))
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    heading = escape(title) + (f" <small>{escape(unit)}</small>" if unit else "")
    return f"<figure><figcaption><b>{heading}</b><br>{names}</figcaption>{drawing}</figure>"


def _key(name: str, points: Points, look: str) -> str:
    if not points:
        return ""
    sample = f'<svg class="key" viewBox="0 0 24 8"><path d="M0 4H24" stroke-width="3" {look}/></svg>'
    return f"<span>{sample} {escape(name)} {_short(points[-1][1])}</span>"


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: start + (end - start) * (value - low) / span


def _room(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _value_axis(values: Sequence[float], up: Scale) -> str:
    lines = []
    marked = sorted({min(values), (min(values) + max(values)) / 2, max(values)})
    for value, text in zip(marked, _apart(marked), strict=True):
        y = up(value)
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" class="grid"/>')
        lines.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    return "".join(lines)


def _apart(values: Sequence[float]) -> list[str]:
    """Return short texts of values, with as many digits (3 to 5) as tell them apart."""
    texts: list[str] = []
    for digits in (3, 4, 5):
        texts = [_short(value, digits) for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def _short(value: float, digits: int = 3) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.{digits}g}"


def _step_axis(steps: Sequence[float], across: Scale) -> str:
    ends = sorted({min(steps), max(steps)})
    anchors = ("start", "end") if len(ends) == 2 else ("start",)
    text = zip(ends, anchors, strict=True)
    y = HEIGHT - 7
    return "".join(f'<text x="{across(s):.1f}" y="{y}" text-anchor="{a}">step {s:,.0f}</text>' for s, a in text)


def _thinned(points: Points) -> Points:
    """Return at most ``MAX_POINTS`` points, each the mean of its neighbours."""
    size = -(-len(points) // MAX_POINTS)
    if size <= 1:
        return points
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
