"""Crops depend on seed, step and index in the global batch alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platemae.data.sampler import CropSpec, Sampler, fixed_specs, turn
from platemae.errors import TrainingError


def sampler(n=7, batch=12, seed=3, flip=True, size=50, crop=16) -> Sampler:
    return Sampler((size,) * n, (size + 9,) * n, crop, batch, seed, flip)


@pytest.mark.parametrize("world", [2, 3, 4, 6, 12])
def test_processes_share_the_batch_of_one(world):
    one = sampler().specs(5)
    assert [spec for rank in range(world) for spec in sampler().specs(5, rank, world)] == one


def test_a_step_does_not_depend_on_those_before():
    fresh = sampler()
    walked = sampler()
    for step in range(9):
        walked.specs(step)
    assert walked.specs(9) == fresh.specs(9)


@given(st.integers(1, 20), st.integers(1, 16), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_every_field_once_a_pass(n, batch, seed):
    it = sampler(n, batch, seed)
    fields = [spec.field for step in range(3 * n) for spec in it.specs(step)]
    for start in range(0, len(fields) - n + 1, n):
        assert sorted(fields[start : start + n]) == list(range(n))


def test_passes_differ_in_order_and_seeds_differ():
    it = sampler(n=12, batch=12)
    orders = {tuple(spec.field for spec in it.specs(step)) for step in range(5)}
    assert len(orders) == 5
    assert sampler(seed=4).specs(0) != sampler(seed=5).specs(0)


def test_positions_are_uniform_and_inside():
    it = sampler(n=3, batch=512, size=20, crop=16)
    specs = [spec for step in range(40) for spec in it.specs(step)]
    rows = np.bincount([spec.y for spec in specs], minlength=5)
    assert len(rows) == 5
    expected = len(specs) / 5
    assert ((rows - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees, p = 0.001
    assert max(spec.x for spec in specs) == 13
    assert {(spec.turns, spec.mirror) for spec in specs} == {(t, m) for t in range(4) for m in (False, True)}


def test_no_turns_unless_asked():
    assert {(spec.turns, spec.mirror) for spec in sampler(flip=False).specs(0)} == {(0, False)}


def test_the_eight_turns_are_all_symmetries_of_the_square():
    crop = np.arange(2 * 9).reshape(2, 3, 3)
    seen = {turn(crop, CropSpec(0, 0, 0, t, m)).tobytes() for t in range(4) for m in (False, True)}
    assert len(seen) == 8
    assert np.array_equal(turn(crop, CropSpec(0, 0, 0, 1))[1], np.rot90(crop[1]))


def test_indivisible_batch_is_refused():
    with pytest.raises(TrainingError, match="12 crops cannot be divided among 5"):
        sampler().specs(0, 0, 5)


def test_validation_crops_spread_over_fields():
    heights, widths = (30,) * 10, (40,) * 10
    few, many = fixed_specs(heights, widths, 8, 5, 0), fixed_specs(heights, widths, 8, 25, 0)
    assert [spec.field for spec in few] == [0, 2, 4, 6, 8]
    assert np.bincount([spec.field for spec in many]).tolist() == [3] * 5 + [2] * 5
    assert few == fixed_specs(heights, widths, 8, 5, 0)
