"""Channels are matched by name, never by position."""

from __future__ import annotations

from collections.abc import Sequence

from platemae.errors import ConfigError
from platemae.store.plate_reader import PlateStore, StoreChannel


def channel_order(store: PlateStore, wanted: Sequence[StoreChannel], plate: str, who: str) -> tuple[int, ...]:
    """Return the index in the store of each wanted channel; channels beyond these are left out.

    Parameters
    ----------
    store
        The plate's store.
    wanted
        Channels in the order that they are needed in.
    plate, who
        Names for the error: the plate, and what needs the channels.

    Raises
    ------
    ConfigError
        When a channel is missing, or shows another stain, listing what is expected and what is there.
    """
    found = {channel.name: (index, channel.stain) for index, channel in enumerate(store.channels)}
    missing = [c.name for c in wanted if c.name not in found]
    stained = [c.name for c in wanted if c.name in found and found[c.name][1] != c.stain]
    if missing or stained:
        problems = [f"lacks {', '.join(missing)}"] if missing else []
        problems += [f"has another stain in {', '.join(stained)}"] if stained else []
        expected, there = _list(wanted), _list(store.channels)
        raise ConfigError(
            f"plate {plate} {' and '.join(problems)}: {who} expects {expected}; the plate has {there}",
            str(store.path),
            "give channels the same names and stains in the readers of the configuration",
        )
    return tuple(found[c.name][0] for c in wanted)


def _list(channels: Sequence[StoreChannel]) -> str:
    return ", ".join(f"{c.name} ({c.stain})" for c in channels)
