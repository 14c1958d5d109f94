"""The folders of the synthetic screen: ``plate.json``, and TIFFs named by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from platemae.errors import InputError, MissingError
from platemae.readers.base import ChannelInfo, FieldRecord, Inventory
from platemae.readers.pattern import match_files
from platemae.readers.tiff import load_record

DESCRIPTION = "plate.json"


class SyntheticReader:
    """Reads plates of the synthetic screen; channels, names and pixel size come from the plate's own description."""

    def inventory(self, folder: Path, entry: Mapping[str, Any]) -> Inventory:
        """Return what ``folder`` holds, without reading a pixel.

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
            infos = tuple(ChannelInfo(str(c["name"]), str(c["stain"])) for c in plate["channels"])
            channels = {str(c["index"]): str(c["name"]) for c in plate["channels"]}
            size, pattern, promised = float(plate["pixel_size_um"]), str(plate["file_pattern"]), int(plate["n_images"])
        except (KeyError, TypeError, ValueError) as error:
            raise _wrong(path, f"{type(error).__name__} {error}") from None
        found = match_files(folder, pattern, channels, infos, size, str(path))
        unmatched = tuple(name for name in found.unmatched if name != DESCRIPTION)
        return replace(found, unmatched=unmatched, promised=promised)

    def load(self, record: FieldRecord) -> np.ndarray:
        """Return the pixels of a field, (C, Y, X) uint16; a missing channel is zeros.

        Raises
        ------
        InputError
            Naming the file that cannot be read.
        """
        return load_record(record)


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
