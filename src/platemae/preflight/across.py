"""What plates must have in common for a run to reach its end: channels, control wells, wells to train on and to map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from platemae.config import Config
from platemae.config.checks import needs_controls
from platemae.config.chosen_plates import map_plates, named_plates
from platemae.config.plate_table import PlateTable
from platemae.config.plates import Plate
from platemae.contracts import NETWORK_KINDS
from platemae.correction.base import MIN_CONTROLS
from platemae.errors import ConfigError, number_of
from platemae.stains import stain_of

Channels = Mapping[str, Sequence[tuple[str, str]]]
"""Plate -> name and stain of each channel."""

ANY_CHANNELS = ("camae",)
"""Kinds of network that take plates of other channels."""


def channel_problems(config: Config, channels: Channels) -> list[ConfigError]:
    """Return the plates that lack a stain of a training set, be they in it or embedded by its models."""
    problems: list[ConfigError] = []
    stains = {plate: {stain_of(stain) or stain for _, stain in found} for plate, found in channels.items() if found}
    fixed = [m for m in config.models if m.kind in NETWORK_KINDS and m.kind not in ANY_CHANNELS]
    for entry in (config.entry("datasets", name) for name in config.used_datasets):
        members = [name for name in stains if entry.plates == "all" or name in entry.plates]
        every = set().union(*(stains[name] for name in members))
        models = ", ".join(m.name for m in fixed if m.dataset == entry.name)
        for name, found in stains.items():
            lacking = ", ".join(sorted(every - found))
            if lacking and name in members:
                what = f"plate {name} has no channel of {lacking}, which others of the training set have"
                remedy = "give channels their stains in `readers`, or leave the plate out of the dataset"
                problems.append(ConfigError(what, f"datasets: {entry.name}", remedy))
            elif lacking and models and (config.map.plates == "all" or name in config.map.plates):
                what = f"plate {name} has no channel of {lacking}, which these models look at: {models}"
                remedy = "give channels their stains in `readers`, or give the plate a configuration of its own"
                problems.append(ConfigError(what, f"datasets: {entry.name}", remedy))
    return problems


def too_few_wells(config: Config, plates: Sequence[Plate], wells: Mapping[str, int]) -> list[ConfigError]:
    """Return the training sets that have not the two wells that they need: one to train on, one to validate.

    Parameters
    ----------
    config, plates
        The run.
    wells
        Plate -> imaged wells; a plate that cannot be read is absent, and its training sets are not judged.
    """
    problems = []
    for entry in (config.entry("datasets", name) for name in config.used_datasets):
        members = named_plates(PlateTable.of(plates), entry.plates)
        count = sum(wells.get(name, 0) for name in members)
        if count < 2 and set(members) <= set(wells):
            what = f"the training set has {number_of(count, 'imaged well')}, and two are needed"
            remedy = "name more plates in it, or keep models of kind profiles or classical alone"
            problems.append(ConfigError(what, f"datasets: {entry.name}", remedy))
    return problems


def empty_map(config: Config, plates: Sequence[Plate], on_map: Mapping[str, int]) -> list[ConfigError]:
    """Return a problem where no well becomes a row of the map; of pooled plates the cells would, which are not read.

    Parameters
    ----------
    config, plates
        The run.
    on_map
        Plate -> imaged wells that are treated and name a row; a plate whose layout cannot be read is absent.
    """
    mapped = set(map_plates(config, plates))
    pooled = any(plate.cells for plate in plates if plate.plate in mapped)
    if pooled or not mapped <= set(on_map) or any(on_map[name] for name in mapped):
        return []
    named = config.map.entity.replace("_and_", " or a ")
    what = f"no imaged well is a treatment and names a {named}, so the map would have no row"
    remedy = "fill in the layouts, or name what they do hold as map: entity (gene, compound, perturbation)"
    return [ConfigError(what, "map: entity; layouts", remedy)]


def control_problems(
    config: Config, plates: Sequence[Plate], negcon: Mapping[str, int], selected: Mapping[str, Mapping[str, int]]
) -> list[ConfigError]:
    """Return the maps and corrections that lack wells to be fitted on, which their stages would find hours later.

    Controls of a pooled plate are cells: intensity maps cannot use them, and its corrections are not judged here.

    Parameters
    ----------
    config, plates
        The run.
    negcon
        Plate -> imaged wells that are negative controls; plates whose layout cannot be read are absent.
    selected
        Plate -> ``fit_on`` of a correction -> imaged wells that it selects; absent where a layout cannot tell.
    """
    if any(plate.plate not in negcon for plate in plates):
        return []
    pooled = any(plate.cells for plate in plates)
    if not sum(negcon.values()) and not pooled and needs_controls(config):
        remedy = "mark the untreated wells `negcon` in column control_type of the layouts"
        return [ConfigError("no imaged well of the whole run is a negative control", "layouts", remedy)]
    problems = []
    for entry in (config.entry("intensity", name) for name in config.used_intensity):
        members = negcon if entry.fit_plates == "all" else entry.fit_plates
        if entry.kind == "quantile" and entry.fit_on == "negcon" and not sum(negcon.get(name, 0) for name in members):
            remedy = "set fit_on: all, name other fit_plates, or use kind: fixed with limits"
            what = "no well of the fit plates is a negative control"
            problems.append(ConfigError(what, f"intensity: {entry.name}", remedy))
    return problems + ([] if pooled else _correction_problems(config, plates, selected))


def _correction_problems(
    config: Config, plates: Sequence[Plate], selected: Mapping[str, Mapping[str, int]]
) -> list[ConfigError]:
    problems = []
    mapped = set(map_plates(config, plates))
    for entry in config.corrections:
        where = f"corrections: {entry.name}"
        counts = {name: found[entry.fit_on] for name, found in selected.items() if entry.fit_on in found}
        if entry.kind == "none" or any(plate.plate not in counts for plate in plates):
            continue
        what_wells = "negative controls" if entry.fit_on == "negcon" else f"wells that fit_on selects ({entry.fit_on})"
        more_wells = "mark more wells `negcon`" if entry.fit_on == "negcon" else "let fit_on select more wells"
        members = mapped if entry.fit_plates == "all" else set(entry.fit_plates)
        if not entry.basis and sum(counts.get(name, 0) for name in members) < MIN_CONTROLS:
            remedy = f"{more_wells}, or align nothing: corrections: [{{name: none, kind: none}}]"
            problems.append(ConfigError(f"fewer than {MIN_CONTROLS} {what_wells} on all fit plates", where, remedy))
            continue
        if not entry.looks_at_units or entry.few_controls != "error":
            continue
        of_unit: dict[str, int] = {}
        for plate in (plate for plate in plates if plate.plate in mapped | members):
            unit = plate.batch if entry.batch_unit == "batch" else plate.plate
            of_unit[unit] = of_unit.get(unit, 0) + counts[plate.plate]
        few = [f"{unit} ({n})" for unit, n in of_unit.items() if n < MIN_CONTROLS]
        if few:
            more = f" and {len(few) - 8} more" if len(few) > 8 else ""
            units = f"{entry.batch_unit}{'s' if len(few) > 1 else ''}"
            what = f"fewer than {MIN_CONTROLS} {what_wells} on {units} {', '.join(few[:8])}{more}"
            remedy = f"{more_wells}, align with batch_unit: batch, or set few_controls to pool or skip"
            problems.append(ConfigError(what, where, remedy))
    return problems
