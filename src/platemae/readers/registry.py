"""The readers by the ``kind`` of their config entry."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from platemae.errors import ConfigError
from platemae.readers.base import Inventory, ReadInventory

# A plain literal: the code fingerprint reads it from the syntax tree and follows the named entry alone.
REGISTRY = {
    "pattern": "platemae.readers.pattern:inventory",
    "synthetic": "platemae.readers.synthetic:inventory",
    "operetta": "platemae.readers.operetta:inventory",
    "imagexpress": "platemae.readers.imagexpress:inventory",
    "cellvoyager": "platemae.readers.cellvoyager:inventory",
    "load_data": "platemae.readers.load_data:inventory",
    "rxrx": "platemae.readers.rxrx:inventory",
    "rxrx3_core": "platemae.readers.rxrx3_core:inventory",
    "ome_tiff": "platemae.readers.ome_tiff:inventory",
    "ngff": "platemae.readers.ngff:inventory",
    "image_table": "platemae.readers.image_table:inventory",
}


def resolve(kind: str) -> ReadInventory:
    """Return the function that reads the inventory of a plate of a config entry's ``kind``.

    Raises
    ------
    ConfigError
        If no reader has this name.
    """
    if kind not in REGISTRY:
        raise ConfigError(f"unknown reader '{kind}'", "readers: kind", f"use one of {', '.join(REGISTRY)}")
    module, name = REGISTRY[kind].split(":")
    return _uncollected(getattr(import_module(module), name))


def _uncollected(read: ReadInventory) -> ReadInventory:
    """Return the function so that Python looks for no cycles meanwhile: a million objects, none of them in one."""

    def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
        was_on = gc.isenabled()
        gc.disable()
        try:
            return read(folder, entry)
        finally:
            if was_on:
                gc.enable()

    return inventory
