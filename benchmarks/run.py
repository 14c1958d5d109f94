"""Run the side-by-side measurements and write RESULTS.md: ``python benchmarks/run.py [NAME ...]``.

Each ``bench_*.py`` has ``measure() -> list of rows`` with task, ours, peer, ceiling, unit, ratio and note, or with
``COLUMNS`` of its own; one with ``LONG`` is measured only when it is named.
Ratios come from one run on one machine; absolute figures of a shared CPU say little.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COLUMNS = ("task", "ours", "peer", "ceiling", "unit", "ratio", "note")
HEAD = """# Measurements

Written by `python benchmarks/run.py`. `ours` beside a peer that does the same work and beside the ceiling that the
parts allow, medians, in one run unless the note says otherwise; `ratio` is ours against the peer where there is one,
else against the ceiling, as the note says. Judge the ratios: absolute figures of a shared CPU say little. The rows of
`scale` come of several runs of `python benchmarks/bench_scale.py` under different load, gathered by hand.
"""


def main(names: list[str]) -> int:
    """Measure the named benchmarks, or all short ones, and replace their sections in RESULTS.md."""
    sys.path.insert(0, str(HERE))
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; known: {', '.join(known)}", file=sys.stderr)
        return 2
    modules = {name: importlib.import_module(f"bench_{name}") for name in names or known}
    for name, module in modules.items():
        if not names and getattr(module, "LONG", False):
            print(f"left out, as it takes long: {name}", file=sys.stderr)
            continue
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        write_section(name, module.measure(), getattr(module, "COLUMNS", COLUMNS))
    return 0


def write_section(name: str, rows: list[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> None:
    """Replace one benchmark's section in RESULTS.md."""
    sections = read_sections(HERE / "RESULTS.md") | {name: section(name, rows, columns)}
    text = HEAD + "".join(f"\n{sections[key]}" for key in sorted(sections))
    (HERE / "RESULTS.md").write_text(text)


def read_sections(path: Path) -> dict[str, str]:
    """Return the sections of an earlier run by name."""
    parts = re.split(r"^(?=## )", path.read_text(), flags=re.M)[1:] if path.exists() else []
    return {part.split("\n", 1)[0].removeprefix("## "): part.rstrip() + "\n" for part in parts}


def section(name: str, rows: list[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> str:
    """Return one benchmark as a Markdown table, with the machine it ran on."""
    load = os.getloadavg()[0]
    when = f"{datetime.now(UTC):%Y-%m-%d}, {cpu()}, {os.cpu_count()} cores, load {load:.1f}"
    return f"## {name}\n\n{when}\n\n{table(rows, columns)}\n"


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as a Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(row.get(column)) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def cpu() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor()


def cell(value: Any) -> str:
    """Return a table cell; numbers with three digits."""
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "/")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
