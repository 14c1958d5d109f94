import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from platemae.making.gallery import RATIOS, WORST, gallery

FIELDS = [("P1", "B/02/0"), ("P1", "B/03/0"), ("P2", "C/04/1")]


class Blurred(torch.nn.Module):
    """Hides the tokens (2 x 2 pixels) of the lowest noise, and rebuilds them with an error that is the crop's mean."""

    noise_sizes = (16, 0)

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def reconstruct(self, x_BCHW: torch.Tensor, noise_BN: torch.Tensor, ratio: float) -> tuple[torch.Tensor, ...]:
        hidden_BN = noise_BN.argsort(1).argsort(1) < round(ratio * 16)
        hidden = hidden_BN.view(-1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3).expand_as(x_BCHW)
        error = x_BCHW.mean((1, 2, 3), keepdim=True)
        return x_BCHW, x_BCHW.masked_fill(hidden, torch.nan), torch.where(hidden, x_BCHW + error, x_BCHW)


@pytest.fixture
def model() -> SimpleNamespace:
    crops = np.random.default_rng(0).normal(0, 1, (40, 2, 8, 8)).astype(np.float32)
    source = SimpleNamespace(heights=(64,) * 3, widths=(64,) * 3, crop=8, fields=FIELDS)
    return SimpleNamespace(
        module=Blurred(),
        masks=True,
        settings=SimpleNamespace(seed=3, mask_ratio=0.75),
        data=SimpleNamespace(validation=source),
        validation=[crops[:32], crops[32:]],
    )


def test_the_worst_crops_are_those_of_the_largest_error_and_name_their_fields(model: SimpleNamespace) -> None:
    crops = np.concatenate(model.validation)
    error = crops.mean((1, 2, 3)) ** 2
    worst = np.argsort(-error)[:WORST]
    found = gallery(model)
    np.testing.assert_allclose(found["worst_error"], error[worst], rtol=1e-4)
    np.testing.assert_allclose(found["median_error"], np.median(error), rtol=1e-4)
    assert found["validation_crops"] == len(crops)
    np.testing.assert_allclose(found["worst"][:, 0], crops[worst], rtol=1e-3, atol=1e-3)
    named = list(zip(found["worst_plate"].tolist(), found["worst_group"].tolist(), strict=True))
    assert named == [FIELDS[place % 3] for place in worst]  # more crops than fields: field after field


def test_masks_grow_and_hold_the_smaller_ones(model: SimpleNamespace) -> None:
    found = gallery(model)
    hidden = np.isnan(found["ratio_masked"])
    assert hidden.mean((1, 2, 3, 4)).tolist() == pytest.approx([round(ratio * 16) / 16 for ratio in RATIOS])
    assert all((small <= large).all() for small, large in itertools.pairwise(hidden))
    np.testing.assert_allclose(found["ratio_masked"][0, 0][~hidden[0, 0]], found["target"][0][~hidden[0, 0]], atol=2e-3)


def test_a_network_that_masks_nothing_has_its_fixed_crops_alone(model: SimpleNamespace) -> None:
    model.masks = False
    model.module = SimpleNamespace(eval=lambda: SimpleNamespace())
    assert set(gallery(model)) == {"target", "masked", "reconstruction"}
