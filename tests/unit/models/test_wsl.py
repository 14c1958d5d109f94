"""The classifier of perturbations: its DenseNet against timm's, its normalisation against torch's on a whole domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from platemae.errors import ConfigError, ContractError
from platemae.models.adabn import DomainBatchNorm, adapt, norms_of
from platemae.models.densenet import DenseNet, DenseNetSpec
from platemae.models.flops import counted_flops, encoder_flops
from platemae.models.registry import build
from platemae.models.settings import PRESETS as VIT_PRESETS
from platemae.models.timm_gate import ensure_torchvision_importable
from platemae.models.wsl import WSL

SMALL = {"backbone": "densenet", "crop_px": 16, "stem": 8, "growth": 4, "blocks": "2-2", "embedding": 12}
SMALL |= {"n_classes": 3}
VIT = {"backbone": "vit", "crop_px": 16, "patch_px": 4, "width": 16, "depth": 2, "heads": 2, "drop_path": 0.5}
VIT |= {"embedding": 12, "n_classes": 3}
ENTRY: dict[str, Any] = {"preset": "wsl_tiny", "backbone": None, "domain": "plate", "architecture": {}}


def network(spec: dict[str, Any] = SMALL, **changes: Any) -> WSL:
    built = build("wsl", spec | changes, 2, seed=3)
    assert isinstance(built, WSL)
    return built


@pytest.fixture
def crops() -> torch.Tensor:
    """Crops of one domain, with channels of different texture."""
    rng = np.random.default_rng(0)
    smooth = rng.normal(120, 20, (24, 2, 1, 16)) + rng.normal(0, 15, (24, 2, 16, 16))
    return torch.from_numpy(smooth.clip(0, 255).astype(np.float32))


def in_batches(x: torch.Tensor, size: int) -> Callable[[], Iterator[torch.Tensor]]:
    return lambda: iter(x.split(size))


def whole_domain(module: WSL, crops: torch.Tensor) -> torch.Tensor:
    """The reference: torch's own batch normalisation in training mode, over all crops at once."""
    reference = build("wsl", module.architecture(), 2)
    _use_torchs(reference)
    reference.load_state_dict(module.state_dict(), strict=False)
    return reference.train().embed(crops)  # type: ignore[operator]


def _use_torchs(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, DomainBatchNorm):
            flat = "neck" in type(module).__name__ or (isinstance(module, nn.Sequential) and name in "035")
            setattr(module, name, (nn.BatchNorm1d if flat else nn.BatchNorm2d)(len(child.weight)))
        else:
            _use_torchs(child)


@pytest.mark.parametrize("size", [5, 24])
def test_adabn_equals_batch_norm_over_the_whole_domain(crops: torch.Tensor, size: int) -> None:
    module = network().eval()
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    expected = whole_domain(module, crops)
    before = module.embed(crops)
    assert (before - expected).abs().max() > 0.1
    passes = module.adapt(in_batches(crops, size), exact=size < 24)
    assert passes == (1 if size == 24 else len(norms_of(module)))
    torch.testing.assert_close(module.embed(crops), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_one_pass_comes_near_where_batches_show_much_of_the_domain(crops: torch.Tensor) -> None:
    domain = crops.repeat_interleave(8, 0).roll(1, 2) + torch.rand(192, 1, 1, 1) * 3
    module, expected = network().eval(), whole_domain(network(), domain)
    shares = []
    for size in (12, 96):
        module.adapt(in_batches(domain[torch.randperm(192, generator=torch.Generator().manual_seed(0))], size))
        shares.append(float((module.embed(domain) - expected).square().mean() / expected.var()))
    assert shares[1] < 0.005 < shares[0] < 0.1


def test_statistics_of_another_domain_give_another_vector(crops: torch.Tensor) -> None:
    module = network().eval()
    module.adapt(in_batches(crops, 24))
    one = module.embed(crops[:4])
    module.adapt(in_batches(crops.square() / 255, 24))
    assert (module.embed(crops[:4]) - one).abs().max() > 0.05
    torch.testing.assert_close(module.embed(crops[:4]), module.embed(crops)[:4], rtol=1e-4, atol=1e-5)


def test_pooled_statistics_are_those_of_all_values() -> None:
    norm = DomainBatchNorm(3).eval()
    x = torch.randn(40, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 7 + 1000
    adapt(norm, norm, in_batches(x, 7), exact=True)
    np.testing.assert_allclose(norm.running_mean, x.double().mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(norm.running_var, x.double().var((0, 2, 3), correction=0), rtol=1e-4)
    with pytest.raises(ContractError, match="fewer than two crops"):
        adapt(norm, norm, lambda: iter(()), exact=False)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3, 3)])
def test_one_batch_equals_torchs_batch_norm(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3 + 1
    ours = DomainBatchNorm(4)
    theirs = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(4, momentum=0.05)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_densenet_equals_timms(crops: torch.Tensor) -> None:
    ensure_torchvision_importable()
    from timm.models.densenet import DenseNet as Timms

    theirs = Timms(growth_rate=4, block_config=(2, 3, 2), num_classes=0, in_chans=2).eval()
    ours = DenseNet(DenseNetSpec(crop_px=64, stem=8, growth=4, blocks="2-3-2"), 2).eval()
    state = {k: v for k, v in theirs.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert set(ours.state_dict()) == set(state)
    ours.load_state_dict(state)
    x = torch.randn(3, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.train()(x), theirs.train()(x), rtol=1e-3, atol=1e-4)
    assert ours.width == theirs.num_features


def test_densenet161_has_the_published_size() -> None:
    with torch.device("meta"):
        ours = DenseNet(DenseNetSpec(), 3)
    # torchvision documents 28,681,000 parameters for 1000 classes: 2208 * 1000 + 1000 of them in the classifier
    assert sum(p.numel() for p in ours.parameters()) == 28_681_000 - 2_209_000
    assert ours.width == 2208
    with torch.device("meta"):
        assert DenseNet(DenseNetSpec(), 6).features.conv0.weight.shape == (96, 6, 7, 7)


@pytest.mark.parametrize("spec", [SMALL, VIT])
def test_loss_is_cross_entropy_and_every_weight_learns(spec: dict[str, Any], crops: torch.Tensor) -> None:
    module = network(spec).train()
    label = torch.arange(24) % 3
    noise = torch.rand(24, 2, generator=torch.Generator().manual_seed(0)) if module.noise_sizes[1] else None
    loss, mse, fourier = module(crops, torch.zeros(24, 0), noise, label_B=label)
    scores = module.classify(crops, noise).detach().double().numpy()
    picked = [row[k] - math.log(np.exp(row).sum()) for row, k in zip(scores, label.tolist(), strict=True)]
    assert float(loss.detach()) == pytest.approx(-np.mean(picked), rel=1e-4)
    assert math.isnan(mse)
    assert math.isnan(fourier)
    loss.backward()
    silent = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == ["neck.3.bias"]  # the norm after the linear layer that follows takes it away


def test_the_bias_that_does_not_learn_changes_nothing(crops: torch.Tensor) -> None:
    module = network(SMALL).train()
    before = module.classify(crops)
    with torch.no_grad():
        module.neck[3].bias.add_(torch.linspace(-2, 2, len(module.neck[3].bias)))
    torch.testing.assert_close(module.classify(crops), before, rtol=1e-4, atol=1e-4)


def test_a_classifier_of_little_depth_needs_no_numbers_for_masks() -> None:
    assert network(VIT).noise_sizes == (0, 2)


def test_the_classes_play_no_part_in_the_embedding(crops: torch.Tensor) -> None:
    module = network().eval()
    before = module.embed(crops)
    with torch.no_grad():
        module.head.weight.fill_(9.0)
    assert torch.equal(module.embed(crops), before)
    assert before.shape == (24, 12)


def test_each_batch_is_its_own_domain_when_classified(crops: torch.Tensor) -> None:
    """In evaluation mode, too: validation batches are of one domain each."""
    own, running = network().eval(), network(adabn=False).eval()
    assert (own.classify(crops)[:4] - own.classify(crops[:4])).abs().max() > 1e-3
    torch.testing.assert_close(running.classify(crops)[:4], running.classify(crops[:4]), rtol=1e-4, atol=1e-5)
    kept = own.neck[0].running_mean.clone()
    own.classify(crops)
    assert torch.equal(own.neck[0].running_mean, kept)
    assert running.adapt(in_batches(crops, 24)) == 0


def test_operations_are_those_of_a_real_pass(crops: torch.Tensor) -> None:
    module = network().eval()
    with FlopCounterMode(display=False) as counter:
        module.classify(crops[:2])
    assert counted_flops(module) == counter.get_total_flops() / 2
    vit = network(VIT | {"crop_px": 16})
    spec: Any = vit.spec
    head = 2 * (16 * 12 + 12 * 12 + 12 * 3)
    assert counted_flops(vit) == encoder_flops(spec, 2, spec.n_patches) + head


def test_what_the_configuration_asks_for() -> None:
    assert WSL.describe(ENTRY)["blocks"] == "2-2"
    assert not WSL.describe(ENTRY | {"domain": "none"})["adabn"]
    vit = WSL.describe(ENTRY | {"preset": "tiny", "backbone": "vit", "architecture": {"embedding": 128}})
    assert (vit["width"], vit["embedding"]) == (VIT_PRESETS["tiny"].width, 128)
    rebuilt = build("wsl", vit | {"n_classes": 7}, 2)
    assert rebuilt.architecture() == vit | {"n_classes": 7}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"preset": "munet_m"}, "no preset 'munet_m'"),
        ({"backbone": "resnet"}, "no backbone 'resnet'"),
        ({"architecture": {"depth": 3}}, "'depth'"),
        ({"architecture": {"blocks": "2,2"}}, "blocks"),
        ({"architecture": {"crop_px": 4}}, "crop_px must be at least 8"),
        ({"architecture": {"n_classes": 1}}, "at least two classes"),
        ({"architecture": {"embedding": 0}}, "embedding"),
    ],
)
def test_wrong_entries_are_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        WSL.describe(ENTRY | wrong)


def test_wrong_input_is_named(crops: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="without labels"):
        network()(crops, torch.zeros(24, 0))
    with pytest.raises(ConfigError, match="no pooling 'cls'"):
        network().eval().embed(crops, "cls")
    with pytest.raises(ContractError, match=r"\(24, 1, 16, 16\)"):
        network().eval().embed(crops[:, :1])
    with pytest.raises(ConfigError, match="one channel"):
        build("wsl", SMALL, 0)
