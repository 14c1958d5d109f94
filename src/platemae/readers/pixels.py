"""The pixels of one field: every plane decoded, depths projected, channels stacked."""

# Shape legend: C channels, Z depths, Y rows, X columns of pixels

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from platemae.errors import InputError, PlatemaeError, raise_all
from platemae.readers.base import FieldRecord, Plane
from platemae.readers.formats import read_plane


def load_field(record: FieldRecord) -> np.ndarray:
    """Return the pixels of a field, (C, Y, X) in the source dtype; a missing channel is zeros.

    Raises
    ------
    InputError
        All planes that cannot be read at once, a field whose planes differ in shape or dtype, or one without any.
    """
    channels: dict[str, np.ndarray] = {}
    problems: list[PlatemaeError] = []
    for name, planes in record.planes.items():
        if planes:
            try:
                channels[name] = project(planes, record.projection)
            except InputError as error:
                problems.append(InputError(f"channel {name}: {error.what}", error.where, error.remedy))
    raise_all(problems)
    if not channels:
        what = "no image of the field is there, so that its size is unknown"
        raise InputError(
            what, f"well {record.well}, field {record.field}", "copy its images, or take it out of the table"
        )
    first = next(iter(channels.values()))
    for name, x_YX in channels.items():
        if _kind(x_YX) != _kind(first):
            raise _differs(record.planes[name][0], x_YX, first, "another one of its field")
    blank = np.zeros_like(first)
    return np.stack([channels.get(name, blank) for name in record.planes])


def project(planes: Sequence[Plane], projection: str) -> np.ndarray:
    """Return one plane (Y, X) of a stack: the largest value of each pixel, or the plane in best focus.

    Two planes are held at a time, however deep the stack.

    Raises
    ------
    InputError
        When a plane cannot be read, or planes differ in shape or dtype.
    """
    read = _read_alike(planes)
    best_YX = next(read)
    if projection == "max":
        best_YX = best_YX.copy()
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


def _read_alike(planes: Sequence[Plane]) -> Iterator[np.ndarray]:
    first: np.ndarray | None = None
    for plane in planes:
        x_YX = read_plane(plane)
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
