"""Checks that every correction makes on its rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from platemae.errors import ContractError, InputError

_SHOWN = 10
BLOCK = 8192
"""Rows that are worked on at a time, so that memory beside the table itself does not grow with it."""


def check_finite_rows(x_ND: npt.NDArray[Any], labels: Sequence[str] | None, where: str) -> None:
    """Refuse rows with a NaN or an infinite value, by name.

    Parameters
    ----------
    x_ND
        One row a well.
    labels
        Name of each row, such as ``plate:well``; row numbers are named without it.
    where
        The plate or batch, for the message.

    Raises
    ------
    InputError
        If a value is not finite.
    """
    blocks = range(0, len(x_ND), BLOCK)
    bad_N = np.concatenate([[], *(~np.isfinite(x_ND[i : i + BLOCK]).all(axis=1) for i in blocks)]).astype(bool)
    if not bad_N.any():
        return
    rows = np.flatnonzero(bad_N)
    names = [str(labels[row]) if labels is not None else f"row {row}" for row in rows[:_SHOWN]]
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    what = f"{len(rows)} of {len(bad_N)} rows hold NaN or infinite values: {', '.join(names)}{more}"
    raise InputError(what, where, "leave them out, or embed their plate again")


def check_width(found: int, expected: int, where: str) -> None:
    """Refuse rows or statistics of another width than the basis.

    Raises
    ------
    ContractError
        If ``found`` differs from ``expected``.
    """
    if found != expected:
        what = f"{found} dimensions where the correction was fitted on {expected}"
        raise ContractError(what, where, "use embeddings of one and the same model")
