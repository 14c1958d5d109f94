"""Cells of one field: where they lie, their outlines, and the pixels that each of them owns."""

# Shape legend: K cells, P phenotype parameters, A angles of an outline, N pixels inside cells, C channels, H W field

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platemae.synthetic.organelles import stain_cells
from platemae.synthetic.settings import CHANNELS, PHENOTYPE, ScreenSettings

Array = NDArray[np.floating[Any]]

_ANGLES = 128
_HARMONICS = np.arange(2, 5)  # the irregular outline of a spread cell
_RUFFLES = np.arange(7, 12)  # membrane ruffles
_BORDER = 10  # centres may lie this far outside the field (pixels)


@dataclass(frozen=True)
class Cells:
    """The cells of a field; lengths in pixels, angles in radians."""

    y_K: Array
    x_K: Array
    angle_K: Array
    radius_K: Array
    nucleus_K: Array
    nucleus_aspect_K: Array
    outline_KA: Array
    phenotype_KP: Array

    def trait(self, name: str) -> Array:
        """Return one phenotype parameter of every cell, shape (K,)."""
        return self.phenotype_KP[:, PHENOTYPE.index(name)]


@dataclass(frozen=True)
class Pixels:
    """The pixels inside cells, in cell coordinates.

    ``u_N`` and ``v_N`` run along and across the cell's axis from its centre (pixels); ``depth_N`` is 0 at the centre
    and 1 on the free outline, ``nuclear_N`` the same for the nucleus; ``rim_N`` is the distance to the outline or to
    the neighbour (pixels); ``cytoplasm_N`` runs from 0 at the nucleus to 1 on the outline.
    """

    flat_N: NDArray[np.int64]
    cell_N: NDArray[np.int64]
    u_N: Array
    v_N: Array
    depth_N: Array
    nuclear_N: Array
    rim_N: Array
    cytoplasm_N: Array


def draw_field(
    settings: ScreenSettings,
    effect_P: NDArray[np.float64],
    state_P: NDArray[np.float64],
    density: float,
    rng: np.random.Generator,
) -> Array:
    """Draw one field as ideal stain, before any optics.

    Parameters
    ----------
    settings
        The screen.
    effect_P, state_P
        Phenotype of the perturbation, to which each cell responds by its own factor, and state of the well.
    density
        Factor for the number of cells.
    rng
        Generator of this field.

    Returns
    -------
    numpy.ndarray
        (C, H, W) float32, zero outside cells. The mean over a cell is the cell's own staining (about 1), which the
        phenotype does not touch; DNA has its mean over the nucleus instead, as its content does not spread.
    """
    return paint_field(settings, make_cells(settings, effect_P, state_P, density, rng), rng)


def paint_field(
    settings: ScreenSettings, cells: Cells, rng: np.random.Generator, gain_KC: Array | None = None
) -> Array:
    """Draw the stain of given cells, (C, H, W) float32; ``gain_KC`` multiplies the channels of each cell."""
    stain_CHW = np.zeros((len(CHANNELS), settings.height * settings.width), np.float32)
    if len(cells.y_K):
        pixels = assign_pixels(cells, settings.height, settings.width)
        stain_CN = stain_cells(settings, cells, pixels, rng)
        stain_CHW[:, pixels.flat_N] = stain_CN if gain_KC is None else stain_CN * gain_KC.T[:, pixels.cell_N]
    return stain_CHW.reshape(len(CHANNELS), settings.height, settings.width)


def make_cells(
    settings: ScreenSettings,
    effect_P: NDArray[np.float64],
    state_P: NDArray[np.float64],
    density: float,
    rng: np.random.Generator,
) -> Cells:
    """Draw position, shape and phenotype of every cell of a field; parameters as in :func:`draw_field`."""
    y_K, x_K = scatter(settings, density, rng)
    return form_cells(settings, y_K, x_K, effect_P, state_P, rng)


def form_cells(
    settings: ScreenSettings,
    y_K: Array,
    x_K: Array,
    effect: NDArray[np.float64],
    state_P: NDArray[np.float64],
    rng: np.random.Generator,
) -> Cells:
    """Draw shape and phenotype of cells at given places.

    Parameters
    ----------
    settings, state_P, rng
        As in :func:`draw_field`.
    y_K, x_K
        Centres, pixels.
    effect
        Phenotype of the perturbation: (P,) for all cells, or (K, P).
    """
    n = len(y_K)
    response_K1 = np.exp(settings.response_sd * rng.standard_normal((n, 1)))
    own_KP = settings.cell_sd * rng.standard_normal((n, len(PHENOTYPE)))
    phenotype_KP = _saturate(response_K1 * effect + state_P + own_KP).astype(np.float32)
    size_K = np.exp(settings.size_sd * rng.standard_normal(n))
    cycle_K = rng.uniform(0.93, 1.1, n)  # the nucleus grows through the cell cycle
    return Cells(
        y_K=y_K,
        x_K=x_K,
        angle_K=rng.uniform(0, np.pi, n).astype(np.float32),
        radius_K=(settings.cell_radius * size_K).astype(np.float32),
        nucleus_K=(settings.nucleus_radius * size_K**0.5 * cycle_K).astype(np.float32),
        nucleus_aspect_K=np.exp(np.abs(0.15 * rng.standard_normal(n))).astype(np.float32),
        outline_KA=_outlines(phenotype_KP, rng),
        phenotype_KP=phenotype_KP,
    )


def assign_pixels(cells: Cells, height: int, width: int) -> Pixels:
    """Give every pixel to the cell that it lies deepest in; touching cells part half-way.

    The depth is the distance to the centre relative to the outline in that direction, so that two cells which
    press on each other share a straight border, as in a confluent layer.
    """
    half = int(np.ceil(np.max(cells.radius_K) * np.max(cells.outline_KA))) + 2
    shape = (height + 4 * half, width + 4 * half)
    best, second = np.full(shape, 9.0, np.float32), np.full(shape, 9.0, np.float32)
    owner = np.full(shape, -1, np.int64)
    top_K = np.round(cells.y_K).astype(int) + half
    left_K = np.round(cells.x_K).astype(int) + half
    depth_KWW = _depths(cells, half)
    for k, depth in enumerate(depth_KWW):
        window = (slice(top_K[k], top_K[k] + 2 * half + 1), slice(left_K[k], left_K[k] + 2 * half + 1))
        closer = depth < best[window]
        second[window] = np.where(closer, best[window], np.minimum(second[window], depth))
        best[window] = np.where(closer, depth, best[window])
        owner[window][closer] = k
    inner = (slice(2 * half, 2 * half + height), slice(2 * half, 2 * half + width))
    return _pixels(cells, best[inner], second[inner], owner[inner])


def _pixels(cells: Cells, best: Array, second: Array, owner: NDArray[np.int64]) -> Pixels:
    flat_N = np.flatnonzero(best < 1)
    cell_N, depth_N = owner.ravel()[flat_N], best.ravel()[flat_N]
    row_N, column_N = np.divmod(flat_N, best.shape[1])
    dy_N = row_N.astype(np.float32) - cells.y_K[cell_N]
    dx_N = column_N.astype(np.float32) - cells.x_K[cell_N]
    cos_N, sin_N = np.cos(cells.angle_K)[cell_N], np.sin(cells.angle_K)[cell_N]
    u_N, v_N = cos_N * dx_N + sin_N * dy_N, cos_N * dy_N - sin_N * dx_N
    stretch_N = np.sqrt(cells.nucleus_aspect_K)[cell_N]
    nuclear_N = np.hypot(u_N / stretch_N, v_N * stretch_N) / cells.nucleus_K[cell_N]
    gap_N = np.minimum(1 - depth_N, (second.ravel()[flat_N] - depth_N) / 2)
    rim_N = gap_N * cells.radius_K[cell_N]
    outside_N = np.maximum(nuclear_N - 1, 0) * cells.nucleus_K[cell_N]
    cytoplasm_N = outside_N / (outside_N + rim_N + 1)
    return Pixels(flat_N, cell_N, u_N, v_N, depth_N, nuclear_N, rim_N, cytoplasm_N)


def _depths(cells: Cells, half: int) -> Array:
    """Return the distance to each cell's centre relative to its outline on a window around it, (K, 2 half + 1, ...)."""
    offset = np.arange(-half, half + 1, dtype=np.float32)
    dy = offset[None, :, None] - (cells.y_K - np.round(cells.y_K))[:, None, None]
    dx = offset[None, None, :] - (cells.x_K - np.round(cells.x_K))[:, None, None]
    turn = (np.arctan2(dy, dx) - cells.angle_K[:, None, None]) * np.float32(_ANGLES / (2 * np.pi))
    angle = turn.astype(np.int32) % _ANGLES
    reach = cells.outline_KA[np.arange(len(angle))[:, None, None], angle] * cells.radius_K[:, None, None]
    return np.hypot(dy, dx) / reach


def _outlines(phenotype_KP: Array, rng: np.random.Generator) -> Array:
    """Return outlines relative to the radius; the area of the cell does not depend on its phenotype."""
    n = len(phenotype_KP)
    angle_A = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    aspect_K1 = np.exp(0.34 + 0.2 * phenotype_KP[:, PHENOTYPE.index("cell_elongation"), None])
    ellipse_KA = 1 / np.sqrt(np.cos(angle_A) ** 2 / aspect_K1 + np.sin(angle_A) ** 2 * aspect_K1)
    wave_KA = np.zeros((n, _ANGLES))
    ruffle_KA = np.zeros((n, _ANGLES))
    for order in (*_HARMONICS, *_RUFFLES):
        phase_K1, size_K1 = rng.uniform(0, 2 * np.pi, (n, 1)), rng.standard_normal((n, 1))
        target = ruffle_KA if order in _RUFFLES else wave_KA
        target += size_K1 * np.cos(order * angle_A + phase_K1)
    ruffle_K1 = 0.018 * 2 ** (0.8 * phenotype_KP[:, PHENOTYPE.index("membrane_ruffles"), None])
    outline_KA = ellipse_KA * np.clip(1 + 0.06 * wave_KA + ruffle_K1 * ruffle_KA, 0.5, 1.6)
    return (outline_KA / np.sqrt((outline_KA**2).mean(1, keepdims=True))).astype(np.float32)


def scatter(settings: ScreenSettings, density: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the centres of the cells of a field, (K,) each in pixels.

    They are placed one after the other, each at the first of some proposals that keeps its distance.
    """
    high, wide = settings.height + 2 * _BORDER, settings.width + 2 * _BORDER
    share = high * wide / (160 + 2 * _BORDER) ** 2  # cells_per_field is meant for 160 x 160 pixels
    wanted = int(rng.poisson(settings.cells_per_field * 1.2 * density * share))
    apart = 1.45 * settings.cell_radius
    spots = np.empty((0, 2))
    for _ in range(wanted):
        proposal = rng.uniform(-_BORDER, (settings.height + _BORDER, settings.width + _BORDER), (20, 2))
        distance = np.sqrt(((proposal[:, None] - spots[None]) ** 2).sum(2)).min(1, initial=np.inf)
        spots = np.vstack([spots, proposal[int(np.argmax(distance > apart))]]) if (distance > apart).any() else spots
    return spots[:, 0].astype(np.float32), spots[:, 1].astype(np.float32)


def _saturate(phenotype_KP: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bound the parameters: no organelle shrinks or grows without end."""
    return 3.0 * np.tanh(phenotype_KP / 3.0)
