"""What every network asks of its crops, and of the architecture it is made from.

Shape legend: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import Tensor

from platemae.errors import ConfigError, ContractError


def check_crops(x_BCHW: Tensor, n_channels: int, crop_px: int) -> Tensor:
    """Return crops that fit a network.

    Raises
    ------
    ContractError
        If the crops have other channels or another size.
    """
    expected = (n_channels, crop_px, crop_px)
    if tuple(x_BCHW.shape[1:]) != expected:
        found = f"crops have shape {tuple(x_BCHW.shape)}, the model needs (batch, {', '.join(map(str, expected))})"
        raise ContractError(found, "model input", "Cut crops of the model's size, in its channels.")
    return x_BCHW


def check_keys(spec: type, values: dict[str, Any], where: str = "architecture") -> dict[str, Any]:
    """Return values that are all fields of the dataclass ``spec``.

    Raises
    ------
    ConfigError
        If a key is unknown.
    """
    known = [f.name for f in fields(spec)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"unknown keys {', '.join(map(repr, unknown))}", where, f"Known keys: {', '.join(known)}.")
    return values


def preset_of(presets: dict[str, Any], name: str, kind: str) -> Any:
    """Return a preset by its name.

    Raises
    ------
    ConfigError
        If the kind has no such preset.
    """
    if name not in presets:
        problem = f"a model of kind {kind} has no preset {name!r}"
        raise ConfigError(problem, "models: preset", f"Use one of {', '.join(presets)}.")
    return presets[name]


def whole_numbers(spec: Any, names: tuple[str, ...]) -> list[str]:
    """Return a problem for each named field that is no whole number from 1."""
    bad = [name for name in names if type(getattr(spec, name)) is not int or getattr(spec, name) < 1]
    return [f"{', '.join(bad)} must be whole numbers from 1"] if bad else []


def assert_sound(problems: list[str]) -> None:
    """Raise one ConfigError that names all problems; return quietly when there is none."""
    if problems:
        raise ConfigError("; ".join(problems), "architecture", "Correct the named keys.")
