"""``platemae refresh PLATE``: look at a plate's folder again, and have it ingested again where it changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platemae.config import Config, stage_config
from platemae.config.plates import Plate
from platemae.errors import ConfigError, few, raise_all
from platemae.holding.hold import hold
from platemae.layout import Results
from platemae.preflight.doctor import read_project
from platemae.readers.base import Inventory
from platemae.readers.look import look

STAGE = "ingest_plate"
SHOWN = 10
"""Files that are named before they are only counted."""


def refresh(plate: str, configfile: Path | None) -> list[str]:
    """Compare a plate's folder with what was ingested, while no run works in the results folder.

    Raises
    ------
    PlatemaeError
        As :func:`refresh_plate`, or when a run is at work.
    """
    config, plates, base, results = read_project(configfile)
    with hold(results):
        return refresh_plate(config, plates, plate, base, results)


def refresh_plate(config: Config, plates: Sequence[Plate], plate: str, base: Path, results: Results) -> list[str]:
    """Compare a plate's folder with what was ingested; where it differs, the plate's manifest goes, its store stays.

    Returns
    -------
    Lines that say what changed and what the next run does.

    Raises
    ------
    ConfigError
        When there is no such plate.
    PlatemaeError
        When the folder does not fit metadata or layout; nothing is changed then.
    """
    if plate not in {p.plate for p in plates}:
        raise ConfigError(f"there is no plate {plate}", config.plates, f"known: {', '.join(p.plate for p in plates)}")
    inventory, _, problems = look(stage_config(config, plates, STAGE, plate=plate), plate, base)
    raise_all(problems)
    assert inventory is not None
    recorded = _recorded(results, plate)
    if recorded is None:
        return [f"plate {plate} was not ingested yet; the next run ingests it"]
    lines = _differences(recorded, inventory)
    if not lines:
        return [f"plate {plate} is as it was: {len(inventory.files)} images; nothing to do"]
    results.manifest(STAGE, plate=plate).unlink(missing_ok=True)
    return [*lines, f"the next run ingests plate {plate} again; where its pixels are equal, nothing after it reruns"]


def _recorded(results: Results, plate: str) -> dict[str, tuple[int, float]] | None:
    """Return size and time of each file as ingest saw it."""
    path = results.provenance(STAGE, f"{plate}.inventory")
    if not path.exists() or not results.manifest(STAGE, plate=plate).exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text())
    return {name: (size, mtime) for name, size, mtime in record["files"]}


def _differences(before: dict[str, tuple[int, float]], inventory: Inventory) -> list[str]:
    now = {file.name: (file.size, file.mtime) for file in inventory.files}
    groups = {
        "new": sorted(set(now) - set(before)),
        "gone": sorted(set(before) - set(now)),
        "changed": sorted(name for name in set(now) & set(before) if now[name] != before[name]),
    }
    return [f"{len(names)} {word}: {few(names, SHOWN)}" for word, names in groups.items() if names]
