"""The pixels of one field: every plane decoded, depths projected, channels stacked."""

# Shape legend: C channels, Z depths, Y rows, X columns of pixels

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from platemae.errors import InputError, PlatemaeError, raise_all
from platemae.readers.base import FieldRecord, Plane
from platemae.readers.formats import read_plane


def load_field(record: FieldRecord, name: str = "") -> np.ndarray:
    """Return the pixels of a field, (C, Y, X) in the source dtype; a missing channel is zeros.

    Parameters
    ----------
    record
        The field.
    name
        How errors call it, such as ``plate P1, well A01, field 1``.

    Raises
    ------
    InputError
        All planes that cannot be read at once, a field whose planes differ in shape or dtype, or one without any.
    """
    x_CYX: np.ndarray | None = None
    problems: list[PlatemaeError] = []
    for c, (channel, planes) in enumerate(record.planes.items()):
        if not planes:
            continue
        at = f"{name}, channel {channel}" if name else f"channel {channel}"
        try:
            x_YX = project(planes, record.projection, None if x_CYX is None else x_CYX[c])
            if x_CYX is None:
                x_CYX = np.zeros((len(record.planes), *x_YX.shape), dtype=x_YX.dtype)
            if _kind(x_YX) != _kind(x_CYX[c]):
                raise _differs(planes[0], x_YX, x_CYX[c], "another one of its field")
            if not np.may_share_memory(x_YX, x_CYX):
                x_CYX[c] = x_YX
        except InputError as error:
            problems.append(InputError(f"{at}: {error.what}", error.where, error.remedy))
    raise_all(problems)
    if x_CYX is None:
        where = name or f"well {record.well}, field {record.field}"
        what = "no image of the field is there, so that its size is unknown"
        raise InputError(what, where, "copy its images, or take it out of the table")
    return x_CYX


def project(planes: Sequence[Plane], projection: str, out_YX: np.ndarray | None = None) -> np.ndarray:
    """Return one plane (Y, X) of a stack: the largest value of each pixel, or the plane in best focus.

    Two planes are held at a time, however deep the stack. ``out_YX`` may, but need not, become the result.

    Raises
    ------
    InputError
        When a plane cannot be read, or planes differ in shape or dtype.
    """
    read = _read_alike(planes, out_YX)
    best_YX = next(read)
    if projection == "max":
        if len(planes) > 1 and best_YX is not out_YX:
            best_YX = best_YX.copy()  # a reader's array may be read-only, or one that it keeps
        for x_YX in read:
            np.maximum(best_YX, x_YX, out=best_YX)
        return best_YX
    best = brenner(best_YX) if len(planes) > 1 else 0.0
    for x_YX in read:
        sharpness = brenner(x_YX)
        if sharpness > best:
            best, best_YX = sharpness, x_YX
    return best_YX


def brenner(x_YX: np.ndarray) -> float:
    """Return Brenner's sharpness, the mean squared difference of pixels two rows apart (Brenner et al., 1976).

    It compares planes of one stack, where content and exposure are equal; it means nothing between fields.
    """
    x_YX = x_YX.astype(np.float32)
    return float(np.mean(np.square(x_YX[2:] - x_YX[:-2]), dtype=np.float64))


def _read_alike(planes: Sequence[Plane], out_YX: np.ndarray | None) -> Iterator[np.ndarray]:
    first: np.ndarray | None = None
    for plane in planes:
        x_YX = read_plane(plane, out_YX if first is None else None)
        first = x_YX if first is None else first
        if _kind(x_YX) != _kind(first):
            raise _differs(plane, x_YX, first, "another one of its stack")
        yield x_YX


def _kind(x_YX: np.ndarray) -> tuple[tuple[int, ...], np.dtype]:
    return x_YX.shape, x_YX.dtype


def _differs(plane: Plane, x_YX: np.ndarray, other_YX: np.ndarray, which: str) -> InputError:
    return InputError(
        f"an image is {x_YX.shape[0]} x {x_YX.shape[1]} {x_YX.dtype}, {which} is "
        f"{other_YX.shape[0]} x {other_YX.shape[1]} {other_YX.dtype}",
        str(plane.path),
        "give all images of a field one size and depth",
    )
