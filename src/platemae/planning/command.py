"""The options of ``platemae plan``, and its text; nothing heavy is imported before they are read."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from platemae.answers import as_json
from platemae.errors import few

if TYPE_CHECKING:
    from platemae.planning.compare import Compared
    from platemae.planning.plan import Plan


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--configfile", type=Path, default=None, help="configuration (default: config.yaml here, else the checkout's)"
    )
    parser.add_argument("--profile", default="local", help="local, slurm, or a folder with a Snakemake profile")
    parser.add_argument("--nodes", type=_positive, default=1, help="nodes that may be used at once")
    parser.add_argument("--cores-per-node", type=_positive, default=None, help="as sinfo says, else this machine")
    parser.add_argument("--gpus-per-node", type=int, default=None, help="default: as sinfo says")
    parser.add_argument("--memory-gb", type=float, default=None, help="memory of a node (default: as sinfo says)")
    parser.add_argument("--gpu", default=None, metavar="NAME", help="figures of this GPU: A100, H100, H200, L4, V100")
    parser.add_argument("--mfu", type=_share, default=None, help="share of the GPU's peak that is reached (0.2)")
    parser.add_argument(
        "--calibrate",
        type=float,
        default=None,
        metavar="SECONDS",
        help="measure this machine first, and keep the figures",
    )
    parser.add_argument("--quota-gb", type=float, default=None, help="space that is left (default: free on the disk)")
    parser.add_argument("--quota-files", type=int, default=None, help="files and folders that a quota leaves")
    parser.add_argument("--compare", action="store_true", help="what finished jobs took, beside their plan")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=run_plan)


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _share(text: str) -> float:
    if not 0 < float(text) <= 1:
        raise argparse.ArgumentTypeError("must be above 0 and at most 1")
    return float(text)


def run_plan(arguments: argparse.Namespace) -> int:
    """Print the plan; 2 where something cannot fit."""
    from platemae.planning.plan import Options, make_plan
    from platemae.planning.rates import MFU

    options = Options(
        arguments.profile,
        arguments.nodes,
        arguments.cores_per_node,
        arguments.gpus_per_node,
        arguments.memory_gb,
        arguments.gpu,
        arguments.mfu or MFU,
        arguments.calibrate,
        arguments.quota_gb,
        arguments.quota_files,
    )
    plan = make_plan(arguments.configfile, options)
    if arguments.json:
        print(as_json("plan", plan.to_dict()))
    else:
        print(compared_text(plan.compared) if arguments.compare else plan_text(plan))
    if arguments.compare:
        return 0
    for problem in plan.problems:
        print(problem, file=sys.stderr)
    return 2 if plan.problems else 0


def plan_text(plan: Plan) -> str:
    """Return the plan as a table with its assumptions."""
    head = ("stage", "jobs", "to do", "core h", "GPU h", "longest", "wall", "needs MB", "asks MB", "GB", "inodes")
    rows: list[tuple[str, ...]] = [head]
    for cost in plan.costs:
        left = bool(cost.pending)
        rows.append((
            cost.stage, f"{cost.jobs:,}", f"{cost.pending:,}", _hours(cost.core_hours), _hours(cost.gpu_hours),
            span(cost.longest_seconds) if left else "", span(cost.wall_seconds) if left else "",
            f"{cost.memory_mb:,.0f}" if left else "", f"{cost.asked_mb:,}" if left else "",
            f"{cost.gb:,.2f}", f"{cost.inodes:,}",
        ))  # fmt: skip
    whole = plan.totals()
    rows.append((
        "all", f"{whole['jobs']:,}", f"{whole['pending']:,}", _hours(whole["core_hours"]), _hours(whole["gpu_hours"]),
        "", span(plan.wall_seconds), "", "", f"{whole['gb']:,.2f}", f"{whole['inodes']:,}",
    ))  # fmt: skip
    lines = [_table(rows), "", f"calls of sbatch: {plan.sbatch:,}"]
    if plan.not_counted:
        lines.append(f"not counted are plates that cannot be read: {few(plan.not_counted)}")
    return "\n".join([*lines, "", "assumed:", *(f"- {sentence}" for sentence in plan.assumptions)])


def compared_text(compared: list[Compared]) -> str:
    """Return plan beside fact, a line a stage."""
    if not compared:
        return "no finished job has a benchmark file"
    head = ("stage", "finished", "planned s", "took s", "took / planned", "planned MB", "peak MB")
    rows: list[tuple[str, ...]] = [head]
    for row in compared:
        rows.append((
            row.stage, f"{row.jobs:,}", f"{row.planned_seconds:,.1f}", f"{row.seconds:,.1f}", f"{row.ratio:.2f}",
            f"{row.planned_mb:,.0f}", f"{row.memory_mb:,.0f}",
        ))  # fmt: skip
    return f"{_table(rows)}\n\nseconds and memory of a job: mean, and largest"


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}" if hours else "0"


def span(seconds: float) -> str:
    """Return a duration as people say it: 45 s, 12 min, 3.5 h, 6.2 d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"
