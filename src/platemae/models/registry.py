"""Every kind of network by name, imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from platemae.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

# A plain literal: the code digest of a model reads it from the syntax tree and follows the named entry alone.
REGISTRY = {
    "mae": "platemae.models.mae:MAE",
    "munet": "platemae.models.munet:MUNet",
    "wsl": "platemae.models.wsl:WSL",
    "pretrained": "platemae.models.pretrained:Pretrained",
    "camae": "platemae.models.camae:CAMAE",
    "untrained": "platemae.models.mae:MAE",
    "tile_pca": "platemae.models.tile_pca:TilePCA",
}


def resolve(kind: str) -> Any:
    """Import and return the class registered as ``kind``.

    Raises
    ------
    ConfigError
        If there is no such kind.
    """
    if kind not in REGISTRY:
        raise ConfigError(f"unknown model kind {kind!r}", "models: kind", f"Use one of {', '.join(REGISTRY)}.")
    module, attribute = REGISTRY[kind].split(":")
    return getattr(import_module(module), attribute)


def build(kind: str, architecture: dict[str, Any], n_channels: int, seed: int = 0) -> nn.Module:
    """Make a network with random weights that depend on ``seed`` alone.

    Parameters
    ----------
    kind
        A key of ``REGISTRY``.
    architecture
        The fields of the kind's own settings, such as ``platemae.models.settings.Architecture``.
    n_channels
        Channels of a crop.
    seed
        Seed of the initial weights; torch's global generator is left as it was.

    Raises
    ------
    ConfigError
        If the kind or the architecture is wrong.
    """
    import torch

    cls = resolve(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = cls.from_dict(architecture, n_channels)
    return network
