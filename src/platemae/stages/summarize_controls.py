"""summarize_controls: n, mean and scatter of a plate's negative control wells, all that a correction is fitted on."""

from __future__ import annotations

from typing import Any

from platemae.contracts import Manifest
from platemae.correction.control_stats import ControlStats
from platemae.fingerprint import digest_array, digest_bytes
from platemae.layout import Results
from platemae.tables import read_wells


def run(results: Results, cfg: dict[str, Any], *, model: str, plate: str) -> Manifest:
    """Write the control statistics of one plate.

    Raises
    ------
    PlatemaeError
        When the embedding is gone or a control well is not finite.
    """
    wells = read_wells(results.embedding(model, plate))
    is_control = (wells.obs["Metadata_Control_Type"] == "negcon").to_numpy()
    labels = list(wells.obs_names[is_control])
    stats = ControlStats.from_rows(wells.X[is_control], unit=plate, labels=labels)
    stats.save(results.control_stats(model, plate))
    parts = (str(stats.n), digest_array(stats.mean), digest_array(stats.scatter))
    digest = digest_bytes(*(part.encode() for part in parts))
    warnings = [f"plate {plate} has {stats.n} negative controls"] if stats.n < 2 else []
    return Manifest("summarize_controls", digest, {"n_controls": stats.n, "dims": stats.dims}, warnings)
