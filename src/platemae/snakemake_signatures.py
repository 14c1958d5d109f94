"""Parameters of the functions that rules name, which Snakemake asks of Python anew for every job.

Snakemake 9.27 calls `inspect.signature` some twenty times a job, always of the same few functions: 4 % of a dry run of
ten thousand jobs. Here it remembers the answer. A Snakemake that has no such function is left as it is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import snakemake.common
import snakemake.rules

_asked: Any = getattr(snakemake.common, "get_function_params", None)


def remember_signatures() -> None:
    """Let Snakemake look at each function once. To be called while the workflow is parsed, as often as it is."""
    if _asked is None:
        return
    remembered = lru_cache(maxsize=None)(_asked)
    for module in (snakemake.common, snakemake.rules):
        module.get_function_params = remembered
