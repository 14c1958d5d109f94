"""Order statistics of all cosines in one pass, against sorting."""

import numpy as np
import pytest

from platemae.benchmarks import cosine, exact_ranks


@pytest.mark.parametrize("make", ["plain", "ties", "hubs"])
def test_one_pass_in_single_precision_gives_the_exact_order_statistics(
    make: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorted in float64, at both ends, in the middle, and where thousands of pairs tie."""
    monkeypatch.setattr(exact_ranks, "_SAMPLE", 20)
    monkeypatch.setattr(exact_ranks, "_ROWS", 32)
    monkeypatch.setattr(exact_ranks, "_COLUMNS", 50)
    rng = np.random.default_rng(6)
    x = rng.standard_normal((230, 12))
    if make == "ties":
        x = rng.integers(-1, 2, (230, 4)) + 0.0
        x[~x.any(axis=1)] = 1
    if make == "hubs":
        x[:30] = x[0] + 1e-9 * rng.standard_normal((30, 12))
    u, _ = cosine.unit_rows(x)
    expected = np.sort(np.rint((u @ u.T)[np.triu_indices(230, 1)] * cosine.GRID))
    ranks = np.array([0, 1, 700, len(expected) // 2, len(expected) - 900, len(expected) - 1])
    np.testing.assert_array_equal(exact_ranks.exact_order_statistics(u, ranks), expected[ranks])
