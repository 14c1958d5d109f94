"""What pydantic refuses of a configuration, in the words of the file: entries by name, and the key that was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from platemae.config.sections import Config
from platemae.errors import ConfigError

Loc = tuple[str | int, ...]
"""Keys and indices from the top of the file to a value, as pydantic tells them."""


def wrong_value(item: Mapping[str, Any], values: Mapping[str, Any], where: str) -> ConfigError:
    """Return one refusal of pydantic as an error.

    Parameters
    ----------
    item
        One of ``ValidationError.errors()``.
    values
        The configuration that was refused.
    where
        Its file.
    """
    kind, loc = item["type"], item["loc"]
    if kind == "extra_forbidden":
        known = _known_keys(loc)
        section = _place(loc[:-1], values)
        what = f"unknown key {_place(loc, values)}{_meant(str(loc[-1]), known)}"
        return ConfigError(what, where, f"allowed {f'in {section}' if section else 'here'}: {', '.join(known)}")
    if kind in ("literal_error", "union_tag_invalid"):
        key, said = _place(loc, values), item["input"]
        if kind == "union_tag_invalid":
            key, said = f"{key}.kind", item["ctx"]["tag"]
        known = re.findall(r"'([^']*)'", item["ctx"].get("expected") or item["ctx"]["expected_tags"])
        return ConfigError(f"{key}: there is no {said}{_meant(str(said), known)}", where, f"{key}: {', '.join(known)}")
    says = "kind is missing" if kind == "union_tag_not_found" else str(item["msg"]).removeprefix("Value error, ")
    return ConfigError(f"{_place(loc, values) or '(top level)'}: {says}", where, "see the comments in config.yaml")


def _meant(said: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(said, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _place(loc: Loc, values: Any) -> str:
    """Return where a value stands: entries of lists by their name, and without the kind that pydantic puts between."""
    parts: list[str] = []
    for part in loc:
        if isinstance(part, int) and isinstance(values, list):
            values = values[part]
            name = values.get("name") if isinstance(values, dict) else None
            if not isinstance(values, str):  # which is told itself
                parts.append(name if isinstance(name, str) else f"entry {part + 1}")
        elif not (isinstance(values, dict) and part not in values and part == values.get("kind")):
            values = values.get(part) if isinstance(values, dict) else None
            parts.append(str(part))
    return ".".join(parts)


def _known_keys(loc: Loc) -> list[str]:
    """Return the keys allowed beside the unknown one, found by walking the schema."""
    schema = Config.model_json_schema()
    node: dict[str, Any] = schema
    for part in loc[:-1]:
        if isinstance(part, int):
            node = node.get("items", {})
        elif "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        else:
            node = node.get("properties", {}).get(part, {})
            if "additionalProperties" in node:  # a model's own train and embed: keys of the section of that name
                node = schema["properties"].get(part, node)
        node = next((one for one in node.get("anyOf", []) if "$ref" in one), node)
        while "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return sorted(node.get("properties", {}))
