"""Groups of training fields that are to be seen equally often: plates, or perturbations.

Legend: F fields of the training split, in the dataset's order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from platemae.contracts import DATASET_COLUMNS, FIELDS_COLUMNS
from platemae.data.sampler import Groups
from platemae.fingerprint import digest_table
from platemae.layout import Results
from platemae.store.parquet import read_parquet

BY = ("uniform", "perturbation", "plate")
"""How crops are sampled: each field, each perturbation or each plate equally often."""


def labelled_table(results: Results, dataset: str, label: str) -> pd.DataFrame:
    """Return plate, batch, group, split and label of each field of a dataset, in its order."""
    table = read_parquet(results.dataset(dataset), DATASET_COLUMNS)
    plates = [read_parquet(results.fields(plate), FIELDS_COLUMNS) for plate in dict.fromkeys(table["plate"])]
    known = pd.concat(plates, ignore_index=True)[["plate", "group", label]].rename(columns={label: "label"})
    joined = table.merge(known, on=["plate", "group"], how="left")
    joined["label"] = joined["label"].fillna("").astype(str)
    return joined[["plate", "batch", "group", "split", "label"]]


def read_groups(results: Results, dataset: str, sampling: str) -> np.ndarray | None:
    """Return the group of each training field, (F,); None where fields themselves are drawn equally often.

    Fields without a perturbation, such as those of empty wells, are one group.

    Parameters
    ----------
    results
        Paths.
    dataset
        Its name.
    sampling
        One of `BY`.
    """
    if sampling == "uniform":
        return None
    if sampling == "plate":
        table = read_parquet(results.dataset(dataset), DATASET_COLUMNS)
        return table.loc[table["split"] == "train", "plate"].to_numpy(dtype="U")
    table = labelled_table(results, dataset, sampling)
    return table.loc[table["split"] == "train", "label"].to_numpy(dtype="U")


def groups_of(group_F: np.ndarray | None, fields: np.ndarray) -> Groups:
    """Return the given fields in their groups, in the order of the groups' names."""
    if group_F is None:
        return (tuple(fields.tolist()),)
    _, number_F, count_G = np.unique(group_F[fields], return_inverse=True, return_counts=True)
    # One sort, not a pass over the fields for each group: a genome-wide screen has 20,000 perturbations.
    parts = np.split(fields[np.argsort(number_F, kind="stable")], np.cumsum(count_G)[:-1])
    return tuple(tuple(part.tolist()) for part in parts if len(part))


def sampling_key(results: Results, dataset: str, train: dict[str, Any]) -> dict[str, Any]:
    """Return what a training depends on through its sampling: with perturbations, the layouts."""
    key = {name: train[name] for name in SAMPLING_KEYS}
    if train["sampling"] == "perturbation":
        key["perturbations"] = digest_table(labelled_table(results, dataset, "perturbation"))
    return key


SAMPLING_KEYS = ("flip", "sampling", "crops_per_field")
"""Keys of the section ``train`` that say which crops a step has; the loop does not read them."""
