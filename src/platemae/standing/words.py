"""Two slices of the configuration, and what differs between them, in words."""

from __future__ import annotations

from typing import Any

LONGEST = 60
"""Characters of a value that are shown."""
NAMES = ("name", "model")
"""Keys that tell the entries of a list apart."""


def differences(before: Any, now: Any, key: str = "") -> list[str]:
    """Return a phrase a difference, such as ``train.lr was 0.001, is 0.0003``.

    Entries of lists are told apart by their name, or by the model that they speak of, where they have one; of other
    lists what came and what went is said.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        return _of_dicts(before, now, key)
    if isinstance(before, list) and isinstance(now, list):
        for name in NAMES:
            if _named(before, name) and _named(now, name):
                return _of_dicts({e[name]: e for e in before}, {e[name]: e for e in now}, key)
        return _of_lists(before, now, key)
    same = before == now and type(before) is type(now)
    return [] if same else [f"{key} was {_shown(before)}, is {_shown(now)}"]


def _of_dicts(before: dict[str, Any], now: dict[str, Any], key: str) -> list[str]:
    phrases = []
    for name in [*before, *(name for name in now if name not in before)]:
        path = f"{key}.{name}" if key else str(name)
        if name not in before:
            phrases.append(f"{path} is new: {_shown(now[name])}")
        elif name not in now:
            phrases.append(f"{path} is gone, was {_shown(before[name])}")
        else:
            phrases += differences(before[name], now[name], path)
    order = [name for name in now if name in before] != [name for name in before if name in now]
    return phrases or ([f"{key}: the order changed"] if order and key else [])


def _of_lists(before: list[Any], now: list[Any], key: str) -> list[str]:
    came, went = [v for v in now if v not in before], [v for v in before if v not in now]
    words = [f"now with {_shown(v)}" for v in came] + [f"without {_shown(v)}" for v in went]
    if words:
        return [f"{key}: {', '.join(words)}"]
    return [] if before == now else [f"{key} was {_shown(before)}, is {_shown(now)}"]


def _named(values: list[Any], key: str) -> bool:
    named = [value[key] for value in values if isinstance(value, dict) and key in value]
    return bool(values) and len(set(named)) == len(values)


def _shown(value: Any) -> str:
    text = str(value) if value is not None else "not set"
    return text if len(text) <= LONGEST else text[: LONGEST - 4] + " ..."
