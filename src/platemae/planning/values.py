"""Values of a profile, read as Snakemake reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from platemae.errors import ConfigError

RESOURCE_OF = {"mem_mb": ("mem_mb", "mem"), "runtime": ("runtime",)}
"""Resource -> the names by which a profile may say it; Snakemake turns them into the first."""


def named_words(words: Sequence[str], name: str) -> list[str]:
    """Return what follows an option of several words on the command line."""
    found: list[str] = []
    taken = False
    for word in words:
        if word.startswith("-"):
            option, _, first = word.partition("=")
            taken = option in (f"--{name}", f"-{name}")
            found += [first] if taken and first else []
        elif taken:
            found.append(word)
    return found


def mapping(value: Any) -> dict[str, Any]:
    """Return a mapping that a profile writes as one, or as ``[key=value, ...]``, ``rule:key=value`` nested."""
    if isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for item in value if isinstance(value, list) else []:
        key, _, held = str(item).partition("=")
        rule, colon, name = key.partition(":")
        if colon:
            found.setdefault(rule, {})[name] = held
        else:
            found[key] = held
    return found


def numbers(values: Mapping[str, Any], attempt: int, threads: int, where: str) -> dict[str, Any]:
    """Return resources with memory and walltime as megabytes and minutes, by Snakemake's own words: 64GB, 1d12h.

    An expression that needs the job itself (its wildcards or inputs) cannot be told before, and is left out.

    Parameters
    ----------
    values
        Resources as a profile has them.
    attempt, threads
        For which expressions are evaluated.
    where
        Place of the profile, for the message.

    Raises
    ------
    ConfigError
        When Snakemake itself could not read a value.
    """
    found = {key: value for key, value in values.items() if not any(key in names for names in RESOURCE_OF.values())}
    for name, spellings in RESOURCE_OF.items():
        for spelling in spellings:
            if spelling in values:
                said = _number(spelling, values[spelling], attempt, threads, f"{where}.{spelling}")
                found |= {} if said is None else {name: said}
    return found


def _number(name: str, value: Any, attempt: int, threads: int, where: str) -> int | None:
    """Return megabytes or minutes; None for an expression that depends on the job."""
    if isinstance(value, int) or str(value).isdecimal():
        return int(value)
    from snakemake.exceptions import WorkflowError  # a second of imports, which a profile of numbers does not need
    from snakemake.resources import Resource

    job: dict[str, Any] = {"wildcards": None, "input": None, "async_run": None}
    try:
        said = Resource.cli_evaluator(name, str(value), attempt=attempt, threads=threads, **job)
    except WorkflowError:
        return None  # it asks for the job's wildcards or inputs
    try:
        number = Resource(name.removesuffix("_mb"), said).value
    except WorkflowError as error:
        raise ConfigError(f"Snakemake cannot read a resource: {error}", where, _REMEDY[name]) from None
    return number if isinstance(number, int) else None


_REMEDY = {
    "runtime": "write minutes (720), 12h, 1.5d or '2 days'",
    "mem_mb": "write megabytes (64000), or mem: 64GB",
    "mem": "write 64GB or 62.5GiB, or mem_mb: 64000",
}


def unquoted(value: Any) -> str:
    """Return a name without the quotes in which a profile may write it, as Snakemake evaluates it."""
    return str("" if value is None else value).strip().strip("'\"")


def whole(value: Any, otherwise: int) -> int:
    """Return a number; expressions of Snakemake, which depend on the job, fall to what the rule says."""
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdigit()) else otherwise


def gpus_of_words(extra: str) -> int:
    """Return the GPUs of a node that further words of sbatch ask for: ``--gpus-per-node=a100:4``, ``-G 4``."""
    match = re.search(r"(?:--gpus(?:-per-node)?[= ]|-G ?)(?:[A-Za-z][\w.-]*:)?(\d+)", extra)
    return int(match[1]) if match else 0
