"""What pydantic refuses of a configuration, in the words of the file: entries by name, and the key that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platemae.config.allowed import Node, allowed, alternatives, choices, kinds, known_keys, resolved, schema
from platemae.errors import ConfigError

Loc = tuple[str | int, ...]
"""Keys and indices from the top of the file to a value."""
IS_KEY = "[key]"
"""What pydantic puts behind a key that is wrong itself."""
SHOWN = 60
"""Characters of a wrong value that are told."""
COMMENTS = "see the comments in config.yaml"


@dataclass(frozen=True)
class Place:
    """Where pydantic met something wrong.

    Attributes
    ----------
    loc
        Keys and indices that stand in the file.
    name
        The same for a reader: entries of lists by their name.
    value
        What the file says there.
    node
        What the schema says there.
    """

    loc: Loc
    name: str
    value: Any
    node: Node


def wrong_values(
    items: Iterable[Mapping[str, Any]], values: Mapping[str, Any], where: str, root: Node | None = None
) -> list[ConfigError]:
    """Return what pydantic refuses as errors, one a place.

    A union is refused once a part, and each part says why: only what is wrong deepest inside a value is told.

    Parameters
    ----------
    items
        ``ValidationError.errors()``.
    values
        The configuration that was refused.
    where
        Its file.
    root
        What the schema says of ``values``; None: they are a whole configuration.
    """
    top = root or schema()
    found: dict[Loc, tuple[Mapping[str, Any], Place]] = {}
    for item in items:
        at = _place(item["loc"], values, top)
        found.setdefault(at.loc, (item, at))
    around = {loc[:n] for loc in found for n in range(len(loc))}
    told = [
        (item, at, _place(_section(item["loc"]), values, top)) for loc, (item, at) in found.items() if loc not in around
    ]
    return [error for item, at, section in told for error in _errors(item, at, section, where)]


def _section(loc: Loc) -> Loc:
    return loc[:-2] if loc[-1:] == (IS_KEY,) else loc[:-1]


def _errors(item: Mapping[str, Any], at: Place, section: Place, where: str) -> Iterator[ConfigError]:
    kind, loc = item["type"], item["loc"]
    if kind in ("extra_forbidden", "invalid_key") or loc[-1:] == (IS_KEY,):
        yield _unknown_key(at, section, where)
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        yield _unknown_kind(at, where)
    elif kind == "value_error":
        says = str(item["msg"]).removeprefix("Value error, ")
        for line in [f"{at.name}: {says}"] if at.name else says.splitlines():  # parts that disagree, a line each
            yield ConfigError(line, where, COMMENTS)
    elif kind == "missing" and isinstance(loc[-1], str):
        told = at.node.get("description") or allowed(at.node)
        yield ConfigError(f"{at.name} is missing", where, f"{at.name}: {told}")
    else:
        yield _wrong_value(at, where)


def _unknown_key(at: Place, section: Place, where: str) -> ConfigError:
    known = known_keys(resolved(section.node))
    inside = f"in {section.name}" if section.name else "here"
    meant = _meant(at.loc[-1] if at.loc else "", known)
    told = ", ".join(known) or "names of letters, digits and . _ @ + -"
    return ConfigError(f"unknown key {at.name}{meant}", where, f"allowed {inside}: {told}")


def _unknown_kind(at: Place, where: str) -> ConfigError:
    key, known, said = f"{at.name}.kind", kinds(at.node), at.value.get("kind")
    what = f"{key} is missing" if said is None else f"{key}: there is no {_said(said)}{_meant(said, known)}"
    return ConfigError(what, where, f"{key}: {', '.join(known)}")


def _wrong_value(at: Place, where: str) -> ConfigError:
    known, union = choices(at.node), alternatives(at.node)
    refused = ": there is no" if known and len(union) < 2 else " cannot be"
    what = f"{at.name}{refused} {_said(at.value)}{_meant(at.value, known)}"
    one_of_list = isinstance(at.loc[-1], int) and not isinstance(at.value, list | dict)
    free = any(one.get("type") == "string" and not choices(one) for one in (at.node, *union))
    quote = "; put it in quotes" if free and not isinstance(at.value, str | list | dict | None) else ""
    return ConfigError(what, where, f"{'each of ' if one_of_list else ''}{at.name}: {allowed(at.node)}{quote}")


def _said(value: Any) -> str:
    text = "null" if value is None else str(value) or "an empty text"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _meant(said: Any, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(said), known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _place(loc: Loc, values: Any, node: Node) -> Place:
    """Return where a value stands in the file, without what pydantic puts between: kinds, and parts of a union."""
    kept: list[str | int] = []
    names: list[str] = []
    parts = loc[:-1] if loc[-1:] == (IS_KEY,) else loc
    for depth, part in enumerate(parts, 1):
        if len(alternatives(node)) > 1:
            if depth == len(parts):  # the value is refused as a whole
                break
            node = _part_of(node, values)
        elif "discriminator" in (node := resolved(node)):
            node = {"$ref": node["discriminator"]["mapping"][part]}
        elif isinstance(values, list):
            if not isinstance(part, int) or part >= len(values):  # it is too short
                break
            values, node = values[part], _item(node, part)
            names += _entry_name(values, part)
            kept.append(part)
        else:
            values, node = values.get(part) if isinstance(values, dict) else None, _child(node, part)
            names.append(str(part))
            kept.append(part)
    return Place(tuple(kept), ".".join(names), values, node)


def _part_of(union: Node, value: Any) -> Node:
    """Return the part of a union that a mapping or a list belongs to; other values have nothing inside."""
    form = "object" if isinstance(value, dict) else "array"
    return next((one for one in alternatives(union) if one.get("type") == form), {})


def _item(node: Node, index: int) -> Node:
    parts = node.get("prefixItems")
    return parts[min(index, len(parts) - 1)] if parts else node.get("items", {})


def _child(node: Node, key: str | int) -> Node:
    found = node.get("properties", {}).get(key) or node.get("additionalProperties")
    found = found or next(iter(node.get("patternProperties", {}).values()), {})
    if isinstance(found, Mapping) and found.get("additionalProperties") is True:
        return schema()["properties"][key]  # a model's own train and embed: the section of that name
    return found if isinstance(found, Mapping) else {}


def _entry_name(entry: Any, index: int) -> list[str]:
    """Return what an entry of a list is called; one that is told whole has no name."""
    if not isinstance(entry, list | dict):
        return []
    name = entry.get("name") if isinstance(entry, dict) else None
    return [name if isinstance(name, str) else f"entry {index + 1}"]
