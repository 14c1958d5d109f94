"""What a training set holds of the wells, and of the labels, that a map is scored on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.contracts import DATASET_COLUMNS, FIELDS_COLUMNS
from platemae.errors import InputError
from platemae.layout import Results
from platemae.store.parquet import read_parquet

LABELS = ("perturbation", "gene", "compound")
"""Columns of the fields table that a well is named by."""
_TREATED = "treatment"


def seen_wells(results: Results, dataset: str, labels: bool = False) -> pd.DataFrame:
    """Return the wells of a training set: plate, batch, well, split, one row each.

    Parameters
    ----------
    results
        Paths.
    dataset
        Its name.
    labels
        Also the columns of `LABELS`, which the fields tables of its plates hold.

    Raises
    ------
    MissingError
        When its table is not there, or one of its plates has none.
    """
    table = read_parquet(results.dataset(dataset), DATASET_COLUMNS)
    wells = table[["plate", "batch", "well", "split"]].drop_duplicates(["plate", "well"]).reset_index(drop=True)
    if not labels:
        return wells
    keys = ["plate", "well"]
    plates = [read_parquet(results.fields(plate), FIELDS_COLUMNS) for plate in dict.fromkeys(wells["plate"])]
    known = pd.concat([fields[[*keys, *LABELS]] for fields in plates]) if plates else pd.DataFrame(columns=keys)
    return wells.merge(known.drop_duplicates(keys), on=keys, how="left")


def unseen(obs: pd.DataFrame, seen: pd.DataFrame, by: str) -> npt.NDArray[np.bool_]:
    """Return which rows stay when only what training never saw is scored.

    Controls stay: they make no row of a map, but every comparison needs them.

    Parameters
    ----------
    obs
        Corrected wells, with the columns of the contract.
    seen
        As `seen_wells` returns it, with labels where ``by`` is one.
    by
        ``plate``, ``batch``, ``perturbation``, ``gene`` or ``compound``.
    """
    treated_N = (obs["Metadata_Control_Type"].astype(str) == _TREATED).to_numpy()
    known_N = _text(obs[f"Metadata_{by.capitalize()}"]).isin(set(_text(seen[by])) - {""}).to_numpy()
    return np.asarray(~(treated_N & known_N), dtype=bool)


def held_out_rows(results: Results, obs: pd.DataFrame, held_out: Mapping[str, str] | None) -> npt.NDArray[np.bool_]:
    """Return the rows that are mapped and scored: all, or with ``held_out`` (dataset, by) those it never saw.

    Raises
    ------
    InputError
        When it saw every treated well.
    """
    if held_out is None:
        return np.ones(len(obs), dtype=bool)
    by = held_out["by"]
    kept_N = unseen(obs, seen_wells(results, held_out["dataset"], labels=by in LABELS), by)
    if not (kept_N & (obs["Metadata_Control_Type"].astype(str) == _TREATED).to_numpy()).any():
        what = f"the dataset {held_out['dataset']} saw every {by} of the map's treated wells"
        raise InputError(what, "map: held_out_of", f"hold out a {by} that is on map.plates, or score all wells")
    return kept_N


def overlap_of(results: Results, obs: pd.DataFrame, training: str | Mapping[str, Any], entity: str) -> tuple[str, str]:
    """Return what training saw of the scored wells, as one word and as a sentence's part with counts.

    Parameters
    ----------
    results
        Paths.
    obs
        The wells that are scored.
    training
        What the configuration alone tells: a word, for models without a training set here; else ``dataset``, and
        ``label``, the column that was learned, or None.
    entity
        Column of ``obs`` that names a row of the map.
    """
    if isinstance(training, str):
        return training, training
    seen = seen_wells(results, training["dataset"], labels=training["label"] is not None)
    treated = obs[(obs["Metadata_Control_Type"].astype(str) == _TREATED).to_numpy()]
    places = pd.MultiIndex.from_arrays([_text(treated["Metadata_Plate"]), _text(treated["Metadata_Well"])]).unique()
    wells = places.isin(pd.MultiIndex.from_arrays([_text(seen["plate"]), _text(seen["well"])]))
    plates = set(places.get_level_values(0))
    counted = f"{len(plates & set(_text(seen['plate'])))} of {len(plates)} plates, {wells.sum()} of {len(wells)} wells"
    word = "images" if wells.any() else "none"
    if training["label"] is not None:
        taught, names = _taught(treated, seen[seen["split"] == "train"], training["label"], entity)
        word = "labels" if taught else word
        counted = f"{taught} of {names} {entity.removeprefix('Metadata_').lower()}s, {counted}"
    return word, f"{word}: {counted}"


def _taught(treated: pd.DataFrame, trained: pd.DataFrame, label: str, entity: str) -> tuple[int, int]:
    """Return how many rows of the map training learned by name, directly or through one of their guides; of how many.

    Names are compared, whatever plate they stand on: a label learned elsewhere is learned.
    """
    name_N = _text(treated[entity])
    known_N = _text(treated[f"Metadata_{label.capitalize()}"]).isin(set(_text(trained[label])) - {""})
    own = entity.removeprefix("Metadata_").lower()
    if own in LABELS:
        known_N |= name_N.isin(set(_text(trained[own])) - {""})
    return name_N[known_N & (name_N != "")].nunique(), name_N[name_N != ""].nunique()


def _text(values: pd.Series) -> pd.Series:
    """Return names as text; none is empty."""
    return values.astype(object).where(values.notna(), "").astype(str).str.strip()
