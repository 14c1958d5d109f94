"""The corrections by the ``kind`` of their config entry."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from platemae.errors import ConfigError

# A plain literal: the code fingerprint reads it from the syntax tree and follows the named entry alone.
REGISTRY = {
    "none": "platemae.correction.none:NoCorrection",
    "center": "platemae.correction.center:Center",
    "centerscale": "platemae.correction.centerscale:CenterScale",
    "pca_cs": "platemae.correction.pca_cs:PCACS",
    "tvn": "platemae.correction.tvn:TVN",
    "sphere": "platemae.correction.sphere:Sphere",
    "harmony": "platemae.correction.harmony:Harmony",
}


def resolve(kind: str) -> Any:
    """Return the correction class of a config entry's ``kind``.

    Returns
    -------
    A class that keeps :class:`platemae.correction.base.Correction`. It is typed ``Any`` because a module imported
    here would count as code of every correction.

    Raises
    ------
    ConfigError
        If no correction has this name.
    """
    if kind not in REGISTRY:
        raise ConfigError(f"unknown correction '{kind}'", "corrections: kind", f"use one of {', '.join(REGISTRY)}")
    module, name = REGISTRY[kind].split(":")
    return getattr(import_module(module), name)
