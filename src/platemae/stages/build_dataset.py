"""build_dataset: the index of training fields, whole wells held out for validation, all others or a fraction train."""

from __future__ import annotations

import hashlib
from typing import Any

import pandas as pd

from platemae.contracts import DATASET_COLUMNS, FIELDS_COLUMNS, PERTURBATION_COLUMNS, QC_COLUMNS, Manifest
from platemae.data.hold_out import left_out_fields
from platemae.errors import InputError
from platemae.fingerprint import digest_json, digest_table
from platemae.layout import Results
from platemae.qc.gate import kept_fields
from platemae.store.illumination import plate_illumination
from platemae.store.parquet import read_parquet, write_parquet

STAGE = "build_dataset"
TRAIN, VALIDATION = "train", "validation"


def run(results: Results, cfg: dict[str, Any], *, dataset: str, threads: int = 1) -> Manifest:
    """Write the fields of a dataset's plates that may train, with their split.

    The digest holds the pixels of the plates (from their manifests) and this table, but no label: an edited layout
    trains nothing again, unless labels decide what is held out and others now are.

    Parameters
    ----------
    results
        Where the plates' tables lie and the index goes.
    cfg
        ``dataset``: the entry, its ``plates`` named, and ``exclude_failed`` for its ``qc``: whether fields that failed
        QC are left out.
    dataset
        Name of the entry.
    threads
        Taken by every stage; there is nothing to share out here.

    Raises
    ------
    InputError
        When fewer than two wells have a field that passed QC and is not held out, or ``hold_out`` names what is not
        there.
    """
    entry = cfg["dataset"]
    frames = [_kept(results, plate, entry["exclude_failed"]) for plate in entry["plates"]]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(DATASET_COLUMNS))
    left_out, noted = left_out_fields(table, entry.get("hold_out"), dataset)
    table = table[~left_out].reset_index(drop=True)
    wells = sorted(set(zip(table["plate"], table["well"], strict=True)))
    if len(wells) < 2:
        raise InputError(
            f"the dataset {dataset} has {len(wells)} wells with a field that passed QC"
            f"{' and is not held out' if noted else ''}; two are needed",
            f"datasets: {dataset}",
            "name more plates, or look at the reasons in the QC tables",
        )
    held_out = _held_out(wells, entry["validation_fraction"], entry["seed"])
    taken = _taken([well for well in wells if well not in held_out], entry["fraction"], entry["seed"])
    places = list(zip(table["plate"], table["well"], strict=True))
    table["split"] = [VALIDATION if place in held_out else TRAIN for place in places]
    table = table.loc[[place in held_out or place in taken for place in places], list(DATASET_COLUMNS)]
    table = table.reset_index(drop=True)
    write_parquet(table, results.dataset(dataset))
    used = [plate for plate in entry["plates"] if plate not in noted.get("plates", ())]
    pixels = {plate: _pixels(results, plate) for plate in used}
    counts = {
        "plates": len(used),
        "wells": len(held_out) + len(taken),
        "fraction": entry["fraction"],
        "fields": len(table),
        "validation_wells": len(held_out),
        "validation_fields": int((table["split"] == VALIDATION).sum()),
        **({"hold_out": noted} if noted else {}),
    }
    return Manifest(STAGE, digest_json({"pixels": pixels, "table": digest_table(table)}), counts)


def _kept(results: Results, plate: str, exclude_failed: bool) -> pd.DataFrame:
    """Return the plate's fields that may train, in the order of the fields table."""
    fields = read_parquet(results.fields(plate), FIELDS_COLUMNS)
    kept = kept_fields(fields, read_parquet(results.qc(plate), QC_COLUMNS), exclude_failed)
    return fields.loc[kept, ["plate", "batch", "well", "field", "group", *PERTURBATION_COLUMNS]]


def _held_out(wells: list[tuple[str, str]], fraction: float, seed: int) -> set[tuple[str, str]]:
    """Return the wells of the validation split: those with the lowest hashes, at least one and never all.

    A well's place in the order depends on seed, plate and well alone, so that a plate added to the dataset, or a well
    that fails QC, moves few others.
    """
    count = min(max(round(fraction * len(wells)), 1), len(wells) - 1)
    return set(_shuffled(wells, str(seed))[:count])


def _taken(wells: list[tuple[str, str]], fraction: float, seed: int) -> set[tuple[str, str]]:
    """Return the training wells of a fraction: of each plate those with the lowest hashes, at least one.

    The order is the same for all fractions, so a smaller one lies inside a larger; it is another than that of the
    validation split, so which wells are taken says nothing of which are held out.
    """
    of_plate: dict[str, list[tuple[str, str]]] = {}
    for well in _shuffled(wells, f"{seed}/fraction"):
        of_plate.setdefault(well[0], []).append(well)
    return {well for found in of_plate.values() for well in found[: max(round(fraction * len(found)), 1)]}


def _shuffled(wells: list[tuple[str, str]], salt: str) -> list[tuple[str, str]]:
    """Return the wells in an order that nothing but their names and ``salt`` decides."""
    return sorted(wells, key=lambda well: hashlib.sha256(f"{salt}/{well[0]}/{well[1]}".encode()).digest())


def _pixels(results: Results, plate: str) -> str:
    """Return the digest of the pixels that training sees."""
    pixels = str(Manifest.read(results.manifest("ingest_plate", plate=plate)).counts["pixels"])
    light = plate_illumination(results, plate)
    return pixels if light is None else digest_json([pixels, light.digest])
