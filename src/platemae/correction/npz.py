"""Small array files: written whole or not at all, read without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import numpy.typing as npt

from platemae.errors import ContractError, MissingError


def save_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Write arrays and a JSON header under the key ``meta`` to ``path``; equal content gives equal bytes.

    Parameters
    ----------
    path
        The file; its folder is made if it is not there.
    arrays
        Name -> numeric array.
    meta
        JSON-able facts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = np.array(json.dumps(meta, sort_keys=True))
    sibling = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with sibling.open("wb") as file:
            np.savez(file, allow_pickle=False, meta=header, **arrays)
        os.replace(sibling, path)
    finally:
        sibling.unlink(missing_ok=True)


def load_npz(
    path: Path, names: tuple[str, ...], kind: str | None = None
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read what :func:`save_npz` wrote.

    Parameters
    ----------
    path
        The file.
    names
        The arrays that must be in it.
    kind
        What ``meta`` must say of its kind; None: nothing.

    Returns
    -------
    arrays, meta

    Raises
    ------
    MissingError
        If the file is not there.
    ContractError
        If it is not such a file, is cut short, lacks an array, or is of another kind.
    """
    if not path.is_file():
        raise MissingError("a file between stages is gone", str(path), "run the stage that writes it again")
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            if not isinstance(meta, dict):
                raise ValueError("its header is no mapping")
            if kind is not None and meta.get("kind") != kind:
                what = f"a file of kind {meta.get('kind')} where {kind} is needed"
                raise ContractError(what, str(path), "name the file that a correction of this kind wrote")
            return {name: file[name] for name in names}, meta
    except (ValueError, KeyError, OSError, EOFError, BadZipFile, ZlibError, NotImplementedError) as error:
        remedy = "delete it and run the stage that writes it again"
        raise ContractError(f"not a complete platemae array file ({error})", str(path), remedy) from error
