"""Stain of every organelle as a texture in cell coordinates; the phenotype sets its form, never its amount."""

# Shape legend: K cells, N pixels inside cells, C channels, S spots (nucleoli), T tile side

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platemae.synthetic.settings import CHANNELS, ScreenSettings

if TYPE_CHECKING:
    from platemae.synthetic.cells import Cells, Pixels

Array = NDArray[np.floating[Any]]

_TILE = 1024  # a power of two: positions wrap by a bit mask
_TILE_WAVE = 32.0  # wavelength of the texture in tile pixels: fine enough to be read without interpolation
_NUCLEOLI = 7


class Painter:
    """The textures of one field, each read from a common noise tile at a place of its own in every cell.

    Parameters
    ----------
    settings, cells, pixels
        The screen, the cells of the field and their pixels.
    rng
        Generator of the field.
    """

    def __init__(self, settings: ScreenSettings, cells: Cells, pixels: Pixels, rng: np.random.Generator) -> None:
        self.settings, self.cells, self.pixels, self.rng = settings, cells, pixels, rng
        self.count = len(cells.y_K)
        self.size_K = np.maximum(np.bincount(pixels.cell_N, minlength=self.count), 1)
        self.nucleus_N = np.clip((1.08 - pixels.nuclear_N) / 0.16, 0, 1).astype(np.float32)
        self.thick_N = np.sqrt(np.clip(1 - 0.8 * pixels.depth_N**2, 0.05, 1)).astype(np.float32)

    def trait(self, name: str) -> Array:
        """Return a phenotype parameter for every pixel, (N,)."""
        return self.cells.trait(name)[self.pixels.cell_N]

    def noise(self, wave: float | Array, stretch: float | Array = 1.0, turn_K: Array | None = None) -> Array:
        """Read band-passed noise of unit variance, (N,).

        Parameters
        ----------
        wave
            Wavelength across the axis, pixels; a number or a value a pixel.
        stretch
            How much longer the texture is along the axis.
        turn_K
            Angle between the cell's axis and that of the texture, radians; along the cell's axis by default.
        """
        pixels = self.pixels
        u_N, v_N = pixels.u_N, pixels.v_N
        if turn_K is not None:
            cos_N, sin_N = np.cos(turn_K)[pixels.cell_N], np.sin(turn_K)[pixels.cell_N]
            u_N, v_N = cos_N * u_N + sin_N * v_N, cos_N * v_N - sin_N * u_N
        return self._read(u_N * (_TILE_WAVE / (wave * stretch)), v_N * (_TILE_WAVE / wave))

    def filaments(self, wave: float, stretch: Array, bend: float) -> Array:
        """Read noise stretched along the cell's axis and bent by ``bend`` pixels, (N,)."""
        pixels = self.pixels
        v_N = pixels.v_N + bend * self.noise(22.0)
        u_N = pixels.u_N + bend * self.noise(22.0)
        return self._read(u_N * (_TILE_WAVE / (wave * stretch)), v_N * (_TILE_WAVE / wave))

    def even(self, pattern_N: Array, weight_N: Array | None = None) -> Array:
        """Scale a pattern to mean 1 over every cell, or over the part that ``weight_N`` covers, (N,)."""
        total_K = np.bincount(self.pixels.cell_N, pattern_N, self.count)
        area_K = self.size_K if weight_N is None else np.bincount(self.pixels.cell_N, weight_N, self.count)
        gain_K = np.where(total_K > 1e-6, area_K / np.maximum(total_K, 1e-6), 0).astype(np.float32)
        return pattern_N * gain_K[self.pixels.cell_N]

    def _read(self, u_N: Array, v_N: Array) -> Array:
        # whole tiles are added first, so that the cast to integers always rounds down
        start_K2 = (self.rng.integers(0, _TILE, (self.count, 2)) + 2 * _TILE).astype(np.float32)
        start_N2 = start_K2[self.pixels.cell_N]
        row_N = (v_N + start_N2[:, 0]).astype(np.int32) & (_TILE - 1)
        column_N = (u_N + start_N2[:, 1]).astype(np.int32) & (_TILE - 1)
        return noise_tile(self.settings.seed).ravel()[row_N * _TILE + column_N]


def stain_cells(settings: ScreenSettings, cells: Cells, pixels: Pixels, rng: np.random.Generator) -> Array:
    """Return the stain of every channel at the pixels inside cells, (C, N) float32.

    Each pattern is scaled to mean 1 over its cell and then multiplied by the cell's own staining, so that the
    phenotype moves stain about and neither adds nor takes any.
    """
    paint = Painter(settings, cells, pixels, rng)
    nucleoli_N = _nucleoli(paint)
    patterns = [_dna(paint, nucleoli_N), _er(paint), _rna(paint, nucleoli_N), _actin(paint), _mito(paint)]
    patterns.append(_membrane(paint))
    shared_K1 = 0.6 * rng.standard_normal((len(cells.y_K), 1))
    single_KC = 0.8 * rng.standard_normal((len(cells.y_K), len(CHANNELS)))
    level_KC = np.exp(settings.stain_sd * (shared_K1 + single_KC)).astype(np.float32)
    return np.stack(patterns) * level_KC.T[:, pixels.cell_N]


@lru_cache(maxsize=2)
def noise_tile(seed: int) -> Array:
    """Return periodic Gaussian noise of unit variance around one wavelength, (T, T) float32."""
    rng = ScreenSettings(seed=seed).rng("noise tile")
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None])
    band = np.exp(-0.5 * ((frequency * _TILE_WAVE - 1) / 0.35) ** 2)
    tile = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((_TILE, _TILE))) * band, s=(_TILE, _TILE))
    return (tile / tile.std()).astype(np.float32)


def _nucleoli(paint: Painter) -> Array:
    """Return round bodies in the nucleus, peak about 1; their number and size are phenotype."""
    cells, pixels, rng = paint.cells, paint.pixels, paint.rng
    expected_K = 2.4 * 2 ** (0.5 * cells.trait("nucleoli_number"))
    number_K = np.clip(np.floor(expected_K + rng.random(paint.count)), 1, _NUCLEOLI)
    place_KS = cells.nucleus_K[:, None] * 0.68 * np.sqrt(rng.random((paint.count, _NUCLEOLI)))
    angle_KS = rng.uniform(0, 2 * np.pi, (paint.count, _NUCLEOLI))
    width_KS = 1.15 * 2 ** (0.4 * cells.trait("nucleoli_size")[:, None]) * rng.uniform(0.8, 1.2, angle_KS.shape)
    shown_KS = (np.arange(_NUCLEOLI) < number_K[:, None]).astype(np.float32)
    inside = np.flatnonzero(pixels.nuclear_N < 1.1)
    cell = pixels.cell_N[inside]
    du = pixels.u_N[inside, None] - (place_KS * np.cos(angle_KS)).astype(np.float32)[cell]
    dv = pixels.v_N[inside, None] - (place_KS * np.sin(angle_KS)).astype(np.float32)[cell]
    bodies = shown_KS[cell] * np.exp(-(((du**2 + dv**2) / (2 * width_KS[cell].astype(np.float32) ** 2)) ** 2))
    stain_N = np.zeros(len(pixels.cell_N), np.float32)
    stain_N[inside] = bodies.max(1)
    return stain_N


def _dna(paint: Painter, nucleoli_N: Array) -> Array:
    grain_N = 0.16 * 2 ** (0.8 * paint.trait("chromatin_grain")) * paint.noise(4.2)
    inside_N = paint.nucleus_N * np.clip(1 + grain_N, 0.15, 4) * (1 - 0.5 * nucleoli_N)
    content_K = np.exp(paint.rng.uniform(0, np.log(2), paint.count)).astype(np.float32) / 1.44  # G1 to G2
    return paint.even(inside_N, paint.nucleus_N) * content_K[paint.pixels.cell_N] + 0.01


def _er(paint: Painter) -> Array:
    # lines where smooth noise crosses zero make a mesh: its width follows the wavelength, the tubules stay as thin
    wave_N = 9.0 * 2 ** (0.4 * paint.trait("er_mesh"))
    mesh_N = np.exp(-((paint.noise(wave_N) * wave_N / 4.2) ** 2))
    fall_N = np.exp(-(1.3 + 0.9 * paint.trait("er_perinuclear")) * paint.pixels.cytoplasm_N)
    return paint.even((0.3 + mesh_N) * fall_N * paint.thick_N * (1 - 0.8 * paint.nucleus_N))


def _rna(paint: Painter, nucleoli_N: Array) -> Array:
    cytoplasm_N = (1 + 0.15 * paint.noise(5.0)) * np.exp(-0.9 * paint.pixels.cytoplasm_N) * paint.thick_N
    base_N = cytoplasm_N * (1 - 0.45 * paint.nucleus_N)
    return paint.even(base_N + 1.7 * nucleoli_N * paint.nucleus_N)


def _actin(paint: Painter) -> Array:
    cells = paint.cells
    lean_K = (0.15 * paint.rng.standard_normal(paint.count)).astype(np.float32)
    cross_K = lean_K + (paint.rng.choice([-1, 1], paint.count) * paint.rng.uniform(0.7, 1.2, paint.count))
    stretch_N = 4.5 * 2 ** (0.7 * paint.trait("actin_coherence"))
    main_N = np.exp(1.3 * paint.noise(4.6, stretch_N, lean_K))
    other_N = np.exp(1.3 * paint.noise(4.6, stretch_N, cross_K.astype(np.float32)))
    single_K = 1 / (1 + np.exp(-0.8 - 1.3 * cells.trait("actin_coherence")))
    single_N = single_K.astype(np.float32)[paint.pixels.cell_N]
    fibres_N = paint.even(single_N * main_N + (1 - single_N) * other_N)
    cortex_N = paint.even(np.exp(-((paint.pixels.rim_N / 1.7) ** 2)) + 0.02)
    share_N = 0.15 + 0.7 / (1 + np.exp(-0.4 - 1.0 * paint.trait("actin_fibres")))
    return paint.even(share_N * fibres_N + (1 - share_N) * cortex_N + 0.15)


def _mito(paint: Painter) -> Array:
    length_N = np.clip(2.0 * 2 ** (0.8 * paint.trait("mito_length")), 0.9, 9)
    bodies_N = 1 / (1 + np.exp(-(paint.filaments(5.2, length_N, 2.5) - 0.75) / 0.22))
    fall_N = np.exp(-(0.9 + 1.1 * paint.trait("mito_perinuclear")) * paint.pixels.cytoplasm_N)
    return paint.even((0.06 + bodies_N) * fall_N * (1 - 0.92 * paint.nucleus_N) * (0.3 + 0.7 * paint.thick_N))


def _membrane(paint: Painter) -> Array:
    cells, pixels = paint.cells, paint.pixels
    side_K = paint.rng.uniform(0, 2 * np.pi, paint.count)
    away_K = cells.nucleus_K + 1.5
    du_N = pixels.u_N - (away_K * np.cos(side_K)).astype(np.float32)[pixels.cell_N]
    dv_N = pixels.v_N - (away_K * np.sin(side_K)).astype(np.float32)[pixels.cell_N]
    width_N = 3.0 * 2 ** (0.55 * paint.trait("golgi_dispersal"))
    stacks_N = np.exp(1.1 * np.clip(paint.noise(4.4), -2, 2)) * (1 - 0.7 * paint.nucleus_N)
    golgi_N = paint.even(np.exp(-(du_N**2 + dv_N**2) / (2 * width_N**2)) * stacks_N + 1e-3)
    folds_N = np.exp(-pixels.rim_N / 3.0) * np.clip(paint.noise(4.8), 0, None)
    edge_N = np.exp(-((pixels.rim_N / 1.2) ** 2)) + 0.55 * 2 ** (0.9 * paint.trait("membrane_ruffles")) * folds_N
    envelope_N = np.exp(-(((pixels.nuclear_N - 1) / 0.17) ** 2))
    return paint.even(0.2 * golgi_N + 0.45 * paint.even(edge_N + 0.02) + 0.12 * envelope_N + 0.25 * paint.thick_N)
