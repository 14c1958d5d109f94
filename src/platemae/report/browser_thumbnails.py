"""Small pictures of wells, fields, crops or cells, laid out on sheets.

Shapes: C channels, Y rows, X columns of pixels, E edge of a thumbnail, N rows of the browser.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from platemae.errors import PlatemaeError
from platemae.report.qc import FAIL, with_verdict
from platemae.report.source import Source
from platemae.report.style import BLUE, GREEN, ORANGE
from platemae.stains import stain_of
from platemae.store.intensity_map import TOP, IntensityMap, stretched
from platemae.store.plate_reader import PlateStore

EDGE = 64
"""Pixels of a thumbnail's side."""

SIDE_UM = 100.0
"""What a thumbnail shows: some cells."""

ACROSS, ON_SHEET = 20, 400
"""Thumbnails in a row of a sheet, and on a sheet."""

QUALITY = 55
COLOURS = (BLUE, ORANGE, GREEN)
PREFERRED = ("DNA", "Actin", "AGP", "Tubulin", "Mito", "ER", "Golgi", "RNA")
"""Stains in the order in which they get one of the three colours."""


@dataclass(frozen=True)
class Spot:
    """Where a thumbnail is cut: a field of a plate, and the centre in pixels (None: of the field)."""

    plate: str
    batch: str
    group: str
    y: float | None = None
    x: float | None = None


def spots_of(source: Source, obs: pd.DataFrame) -> list[Spot | None]:
    """Return where each row's picture is cut; None where no field of it is known.

    A row of a field, crop or cell shows its own place; one of a well the middle of its first field that QC did not
    fail.
    """
    fields = source.fields.astype({"well": str, "field": str})
    failed = with_verdict(source.qc, FAIL)
    bad = set(zip(failed["plate"], failed["well"].astype(str), failed["field"].astype(str), strict=True))
    named: dict[tuple[str, str, str], str] = {}
    for plate, well, site, group in fields[["plate", "well", "field", "group"]].itertuples(index=False):
        named[plate, well, site] = group
        if (plate, well, site) not in bad:
            named.setdefault((plate, well, ""), group)
    for (plate, well, _), group in list(named.items()):
        named.setdefault((plate, well, ""), group)
    keys = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Batch"]
    centres = obs[["Metadata_Y_px", "Metadata_X_px"]].to_numpy(float).tolist() if "Metadata_Y_px" in obs else None
    spots: list[Spot | None] = []
    for place, (plate, well, site, batch) in enumerate(obs[keys].astype(str).itertuples(index=False)):
        group = named.get((plate, well, site))
        y, x = centres[place] if centres else (None, None)
        spots.append(None if group is None else Spot(plate, batch, group, y, x))
    return spots


class Painter:
    """Draws thumbnails of one plate with three stains of the frozen intensity map.

    Parameters
    ----------
    store
        The plate.
    intensity
        Map to 0..255.

    Attributes
    ----------
    stains : list of (str, str)
        Channel and its colour.
    """

    def __init__(self, store: PlateStore, intensity: IntensityMap) -> None:
        self._store, self._intensity = store, intensity
        known = [name for name in store.channel_names if name in intensity.pooled]
        self.stains = list(zip(sorted(known, key=_rank)[: len(COLOURS)], COLOURS, strict=False))
        self._places = [store.channel_names.index(name) for name, _ in self.stains]
        rgb = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for _, colour in self.stains], float)
        rgb = rgb.reshape(-1, 3)  # none where the plate has no channel of the map
        self._colours_C3 = (rgb / rgb.max(axis=1, keepdims=True)).astype(np.float32)
        self._side = min(*store.shape[1:], max(1, round(SIDE_UM / store.pixel_size_um)))

    def __call__(self, spot: Spot) -> npt.NDArray[np.uint8]:
        """Return (E, E, 3); grey where the field cannot be read."""
        _, height, width = self._store.shape
        top = _start(spot.y, height, self._side)
        left = _start(spot.x, width, self._side)
        try:
            source_CYX = self._store.read_crop(spot.group, top, left, self._side)[self._places]
        except PlatemaeError:
            return np.full((EDGE, EDGE, 3), 128, np.uint8)
        low_C, high_C = self._intensity.limits(spot.plate, spot.batch, [name for name, _ in self.stains])
        grey_CYX = stretched(source_CYX, low_C, TOP / (high_C - low_C))
        small = [Image.fromarray(grey).resize((EDGE, EDGE), Image.Resampling.BOX) for grey in grey_CYX]
        rgb = np.einsum("cyx,cd->yxd", np.stack([np.asarray(image) for image in small]), self._colours_C3)
        return np.clip(rgb, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Album:
    """Where pictures come from: the stores of the plates that are there, and one intensity map.

    Parameters
    ----------
    source
        The results.
    """

    source: Source

    @cached_property
    def intensity(self) -> IntensityMap | None:
        """The map of the first model that has one."""
        for name in dict.fromkeys(model["intensity"] for model in self.source.cfg["models"] if model.get("intensity")):
            path = self.source.results.intensity(name)
            if path.is_file():
                return IntensityMap.read(path)
        return None

    @cached_property
    def painters(self) -> dict[str, Painter]:
        """A painter a plate whose store is there and has a channel of the map."""
        found: dict[str, Painter] = {}
        for plate in self.source.map_plates if self.intensity else []:
            try:
                painter = Painter(PlateStore(self.source.results.store(plate)), self.intensity)  # type: ignore[arg-type]
            except PlatemaeError:
                continue  # a store on tape, say; the page tells which plates have no pictures
            if painter.stains:
                found[plate] = painter
        return found

    def sheet(self, spots: Sequence[Spot], threads: int = 2) -> bytes:
        """Return the pictures of spots, left to right and down, as one WebP."""
        with ThreadPoolExecutor(threads) as pool:
            tiles = list(pool.map(lambda spot: self.painters[spot.plate](spot), spots))
        rows = -(-len(tiles) // ACROSS)
        canvas = np.zeros((rows * EDGE, min(ACROSS, len(tiles)) * EDGE, 3), np.uint8)
        for place, tile in enumerate(tiles):
            top, left = place // ACROSS * EDGE, place % ACROSS * EDGE
            canvas[top : top + EDGE, left : left + EDGE] = tile
        buffer = io.BytesIO()
        Image.fromarray(canvas).save(buffer, format="WEBP", quality=QUALITY, method=4)
        return buffer.getvalue()


def _rank(channel: str) -> tuple[int, str]:
    stain = stain_of(channel)
    return (PREFERRED.index(stain) if stain in PREFERRED else len(PREFERRED) + (stain == "Brightfield"), channel)


def _start(centre: float | None, length: int, side: int) -> int:
    """Return where a window of ``side`` starts that stays in the field."""
    middle = (length - 1) / 2 if centre is None else centre
    return int(np.clip(round(middle - (side - 1) / 2), 0, length - side))
