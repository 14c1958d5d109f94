"""How layouts are read: section ``layouts`` of the configuration, its paths resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class LayoutOptions:
    """Names and labels of a screen's layouts.

    Parameters
    ----------
    columns
        Role (``well``, ``row``, ``column``, ``plate``, ``perturbation``, ``gene``, ``compound``, ``concentration``,
        ``unit``, ``control_type``) -> name of the column or Harmony layer; an empty name: there is none.
    control_types
        Label -> one of ``contracts.CONTROL_TYPES``, which map to themselves.
    perturbations
        Perturbation or compound -> its control type, whatever its label.
    metadata
        Tables joined on the perturbation.
    wells_without_row
        ``error``, or ``empty``: imaged wells that the layout does not name hold nothing.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    control_types: Mapping[str, str] = field(default_factory=dict)
    perturbations: Mapping[str, str] = field(default_factory=dict)
    metadata: tuple[Path, ...] = ()
    wells_without_row: str = "error"
