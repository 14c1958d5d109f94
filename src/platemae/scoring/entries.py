"""From an entry of the configuration to a benchmark's settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from platemae.config.plates import resolve


def settings_of(cls: Any, entry: dict[str, Any], base: Path) -> Any:
    """Return a benchmark's settings from its configuration entry; files start at ``base``.

    Parameters
    ----------
    cls
        The benchmark's ``Settings``; its ``file_keys`` tell which keys hold files.
    entry
        Values by key.
    base
        Where relative paths start.
    """
    values = {f.name: entry[f.name] for f in fields(cls) if f.name in entry}
    for key in cls.file_keys:
        named = values[key]
        if isinstance(named, dict):
            values[key] = {name: str(resolve(path, base)) for name, path in named.items()}
        elif named is not None:
            values[key] = str(resolve(named, base))
    return cls(**values)
