"""The benchmarks by the ``kind`` of their config entry."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from platemae.errors import ConfigError

# A plain literal: the code fingerprint reads it from the syntax tree and follows the named entry alone.
REGISTRY = {
    "known_relations": "platemae.benchmarks.recall:KnownRelations",
    "replicate_consistency": "platemae.benchmarks.consistency:ReplicateConsistency",
    "magnitude": "platemae.benchmarks.magnitude:Magnitude",
    "control_axis": "platemae.benchmarks.control_axis:ControlAxis",
    "nearest_neighbor": "platemae.benchmarks.neighbors:NearestNeighbor",
    "replicability": "platemae.benchmarks.retrieval:Replicability",
    "matching": "platemae.benchmarks.retrieval:Matching",
    "compound_gene": "platemae.benchmarks.compound_gene:CompoundGene",
    "clusters": "platemae.benchmarks.clusters:Clusters",
    "linear_probe": "platemae.benchmarks.linear_probe:LinearProbe",
    "feature_regression": "platemae.benchmarks.feature_regression:FeatureRegression",
    "batch_mixing": "platemae.benchmarks.batch_mixing:BatchMixing",
    "plate_stability": "platemae.benchmarks.plate_stability:PlateStability",
}


def resolve(kind: str) -> Any:
    """Return the benchmark class of a config entry's ``kind``.

    Returns
    -------
    A class with a dataclass ``Settings``, whose fields are keys of the config entry and whose ``file_keys`` tells
    which of them hold files, and a static
    ``score(scored: Scored, settings) -> DataFrame`` in the columns of :data:`platemae.benchmarks.rows.ROW_COLUMNS`.
    It is typed ``Any`` because a module imported here would count as code of every benchmark.

    Raises
    ------
    ConfigError
        If no benchmark has this name.
    """
    if kind not in REGISTRY:
        raise ConfigError(f"unknown benchmark '{kind}'", "benchmarks: kind", f"use one of {', '.join(REGISTRY)}")
    module, name = REGISTRY[kind].split(":")
    return getattr(import_module(module), name)
