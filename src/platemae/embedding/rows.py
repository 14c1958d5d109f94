"""What the rows of an embedding are: their order, their metadata and their vectors.

Rows come by well name, then in the order of the plate's table of fields, then tile by tile from the top left, or in
the order of the plate's table of cells (down, then right). So they are the same however the work was shared out.

Legend: F fields, T tiles of a field, N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anndata
import numpy as np
import pandas as pd

from platemae.embedding.look import Look
from platemae.embedding.plate import Job, Part
from platemae.embedding.table import assemble_rows, wells_of
from platemae.errors import InputError


def in_order(fields: pd.DataFrame) -> pd.DataFrame:
    """Return the fields of a plate by well name, those of a well as they were."""
    return fields.sort_values("well", kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class Choice:
    """The cells to embed, and how many are not.

    Parameters
    ----------
    cells
        All listed cells of the fields, in the order of the rows, with ``kept``.
    counts
        For the manifest: cells, cells_at_border, cells_dropped, cells_excluded.
    """

    cells: pd.DataFrame
    counts: dict[str, Any] = field(default_factory=dict)


def choose_cells(cells: pd.DataFrame, fields: pd.DataFrame, look: Look, border: str, plate: str) -> Choice:
    """Choose the cells of a plate that become rows.

    Parameters
    ----------
    cells
        The plate's table of cells.
    fields
        Fields to embed, see `in_order`.
    look
        The plate as the model sees it.
    border
        See ``EmbedSettings.cell_border``.
    plate
        Name, for errors.

    Raises
    ------
    InputError
        When none is left.
    """
    rank = pd.Series(np.arange(len(fields)), index=fields["group"])
    here = cells[cells["group"].isin(rank.index)]
    here = here.iloc[np.argsort(rank.loc[here["group"]].to_numpy(), kind="stable")].reset_index(drop=True)
    at_border = look.leaves_field(here) if len(here) else np.zeros(0, bool)
    here["kept"] = ~at_border if border == "drop" else True
    n_kept = int(here["kept"].sum())
    if not n_kept:
        why = f"{len(cells)} listed, {len(cells) - len(here)} in fields left out, {len(here)} at the border"
        raise InputError(f"no cell of the plate is left: {why}", f"plate {plate}", "see embed.cell_border and the QC")
    counts = {"cells": n_kept, "cells_at_border": int(at_border.sum()), "cells_dropped": len(here) - n_kept}
    return Choice(here, counts | {"cells_excluded": len(cells) - len(here)})


def table_of(job: Job, look: Look, part: Part, fields: pd.DataFrame, names: Sequence[str]) -> anndata.AnnData:
    """Return the embedding of a plate.

    Parameters
    ----------
    job, look, part
        What was embedded, how, and the vectors.
    fields
        The plate's whole table of fields: a well's labels are those of its first row.
    names
        Names of the dimensions of X.
    """
    rows = job.settings.rows
    if rows == "well":
        return _wells(job, part, fields, names)
    if rows == "field":
        vectors = {pooling: sums.field_means() for pooling, sums in part.sums.items()}
        return assemble_rows(vectors, names, job.fields, {"n_tiles": next(iter(part.sums.values())).tiles_F})
    if rows == "crop":
        centres_T2 = look.tile_centres(job.settings.tiling)
        repeated = job.fields.loc[job.fields.index.repeat(len(centres_T2))]
        y_N, x_N = np.tile(centres_T2.T, len(job.fields))
        numbers = np.tile(np.arange(len(centres_T2)).astype(str).astype(object), len(job.fields))
        own = {"Metadata_Tile": numbers, "Metadata_Y_px": y_N, "Metadata_X_px": x_N}
        return assemble_rows(part.rows, names, repeated, own)
    assert job.cells is not None
    kept = job.cells[job.cells["kept"]]
    own = {"Metadata_Cell": kept["cell"].astype(str).to_numpy(object)}
    own |= {"Metadata_Y_px": kept["y"].to_numpy(np.float64), "Metadata_X_px": kept["x"].to_numpy(np.float64)}
    return assemble_rows(part.rows, names, kept, own)


def _wells(job: Job, part: Part, fields: pd.DataFrame, names: Sequence[str]) -> anndata.AnnData:
    of_fields = list(job.fields["well"])
    means = {pooling: sums.well_means(of_fields) for pooling, sums in part.sums.items()}
    found, _, n_fields_W, n_tiles_W = next(iter(means.values()))
    wells = wells_of(fields).loc[found].assign(field="")
    own = {"n_fields": np.asarray(n_fields_W, np.int64), "n_tiles": n_tiles_W}
    return assemble_rows({pooling: mean[1] for pooling, mean in means.items()}, names, wells, own)
