"""fit_correction: the basis of a batch correction, from the control statistics of its fit plates alone."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from platemae.contracts import Manifest
from platemae.correction.control_stats import ControlStats
from platemae.correction.registry import resolve
from platemae.fingerprint import digest_json
from platemae.layout import Results


def run(results: Results, cfg: dict[str, Any], *, model: str, correction: str) -> Manifest:
    """Fit a correction and save its basis.

    Raises
    ------
    ConfigError
        When the fit plates hold no negative control, or a unit has too few under the policy ``error``.
    """
    entry = cfg["correction"]
    stats = {plate: ControlStats.load(results.control_stats(model, plate)) for plate in entry["fit_plates"]}
    unit_of = {plate: plate if entry["batch_unit"] == "plate" else cfg["batch_of"][plate] for plate in stats}
    cls = resolve(entry["kind"])
    fitted = cls.fit(stats, unit_of, cls.Settings(**{f.name: entry[f.name] for f in fields(cls.Settings)}))
    fitted.save(results.correction(model, correction))
    inputs = [Manifest.read(results.manifest("summarize_controls", model=model, plate=plate)).digest for plate in stats]
    facts = fitted.facts()
    # The basis follows from statistics and settings; its own bytes may differ in the last bit between BLAS builds.
    digest = digest_json({"entry": entry, "unit_of": unit_of, "controls": inputs, "facts": facts})
    return Manifest("fit_correction", digest, facts | {"batch_unit": entry["batch_unit"]})
