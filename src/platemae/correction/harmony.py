"""Harmony on principal components of z-scores.

Soft clusters that every batch unit should fill alike, and a shift of each unit in each cluster (Korsunsky et al. 2019,
doi 10.1038/s41592-019-0619-0). It aligns all wells at once, so it has no map for a well that it did not see: what is
saved are the aligned wells, and a new plate needs a new fit. The principal axes come from the controls; the alignment
looks at every well, treated ones too, and takes what differs between units for a batch effect. Needs the package
harmonypy (GPL-3, the extra ``harmony``).

Shapes: N wells, D embedding dimensions, E components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, ClassVar, Self
from zlib import crc32

import numpy as np
import numpy.typing as npt

from platemae.correction.base import (
    FitCounts,
    apply_affine,
    check_components,
    check_positive,
    check_varies,
    pool_controls,
)
from platemae.correction.control_stats import ControlStats, FloatArray
from platemae.correction.linalg import RANK_RTOL, principal_axes
from platemae.correction.saved import SavedBasis
from platemae.errors import ConfigError, ContractError, InputError

Rows = Mapping[str, tuple[npt.NDArray[Any], Sequence[str]]]
"""Plate -> its wells (N, D) and their names; read one plate at a time, so a mapping may load lazily."""


@dataclass(frozen=True)
class HarmonySettings:
    """Settings of :class:`Harmony`.

    Parameters
    ----------
    n_components
        Principal components that are aligned and kept, at most the numerical rank of the controls; None: 50.
    theta
        How strongly clusters are made to mix units; 0: not at all (harmonypy: 2).
    seed
        Of the first clusters.
    """

    n_components: int | None = None
    theta: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_components(self.n_components)
        check_positive(self.theta, "theta")


@dataclass(frozen=True, eq=False)
class Harmony(SavedBasis):
    """The aligned wells of all plates; :meth:`transform` looks them up by name.

    Parameters
    ----------
    settings
        As configured.
    aligned
        (N, E) float32, one row a well.
    names
        (N,) names of the wells.
    checks
        (N,) CRC-32 of each well's embedding, to tell a well that was embedded again since.
    counts
        Controls, plates and units that the axes were taken from.
    """

    kind: ClassVar[str] = "harmony"
    Settings: ClassVar[type[HarmonySettings]] = HarmonySettings
    axes_of: ClassVar[Mapping[str, str]] = {"aligned": "NE", "names": "N", "checks": "N"}
    DEFAULT_COMPONENTS: ClassVar[int] = 50

    settings: HarmonySettings
    aligned: npt.NDArray[np.float32]
    names: npt.NDArray[np.str_]
    checks: npt.NDArray[np.uint32]
    dims: int
    counts: FitCounts

    @classmethod
    def fit(
        cls,
        stats_by_plate: Mapping[str, ControlStats],
        batch_of: Mapping[str, str],
        settings: HarmonySettings,
        rows: Rows,
    ) -> Self:
        """Align the wells of all plates.

        Parameters
        ----------
        stats_by_plate, batch_of, settings
            As for every correction; the principal axes are those of the pooled controls.
        rows
            All wells that will ever be asked for; only their components are kept, (N, E) in float64.

        Raises
        ------
        ConfigError
            If harmonypy is not installed, there are too few controls, or they do not vary.
        InputError
            If a value is not finite, or two wells have one name.
        """
        harmonypy = _harmonypy()
        pooled, counts = pool_controls(stats_by_plate, batch_of, None)
        check_varies(pooled)
        limit = min(settings.n_components or cls.DEFAULT_COMPONENTS, pooled.n - 1)
        scale_D1 = np.where(pooled.std == 0, 1.0, pooled.std)[:, None]
        axes_DE, _ = principal_axes(pooled.scatter / (pooled.n * scale_D1 * scale_D1.T), limit)
        parts, checks = [], []
        names: list[str] = []
        units: list[str] = []
        for plate, (x_ND, labels) in rows.items():
            parts.append(apply_affine(x_ND, pooled.mean, axes_DE / scale_D1, labels, plate, np.float64))
            checks.append(_check(x_ND))
            names.extend(map(str, labels))
            units.extend([batch_of[plate]] * len(labels))
        doubled = len(names) - len(set(names))
        if doubled:
            remedy = "give plates names of their own"
            raise InputError(f"{doubled} rows share their name with another", "embeddings", remedy)
        y_NE = np.concatenate(parts)
        if len(set(units)) > 1:  # one unit has nothing to be aligned with, and harmonypy fails on it
            y_NE = _align(harmonypy, y_NE, units, settings)
        aligned_NE = y_NE.astype(np.float32)
        return cls(settings, aligned_NE, np.array(names), np.concatenate(checks), pooled.dims, counts)

    def transform(
        self,
        x_ND: npt.NDArray[Any],
        batch_stats: ControlStats,
        labels: Sequence[str] | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> npt.NDArray[Any]:
        """Return the aligned wells (N, E) that have these names.

        Raises
        ------
        ContractError
            If a well was not part of the fit, or was embedded again since, or no names are given.
        """
        remedy = "run fit_correction again: harmony has no map for new ones"
        if labels is None or len(labels) != len(x_ND):
            raise ContractError("harmony needs the names of the rows", batch_stats.unit, remedy)
        row_of = {name: row for row, name in enumerate(self.names.tolist())}
        strange = [str(name) for name in labels if str(name) not in row_of]
        if strange:
            what = f"{len(strange)} rows were not part of the fit, such as {strange[0]}"
            raise ContractError(what, batch_stats.unit, remedy)
        taken_N = np.array([row_of[str(name)] for name in labels], dtype=np.int64)
        if not np.array_equal(self.checks[taken_N], _check(x_ND)):
            raise ContractError("rows were embedded again after the fit", batch_stats.unit, remedy)
        return self.aligned[taken_N].astype(dtype)

    def facts(self) -> dict[str, Any]:
        """Tell counts, width and what was done."""
        rows, components = self.aligned.shape
        shape = {"dims": self.dims, "rows": rows, "components": components, "rank_rtol": RANK_RTOL}
        settings = {"theta": self.settings.theta, "seed": self.settings.seed}
        steps = [
            "z-score on the controls",
            "PCA on the controls",
            "Harmony on all wells, treated ones too; a new plate needs a new fit",
        ]
        return {"kind": "harmony", **settings, **asdict(self.counts), **shape, "steps": steps}

    def batch_facts(self, batch_stats: ControlStats) -> dict[str, Any]:
        """Tell the unit's controls, which the alignment does not use."""
        return {"unit": batch_stats.unit, "n_controls": batch_stats.n, "policy": "joint"}


def _harmonypy() -> Any:
    try:
        return import_module("harmonypy")
    except ImportError:
        remedy = "pip install 'platemae[harmony]', or leave this correction out"
        raise ConfigError("harmony needs the package harmonypy", "corrections: kind", remedy) from None


def _align(harmonypy: Any, y_NE: FloatArray, units: Sequence[str], settings: HarmonySettings) -> FloatArray:
    """Call harmonypy itself: scanpy 1.11's wrapper transposes the result of harmonypy 2 and fails on it."""
    found = harmonypy.run_harmony(
        y_NE,
        {"unit": np.asarray(units)},
        ["unit"],
        theta=settings.theta,
        nclust=max(2, min(round(len(y_NE) / 30), 100)),
        random_state=settings.seed,
        verbose=False,
        ncores=1,
    )
    return np.asarray(found.Z_corr, dtype=np.float64).reshape(y_NE.shape)


def _check(x_ND: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    rows_ND = np.ascontiguousarray(x_ND, dtype=np.float32)
    return np.array([crc32(row_D) for row_D in rows_ND], dtype=np.uint32)
