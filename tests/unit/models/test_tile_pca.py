"""The tile PCA against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from platemae.errors import ConfigError, ContractError, TrainingError
from platemae.models.tile_pca import TilePCA


def crops(n=40, channels=2, size=16, seed=0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    smooth = rng.normal(size=(n, channels, size, size)).cumsum(2).cumsum(3)
    scaled = (smooth - smooth.min()) / np.ptp(smooth) * 255
    return torch.from_numpy(scaled).float()


def fitted(x: torch.Tensor, components=5) -> TilePCA:
    module = TilePCA.from_dict({"crop_px": 16, "tile_px": 8, "components": components}, 2)
    assert module.fit(x.split(7)) == len(x) * 4
    return module


def slow_tiles(x: torch.Tensor) -> np.ndarray:
    z = x.double().numpy() / 255
    z = (z - z.mean((2, 3), keepdims=True)) / np.sqrt(z.var((2, 3), keepdims=True) + 1e-5)
    return np.stack([[c[:, i : i + 8, j : j + 8].ravel() for i in (0, 8) for j in (0, 8)] for c in z])


def test_components_equal_scikit_learn():
    x = crops()
    module, tiles = fitted(x), slow_tiles(x)
    peer = PCA(5, svd_solver="full").fit(tiles.reshape(-1, 128))
    cosines = np.abs((peer.components_ * module.components.T.numpy()).sum(1))
    np.testing.assert_allclose(cosines, 1, atol=1e-4)
    n = len(tiles) * 4
    np.testing.assert_allclose(module.variance.numpy(), peer.explained_variance_ * (n - 1) / n, rtol=1e-4)
    np.testing.assert_allclose(float(module.variance_share), peer.explained_variance_ratio_.sum(), rtol=1e-4)


def test_embedding_is_the_moments_of_the_scores():
    x = crops()
    module = fitted(x)
    scores = (slow_tiles(x) - module.tile_mean.numpy()) @ module.components.numpy().astype(float)
    expected = np.concatenate([scores.mean(1), (scores**2).mean(1)], axis=1)
    np.testing.assert_allclose(module.embed(x).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_batches_do_not_matter_and_brightness_does_not():
    x = crops()
    one, many = TilePCA.from_dict({"crop_px": 16, "tile_px": 8, "components": 3}, 2), fitted(x, 3)
    one.fit([x])
    torch.testing.assert_close(one.components, many.components, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.embed(x * 0.5 + 20), one.embed(x), atol=2e-2, rtol=2e-2)


def test_all_components_reconstruct_exactly():
    x = crops(60)
    module = fitted(x, components=128)
    crops_, again = module.reconstruct(x)
    torch.testing.assert_close(again, crops_, atol=1e-3, rtol=1e-3)
    np.testing.assert_allclose(crops_[3, 1, 8:, :8].numpy().ravel(), slow_tiles(x)[3, 2, 64:], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"tile_px": 24}, "does not divide"),
        ({"tiles": 3}, "unknown keys 'tiles'"),
        ({"components": 0}, "components must be whole"),
        ({"crop_px": 16, "tile_px": 4, "components": 33}, "33 components asked of tiles with 32"),
    ],
)
def test_wrong_architectures_are_named(architecture, message):
    with pytest.raises(ConfigError, match=message):
        TilePCA.from_dict(architecture, 2)


def test_wrong_input_is_named():
    module = fitted(crops())
    with pytest.raises(ContractError, match="needs"):
        module.embed(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ConfigError, match="cls"):
        module.embed(crops(1), "cls")
    bad = crops(3)
    bad[0, 0, 0, 0] = torch.nan
    with pytest.raises(TrainingError, match="no components"):
        module.fit([bad])
