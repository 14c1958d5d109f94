"""Losses against numpy, one patch at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from platemae.errors import ConfigError
from platemae.models.losses import amplitude_distance, reconstruction_loss
from platemae.models.masking import mask_from_noise, take
from platemae.models.normalise import to_patches
from platemae.models.settings import Objective

RNG = np.random.default_rng(3)
TARGET = RNG.standard_normal((2, 3, 8, 8)).astype(np.float32)
PREDICTED = RNG.standard_normal((2, 3, 8, 8)).astype(np.float32)
MASK = mask_from_noise(torch.from_numpy(RNG.random((2, 4)).astype(np.float32)), 0.5)


def _loss(weight: float, layout: str = "patch", norm: str = "l1", predicted: np.ndarray = PREDICTED) -> list[float]:
    patches, guess = (to_patches(torch.from_numpy(x), 4) for x in (TARGET, predicted))
    objective = Objective(0.5, weight, layout, norm)
    return [float(part) for part in reconstruction_loss(take(guess, MASK.hidden_BM), patches, MASK, 4, objective)]


def _cut(image_CHW: np.ndarray, patch: int) -> np.ndarray:
    row, column = divmod(patch, 2)
    return image_CHW[:, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]


def _over_masked(measure: str) -> float:
    values = []
    for sample in range(2):
        for patch in MASK.hidden_BM[sample].tolist():
            guess, truth = _cut(PREDICTED[sample], patch), _cut(TARGET[sample], patch)
            difference = np.abs(np.fft.fft2(guess)) - np.abs(np.fft.fft2(truth))
            values.append(
                {
                    "mse": ((guess - truth) ** 2).mean(),
                    "l1": np.abs(difference).mean(),
                    "l2": (difference**2).mean(),
                }[measure]
            )
    return float(np.mean(values))


def test_mse_by_loops() -> None:
    total, mse, fourier = _loss(0.0)
    assert total == mse == pytest.approx(_over_masked("mse"), rel=1e-5)
    assert fourier == 0


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_fourier_of_patches_by_loops(norm: str) -> None:
    total, mse, fourier = _loss(0.2, norm=norm)
    assert fourier == pytest.approx(_over_masked(norm), rel=1e-5)
    assert total == pytest.approx(0.8 * mse + 0.2 * fourier, rel=1e-6)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_fourier_of_images_by_pasting(norm: str) -> None:
    pasted = TARGET.copy()
    for sample in range(2):
        for patch in MASK.hidden_BM[sample].tolist():
            row, column = divmod(patch, 2)
            window = (sample, slice(None), slice(row * 4, row * 4 + 4), slice(column * 4, column * 4 + 4))
            pasted[window] = PREDICTED[window]
    difference = np.abs(np.fft.fft2(pasted)) - np.abs(np.fft.fft2(TARGET))
    expected = np.abs(difference).mean() if norm == "l1" else (difference**2).mean()
    assert _loss(0.01, "image", norm)[2] == pytest.approx(expected, rel=1e-5)


def test_only_masked_patches_count() -> None:
    changed = PREDICTED.copy()
    for sample in range(2):
        for patch in MASK.keep_BK[sample].tolist():
            row, column = divmod(patch, 2)
            changed[sample, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] = 1e3
    assert _loss(0.1, predicted=changed) == _loss(0.1)
    assert _loss(0.1, "image", predicted=changed) == _loss(0.1, "image")


@pytest.mark.parametrize("shape", [(4, 4), (5, 5), (8, 8), (3, 7), (2, 16)])
def test_half_spectrum_equals_the_whole(shape: tuple[int, int]) -> None:
    one, other = RNG.standard_normal((2, 5, *shape))
    difference = np.abs(np.fft.fft2(one)) - np.abs(np.fft.fft2(other))
    args = torch.from_numpy(one), torch.from_numpy(other)
    assert float(amplitude_distance(*args, "l1")) == pytest.approx(np.abs(difference).mean(), rel=1e-12)
    assert float(amplitude_distance(*args, "l2")) == pytest.approx((difference**2).mean(), rel=1e-12)


def test_scale_of_unit_noise_is_the_papers() -> None:
    """PAPER.md 1.8: mean amplitude of unit-variance noise is 14.2 on 16 x 16."""
    noise = torch.randn(200, 16, 16, generator=torch.Generator().manual_seed(0))
    assert float(amplitude_distance(noise, torch.zeros_like(noise), "l1")) == pytest.approx(14.2, abs=0.1)


def test_constant_patches_have_a_finite_gradient() -> None:
    guess = torch.zeros(1, 2, 16, requires_grad=True)
    amplitude_distance(guess.view(1, 2, 4, 4), torch.ones(1, 2, 4, 4), "l1").backward()
    assert guess.grad is not None
    assert bool(torch.isfinite(guess.grad).all())


def test_loss_is_float32_under_autocast() -> None:
    patches = to_patches(torch.from_numpy(TARGET), 4)
    guess = take(to_patches(torch.from_numpy(PREDICTED), 4), MASK.hidden_BM)
    with torch.autocast("cpu", torch.bfloat16):
        total = reconstruction_loss(guess.bfloat16(), patches, MASK, 4, Objective(0.5)).total
    assert total.dtype == torch.float32


@pytest.mark.parametrize(
    "wrong", [{"fourier_weight": 1.0}, {"fourier_weight": -0.1}, {"mask_ratio": 1.0}, {"fourier_layout": "token"}]
)
def test_wrong_objectives_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Objective(**wrong)  # type: ignore[arg-type]
