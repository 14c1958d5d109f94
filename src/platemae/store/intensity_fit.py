"""Fit an intensity map on control fields: quantiles a channel and unit."""

# Shape legend: C channels, Y rows, X columns of pixels

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from platemae.errors import ConfigError
from platemae.store.channel_match import match_channels
from platemae.store.intensity_map import TOP, IntensityMap, Limits
from platemae.store.pixel_counts import PixelCounts, make_counts
from platemae.store.plate_reader import PlateStore, StoreChannel

FIELDS_PER_PLATE = 64
"""Control fields of a plate that are read, spread over its wells: bounds the time on large screens."""

MIN_STD = TOP * 1e-5**0.5
"""Standard deviation on the scale 0..255 below which the models' instance norm (epsilon 1e-5 after division by 255)
no longer restores contrast."""

MIN_LEVELS = 32
"""Grey levels of a channel below which the manifest warns: steps then are as coarse as what cells differ by."""

CLIP_WARNING = 0.05
"""Share of clipped pixels of a channel above which the manifest warns."""


@dataclass(frozen=True)
class FitPlate:
    """A plate to fit on: its store, and the groups of its control fields that passed QC."""

    plate: str
    batch: str
    store: PlateStore
    groups: Sequence[str]


@dataclass
class _Unit:
    """What has been seen of a unit: pixel counts, and the spread of each field (C,)."""

    counts: PixelCounts
    spread_C: list[np.ndarray]


def fit_map(entry: Mapping[str, Any], plates: Sequence[FitPlate], threads: int) -> tuple[IntensityMap, list[str]]:
    """Fit a map.

    Parameters
    ----------
    entry
        The config entry: name, kind, scope, fit_on, quantiles, limits.
    plates
        Plates to fit on, all with the same channels and dtype.
    threads
        Fields read at once.

    Returns
    -------
    The map, and warnings for the manifest.

    Raises
    ------
    ConfigError
        When the plates differ in channels or dtype, or there is no field to fit on.
    """
    wanted = _check(entry, plates)
    channels = [channel.name for channel in wanted]
    fixed = {name: (float(entry["limits"][0]), float(entry["limits"][1])) for name in channels}
    is_fixed = entry["kind"] == "fixed"
    maps: dict[str, Limits] = {}
    clipped: dict[str, Limits] = {}
    collapsed: dict[str, dict[str, float]] = {}
    levels: dict[str, dict[str, int]] = {}
    total = sum(len(plate.groups) for plate in plates)
    pooled = make_counts(len(channels), plates[0].store.dtype, total)
    warnings: list[str] = []
    members = _units(entry["scope"], plates)
    for unit, group in members.items():
        seen = _read(group, wanted, total, threads)
        if not seen.spread_C:
            warnings.append(f"{entry['scope']} {unit} has no {entry['fit_on']} field that passed QC: pooled limits")
            continue
        pooled.merge(seen.counts)
        limits = fixed if is_fixed else _fit(seen.counts, entry["quantiles"], channels)
        if not is_fixed:
            maps[unit] = limits
        clipped[unit] = _pairs(channels, seen.counts.outside(_array(limits)))
        collapsed[unit] = _collapsed(seen, limits)
        levels[unit] = dict(zip(channels, seen.counts.filled_levels(_array(limits)).tolist(), strict=True))
        warnings += _warn(unit, clipped[unit], collapsed[unit], levels[unit])
    if not is_fixed and not maps:
        raise _nothing_to_fit(entry)
    shared = fixed if is_fixed else _fit(pooled, entry["quantiles"], channels)
    unit_of = {plate.plate: unit for unit, group in members.items() if unit in maps for plate in group}
    fitted = IntensityMap(
        entry["name"], entry["kind"], entry["scope"], tuple(channels), maps, shared, unit_of, clipped, collapsed, levels
    )
    return fitted, warnings


def choose_fields(wells: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return at most ``FIELDS_PER_PLATE`` groups: first one field of every well, then a second, in a hashed order."""
    turn: dict[str, int] = {}
    ranked = []
    for well, group in sorted(zip(wells, groups, strict=True), key=lambda pair: _hash(pair[1])):
        turn[well] = turn.get(well, 0) + 1
        ranked.append((turn[well], _hash(group), group))
    return [group for _, _, group in sorted(ranked)[:FIELDS_PER_PLATE]]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check(entry: Mapping[str, Any], plates: Sequence[FitPlate]) -> list[StoreChannel]:
    """Return the channels that all plates share, by the names of the first."""
    if not plates:
        raise ConfigError("an intensity map has no plate to fit on", _key(entry), "name plates in fit_plates")
    first = plates[0]
    for plate in plates:
        order = match_channels(plate.store.channels, first.store.channels)
        if None in order or len(order) < len(plate.store.channels):
            have, want = (", ".join(p.store.channel_names) for p in (plate, first))
            what = f"plate {plate.plate} has the channels {have}; plate {first.plate} has {want}"
            raise ConfigError(what, _key(entry), "name plates with the same channels in fit_plates")
        if plate.store.dtype != first.store.dtype:
            what = f"plate {plate.plate} is {plate.store.dtype}, plate {first.plate} is {first.store.dtype}"
            raise ConfigError(what, _key(entry), "name plates of the same depth in fit_plates")
    return first.store.channels


def _units(scope: str, plates: Sequence[FitPlate]) -> dict[str, list[FitPlate]]:
    units: dict[str, list[FitPlate]] = {}
    for plate in plates:
        unit = {"plate": plate.plate, "batch": plate.batch, "dataset": "all"}[scope]
        units.setdefault(unit, []).append(plate)
    return units


def _read(plates: Sequence[FitPlate], channels: Sequence[StoreChannel], total: int, threads: int) -> _Unit:
    """Count the pixels of a unit's fields; a lock keeps one count for all threads, so memory is bounded."""
    unit = _Unit(make_counts(len(channels), plates[0].store.dtype, total), [])
    lock = threading.Lock()
    # _check has made sure that each channel is there.
    orders = {p.plate: [i for i in match_channels(p.store.channels, channels) if i is not None] for p in plates}

    def add(plate: FitPlate, group: str) -> None:
        x_CYX = plate.store.read_field(group)[orders[plate.plate]]
        spread_C = x_CYX.std(axis=(1, 2), dtype=np.float64)
        with lock:
            unit.counts.add(x_CYX, f"{plate.plate}/{group}")
            unit.spread_C.append(spread_C)

    with ThreadPoolExecutor(threads) as pool:
        for job in [pool.submit(add, plate, group) for plate in plates for group in plate.groups]:
            job.result()
    return unit


def _fit(counts: PixelCounts, quantiles: Sequence[float], channels: Sequence[str]) -> Limits:
    low_high_C2 = counts.quantiles((quantiles[0], quantiles[1]))
    # A channel of one value would be divided by zero: its map gets a width of one source value, and is reported.
    low_high_C2[:, 1] = np.where(low_high_C2[:, 1] > low_high_C2[:, 0], low_high_C2[:, 1], low_high_C2[:, 0] + 1)
    return _pairs(channels, low_high_C2)


def _pairs(channels: Sequence[str], values_C2: np.ndarray) -> Limits:
    return {name: (float(low), float(high)) for name, (low, high) in zip(channels, values_C2, strict=True)}


def _array(limits: Limits) -> np.ndarray:
    return np.array(list(limits.values()), dtype=np.float64)


def _collapsed(unit: _Unit, limits: Limits) -> dict[str, float]:
    """Return the share of fields whose spread, on the scale 0..255, is below ``MIN_STD``."""
    limits_C2 = _array(limits)
    mapped = np.stack(unit.spread_C) * TOP / (limits_C2[:, 1] - limits_C2[:, 0])
    return dict(zip(limits, (mapped < MIN_STD).mean(axis=0).tolist(), strict=True))


def _warn(unit: str, clipped: Limits, collapsed: Mapping[str, float], levels: Mapping[str, int]) -> list[str]:
    found = [
        f"{unit}, channel {name}: {below + above:.1%} of the pixels are clipped"
        for name, (below, above) in clipped.items()
        if below + above > CLIP_WARNING
    ]
    found += [
        f"{unit}, channel {name}: {share:.1%} of the fields have no contrast left on the scale 0..255"
        for name, share in collapsed.items()
        if share > 0
    ]
    return found + [
        f"{unit}, channel {name}: {count} of 256 grey levels are left, fewer than {MIN_LEVELS}"
        for name, count in levels.items()
        if count < MIN_LEVELS
    ]


def _key(entry: Mapping[str, Any]) -> str:
    return f"intensity: {entry['name']}"


def _nothing_to_fit(entry: Mapping[str, Any]) -> ConfigError:
    return ConfigError(
        f"no {entry['fit_on']} field passed QC on any fit plate",
        _key(entry),
        "set fit_on: all, name other fit_plates, or use kind: fixed with limits",
    )
