"""What each stage reads of the configuration: for a rule with wildcards, just the entries that the wildcards name.

The slice becomes one canonical JSON string in the rule's params, so adding a model touches no other model and editing
`report` retrains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from platemae.config.chosen_plates import (
    embedded_plates,
    feature_plates,
    fit_plates,
    map_plates,
    measured_plates,
    named_plates,
    unit_plates,
)
from platemae.config.plate_table import PlateTable
from platemae.config.plates import Plate
from platemae.config.sections import (
    Config,
    EmbedSection,
    MapSection,
    ModelEntry,
    Snapshot,
    TrainSection,
)
from platemae.contracts import MACHINE_KEYS, NETWORK_KINDS, OPTIMISER_KEYS, TRAINED_KINDS, is_optimised
from platemae.errors import ConfigError
from platemae.fingerprint import digest_json
from platemae.selection import WORDS, selection_name


def stage_config(config: Config, plates: Sequence[Plate], stage: str, **wildcards: str) -> dict[str, Any]:
    """Return what the result of one job of ``stage`` depends on; keys of the machine are in `machine_config`.

    Raises
    ------
    KeyError
        For an unknown stage, plate or entry.
    """
    cut = full_config(config, plates, stage, **wildcards)
    section, keys = MACHINE_KEYS.get(stage, ("", ()))
    return cut | ({section: _without(cut[section], keys)} if section else {})


def _without(values: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def full_config(config: Config, plates: Sequence[Plate], stage: str, **wildcards: str) -> dict[str, Any]:
    """Return all that one job of ``stage`` reads.

    Raises
    ------
    KeyError
        For an unknown stage, plate or entry.
    """
    return _SLICES[stage](config, PlateTable.of(plates), **wildcards)


def stage_entries(config: Config, plates: Sequence[Plate], stage: str, **wildcards: str) -> list[str]:
    """Return the registry entries that a job of ``stage`` uses; of a registry only these belong to its code."""
    if stage == "ingest_plate":
        reader = PlateTable.of(plates).by_name[wildcards["plate"]].reader
        return [config.entry("readers", reader).kind]
    if stage in ("train_model", "embed_plate"):
        kind = config.entry("models", wildcards["model"]).kind
        return [kind] if kind != "checkpoint" else [kind, *NETWORK_KINDS]  # only its file says which one it holds
    if stage in ("fit_correction", "correct_plate"):
        return [config.entry("corrections", wildcards["correction"]).kind]
    if stage == "score_map":
        return sorted({entry.kind for entry in config.benchmarks})
    return []


def _dump(section: Any) -> dict[str, Any]:
    return section.model_dump(mode="json")


def _ingest(config: Config, plates: PlateTable, plate: str) -> dict[str, Any]:
    row = plates.by_name[plate]
    return {
        "plate": asdict(row),
        "reader": _dump(config.entry("readers", row.reader)),
        "layouts": _dump(config.layouts),
        "ingest": _dump(config.ingest),
    }


def _intensity(config: Config, plates: PlateTable, intensity: str) -> dict[str, Any]:
    entry = config.entry("intensity", intensity)
    return {"intensity": _dump(entry) | {"fit_plates": named_plates(plates, entry.fit_plates)}}


def _dataset(config: Config, plates: PlateTable, dataset: str) -> dict[str, Any]:
    entry = config.entry("datasets", dataset)
    unused = {"qc"} | ({"hold_out"} if entry.hold_out is None else set())
    settings = {key: value for key, value in _dump(entry).items() if key not in unused}
    exclude = entry.qc == "exclude" or _excludes(config)
    return {"dataset": settings | {"plates": named_plates(plates, entry.plates), "exclude_failed": exclude}}


def _excludes(config: Config) -> bool:
    return config.qc.gate != "warn"


def _qc(config: Config, plates: PlateTable, plate: str) -> dict[str, Any]:
    """Return limits and whether to stop; verdicts are the same under gates warn and exclude, and are kept."""
    settings = {key: value for key, value in _dump(config.qc).items() if key != "gate"}
    return {"qc": settings | {"stop": config.qc.gate == "stop"}}


def _train(config: Config, plates: PlateTable, model: str) -> dict[str, Any]:
    """Return what a training reads; which snapshots it keeps is not in it, as its weights do not depend on that."""
    entry = config.entry("models", model)
    if isinstance(entry, Snapshot):
        return _train(config, plates, entry.parent) | {"snapshot": entry.step}
    keys: tuple[str, ...] = ("name", "kind", "preset", "architecture", "dataset", "intensity")
    own = _OWN_DEFAULTS.get(entry.kind, {})
    train = _dump(TrainSection(**(_dump(config.train) | own | entry.train)))
    if not is_optimised(entry.kind, train["steps"]):  # then an optimiser's setting must not make it again
        kept = ("steps",) if entry.kind in TRAINED_KINDS else ()
        train |= {key: value for key, value in _dump(TrainSection()).items() if key in set(OPTIMISER_KEYS) - set(kept)}
    keys += _OWN_KEYS.get(entry.kind, ())
    return {"model": {key: _dump(entry)[key] for key in keys}, "train": train}


_OWN_DEFAULTS: dict[str, dict[str, Any]] = {"munet": {"mask_ratio": 0.25}}
"""Values of ``train`` that a kind has unless its entry says otherwise."""
_OWN_KEYS: dict[str, tuple[str, ...]] = {
    "wsl": ("backbone", "label", "domain"),
    "pretrained": ("backbone", "file", "sha256"),
    "checkpoint": ("file", "sha256"),
}
"""Keys of an entry that train_model reads for a kind alone."""


def _embed(config: Config, plates: PlateTable, model: str, plate: str) -> dict[str, Any]:
    entry = config.entry("models", model)
    embed = _dump(EmbedSection(**(_dump(config.embed) | entry.embed)))
    of_domain = {key: embed.pop(f"domain_{key}") for key in ("exact", "fields")}
    has_domain = entry.kind == "wsl" and entry.domain != "none"
    unread: tuple[str, ...] = ("cell_border", "mask_neighbours")
    if embed["rows"] == "cell":
        unread = () if has_domain else ("tiling",)  # statistics of a domain are taken of tiles, whatever the rows
    embed = {key: value for key, value in embed.items() if key not in unread}
    found = {"embed": embed, "exclude_failed": _excludes(config)}
    if not has_domain:
        return found
    together = list(plates.of_batch[plates.by_name[plate].batch]) if entry.domain == "batch" else [plate]
    return found | {"domain": {"plates": together} | of_domain}


def _profiles(config: Config, plates: PlateTable, model: str, plate: str) -> dict[str, Any]:
    entry = config.entry("models", model)
    values = {"name": model, "kind": entry.kind, "source": entry.source}
    if entry.source == "table":
        values |= {key: getattr(entry, key) for key in ("table", "plate_column", "well_column", "missing")}
    kept = feature_plates(config, plates, model)
    return {"model": values, "feature_plates": kept, "exclude_failed": _excludes(config)}


def _correction(config: Config, plates: PlateTable, model: str, correction: str) -> dict[str, Any]:
    entry = config.entry("corrections", correction)
    fitted_on = fit_plates(config, plates, entry)
    shared = {key: getattr(entry, key) for key in ("kind", "batch_unit", "fit_on")}
    frozen = {"basis": basis_path(config, correction, model)} if entry.basis else {}
    return {
        "correction": shared | entry.settings | {"fit_plates": fitted_on} | frozen,
        "unit_of": {name: name if entry.batch_unit == "plate" else plates.by_name[name].batch for name in fitted_on},
    }


def basis_path(config: Config, correction: str, model: str) -> str:
    """Return the file that a correction takes its basis from, as configured for a model."""
    return str(config.entry("corrections", correction).basis).replace("{model}", model)


def fit_name(config: Config, correction: str) -> str:
    """Return the name in paths of the wells that a correction is fitted on."""
    return selection_name(config.entry("corrections", correction).fit_on)


def _summarize(config: Config, plates: PlateTable, model: str, fit_on: str, plate: str) -> dict[str, Any]:
    known = {selection_name(text): text for text in (*WORDS, *(entry.fit_on for entry in config.corrections))}
    if fit_on not in known:
        raise ConfigError(f"no correction is fitted on {fit_on}", "corrections: fit_on", f"use {', '.join(known)}")
    return {"fit_on": known[fit_on]}


def _correct(config: Config, plates: PlateTable, model: str, correction: str, plate: str) -> dict[str, Any]:
    entry = config.entry("corrections", correction)
    return {
        "correction": {key: getattr(entry, key) for key in ("kind", "fit_on")},
        "unit_plates": unit_plates(config, plates, correction, plate),
    }


def _map(config: Config) -> dict[str, Any]:
    """Return how wells become a map, switches that are off left out; which plates is told beside."""
    usual = _dump(MapSection())
    found = {
        key: value
        for key, value in _dump(config.map).items()
        if key in ("entity", "aggregate") or (key not in ("plates", "held_out_of") and value != usual[key])
    }
    name = config.map.held_out_of
    return found if name is None else found | {"held_out": _held_out(config, name)}


def _held_out(config: Config, dataset: str) -> dict[str, str]:
    """Return the training set whose unseen wells are scored, and by what they are unseen."""
    return {"dataset": dataset, "by": config.entry("datasets", dataset).hold_out.by}


def _score(config: Config, plates: PlateTable, model: str, correction: str) -> dict[str, Any]:
    return {
        "benchmarks": [_dump(b) for b in config.benchmarks],
        "plates": map_plates(config, plates),
        "map": {key: value for key, value in _map(config).items() if key != "embed"},
        "overlap": _overlap(config, model),
    }


def _overlap(config: Config, model: str) -> str | dict[str, Any]:
    """Return what training may have seen of scored wells: ``none`` or ``unknown``, or its dataset and what it learned.

    Of a dataset the stage counts plates, wells and labels: layouts and QC decide them, which are not read here.
    """
    entry = config.entry("models", model)
    learned = is_optimised(entry.kind, entry.train.get("steps", config.train.steps)) or entry.kind == "tile_pca"
    if entry.kind == "checkpoint" or entry.source == "table":
        return "unknown"  # made elsewhere: embeddings of RxRx3-core that OpenPhenom made saw it
    if not learned:
        return "none"
    return {"dataset": entry.dataset, "label": entry.label if entry.kind == "wsl" else None}


def training_sets(config: Config, plates: Sequence[Plate], stage: str, **wildcards: str) -> list[tuple[str, list[str]]]:
    """Return the datasets whose wells a map or its scores look up, with the plates whose labels are looked up, too."""
    cut = stage_config(config, plates, stage, **wildcards)
    held_out, training = cut["map"].get("held_out"), cut.get("overlap")
    found: dict[str, bool] = {}
    if held_out:
        found[held_out["dataset"]] = held_out["by"] not in ("plate", "batch")
    if isinstance(training, dict):
        found[training["dataset"]] = found.get(training["dataset"], False) or training["label"] is not None
    every = PlateTable.of(plates)
    return [
        (name, named_plates(every, config.entry("datasets", name).plates) if labels else [])
        for name, labels in sorted(found.items())
    ]


def _compare(config: Config, plates: PlateTable) -> dict[str, Any]:
    trained = [row for row in config.rows if row.kind in TRAINED_KINDS]
    return {
        "models": [m.name for m in config.rows],
        "corrections": [c.name for c in config.corrections],
        "study": [_studied(config, plates, row) for row in trained],
        "published": config.report.published,
        "correction_kinds": {c.name: c.kind for c in config.corrections},
    }


_FAMILIES = {"mae": "MAE", "camae": "CA-MAE", "munet": "MU-Net", "wsl": "WSL"}


def _studied(config: Config, plates: PlateTable, row: ModelEntry) -> dict[str, Any]:
    """Return what the tables of the scaling study say of a trained model; ``twins`` differ in their seed alone."""
    cut = _train(config, plates, row.name)
    train, named = _without(cut["train"], MACHINE_KEYS["train_model"][1]), _without(cut["model"], ("name",))
    seed, weight = train.pop("seed"), train["fourier_weight"]
    return {
        "model": row.name,
        "kind": row.kind,
        "family": _FAMILIES.get(row.kind, row.kind) + ("+" if weight and row.kind != "wsl" else ""),
        "preset": row.preset,
        "dataset": row.dataset,
        "fraction": config.entry("datasets", str(row.dataset)).fraction,
        "seed": seed,
        "fourier_weight": 0.0 if row.kind == "wsl" else weight,
        "snapshot": isinstance(row, Snapshot),
        "twins": digest_json(named | {"train": train})[:16],
    }


def _report(config: Config, plates: PlateTable) -> dict[str, Any]:
    return {
        "report": _dump(config.report),
        "plates": list(plates.names),
        "map_plates": map_plates(config, plates),
        "measured_plates": measured_plates(config, plates),
        "embedded_plates": embedded_plates(config, plates),
        "models": [
            {
                "name": m.name,
                "kind": m.kind,
                "dataset": m.dataset,
                "intensity": m.intensity,
                "parent": m.parent if isinstance(m, Snapshot) else None,
            }
            for m in config.rows
        ],
        "corrections": [_dump(c) for c in config.corrections],
        "benchmarks": [_dump(b) for b in config.benchmarks],
        "map": _map(config),
        "exclude_failed": _excludes(config),
    }


_SLICES: dict[str, Any] = {
    "ingest_plate": _ingest,
    "qc_plate": _qc,
    "measure_plate": lambda config, plates, plate: {
        "measure": _dump(config.measure),
        "exclude_failed": _excludes(config),
    },
    "fit_intensity": _intensity,
    "build_dataset": _dataset,
    "train_model": _train,
    "embed_plate": _embed,
    "import_profiles": _profiles,
    "summarize_controls": _summarize,
    "fit_correction": _correction,
    "correct_plate": _correct,
    "build_map": lambda config, plates, model, correction: {
        "map": _map(config),
        "plates": map_plates(config, plates),
    },
    "score_map": _score,
    "compare_models": _compare,
    "render_report": _report,
}
