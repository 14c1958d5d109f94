"""Activation checkpointing: the inside of a block is computed again in the backward pass, not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def recomputing(module: nn.Module, units: list[nn.Module]) -> Iterator[None]:
    """Let each unit keep its input alone; at the end it is as it was.

    Parameters
    ----------
    module
        The network. Where computing twice leaves a trace, as batch statistics do, its ``recomputing()`` returns the
        context in which it leaves none.
    units
        Parts of it that are called one after another.
    """
    twice: Callable[[], AbstractContextManager[Any]] | None = getattr(module, "recomputing", None)
    more: dict[str, Any] = {} if twice is None else {"context_fn": lambda: (nullcontext(), twice())}
    for unit in units:  # the networks draw nothing while they compute, so there is no random state to keep
        unit.forward = partial(checkpoint, unit.forward, use_reentrant=False, preserve_rng_state=False, **more)
    try:
        yield
    finally:
        for unit in units:
            del unit.forward
