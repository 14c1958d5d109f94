"""Several poolings of one forward pass, against each by hand; what each kind offers is what the contract says."""

import pytest
import torch

from platemae.contracts import POOLINGS
from platemae.errors import ConfigError
from platemae.models.registry import REGISTRY, build, resolve

VIT = {"crop_px": 16, "patch_px": 4, "width": 16, "depth": 3, "heads": 2}
VIT |= {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
TINY = {
    "mae": VIT,
    "camae": VIT | {"cross_heads": 2},
    "munet": {"crop_px": 16, "patch_px": 4, "width": 8, "levels": 2, "convs": 1, "norm_groups": 2},
    "wsl": {"crop_px": 16, "stem": 4, "growth": 4, "blocks": "1-1", "embedding": 12, "n_classes": 3},
    "pretrained": {"backbone": "vit_tiny_patch16_224", "crop_px": 32},
    "tile_pca": {"crop_px": 16, "tile_px": 8, "components": 4},
}


def crops(kind: str, count: int = 5) -> torch.Tensor:
    size = TINY[kind]["crop_px"]
    return torch.rand(count, 2, size, size, generator=torch.Generator().manual_seed(1)) * 255


def offered(kind: str) -> list[str]:
    """Every name that a tiny network of the kind has."""
    blocks = {"mae": 3, "camae": 3, "munet": 3}.get(kind, 0)
    return [name for name in POOLINGS[kind] if name != "block"] + [f"block{k}" for k in range(1, blocks + 1)]


def test_the_contract_names_what_the_classes_offer() -> None:
    assert {kind: set(names) for kind, names in POOLINGS.items()} == {k: set(resolve(k).poolings) for k in REGISTRY}


@pytest.mark.parametrize("kind", TINY)
def test_one_pass_gives_all_poolings(kind: str) -> None:
    network = build(kind, TINY[kind], 2).eval()
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)]
    calls: list[object] = []
    for layer in layers:
        layer.register_forward_hook(lambda layer, *_: calls.append(layer))
    with torch.inference_mode():
        together = network.embed_each(crops(kind), offered(kind))
        assert len(calls) == len(set(calls)), "no layer runs twice"
        assert list(together) == offered(kind)
        for name, vectors in together.items():
            assert vectors.dtype == torch.float32
            torch.testing.assert_close(vectors, network.embed(crops(kind), name), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["mae", "camae"])
def test_a_block_is_the_network_cut_off_behind_it(kind: str) -> None:
    network, x = build(kind, TINY[kind], 2).eval(), crops(kind)
    with torch.inference_mode():
        vectors = network.embed_each(x, ["block2", "block3", "mean"])
        torch.testing.assert_close(vectors["block3"], vectors["mean"], msg="no final norm comes behind the last block")
        network.encoder.blocks = network.encoder.blocks[:2]
        torch.testing.assert_close(network.embed(x), vectors["block2"])
    assert not network.encoder.blocks[1]._forward_hooks


def test_blocks_of_a_munet_are_its_levels() -> None:
    network, x = build("munet", TINY["munet"], 2).eval(), crops("munet")
    with torch.inference_mode():
        top = network.unet.down[0](network.image(x))
        torch.testing.assert_close(network.embed(x, "block1"), top.mean((2, 3)))
        assert torch.equal(network.embed(x, "block3"), network.embed(x))


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("name", ["block4", "block0", "median", "block"])
def test_what_is_not_offered_is_refused_with_what_is(kind: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"no pooling '{name}'") as error:
        build(kind, TINY[kind], 2).embed_each(crops(kind), ["mean", name])
    assert "mean" in error.value.remedy
