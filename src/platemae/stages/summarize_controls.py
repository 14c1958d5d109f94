"""summarize_controls: n, mean and scatter of the wells that corrections are fitted on, negative controls by default."""

from __future__ import annotations

from typing import Any

from platemae.contracts import Manifest
from platemae.correction.control_stats import ControlStats
from platemae.fingerprint import digest_array, digest_bytes
from platemae.layout import Results
from platemae.selection import select_rows
from platemae.tables import read_wells


def run(results: Results, cfg: dict[str, Any], *, model: str, fit_on: str, plate: str) -> Manifest:
    """Write the statistics of one selection of the wells of one plate.

    Parameters
    ----------
    results
        Where files lie.
    cfg
        ``fit_on``: ``negcon``, ``all`` or a query, which :mod:`platemae.selection` reads.
    model, fit_on, plate
        Names in paths; ``fit_on`` is the name of the selection.

    Raises
    ------
    PlatemaeError
        When the embedding is gone, a well is not finite, or the query names a column that is not there.
    """
    wells = read_wells(results.embedding(model, plate))
    taken = select_rows(wells.obs, cfg["fit_on"])
    stats = ControlStats.from_rows(wells.X[taken], unit=plate, labels=list(wells.obs_names[taken]))
    stats.save(results.control_stats(model, fit_on, plate))
    what = "negative controls" if cfg["fit_on"] == "negcon" else f"rows that fit_on selects ({cfg['fit_on']})"
    warnings = [f"plate {plate} has {stats.n} {what}"] if stats.n < 2 else []
    counts = {"fit_on": cfg["fit_on"], "n_controls": stats.n, "dims": stats.dims}
    return Manifest("summarize_controls", stats_digest(stats), counts, warnings)


def stats_digest(stats: ControlStats) -> str:
    """Return the digest of a plate's statistics."""
    parts = (str(stats.n), digest_array(stats.mean), digest_array(stats.scatter))
    return digest_bytes(*(part.encode() for part in parts))
