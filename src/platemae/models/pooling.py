"""Names of the ways in which what a network makes of a crop becomes one vector, and the outputs of its inner blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from platemae.errors import ConfigError

BLOCK = re.compile(r"block([1-9][0-9]*)")
"""``block6``: the mean over the crop of what the sixth block gives to the seventh, counted from 1."""


def block_of(pooling: str) -> int | None:
    """Return the number of the block that a pooling looks at, None for the other poolings."""
    found = BLOCK.fullmatch(pooling)
    return int(found[1]) if found else None


def check_poolings(wanted: Sequence[str], offered: Sequence[str], n_blocks: int, who: str) -> None:
    """Check that a network offers what is asked for.

    Parameters
    ----------
    wanted
        Names, at least one.
    offered
        What the network has; ``block`` stands for ``block1`` up to ``n_blocks``.
    n_blocks
        Its blocks.
    who
        The kind of network, for the error.

    Raises
    ------
    ConfigError
        Naming the poolings that it lacks, and those that it has.
    """
    blocks = [f"block{number}" for number in range(1, n_blocks + 1)] if "block" in offered else []
    plain = [name for name in offered if name != "block"]
    lacking = [pooling for pooling in wanted if pooling not in (*plain, *blocks)]
    if lacking or not wanted:
        problem = f"{who} has no pooling {', '.join(map(repr, lacking)) or 'without a name'}"
        remedy = ", ".join(plain) + (f", block1 to block{n_blocks}" if blocks else "")
        raise ConfigError(problem, "embed.pooling", f"Use {remedy}.")


@contextmanager
def outputs_of(blocks: Any, poolings: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect what the blocks that ``poolings`` name put out in the forward pass within the context, by pooling."""
    found: dict[str, Tensor] = {}
    handles = []
    for pooling in poolings:
        number = block_of(pooling)
        if number is not None:

            def keep(_block: nn.Module, _given: Any, output: Tensor, name: str = pooling) -> None:
                found[name] = output

            handles.append(blocks[number - 1].register_forward_hook(keep))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
