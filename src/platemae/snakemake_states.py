"""States of SLURM jobs, as Snakemake's executor for SLURM understands them.

sacct calls a job that somebody cancelled ``CANCELLED by 1000``. The executor (2.8.0) looks for ``CANCELLED`` and takes
all else for a job that still runs, so that the run would wait for ever. Here it is given the first word.
An executor that has no such function is left as it is.
"""

from __future__ import annotations

import sys
from typing import Any

PLUGIN = "snakemake_executor_plugin_slurm"


def read_states_by_first_word() -> None:
    """Have the executor see which jobs were cancelled. To be called while the workflow is parsed, as often as it is."""
    plugin: Any = sys.modules.get(PLUGIN)  # Snakemake has imported every executor that there is
    query: Any = getattr(plugin, "query_job_status", None)
    if query is None or getattr(query, "by_first_word", False):
        return

    async def first_words(*arguments: Any, **named: Any) -> Any:
        states, seconds = await query(*arguments, **named)
        return (states and {job: state.split(" ")[0] for job, state in states.items()}), seconds

    first_words.by_first_word = True  # type: ignore[attr-defined]
    plugin.query_job_status = first_words
