"""Which fields a training set leaves out whole: plates, batches, perturbations, genes or compounds.

Legend: F fields of the training set's plates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.contracts import PERTURBATION_COLUMNS
from platemae.errors import InputError

_LISTED, _SHOWN = 500, 20


def left_out_fields(
    table: pd.DataFrame, hold_out: Mapping[str, Any] | None, dataset: str
) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
    """Return which fields are held out of training, and what the manifest says of it.

    Parameters
    ----------
    table
        The fields that could train: plate, batch, well and the columns of a layout.
    hold_out
        ``by``, a column of ``table``; ``values``, names in it, or none and a ``fraction`` of the names by ``seed``.
        None: nothing is held out.
    dataset
        Its name, for errors.

    Returns
    -------
    (F,) whether a field is left out; by, names (500 at most), n_names, n_wells, n_fields, and plates that are left out
    whole.

    Raises
    ------
    InputError
        When a name is not there, or there are fewer than two to draw from.
    """
    if hold_out is None:
        return np.zeros(len(table), dtype=bool), {}
    by = hold_out["by"]
    name_F = table[by].astype(object).where(table[by].notna(), "").astype(str)
    names = _listed(name_F, hold_out, dataset) if hold_out["values"] else _drawn(table, name_F, hold_out, dataset)
    left_F = name_F.isin(names).to_numpy(dtype=bool)
    return left_F, {
        "by": by,
        "names": names[:_LISTED],
        "n_names": len(names),
        "n_wells": len(table.loc[left_F, ["plate", "well"]].drop_duplicates()),
        "n_fields": int(left_F.sum()),
        "plates": sorted(set(table.loc[left_F, "plate"]) - set(table.loc[~left_F, "plate"])),
    }


def _listed(name_F: pd.Series, hold_out: Mapping[str, Any], dataset: str) -> list[str]:
    """Return the names that the configuration lists."""
    there = set(name_F) - {""}
    lacking = [name for name in hold_out["values"] if name not in there]
    if lacking:
        what = f"the dataset {dataset} has no {hold_out['by']} {', '.join(lacking[:_SHOWN])}"
        remedy = f"there are {len(there)}: {', '.join(sorted(there)[:_SHOWN])}"
        raise InputError(what, f"datasets: {dataset}: hold_out: values", remedy)
    return sorted(set(hold_out["values"]))


def _drawn(table: pd.DataFrame, name_F: pd.Series, hold_out: Mapping[str, Any], dataset: str) -> list[str]:
    """Return the share of names with the lowest hashes, at least one and never all; controls are not drawn.

    A name's place in the order depends on the seed and the name alone, so a plate that is added moves few others.
    """
    by, seed = hold_out["by"], hold_out["seed"]
    of_layout = by in PERTURBATION_COLUMNS
    drawn_F = (table["control_type"] == "treatment").to_numpy() if of_layout else np.ones(len(table), dtype=bool)
    names = sorted(set(name_F[drawn_F]) - {""})
    if len(names) < 2:
        what = f"dataset {dataset}: " + (f"its one {by} cannot be divided" if names else f"no treated well has a {by}")
        remedy = "hold out by something else; of pooled plates, whose perturbations are of cells, by plate or batch"
        raise InputError(what, f"datasets: {dataset}: hold_out: by", remedy)
    count = min(max(round(hold_out["fraction"] * len(names)), 1), len(names) - 1)
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/hold out/{name}".encode()).digest())
    return sorted(order[:count])
