"""The learning rate as a function of the step: nothing to save, nothing to restore.

The one-cycle policy with cosine annealing (PAPER.md 2.1), the numbers of ``torch.optim.lr_scheduler.OneCycleLR`` with
its defaults. The momentum is not cycled: the paper gives fixed betas, and torch would silently cycle the first.
"""

from __future__ import annotations

from math import cos, pi

START_DIVISOR = 25.0
END_DIVISOR = 1e4


def one_cycle_lr(step: int, steps: int, highest: float, warmup_fraction: float) -> float:
    """Return the rate of optimiser step ``step`` (0-based) of ``steps``.

    Parameters
    ----------
    step, steps
        0 <= step < steps.
    highest
        The rate at the end of the warm-up; it starts at highest / 25 and ends at highest / 25 / 10^4.
    warmup_fraction
        Part of the steps in which the rate rises.
    """
    start = highest / START_DIVISOR
    end = start / END_DIVISOR
    peak = max(warmup_fraction * steps - 1, 0.0)
    if step < peak:
        return _cosine(start, highest, step / peak)
    return _cosine(highest, end, (step - peak) / max(steps - 1 - peak, 1.0))


def _cosine(first: float, last: float, done: float) -> float:
    return last + (first - last) / 2 * (1 + cos(pi * done))
