"""Channels are matched by name and stain, never by position."""

from __future__ import annotations

from collections.abc import Sequence

from platemae.errors import ConfigError
from platemae.stains import same_stain
from platemae.store.channel_match import match_channels
from platemae.store.plate_reader import PlateStore, StoreChannel


def channel_order(store: PlateStore, wanted: Sequence[StoreChannel], plate: str, who: str) -> tuple[int, ...]:
    """Return the index in the store of each wanted channel; channels beyond these are left out.

    Names of one stain count as equal (Hoechst, DAPI, DNA), so that plates of other instruments fit.

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
        When a channel is missing, shows another stain, or cannot be told from another of its stain, listing what is
        expected and what is there.
    """
    order = match_channels(store.channels, wanted)
    unmatched = [channel for channel, index in zip(wanted, order, strict=True) if index is None]
    if unmatched:
        expected, there = _list(wanted), _list(store.channels)
        raise ConfigError(
            f"plate {plate} {_why(store.channels, unmatched)}: {who} expects {expected}; the plate has {there}",
            str(store.path),
            "give channels the same names and stains in the readers of the configuration",
        )
    return tuple(index for index in order if index is not None)


def channels_of_model(
    found: Sequence[StoreChannel], wanted: Sequence[StoreChannel], some: bool, who: str
) -> tuple[StoreChannel, ...]:
    """Return the channels of a dataset that a model made elsewhere looks at, in the model's order, by their names here.

    Parameters
    ----------
    found, wanted
        Channels of the dataset, and of the model.
    some
        Whether the model also takes a part of its channels.
    who
        Name of the model for the error.

    Raises
    ------
    ConfigError
        When a channel is missing or cannot be told from another, listing what is expected and what is there.
    """
    order = match_channels(found, shared_channels(found, wanted) if some else wanted)
    if None in order:
        what = f"{who} looks at {_list(wanted)}; the dataset has {_list(found)}"
        raise ConfigError(what, "models: dataset, intensity", "name a dataset and a map that have the model's stains")
    return tuple(found[index] for index in order if index is not None)


def shared_channels(found: Sequence[StoreChannel], wanted: Sequence[StoreChannel]) -> tuple[StoreChannel, ...]:
    """Return the wanted channels but those that a plate plainly lacks: nothing there has their name or their stain.

    Where nothing is shared, all are returned, and `channel_order` says what is missing.
    """
    names = {channel.name for channel in found}
    order = match_channels(found, wanted)
    kept = tuple(
        channel
        for channel, index in zip(wanted, order, strict=True)
        if index is not None or channel.name in names or any(_same(channel, other) for other in found)
    )
    return kept or tuple(wanted)


def _same(one: StoreChannel, other: StoreChannel) -> bool:
    return bool(one.stain and other.stain) and same_stain(one.stain, other.stain)


def _why(found: Sequence[StoreChannel], unmatched: Sequence[StoreChannel]) -> str:
    names = {channel.name for channel in found}
    several = [c.name for c in unmatched if any(same_stain(c.stain, f.stain) for f in found)]
    stained = [c.name for c in unmatched if c.name in names and c.name not in several]
    missing = [c.name for c in unmatched if c.name not in names and c.name not in several]
    reasons = [f"lacks {', '.join(missing)}"] if missing else []
    reasons += [f"has another stain in {', '.join(stained)}"] if stained else []
    reasons += [f"has no single channel for {', '.join(several)}"] if several else []
    return " and ".join(reasons)


def _list(channels: Sequence[StoreChannel]) -> str:
    return ", ".join(f"{c.name} ({c.stain})" for c in channels)
