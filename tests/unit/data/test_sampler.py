"""Crops depend on seed, step and index in the global batch alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platemae.data.sampler import Sampler, fixed_specs
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


def test_indivisible_batch_is_refused():
    with pytest.raises(TrainingError, match="12 crops cannot be divided among 5"):
        sampler().specs(0, 0, 5)


def test_validation_crops_spread_over_fields():
    heights, widths = (30,) * 10, (40,) * 10
    few, many = fixed_specs(heights, widths, 8, 5, 0), fixed_specs(heights, widths, 8, 25, 0)
    assert [spec.field for spec in few] == [0, 2, 4, 6, 8]
    assert np.bincount([spec.field for spec in many]).tolist() == [3] * 5 + [2] * 5
    assert few == fixed_specs(heights, widths, 8, 5, 0)


GROUPS = (tuple(range(12)), (12, 13), (14,))


def grouped(per_field=1, batch=12, groups=GROUPS) -> Sampler:
    return Sampler((50,) * 15, (50,) * 15, 16, batch, 3, True, groups, per_field)


@pytest.mark.parametrize("per_field", [1, 4, 5])
def test_groups_are_drawn_equally_often_and_fields_evenly_within_them(per_field):
    """Field f of group g is 1 / (G |g|) of all crops: exactly, over the 36 draws in which every pass is whole."""
    draws = 36 * per_field * 12
    fields = [spec.field for step in range(draws // 12) for spec in grouped(per_field).specs(step)]
    counts = np.bincount(fields, minlength=15) / draws
    expected = [1 / (3 * len(group)) for group in GROUPS for _ in group]
    np.testing.assert_allclose(counts, expected, rtol=1e-12)
    assert set(fields[: 3 * per_field]) & set(GROUPS[0]), "a pass over the groups shows each"


def test_groups_leave_what_depends_on_rank_and_step():
    one = grouped(per_field=3).specs(7)
    assert [spec for rank in range(3) for spec in grouped(per_field=3).specs(7, rank, 3)] == one
    walked = grouped(per_field=3)
    for step in range(7):
        walked.specs(step)
    assert walked.specs(7) == one


@pytest.mark.parametrize("per_field", [1, 3, 4])
def test_several_crops_of_a_field_stand_together_at_other_places(per_field):
    """Two crops of a batch share their field with chance (K - 1) / (B - 1), where a pass holds the whole batch."""
    it = Sampler((50,) * 40, (50,) * 40, 16, 24, 3, flip=True, per_field=per_field)
    same = []
    for step in range(10):  # 24 crops are 24 / K of 40 fields; steps that two passes share may see a field twice
        specs = it.specs(step)
        fields = np.array([spec.field for spec in specs])
        runs = fields.reshape(-1, per_field)
        assert (runs == runs[:, :1]).all()
        assert len(set(specs)) == 24, "crops of one field lie at other places"
        if step * 24 // per_field // 40 == ((step + 1) * 24 - 1) // per_field // 40:
            same.append(((fields[:, None] == fields).sum() - 24) / (24 * 23))
    assert len(same) >= 4
    np.testing.assert_allclose(same, (per_field - 1) / 23)


def test_uniform_sampling_is_what_it_was():
    """The order of a pass is a permutation by (seed, 2, pass): a training that was begun before goes on alike."""
    fields = [spec.field for spec in sampler(n=7, batch=14).specs(0)]
    expected = [np.random.default_rng((3, 2, epoch)).permutation(7).tolist() for epoch in (0, 1)]
    assert fields == expected[0] + expected[1]
