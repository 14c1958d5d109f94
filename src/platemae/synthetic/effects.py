"""What staining, plate, optics and camera do to the ideal stain: nuisances that a correction should remove."""

# Shape legend: C channels, H W field

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from platemae.synthetic.settings import CHANNELS, ScreenSettings

Array = NDArray[np.float32]


@dataclass(frozen=True)
class PlateEffect:
    """Staining, illumination, background and optics of one plate.

    ``gain_C`` multiplies the stain, ``light_CHW`` is the illumination (1 at its brightest), ``background_C`` is in
    counts and ``blur_C`` is the standard deviation of the optics in pixels.
    """

    gain_C: NDArray[np.float64]
    background_C: NDArray[np.float64]
    blur_C: NDArray[np.float64]
    light_CHW: Array


@dataclass(frozen=True)
class WellEffect:
    """Stain gain a channel, factor for the number of cells and additional blur (pixels) of one well."""

    gain_C: NDArray[np.float64]
    density: float
    blur: float


@lru_cache(maxsize=16)
def plate_effect(settings: ScreenSettings, plate: int) -> PlateEffect:
    """Draw the effect of a plate (index from 0); its batch shares a part of the gain."""
    names = list(dict.fromkeys(settings.batches))
    batch = settings.rng("batch stain", names.index(settings.batches[plate]))
    rng = settings.rng("plate stain", plate)
    n = len(CHANNELS)
    gain_C = settings.gain_batch_sd * batch.standard_normal(n) + settings.gain_plate_sd * rng.standard_normal(n)
    wavelength_C = rng.normal(1.0, 0.04, n)  # chromatic: channels focus a little apart
    blur_C = settings.blur * np.exp(settings.blur_plate_sd * rng.standard_normal()) * wavelength_C
    light_CHW = np.stack([_illumination(settings, rng) for _ in range(n)])
    return PlateEffect(np.exp(gain_C), rng.uniform(*settings.background_range, n), blur_C, light_CHW)


def well_effect(settings: ScreenSettings, plate: int, row: int, column: int) -> WellEffect:
    """Draw the effect of a well; ``row`` and ``column`` count from 1 and tell the border of the plate."""
    rng = settings.rng("well stain", plate, row, column)
    edge = row in (1, settings.rows) or column in (1, settings.columns)
    gain_C = np.exp(settings.gain_well_sd * rng.standard_normal(len(CHANNELS)))
    density = float(np.exp(settings.density_sd * rng.standard_normal()))
    blur = float(settings.blur_well_sd * abs(rng.standard_normal()))
    if edge:
        gain_C, density = gain_C * settings.edge_brightness, density * settings.edge_density
    return WellEffect(gain_C, density, blur)


def brightness_of(settings: ScreenSettings, effect_P: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor (C,) by which a phenotype changes the brightness of each channel: a few percent."""
    shape = (effect_P.size, len(CHANNELS))
    mixing_PC = settings.rng("brightness").standard_normal(shape)
    return np.exp(settings.brightness_leak * effect_P @ mixing_PC / settings.effect_size)


def expose(
    settings: ScreenSettings,
    stain_CHW: Array,
    plate: PlateEffect,
    well: WellEffect,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Turn ideal stain into camera counts.

    Counts are ``background + blur(stain * signal * gains) * illumination`` with photon noise (Poisson in
    electrons), read noise (Gaussian) and the limits of 16 bits. A small share of fields is out of focus.

    Returns
    -------
    numpy.ndarray
        (C, H, W) uint16.
    """
    lost = float(rng.uniform(*settings.defocus_range)) if rng.random() < settings.defocus_share else 0.0
    gain_C = np.asarray(settings.signal) * plate.gain_C * well.gain_C
    counts_CHW = np.empty(stain_CHW.shape, np.uint16)
    for c, image in enumerate(stain_CHW):
        sigma = float(np.sqrt(plate.blur_C[c] ** 2 + well.blur**2 + lost**2))
        light = gaussian_filter(image * np.float32(gain_C[c]), sigma, mode="nearest", truncate=3.0)
        light = light * plate.light_CHW[c] + np.float32(plate.background_C[c])
        electrons = rng.poisson(light * np.float32(settings.electrons_per_count))
        noisy = electrons + settings.read_noise * rng.standard_normal(light.shape, np.float32)
        counts_CHW[c] = np.clip(np.rint(noisy / settings.electrons_per_count), 0, 65535)
    return counts_CHW


def _illumination(settings: ScreenSettings, rng: np.random.Generator) -> Array:
    """Return a smooth field of light whose centre lies off the middle, (H, W), maximum 1."""
    loss = rng.uniform(*settings.vignetting_range)
    y0, x0 = rng.normal(0.0, 0.2, 2)
    y = np.linspace(-1, 1, settings.height)[:, None] - y0
    x = np.linspace(-1, 1, settings.width)[None] - x0
    light = 1 - loss * (y**2 + x**2) / 2
    return (light / light.max()).astype(np.float32)
