"""How the fields of each plate are lit, where it was estimated: a map a plate and channel."""

from __future__ import annotations

import zipfile

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from platemae.errors import ContractError
from platemae.report.blocks import Block, Figure, Heading, Text
from platemae.report.drawing import Drawing
from platemae.report.mosaic import mosaic, short
from platemae.report.source import Source
from platemae.report.style import png, styled

MAX_PLATES = 12
"""Plates drawn, those most unevenly lit first."""


def light_blocks(source: Source) -> list[Block]:
    """Return heading, sentence and figure; nothing where no plate is corrected."""
    lights = {plate: found for plate in source.plates if (found := _read(source, plate)) is not None}
    if not lights:
        return []
    drawn = sorted(sorted(lights, key=lambda plate: -np.ptp(lights[plate][1]))[:MAX_PLATES], key=list(lights).index)
    text = (
        "How each channel is lit over the field, 1 on average, estimated from the plate's own fields. What the models "
        "read is divided by it; QC above is of the pixels as they were taken. Below each map its darkest and brightest "
        "place."
    )
    blocks: list[Block] = [Heading("Illumination"), Text(text)]
    for plate in drawn:
        channels, grid_CGG = lights[plate]
        low, high = float(grid_CGG.min()), float(grid_CGG.max())
        alt = f"Maps of the illumination of plate {plate}, {len(channels)} channels, {low:.2f} to {high:.2f}."
        blocks.append(
            Figure(_maps(plate, channels, grid_CGG), alt, f"Plate {plate}", int(165 * len(channels) + 35), True)
        )
    if len(drawn) < len(lights):
        blocks.append(Text(f"{len(drawn)} of {len(lights)} plates are drawn, the most unevenly lit.", "note"))
    return blocks


@styled
def _maps(plate: str, channels: list[str], grid_CGG: npt.NDArray[np.float64]) -> Drawing:
    low, high = min(0.8, float(grid_CGG.min())), max(1.2, float(grid_CGG.max()))  # an even field looks even
    colours = mpl.colormaps["viridis"]((grid_CGG - low) / (high - low), bytes=True)[..., :3]
    below = [[f"{short(float(g.min()))} to {short(float(g.max()))}" for g in grid_CGG]]
    figure, _, _ = mosaic([list(colours)], [plate], channels, below)
    return png(figure)


def _read(source: Source, plate: str) -> tuple[list[str], npt.NDArray[np.float64]] | None:
    path = source.results.illumination(plate)
    try:
        with np.load(path, allow_pickle=False) as file:
            return [str(name) for name in file["channels"]], np.asarray(file["grid"], dtype=np.float64)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        what = f"the illumination of a plate cannot be understood: {error}"
        raise ContractError(what, str(path), "run qc_plate again") from None
