"""Encoded images in the rows of a parquet file, as Hugging Face datasets keep them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pyarrow import ArrowException

from platemae.errors import InputError
from platemae.readers.base import Plane


def read_parquet_image(plane: Plane) -> bytes:
    """Return the encoded image of a row; ``plane.index`` is the row, then the index of its column.

    Raises
    ------
    InputError
        When file or row cannot be read, or hold no image.
    """
    row, column = plane.index
    try:
        stamp = plane.path.stat().st_mtime_ns
        ends = _row_group_ends(plane.path, stamp)
        group = int(np.searchsorted(ends, row, side="right"))
        cells = _column(plane.path, group, column, stamp)
        value = cells[row - (ends[group - 1] if group else 0)].as_py()
    except (OSError, ArrowException, IndexError, ValueError) as error:
        what = f"an image cannot be read from a table: {error}"
        raise InputError(what, f"{plane.path}, row {row}", "copy the table again") from None
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise InputError("a row of a table holds no image", f"{plane.path}, row {row}", "copy the table again")
    return data


@lru_cache(maxsize=256)
def _row_group_ends(path: Path, _stamp: int) -> list[int]:
    metadata = pq.read_metadata(path)
    ends: list[int] = np.cumsum([metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]).tolist()
    return ends


# A row group is the least that parquet decodes, and the images of a field stand beside each other.
@lru_cache(maxsize=4)
def _column(path: Path, group: int, column: int, _stamp: int) -> Any:
    with pq.ParquetFile(path) as file:
        return file.read_row_group(group, columns=[file.schema_arrow.names[column]]).column(0)
