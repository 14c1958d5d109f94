"""The rule for batches, and batches that no memory is found for."""

import numpy as np
import pytest
import torch

from platemae.embedding.batch_size import batch_size, largest_power
from platemae.embedding.infer import sum_fields, tiles_of

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("asked", "channels", "size", "expected"),
    [(7, 6, 256, 7), (None, 6, 256, 42), (None, 2, 32, 128), (None, 11, 2048, 1)],
)
def test_on_a_cpu_the_pixels_of_a_batch_decide(asked, channels, size, expected):
    assert batch_size(asked, None, channels, size, ("mean",), CPU) == expected


@pytest.mark.parametrize(("fitting", "expected"), [(0, 1), (1, 1), (5, 4), (1023, 512), (1024, 1024), (9999, 1024)])
def test_powers_of_two(fitting, expected):
    assert largest_power(fitting, 1024) == expected


class Small:
    """A model on a device with memory for three crops."""

    calls: list[int]

    def __init__(self) -> None:
        self.calls = []

    def embed_each(self, x_BCHW, poolings):
        if len(x_BCHW) > 3:
            raise torch.OutOfMemoryError("no memory")
        self.calls.append(len(x_BCHW))
        return {name: x_BCHW.mean((2, 3)) for name in poolings}

    def eval(self):
        return self


def test_a_batch_without_memory_goes_in_halves():
    fields = np.random.default_rng(0).uniform(0, 255, (3, 2, 16, 16)).astype(np.float32)
    model = Small()
    sums = sum_fields(model, tiles_of(fields.__getitem__, 4, "drop"), 3, size=4, poolings=("a", "b"), batch=9)
    for name in ("a", "b"):
        np.testing.assert_allclose(sums[name].field_means(), fields.mean((2, 3)), rtol=1e-5)
    assert max(model.calls) <= 3
    assert sum(model.calls) == 48
