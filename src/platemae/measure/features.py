"""Classical features of nuclei and cells by the definitions of CellProfiler, computed by the library cp_measure."""

# Shape legend: C channels, Y rows, X columns of pixels; N objects, D features

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from platemae.errors import ConfigError
from platemae.measure.segmentation import Objects

GROUPS = (
    "shape",
    "intensity",
    "texture",
    "radial_distribution",
    "correlation",
    "zernike",
    "granularity",
    "radial_zernikes",
)
"""Groups of features that the configuration may name. Costes' correlation is none of them: it takes as long as all the
rest, and is undefined for most cells of real plates."""

OF_SHAPE = {"shape": ("sizeshape", "feret"), "zernike": ("zernike",)}
OF_CHANNEL = {name: (name,) for name in ("intensity", "texture", "radial_distribution", "granularity")} | {
    "radial_zernikes": ("radial_zernikes",)
}
OF_PAIR = {"correlation": ("pearson", "manders_fold", "rwc")}
"""Group -> functions of cp_measure, which get no channel, one channel, or a pair of channels."""

PLACES = ("Center_", "BoundingBoxMinimum_", "BoundingBoxMaximum_", "Location_")
"""What tells where in the field an object lies, not what it is like; it is left out."""

CATEGORIES = {
    "AreaShape": "shape",
    "Intensity": "intensity",
    "Texture": "texture",
    "RadialDistribution": "radial_distribution",
    "Correlation": "correlation",
    "Granularity": "granularity",
}
"""Second part of a feature's name -> its category."""

Column = tuple[str, str, str, str]
"""Name of a feature, its compartment, its category, its channels."""


def load_functions() -> Mapping[str, Callable[..., Mapping[str, Any]]]:
    """Return the functions of cp_measure by name.

    Raises
    ------
    ConfigError
        When it is not installed.
    """
    try:
        from cp_measure.bulk import get_core_measurements, get_correlation_measurements
    except ImportError as error:
        raise ConfigError(
            f"classical features need the package cp_measure: {error}",
            "models: kind classical",
            "pip install 'platemae[classical]'",
        ) from None
    # Labels are 1..N here, so they need not be made so again for each of the many calls.
    return {**get_core_measurements(sanitize=False), **get_correlation_measurements(sanitize=False)}


def measure_objects(
    x_CYX: np.ndarray, objects: Objects, channels: Sequence[str], groups: Sequence[str], full: float
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the features of every cell of a field.

    Parameters
    ----------
    x_CYX
        Pixels from 0 to ``full``, in the order of ``channels``.
    objects
        Nuclei and cells.
    channels
        Names of the channels.
    groups
        Groups of features, from ``GROUPS``.
    full
        The value that counts as 1, the scale of CellProfiler's intensities.

    Returns
    -------
    x_ND : numpy.ndarray
        float64, a row a cell. NaN where a feature is undefined.
    columns : pandas.DataFrame
        A row a feature: ``name`` (such as ``Nuclei_Texture_Contrast_DNA_3_00_256``), ``compartment`` (nucleus or cell),
        ``feature_category``, ``channel`` (empty for shape, ``DNA,ER`` for a pair).
    """
    functions = load_functions()
    found: dict[Column, np.ndarray] = {}
    scaled = x_CYX.astype(np.float64) / full
    with np.errstate(all="ignore"):
        for title, compartment, labels in (("Nuclei", "nucleus", objects.nuclei), ("Cells", "cell", objects.cells)):
            for rest, channel, values in _measure(labels, scaled, channels, groups, functions):
                category = CATEGORIES[rest.split("_")[0]]
                found[f"{title}_{rest}", compartment, category, channel] = np.asarray(values, dtype=np.float64)
    columns = pd.DataFrame(list(found), columns=["name", "compartment", "feature_category", "channel"])
    return np.stack(list(found.values()), axis=1), columns


def _measure(
    labels: np.ndarray,
    scaled: np.ndarray,
    channels: Sequence[str],
    groups: Sequence[str],
    functions: Mapping[str, Callable[..., Mapping[str, Any]]],
) -> Iterator[tuple[str, str, Any]]:
    """Yield the name without its compartment, the channels, and the values of every feature of one compartment."""
    for function in _chosen(OF_SHAPE, groups):
        for key, values in functions[function](labels, None).items():
            if not key.startswith(PLACES):
                yield f"AreaShape_{key}", "", values
    for function in _chosen(OF_CHANNEL, groups):
        for channel, x_YX in zip(channels, scaled, strict=True):
            for key, values in functions[function](labels, x_YX).items():
                if not key.startswith(PLACES):
                    yield _channel_name(function, key, channel), channel, values
    for function in _chosen(OF_PAIR, groups):
        for (one, x_YX), (other, y_YX) in combinations(zip(channels, scaled, strict=True), 2):
            for key, values in functions[function](x_YX, y_YX, labels).items():
                yield _pair_name(key, one, other), f"{one},{other}", values


def _chosen(table: Mapping[str, tuple[str, ...]], groups: Sequence[str]) -> list[str]:
    return [function for group, functions in table.items() if group in groups for function in functions]


def _channel_name(function: str, key: str, channel: str) -> str:
    """Return a name as CellProfiler spells it: the channel stands before the parameters of the feature."""
    if function == "texture":
        feature, parameters = key.split("_", 1)
        return f"Texture_{feature}_{channel}_{parameters}"
    if function in ("intensity", "granularity"):
        return f"{key}_{channel}"
    category, feature, parameters = key.split("_", 2)
    return f"{category}_{feature}_{channel}_{parameters}"


def _pair_name(key: str, one: str, other: str) -> str:
    """Return a name as CellProfiler spells it: of a measure in two directions the first channel is the one measured."""
    _, feature, *direction = key.split("_")
    pair = f"{other}_{one}" if direction == ["2"] else f"{one}_{other}"
    return f"Correlation_{'Correlation' if feature == 'Pearson' else feature}_{pair}"
