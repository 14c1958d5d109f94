"""The readers by the ``kind`` of their config entry."""

from __future__ import annotations

from importlib import import_module

from platemae.errors import ConfigError
from platemae.readers.base import ReadInventory

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
    function: ReadInventory = getattr(import_module(module), name)
    return function
