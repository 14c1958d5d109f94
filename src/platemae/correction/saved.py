"""Fitted corrections as files: one way for all kinds, and what is wrong with a file told by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from platemae.correction.base import FitCounts
from platemae.correction.npz import load_npz, save_npz
from platemae.errors import ContractError


class SavedBasis:
    """Base of the fitted corrections, which are dataclasses: arrays, settings, counts and plain numbers.

    Attributes
    ----------
    kind
        Name in the registry, written into the file.
    Settings
        Dataclass of the field ``settings``, where there is one.
    axes_of
        Array fields -> a letter for each axis; axes with one letter have one length.
    """

    kind: ClassVar[str]
    Settings: ClassVar[type[Any]]
    axes_of: ClassVar[Mapping[str, str]]

    def save(self, path: Path) -> None:
        """Write the basis, whole or not at all."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        arrays = {name: values.pop(name) for name in self.axes_of}
        plain = {name: asdict(value) if is_dataclass(value) else value for name, value in values.items()}  # type: ignore[arg-type]
        save_npz(path, arrays, {"kind": self.kind} | plain)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        MissingError, ContractError
            If the file is gone, not whole, of another kind or version, or its arrays do not fit together.
        """
        arrays, meta = load_npz(path, tuple(cls.axes_of), cls.kind)
        _check_axes(arrays, cls.axes_of, path)
        try:
            plain = {f.name: meta[f.name] for f in fields(cls) if f.name not in arrays}  # type: ignore[arg-type]
            if "settings" in plain:
                plain["settings"] = cls.Settings(**plain["settings"])
            return cls(**plain | {"counts": FitCounts(**plain["counts"])}, **arrays)
        except (KeyError, TypeError) as error:
            what = f"the basis of a correction was written by another version ({error})"
            raise ContractError(what, str(path), "fit the correction again") from error


def _check_axes(arrays: Mapping[str, npt.NDArray[Any]], axes_of: Mapping[str, str], path: Path) -> None:
    lengths: dict[str, int] = {}
    for name, letters in axes_of.items():
        array = arrays[name]
        fits = array.ndim == len(letters) and all(
            lengths.setdefault(letter, length) == length for letter, length in zip(letters, array.shape, strict=True)
        )
        if not fits or (array.dtype.kind == "f" and not np.isfinite(array).all()):
            what = f"the array {name} of a correction, shape {array.shape}, does not fit the others or is not finite"
            raise ContractError(what, str(path), "fit the correction again")
