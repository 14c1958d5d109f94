"""torch.compile, tried before training relies on it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from platemae.training.distributed import Ranks, summed

BACKEND = "inductor"
_logger = logging.getLogger(__name__)


def compiled(module: nn.Module) -> nn.Module:
    """Return the network, to be compiled when it is first called; its weights are the same."""
    network: nn.Module = torch.compile(module, backend=BACKEND)  # type: ignore[assignment]
    return network


def compile_units(units: list[nn.Module]) -> None:
    """Let each unit be compiled when it is first called: between them the parts of a network are gathered."""
    from torch._dynamo import config

    # Blocks share their code and differ in constants: torch would give up compiling it after 8 variants.
    config.recompile_limit = max(config.recompile_limit, 4 * len(units))  # type: ignore[attr-defined]
    for unit in units:
        unit.compile(backend=BACKEND)


def compiles(module: nn.Module, attempt: Callable[[], Any], mine: Ranks, device: torch.device) -> bool:
    """Try the compiled network once; tell whether it works on all processes, and warn where it does not.

    Parameters
    ----------
    module
        What is tried; it ends with the same buffers (a trial counts in no batch statistics) and without gradients.
    attempt
        Compiles it, and runs it forward and backward.
    mine, device
        To agree with the other processes.
    """
    buffers, failure = [buffer.clone() for buffer in module.buffers()], ""
    try:
        attempt()
    except Exception as error:  # noqa: BLE001  (whatever it is: if it is no fault of the compiler, training meets it again)
        failure = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    module.zero_grad(set_to_none=True)
    for buffer, kept in zip(module.buffers(), buffers, strict=True):
        buffer.copy_(kept)
    failed, failed_first = summed([float(bool(failure)), float(bool(failure) and mine.is_main)], device, mine)
    if failure and (mine.is_main or not failed_first):
        _logger.warning("torch.compile failed, training goes on without it: %s", failure)
    return not failed
