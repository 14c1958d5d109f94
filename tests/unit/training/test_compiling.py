"""torch.compile: it is tried first, and training goes on without it where it fails."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from platemae.training import compiling
from tests.unit.training.families import FAMILIES, Family


def _fails(*_: Any) -> Any:
    raise RuntimeError("no compiler at hand")


def _fit(family: Family, folder: Path, **changes: Any) -> nn.Module:
    module = family.network()
    family.fit(module, folder, steps=3, **changes)
    return module


@pytest.mark.parametrize("name", ["mae+", "wsl"])
def test_where_it_fails_training_goes_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """To the same bits, running averages included."""
    monkeypatch.setattr(compiling, "BACKEND", _fails)
    with caplog.at_level(logging.WARNING):
        modules = [_fit(FAMILIES[name], tmp_path / str(on), compile=on) for on in (False, True)]
    told = [record.message for record in caplog.records if "compile" in record.message]
    assert len(told) == 1
    assert "no compiler at hand" in told[0]
    states = [module.state_dict() for module in modules]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_what_is_compiled_computes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a backend that runs torch's graph as it was captured."""
    graphs = []

    def captured(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(compiling, "BACKEND", captured)
    plain, module = (_fit(FAMILIES["mae+"], tmp_path / str(on), compile=on, ema_decay=0.9) for on in (False, True))
    assert graphs
    torch.testing.assert_close(module.state_dict(), plain.state_dict(), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_real_compiler_computes_the_same(tmp_path: Path) -> None:
    """Where a C++ compiler is missing this fails, rightly: there the option is of no use."""
    histories = [
        FAMILIES["mae+"].fit(FAMILIES["mae+"].network(), tmp_path / str(on), steps=3, compile=on)
        for on in (False, True)
    ]
    for one, other in zip(*histories, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-3)
