"""What every correction offers, and what they share: pooling of controls, units with too few, the affine map.

Shapes: N wells, D embedding dimensions, E dimensions after correction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, get_args

import numpy as np
import numpy.typing as npt

from platemae.correction.checks import BLOCK, check_finite_rows, check_width
from platemae.correction.control_stats import ControlStats, FloatArray
from platemae.errors import ConfigError, PlatemaeError, raise_all

FewControls = Literal["error", "pool", "skip"]
"""A batch unit with fewer than two control wells: stop | use the pooled controls | leave its alignment out."""

Policy = Literal["own", "pool", "skip", "global"]
"""What a unit was aligned by: its own controls, or those of all; ``pool`` and ``skip`` stand in for what it lacks."""

MIN_CONTROLS = 2
_NO_CONTROLS_REMEDY = (
    "mark negative controls (control type negcon), fit on other wells or cells (fit_on), or use the kind none"
)


class Correction(Protocol):
    """A fitted correction: the basis, which together with a unit's own control statistics maps its wells."""

    Settings: ClassVar[type[Any]]

    @classmethod
    def fit(cls, stats_by_plate: Mapping[str, ControlStats], batch_of: Mapping[str, str], settings: Any) -> Self:
        """Learn the basis from the control statistics of the fit plates.

        A joint correction (``contracts.JOINT_CORRECTIONS``) also takes ``rows``: each plate's wells and their names.

        Parameters
        ----------
        stats_by_plate
            Plate -> statistics; read one at a time, so a mapping may load lazily.
        batch_of
            Plate -> name of its batch unit (the plate itself where the plate is the unit).
        settings
            An instance of ``Settings``.
        """
        ...

    def transform(
        self,
        x_ND: npt.NDArray[Any],
        batch_stats: ControlStats,
        labels: Sequence[str] | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> npt.NDArray[Any]:
        """Map the wells (N, D) of one batch unit to (N, E), computed in float64.

        Parameters
        ----------
        x_ND
            The wells.
        batch_stats
            Merged control statistics of their own batch unit.
        labels
            Names of the wells, for messages.
        dtype
            Of the result.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """Tell what was fitted, JSON-able, for manifest and report."""
        ...

    def batch_facts(self, batch_stats: ControlStats) -> dict[str, Any]:
        """Tell what is done to one batch unit: controls, rank, ridge, policy."""
        ...

    def save(self, path: Path) -> None:
        """Write the basis, whole or not at all."""
        ...

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        ...


@dataclass(frozen=True)
class FitCounts:
    """How many controls, plates and batch units a basis was fitted on."""

    n_controls: int
    n_plates: int
    n_units: int


def pool_controls(
    stats_by_plate: Mapping[str, ControlStats], batch_of: Mapping[str, str], few_controls: FewControls | None
) -> tuple[ControlStats, FitCounts]:
    """Merge the controls of all fit plates and check their batch units.

    Parameters
    ----------
    stats_by_plate, batch_of
        As in :meth:`Correction.fit`.
    few_controls
        The policy; None where units are not looked at.

    Raises
    ------
    ConfigError
        If plates have no batch, if the run has fewer than two controls, or, under ``error``, if a unit has.
    ContractError
        If there is no plate, or if widths differ.
    """
    lost = [plate for plate in stats_by_plate if not str(batch_of.get(plate, "")).strip()]
    raise_all(ConfigError("a plate has no batch", f"plate {p}", "fill the batch column of plates.tsv") for p in lost)
    n_by_unit: dict[str, int] = {}

    def counted() -> Iterator[ControlStats]:
        for plate, stats in stats_by_plate.items():
            n_by_unit[batch_of[plate]] = n_by_unit.get(batch_of[plate], 0) + stats.n
            yield stats

    pooled = ControlStats.merge(counted(), "all fit plates")
    if pooled.n < MIN_CONTROLS:
        found = "no control" if pooled.n == 0 else "a single control"
        raise ConfigError(f"{found} in all {len(stats_by_plate)} plates", "corrections: fit_on", _NO_CONTROLS_REMEDY)
    if few_controls == "error":
        raise_all(_few_error(unit, n) for unit, n in n_by_unit.items() if n < MIN_CONTROLS)
    return pooled, FitCounts(pooled.n, len(stats_by_plate), len(n_by_unit))


def policy_of(batch_stats: ControlStats, few_controls: FewControls) -> Policy:
    """Decide what a batch unit is aligned by: its own controls, or else what the settings say.

    Raises
    ------
    ConfigError
        If it has fewer than two controls and the policy is ``error``.
    """
    if batch_stats.n >= MIN_CONTROLS:
        return "own"
    if few_controls == "error":
        raise _few_error(batch_stats.unit, batch_stats.n)
    return few_controls


def check_varies(pooled: ControlStats) -> None:
    """Refuse controls that are all the same.

    Raises
    ------
    ConfigError
        Saying so.
    """
    if not pooled.std.any():
        remedy = "check that different controls were embedded"
        raise ConfigError(f"all {pooled.n} controls have the same embedding", "control statistics", remedy)


def check_components(n_components: int | None) -> None:
    """Refuse fewer than one component.

    Raises
    ------
    ConfigError
        Naming the key.
    """
    if n_components is not None and n_components < 1:
        what = f"n_components is {n_components}"
        raise ConfigError(what, "corrections: n_components", "use at least 1, or null for the numerical rank")


def check_positive(value: float, key: str) -> None:
    """Refuse a negative or infinite number.

    Raises
    ------
    ConfigError
        Naming the key.
    """
    if not (np.isfinite(value) and value >= 0):
        raise ConfigError(f"{key} is {value}", f"corrections: {key}", "use a number that is not negative")


def check_choice(value: str, allowed: Any, key: str) -> None:
    """Refuse a setting that is not one of a Literal's values.

    Raises
    ------
    ConfigError
        Naming the key and the allowed values.
    """
    if value not in get_args(allowed):
        raise ConfigError(
            f"'{value}' is not allowed", f"corrections: {key}", f"use one of {', '.join(get_args(allowed))}"
        )


def apply_affine(
    x_ND: npt.NDArray[Any],
    center_D: FloatArray,
    map_D: FloatArray,
    labels: Sequence[str] | None,
    where: str,
    dtype: npt.DTypeLike,
) -> npt.NDArray[Any]:
    """Return (x - center) times ``map_D``, block by block in float64.

    Parameters
    ----------
    x_ND
        (N, D) wells.
    center_D
        (D,) what is taken away.
    map_D
        (D, E) matrix, or (D,) factors for a diagonal one.
    labels, where
        Names of the wells and of their unit, for messages.
    dtype
        Of the result.

    Raises
    ------
    InputError
        If a value is not finite.
    ContractError
        If the width is not that of the map.
    """
    check_width(x_ND.shape[1], len(center_D), where)
    check_finite_rows(x_ND, labels, where)
    out_NE = np.empty((len(x_ND), map_D.shape[-1]), dtype=dtype)
    for start in range(0, len(x_ND), BLOCK):
        block_BD = np.subtract(x_ND[start : start + BLOCK], center_D, dtype=np.float64)
        into_BE = out_NE[start : start + BLOCK]
        if map_D.ndim == 1:
            into_BE[:] = block_BD * map_D
        elif out_NE.dtype == np.float64:
            np.matmul(block_BD, map_D, out=into_BE)
        else:
            into_BE[:] = block_BD @ map_D
    return out_NE


def _few_error(unit: str, n: int) -> PlatemaeError:
    what = f"{n} control{'s' if n != 1 else ''} where the alignment of a batch unit needs {MIN_CONTROLS}"
    remedy = "set batch_unit to batch, few_controls to pool or skip, or fit_on to more of them"
    return ConfigError(what, f"batch unit {unit or '(unnamed)'}", remedy)
