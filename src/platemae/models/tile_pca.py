"""The simplest learned description of texture: principal components of small tiles, in closed form.

A linear map averaged over self-standardised tiles is nearly the same for every crop, so a crop is described by the
first and second moments of its tiles' components: how strong each pattern is, and how much it varies.

Shape legend: B batch, C channels, H W pixels, N tiles, P = C * tile * tile, M components.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from platemae.errors import ConfigError, ContractError, TrainingError
from platemae.models.normalise import standardise, to_image, to_patches
from platemae.models.pooling import check_poolings


@dataclass(frozen=True)
class TilePCASpec:
    """What a tile PCA is.

    Attributes
    ----------
    crop_px
        Side of the square crop that is embedded as one, pixels; standardised as for the networks.
    tile_px
        Side of the tiles inside it.
    components
        Leading components kept; the embedding is twice as wide.
    """

    crop_px: int = 128
    tile_px: int = 32
    components: int = 64

    def __post_init__(self) -> None:
        bad = [f.name for f in fields(self) if type(getattr(self, f.name)) is not int or getattr(self, f.name) < 1]
        if bad:
            raise ConfigError(
                f"{', '.join(bad)} must be whole numbers from 1", "architecture", "Correct the named keys."
            )
        if self.crop_px % self.tile_px:
            problem = f"tile_px {self.tile_px} does not divide crop_px {self.crop_px}"
            raise ConfigError(problem, "architecture", "Choose a divisor.")


class TilePCA(nn.Module):
    """Principal components of the tiles of training crops.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels of a crop.
    """

    poolings: tuple[str, ...] = ("mean",)

    tile_mean: Tensor
    components: Tensor
    variance: Tensor
    variance_share: Tensor

    def __init__(self, spec: TilePCASpec, n_channels: int) -> None:
        super().__init__()
        length = n_channels * spec.tile_px**2
        if not 1 <= spec.components <= length:
            problem = f"{spec.components} components asked of tiles with {length} values"
            raise ConfigError(problem, "architecture: components", f"Use at most {length}.")
        self.spec, self.n_channels = spec, n_channels
        self.register_buffer("tile_mean", torch.zeros(length))
        self.register_buffer("components", torch.zeros(length, spec.components))
        self.register_buffer("variance", torch.zeros(spec.components))
        self.register_buffer("variance_share", torch.zeros(()))

    @classmethod
    def from_dict(cls, architecture: dict[str, Any], n_channels: int) -> TilePCA:
        """Make the module from the fields of ``TilePCASpec``.

        Raises
        ------
        ConfigError
            If a field is unknown or wrong.
        """
        known = [f.name for f in fields(TilePCASpec)]
        unknown = sorted(set(architecture) - set(known))
        if unknown:
            raise ConfigError(
                f"unknown keys {', '.join(map(repr, unknown))}", "architecture", f"Known keys: {', '.join(known)}."
            )
        return cls(TilePCASpec(**architecture), n_channels)

    def architecture(self) -> dict[str, Any]:
        """Return the fields of the spec, as model.json holds them."""
        return asdict(self.spec)

    def tiles(self, x_BCHW: Tensor) -> Tensor:
        """Standardise crops (0..255) and cut them in tiles, (B, N, P).

        Raises
        ------
        ContractError
            If the crops have other channels or another size than the module.
        """
        expected = (self.n_channels, self.spec.crop_px, self.spec.crop_px)
        if tuple(x_BCHW.shape[1:]) != expected:
            found = f"crops have shape {tuple(x_BCHW.shape)}, the model needs (batch, {', '.join(map(str, expected))})"
            raise ContractError(found, "model input", "Cut crops of the model's size, in its channels.")
        return to_patches(standardise(x_BCHW), self.spec.tile_px)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> int:
        """Find the components of all tiles in ``batches`` of crops, (B, C, H, W), and return the number of tiles.

        One pass, float64 sums; the eigenvectors of P x P values are then exact, whatever the batches. The sign of each
        component is set by its largest value.

        Raises
        ------
        TrainingError
            If there are fewer than two tiles, or a crop holds a value that is not finite.
        """
        length, count = len(self.tile_mean), 0
        total_P = torch.zeros(length, dtype=torch.float64, device=self.tile_mean.device)
        product_PP = torch.zeros(length, length, dtype=torch.float64, device=self.tile_mean.device)
        for x_BCHW in batches:
            tiles_NP = self.tiles(x_BCHW.to(self.tile_mean.device)).flatten(0, 1).double()
            count += len(tiles_NP)
            total_P += tiles_NP.sum(0)
            product_PP.addmm_(tiles_NP.T, tiles_NP)
        if count < 2 or not bool(torch.isfinite(total_P).all()):
            raise TrainingError(f"no components in {count} tiles", "tile_pca", "Check the training fields for NaN.")
        mean_P = total_P / count
        covariance_PP = product_PP / count - torch.outer(mean_P, mean_P)
        self._keep(mean_P, covariance_PP)
        return count

    def _keep(self, mean_P: Tensor, covariance_PP: Tensor) -> None:
        values_P, vectors_PP = torch.linalg.eigh(covariance_PP)
        leading = torch.arange(len(values_P) - 1, len(values_P) - 1 - self.spec.components, -1, device=values_P.device)
        vectors_PM = vectors_PP[:, leading]
        largest_M = vectors_PM.gather(0, vectors_PM.abs().argmax(0, keepdim=True))
        self.tile_mean.copy_(mean_P)
        self.components.copy_(vectors_PM * largest_M.sign())
        self.variance.copy_(values_P[leading])
        self.variance_share.copy_(values_P[leading].sum() / values_P.sum())

    def project(self, x_BCHW: Tensor) -> Tensor:
        """Return the components of each tile, (B, N, M)."""
        scores: Tensor = (self.tiles(x_BCHW) - self.tile_mean) @ self.components
        return scores

    def embed(self, x_BCHW: Tensor, pooling: str = "mean") -> Tensor:
        """Embed whole crops, (B, 2 M) float32; see ``embed_each``."""
        return self.embed_each(x_BCHW, (pooling,))[pooling]

    def embed_each(self, x_BCHW: Tensor, poolings: Sequence[str]) -> dict[str, Tensor]:
        """Embed whole crops, (B, 2 M) float32: mean and mean square of each component over the tiles.

        Parameters
        ----------
        x_BCHW
            Crops, uint8 or float, 0..255.
        poolings
            ``mean``: there is no class token to take instead.

        Raises
        ------
        ConfigError
            For any other pooling.
        """
        check_poolings(poolings, self.poolings, 0, "tile_pca")
        scores_BNM = self.project(x_BCHW)
        return dict.fromkeys(poolings, torch.cat([scores_BNM.mean(1), scores_BNM.square().mean(1)], dim=1))

    @torch.no_grad()
    def reconstruct(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return crops and what the kept components say of them, both (B, C, H, W) in standardised units."""
        tiles_BNP = self.tiles(x_BCHW)
        kept_BNP = ((tiles_BNP - self.tile_mean) @ self.components) @ self.components.T + self.tile_mean
        return to_image(tiles_BNP, self.spec.tile_px), to_image(kept_BNP, self.spec.tile_px)
