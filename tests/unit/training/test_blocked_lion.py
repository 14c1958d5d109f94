"""Lion in blocks against timm's, bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from platemae.models.timm_gate import lion_class
from platemae.training import blocked_lion
from platemae.training.blocked_lion import BlockedLion

LR, BETAS, DECAY = 0.01, (0.8, 0.95), 0.1


def _network() -> nn.Module:
    """Weights of more and of fewer values than a block, one whose memory has another order, one without gradient."""
    torch.manual_seed(0)
    network = nn.ModuleList([nn.Linear(37, 41), nn.Conv2d(3, 5, 3), nn.Linear(2, 3)])
    network[1].to(memory_format=torch.channels_last)
    return network


def _groups(network: nn.Module) -> list[dict[str, object]]:
    weights, biases = ([p for p in network.parameters() if (p.ndim > 1) is matrix] for matrix in (True, False))
    return [{"params": weights, "weight_decay": DECAY}, {"params": biases, "weight_decay": 0.0}]


def _blocked(network: nn.Module) -> Optimizer:
    return BlockedLion(_groups(network), LR, BETAS)


def _timm(network: nn.Module) -> Optimizer:
    return lion_class()(_groups(network), lr=LR, betas=BETAS, foreach=True)  # type: ignore[call-arg]


def _steps(network: nn.Module, optimizer: Optimizer, seeds: range) -> None:
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        optimizer.zero_grad(set_to_none=True)
        for parameter in [p for layer in list(network.children())[:2] for p in layer.parameters()]:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = LR / (1 + seed)
        optimizer.step()


@pytest.mark.parametrize("threads", [1, 3])
def test_weights_and_momenta_are_timms(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_lion, "BLOCK", 100)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    ours, theirs = _network(), _network()
    mine, other = _blocked(ours), _timm(theirs)
    _steps(ours, mine, range(4))
    _steps(theirs, other, range(4))
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, q)
        assert (p in mine.state) == (q in other.state)
        assert p not in mine.state or torch.equal(mine.state[p]["exp_avg"], other.state[q]["exp_avg"])
    assert not torch.equal(ours[0].weight, _network()[0].weight)  # type: ignore[index]
    assert torch.equal(ours[2].weight, _network()[2].weight)  # type: ignore[index]


@pytest.mark.parametrize(("first", "then"), [(_blocked, _timm), (_timm, _blocked)])
def test_a_checkpoint_of_one_goes_on_in_the_other(first, then) -> None:  # type: ignore[no-untyped-def]
    """A training that began on a CPU may go on upon a GPU, and the other way round."""
    whole, parted = _network(), _network()
    _steps(whole, _blocked(whole), range(4))
    optimizer = first(parted)
    _steps(parted, optimizer, range(2))
    held = copy.deepcopy(optimizer.state_dict())
    optimizer = then(parted)
    optimizer.load_state_dict(held)
    _steps(parted, optimizer, range(2, 4))
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), parted.parameters(), strict=True))


def test_a_closure_is_called_with_gradients() -> None:
    layer = nn.Linear(2, 1)
    before = layer.weight.detach().clone()

    def closure() -> float:
        loss = layer(torch.ones(1, 2)).sum()
        loss.backward()
        return float(loss.detach())

    assert isinstance(BlockedLion([{"params": [layer.weight]}], LR, BETAS).step(closure), float)
    torch.testing.assert_close(layer.weight, before - LR)
