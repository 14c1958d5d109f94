"""Loss spikes and gradient norms of a training's history."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platemae.making.stability import count_spikes, stability

NOISE = np.random.default_rng(0).normal(1.0, 0.01, 60).tolist()


@pytest.mark.parametrize(
    ("places", "count"), [((), 0), ((20,), 1), ((20, 21, 22), 1), ((20, 30, 59), 3), ((2,), 0)], ids=str
)
def test_spikes_are_counted_once_each(places, count):
    losses = [2.0 if place in places else loss for place, loss in enumerate(NOISE)]
    assert count_spikes(losses) == count


def test_a_falling_loss_has_no_spike():
    assert count_spikes((5 * np.exp(-np.arange(60) / 10) + NOISE).tolist()) == 0


@given(st.lists(st.floats(0.1, 10), min_size=0, max_size=80))
def test_spikes_by_hand(losses):
    """The definition, written a second time with sorted lists."""

    def middle(values):
        ordered = sorted(values)
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    high = []
    for place, loss in enumerate(losses):
        past = losses[max(0, place - 50) : place]
        if len(past) < 5:
            high.append(False)
            continue
        center = middle(past)
        high.append(loss > center + 6 * 1.4826 * middle([abs(value - center) for value in past]))
    assert count_spikes(losses) == sum(now and not before for before, now in zip([False, *high], high, strict=False))


def test_nothing_is_said_of_a_network_that_took_no_steps():
    assert stability([]) == stability([{"step": 0, "val_loss": 1.0}]) == {}
    assert stability([], 0) == {"diverged_at": 0}
