import numpy as np
import pytest

from platemae.report.umap import thinned, umap


def test_thinning_keeps_order_and_count_and_repeats() -> None:
    assert thinned(5, 10, 0).tolist() == [0, 1, 2, 3, 4]
    kept = thinned(1000, 100, 7)
    assert len(set(kept.tolist())) == 100
    assert (np.diff(kept) > 0).all()
    assert np.array_equal(kept, thinned(1000, 100, 7))
    assert not np.array_equal(kept, thinned(1000, 100, 8))


@pytest.mark.slow
def test_wells_of_a_group_lie_together_and_the_seed_fixes_the_picture() -> None:
    rng = np.random.default_rng(0)
    group_N = np.repeat([0, 1, 2], 40)
    x_ND = (rng.normal(size=(120, 80)) + 6 * np.eye(3, 80)[group_N]).astype(np.float32)
    first = umap(x_ND, neighbors=10, seed=1)
    distances = np.linalg.norm(first[:, None] - first[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (group_N[distances.argmin(axis=1)] == group_N).mean() == 1
    assert np.array_equal(first, umap(x_ND, neighbors=10, seed=1))
    assert not np.array_equal(first, umap(x_ND, neighbors=10, seed=2))
