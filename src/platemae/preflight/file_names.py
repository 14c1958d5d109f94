"""Guess what the parts of image file names mean, and say it as a pattern for the pattern reader.

Names are cut at their signs. A part that is a well everywhere is the well; of the others, those that tell the images of
one well apart are field, channel, depth and time, told by their letters or by how many values they have.
"""

# Shape legend: a column is the same part of every name

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from platemae.stains import stain_of
from platemae.wells import parse_well

_TOKEN = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]+")
_RUN = re.compile(r"(?:[A-Za-z]+\d+){2,}")
_PREFIXED = re.compile(r"([A-Za-z]*?)(\d+)")
_FIELD_LETTERS = ("f", "s", "site", "field", "fov", "xy", "position", "pos")
_CHANNEL_LETTERS = ("c", "ch", "w", "channel", "wave", "wavelength")
_DEPTH_LETTERS = ("z", "p", "plane", "zstep")
_TIME_LETTERS = ("t", "time", "timepoint", "tp")
MAX_NAMES = 5000
"""Names that are looked at; a plate has more, all of one form."""


@dataclass(frozen=True)
class Guess:
    """A pattern for the pattern reader, and the channels that it finds, in order."""

    pattern: str
    channels: tuple[str, ...]


def guess_pattern(names: Sequence[str]) -> Guess | None:
    """Return a pattern that reads most of ``names`` (file names without folders); None when they make no sense.

    Names of the most frequent form are looked at. No guess is made where two images would get one place.
    """
    names = [name for name in names[:MAX_NAMES] if name]
    forms = Counter(_form(name) for name in names)
    if not forms:
        return None
    form = forms.most_common(1)[0][0]
    rows = [_tokens(name) for name in names if _form(name) == form]
    columns = list(zip(*rows, strict=True))
    roles = _place_roles(columns)
    if roles is None:
        return None
    roles = _image_roles(columns, roles)
    if "channel" not in roles.values():
        return None
    # One image a place, or the pattern would be refused at once.
    told = [i for i, role in roles.items() if role]
    if len({tuple(row[i] for i in told) for row in rows}) < len(rows):
        return None
    channel = next(i for i, role in roles.items() if role == "channel")
    return Guess(_pattern(columns, roles), tuple(sorted(set(columns[channel]), key=_natural)))


def _tokens(name: str) -> list[str]:
    """Cut a name at its signs, and runs such as r01c02f03 after each number."""
    tokens: list[str] = []
    for token in _TOKEN.findall(name):
        tokens += re.findall(r"[A-Za-z]+\d+", token) if _RUN.fullmatch(token) else [token]
    return tokens


def _form(name: str) -> tuple[str, ...]:
    """Return the signs between the parts of a name and their number, which are alike for all images of a plate."""
    tokens = _tokens(name)
    return (*("" if _is_word(token) else token for token in tokens[:-1]), tokens[-1].lower())


def _is_word(token: str) -> bool:
    return token.isascii() and token.isalnum()


def _place_roles(columns: Sequence[Sequence[str]]) -> dict[int, str] | None:
    """Return which column is the well, or which two are its row and column."""
    wells = [i for i, column in enumerate(columns) if _all_wells(column)]
    if wells:
        # A constant that looks like a well, such as a plate's name, is none where another column varies.
        return {max(wells, key=lambda i: len(set(columns[i]))): "well"}
    for i, column in enumerate(columns[:-2]):
        if _letters(column) == "r" and _letters(columns[i + 1]) == "c":
            return {i: "row", i + 1: "column"}
        numbers = all(token.isdecimal() and 1 <= int(token) <= 48 for token in columns[i + 2])
        if numbers and all(re.fullmatch(r"[A-P]", token) for token in column):
            return {i: "row", i + 2: "column"}
    return None


def _all_wells(column: Sequence[str]) -> bool:
    for token in set(column):
        if not re.fullmatch(r"[A-P]\d{1,2}|A[A-F]\d{1,2}", token):
            return False
        try:
            parse_well(token)
        except ValueError:
            return False
    return True


def _image_roles(columns: Sequence[Sequence[str]], roles: dict[int, str]) -> dict[int, str]:
    """Add field, channel, z and time among the columns that vary."""
    free = [i for i in range(len(columns)) if i not in roles and _is_word(columns[i][0])]
    varying = [i for i in free if len(set(columns[i])) > 1 and not _depends_on_place(columns, roles, i)]
    roles = dict(roles)
    channel = _best_channel(columns, varying, free)
    if channel is None:
        return roles
    roles[channel] = "channel"
    for i in varying:
        if i == channel or _same_grouping(columns[i], columns[channel]):
            continue
        letters = _letters(columns[i])
        for role, known in (("z", _DEPTH_LETTERS), ("time", _TIME_LETTERS), ("field", _FIELD_LETTERS)):
            if letters in known and role not in roles.values():
                roles[i] = role
                break
        else:
            if letters == "" and "field" not in roles.values():
                roles[i] = "field"
    return roles


def _best_channel(columns: Sequence[Sequence[str]], varying: Sequence[int], free: Sequence[int]) -> int | None:
    """Return the column that names channels: known stains first, then letters such as w1, then words."""
    ranked = sorted(varying, key=lambda i: -_channel_score(columns[i]))
    if ranked and _channel_score(columns[ranked[0]]) > 0:
        return ranked[0]
    # A plate of one channel: a constant part that names a stain or starts like a channel.
    return next((i for i in free if len(set(columns[i])) == 1 and _channel_score(columns[i]) >= 2), None)


def _channel_score(column: Sequence[str]) -> int:
    values = set(column)
    if len(values) > 20:
        return 0
    if any(stain_of(value) for value in values):
        return 4
    letters = _letters(column)
    if letters in _CHANNEL_LETTERS:
        return 3
    return 1 if letters is None and all(not value.isdecimal() for value in values) else 0


def _letters(column: Sequence[str]) -> str | None:
    """Return the letters before the number that all parts of a column share, lower case; None without a number."""
    found = set()
    for value in set(column):
        match = _PREFIXED.fullmatch(value)
        found.add(match[1].lower() if match else None)
    return found.pop() if len(found) == 1 else None


def _depends_on_place(columns: Sequence[Sequence[str]], roles: dict[int, str], i: int) -> bool:
    """Return whether the well alone decides a column, as a running number over wells does."""
    seen: dict[tuple[str, ...], str] = {}
    for row, place in enumerate(zip(*(columns[p] for p in roles), strict=True)):
        if seen.setdefault(place, columns[i][row]) != columns[i][row]:
            return False
    # Sites are often one a well; where the values are few, they are no running number.
    return len(set(columns[i])) == len(seen) > 1


def _same_grouping(one: Sequence[str], other: Sequence[str]) -> bool:
    pairs = set(zip(one, other, strict=True))
    return len(pairs) == len(set(one)) == len(set(other))


def _pattern(columns: Sequence[Sequence[str]], roles: dict[int, str]) -> str:
    return "".join(_part(column, roles.get(i)) for i, column in enumerate(columns))


def _part(column: Sequence[str], role: str | None) -> str:
    values = set(column)
    numbered = role in ("z", "time", "field") or (role in ("row", "column") and _letters(column))
    if numbered:
        letters = {_PREFIXED.fullmatch(value)[1] for value in values}  # type: ignore[index]
        return f"{_either(sorted(letters))}(?P<{role}>\\d+)"
    body = {"well": r"[A-Z]{1,2}\d{1,2}", "row": "[A-Z]", "column": r"\d{1,2}"}.get(role or "")
    if role == "channel":
        body = _either(sorted(values, key=_natural), always=False)
    if role:
        return f"(?P<{role}>{body})"
    if len(values) == 1:
        return re.escape(column[0])
    return r"\d+" if all(value.isdecimal() for value in values) else "[A-Za-z0-9]+"


def _either(values: Sequence[str], always: bool = True) -> str:
    escaped = "|".join(re.escape(value) for value in values)
    return f"(?:{escaped})" if always and len(values) > 1 else escaped


def _natural(text: str) -> list[tuple[int, int, str]]:
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in re.findall(r"\d+|\D+", text)]
