"""Kinds of model whose weights come from a file; which network it holds, only the file says."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# A plain literal, as in the registry of networks: the code digest follows the named entry alone.
REGISTRY = {"checkpoint": "platemae.models.interchange:read_checkpoint"}


def reader_of(kind: str) -> Any:
    """Import and return the function that reads the weights of a kind; None where none is read."""
    if kind not in REGISTRY:
        return None
    module, attribute = REGISTRY[kind].split(":")
    return getattr(import_module(module), attribute)
