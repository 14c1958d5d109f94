"""Channels of one plate found on another, by name and stain and never by position."""

from __future__ import annotations

from collections.abc import Sequence

from platemae.stains import same_stain
from platemae.store.plate_reader import StoreChannel


def match_channels(found: Sequence[StoreChannel], wanted: Sequence[StoreChannel]) -> list[int | None]:
    """Return the index in ``found`` of each wanted channel; None where there is none, or no telling which.

    A channel of the same name matches unless it shows another stain. For the rest, a channel of the same stain
    matches when it is the only one left, and only one is wanted: two Hoechst channels are not told apart by order.
    """
    order = [_by_name(found, channel) for channel in wanted]
    left = [i for i in range(len(found)) if i not in order]
    open_ = [k for k, index in enumerate(order) if index is None]
    for k in open_:
        candidates = [i for i in left if _same(found[i], wanted[k])]
        rivals = [other for other in open_ if _same(wanted[other], wanted[k])]
        if len(candidates) == len(rivals) == 1:
            order[k] = candidates[0]
    return order


def _by_name(found: Sequence[StoreChannel], channel: StoreChannel) -> int | None:
    for index, other in enumerate(found):
        unknown = not other.stain or not channel.stain
        if other.name == channel.name and (unknown or _same(other, channel)):
            return index
    return None


def _same(one: StoreChannel, other: StoreChannel) -> bool:
    return bool(one.stain and other.stain) and same_stain(one.stain, other.stain)
