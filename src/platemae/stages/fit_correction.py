"""fit_correction: the basis of a batch correction, from the statistics of its fit plates, or of an earlier run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from platemae.config.plates import resolve as resolve_path
from platemae.contracts import JOINT_CORRECTIONS, Manifest
from platemae.correction.control_stats import ControlStats
from platemae.correction.registry import resolve
from platemae.errors import ConfigError
from platemae.fingerprint import digest_bytes, digest_json
from platemae.layout import Results
from platemae.selection import selection_name
from platemae.tables import read_wells

STAGE = "fit_correction"
T = TypeVar("T")


class ByPlate(Mapping[str, T]):
    """What each plate has, read anew whenever it is asked for: memory does not grow with the plates."""

    def __init__(self, plates: Sequence[str], read: Callable[[str], T]) -> None:
        self.plates, self.read = list(plates), read

    def __getitem__(self, plate: str) -> T:
        return self.read(plate)

    def __iter__(self) -> Iterator[str]:
        return iter(self.plates)

    def __len__(self) -> int:
        return len(self.plates)


def run(results: Results, cfg: dict[str, Any], *, model: str, correction: str, base: Path = Path()) -> Manifest:
    """Fit a correction and save its basis.

    Parameters
    ----------
    results
        Where files lie.
    cfg
        ``correction``: kind, settings, ``fit_on``, ``fit_plates``, maybe ``basis``; ``unit_of``: plate -> batch unit.
    model, correction
        Names.
    base
        Folder that a path in ``basis`` starts at.

    Raises
    ------
    ConfigError
        When the fit plates hold no control, a unit has too few under the policy ``error``, or a frozen basis was
        fitted with other settings.
    """
    entry = cfg["correction"]
    cls = resolve(entry["kind"])
    settings = cls.Settings(**{f.name: entry[f.name] for f in fields(cls.Settings)})
    if entry.get("basis"):
        return _frozen(results, entry, cls, settings, model, correction, base)
    plates, fit_on = entry["fit_plates"], selection_name(entry["fit_on"])
    stats = ByPlate(plates, lambda plate: ControlStats.load(results.control_stats(model, fit_on, plate)))
    joint = entry["kind"] in JOINT_CORRECTIONS
    extra = {"rows": ByPlate(plates, lambda plate: _rows(results, model, plate))} if joint else {}
    fitted = cls.fit(stats, cfg["unit_of"], settings, **extra)
    fitted.save(results.correction(model, correction))
    inputs = [_digest(results, "summarize_controls", model=model, fit_on=fit_on, plate=plate) for plate in plates]
    inputs += [_digest(results, "embed_plate", model=model, plate=plate) for plate in plates] if joint else []
    facts = fitted.facts()
    # The basis follows from statistics and settings; its own bytes may differ in the last bit between BLAS builds.
    digest = digest_json({"entry": entry, "unit_of": cfg["unit_of"], "inputs": inputs, "facts": facts})
    return Manifest(STAGE, digest, _counts(entry, facts), _warnings(entry, facts, correction))


def _rows(results: Results, model: str, plate: str) -> tuple[np.ndarray, list[str]]:
    wells = read_wells(results.embedding(model, plate))
    return np.asarray(wells.X), list(wells.obs_names)


def _digest(results: Results, stage: str, **wildcards: str) -> str:
    return Manifest.read(results.manifest(stage, **wildcards)).digest


def _frozen(
    results: Results, entry: Mapping[str, Any], cls: Any, settings: Any, model: str, correction: str, base: Path
) -> Manifest:
    """Take a basis as it is, if it says the same as the configuration."""
    path = resolve_path(entry["basis"], base)
    fitted = cls.load(path)
    other = [f.name for f in fields(settings) if getattr(settings, f.name) != getattr(fitted.settings, f.name)]
    if other:
        theirs = ", ".join(f"{name}: {getattr(fitted.settings, name)}" for name in other)
        what = f"the frozen basis was fitted with {theirs}"
        raise ConfigError(what, f"corrections.{correction}.basis: {path}", "set the same here, or fit a basis anew")
    fitted.save(results.correction(model, correction))
    facts = fitted.facts() | {"basis": entry["basis"]}
    digest = digest_json({"entry": dict(entry), "basis": digest_bytes(path.read_bytes())})
    return Manifest(STAGE, digest, _counts(entry, facts), _warnings(entry, facts, correction))


def _counts(entry: Mapping[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    return facts | {"batch_unit": entry["batch_unit"], "fit_on": entry["fit_on"]}


def _warnings(entry: Mapping[str, Any], facts: Mapping[str, Any], correction: str) -> list[str]:
    found = []
    if entry["fit_on"] == "all" and entry["kind"] != "none":
        found.append(
            f"{correction} is fitted on all wells: what most treated wells share is taken for typical variation, so it "
            "also removes biology"
        )
    if entry["kind"] in JOINT_CORRECTIONS:
        found.append(f"{correction} aligns all wells at once, treated ones too: it may remove biology")
    if facts.get("unresolved"):
        found.append(
            f"{correction}: {facts['unresolved']} of {facts['rank']} directions lie below double precision beside the "
            "widest one and are left out; features of unlike units want a correction that scales first"
        )
    return found
