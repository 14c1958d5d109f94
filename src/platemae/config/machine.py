"""What a job reads of the configuration that is no science, and which models share one training.

Keys of the machine, such as where plates are cached or how many crops a forward pass takes, move a result no further
than the number of threads does. They are handed to a job beside its slice, in a form that Snakemake does not compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from platemae.config.plates import Plate
from platemae.config.sections import Config
from platemae.config.slices import full_config, stage_config
from platemae.contracts import MACHINE_KEYS, canonical, is_optimised

_OF_THE_STATE = ("checkpoint_steps", "validate_every", "on_divergence")
"""Keys of ``train`` that a job reads and a training is not keyed by, beside those of the machine."""


def machine_config(config: Config, plates: Sequence[Plate], stage: str, **wildcards: str) -> dict[str, dict[str, Any]]:
    """Return the keys of the machine that one job of ``stage`` reads, by section; `with_machine` puts them in."""
    if stage not in MACHINE_KEYS:
        return {}
    section, keys = MACHINE_KEYS[stage]
    values = full_config(config, plates, stage, **wildcards)[section]
    return {section: {key: values[key] for key in keys}}


def with_machine(cfg: dict[str, Any], machine: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a job's slice with the keys of the machine in their sections."""
    return cfg | {section: cfg[section] | values for section, values in machine.items()}


def earlier_twins(config: Config, plates: Sequence[Plate]) -> dict[str, str]:
    """Return the model before it that shares its training, for each that has one.

    They may differ in name and in how they embed. The first of them trains and the others export, one after another:
    at the same time, all but one would hold their machines to wait.
    """
    last: dict[str, str] = {}
    twins = {}
    for entry in config.models:
        if entry.dataset is None:
            continue
        cut = stage_config(config, plates, "train_model", model=entry.name)
        if not is_optimised(entry.kind, cut["train"]["steps"]):
            continue
        train = {key: value for key, value in cut["train"].items() if key not in _OF_THE_STATE}
        key = canonical({"model": cut["model"] | {"name": ""}, "train": train})
        if key in last:
            twins[entry.name] = last[key]
        last[key] = entry.name
    return twins


def shared_snapshots(config: Config, twins: Mapping[str, str], model: str) -> list[int]:
    """Return the steps at which a training keeps its network: those of the model and of all that share it.

    Whichever of them trains passes each step once; a later model could not have its snapshots any more.

    Parameters
    ----------
    config
        The configuration.
    twins
        `earlier_twins` of it.
    model
        Name of the model.
    """

    def first(name: str) -> str:
        while name in twins:
            name = twins[name]
        return name

    return sorted({step for entry in config.models if first(entry.name) == first(model) for step in entry.snapshots})
