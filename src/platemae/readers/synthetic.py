"""The folders of the synthetic screen: ``plate.json``, and TIFFs named by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from platemae.errors import InputError, MissingError
from platemae.readers.assemble import assemble
from platemae.readers.base import Inventory
from platemae.readers.files import list_files
from platemae.readers.pattern import match_files

DESCRIPTION = "plate.json"


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what ``folder`` holds, without reading a pixel.

    Channels, names and pixel size come from the plate's own description.

    Raises
    ------
    MissingError
        When there is no ``plate.json``.
    InputError
        When it cannot be understood, and as :func:`platemae.readers.pattern.match_files`.
    """
    path = folder / DESCRIPTION
    plate = _read(path)
    try:
        named = [
            {"source": str(c["index"]), "name": str(c["name"]), "stain": str(c["stain"])} for c in plate["channels"]
        ]
        size, pattern, promised = float(plate["pixel_size_um"]), str(plate["file_pattern"]), int(plate["n_images"])
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong(path, f"{type(error).__name__} {error}") from None
    files, sources = list_files(folder), [channel["source"] for channel in named]
    images = match_files(folder, files, pattern, sources, str(path))
    found = assemble(
        folder,
        images,
        sources,
        {**entry, "channels": named},
        pixel_size_um=size,
        files=files,
        metadata=[DESCRIPTION],
        counted=False,
    )
    return replace(found, promised=promised)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        plate = json.loads(path.read_text())
    except FileNotFoundError:
        raise MissingError(
            "the description of a plate is missing", str(path), "make the screen again: `platemae synthesize-screen`"
        ) from None
    except ValueError as error:
        raise _wrong(path, str(error)) from None
    if not isinstance(plate, dict):
        raise _wrong(path, "it is no JSON object")
    return plate


def _wrong(path: Path, why: str) -> InputError:
    return InputError(f"the description of a plate cannot be understood: {why}", str(path), "write the screen again")
