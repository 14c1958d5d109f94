"""What the schema allows at a place of the configuration, in words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from platemae.config.sections import Config

Node = Mapping[str, Any]
"""A part of the JSON schema."""

PATTERNS = {
    "^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$": ("a name of letters, digits and . _ @ + -", "names"),
    "^(mean|cls|channelwise|block[1-9][0-9]{0,2})$": ("mean, cls, channelwise, block1 (block2 and so on)", "these"),
    "^[0-9a-fA-F]{64}$": ("64 hexadecimal digits", "these"),
}
"""Pattern of a text -> what it is called, one and many; a test keeps it complete."""
TYPES = {
    "string": ("a text", "texts"),
    "integer": ("a whole number", "whole numbers"),
    "number": ("a number", "numbers"),
    "boolean": ("true or false", "true or false"),
    "null": ("null", "null"),
}
ENTRIES = ("a mapping with a kind", "mappings with a name and a kind")
"""What is told apart by its kind."""
BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


@cache
def schema() -> Node:
    """Return the JSON schema of the whole configuration."""
    return Config.model_json_schema()


def resolved(node: Node) -> Node:
    """Return the definition that a node refers to; of a value that may be null, the node of the value."""
    found = alternatives(node)
    if len(found) == 1:
        node = found[0]
    while "$ref" in node:
        node = schema()["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def alternatives(node: Node) -> list[Node]:
    """Return the parts of a union, null apart; none where there is no union."""
    return [one for one in node.get("anyOf", ()) if one.get("type") != "null"]


def known_keys(node: Node) -> list[str]:
    """Return the keys that a section, or the names that a mapping, may hold; none where any will do."""
    return sorted(node.get("properties", {})) or list(node.get("propertyNames", {}).get("enum", ()))


def kinds(node: Node) -> list[str]:
    """Return the kinds that entries may be of."""
    kind_of = {reference: kind for kind, reference in node["discriminator"]["mapping"].items()}
    return [kind_of[one["$ref"]] for one in node["oneOf"]]


def choices(node: Node) -> list[str]:
    """Return the words that a value may be."""
    if "const" in node:
        return [str(node["const"])]
    return [str(word) for one in (node, *alternatives(node)) for word in one.get("enum", [one.get("const")]) if word]


def allowed(node: Node, *, many: bool = False) -> str:
    """Return what a value may be, such as ``all, or a list of names``.

    Parameters
    ----------
    node
        Where the value stands in the schema.
    many
        Whether to tell it of several values.
    """
    if "anyOf" in node:
        told = [allowed(one, many=many) for one in sorted(node["anyOf"], key=lambda one: not choices(one))]
        return ", or ".join(told)
    node = resolved(node)
    if words := choices(node):
        return ", ".join(words)
    if node.get("type") == "array":
        return _list(node, "lists" if many else "a list")
    if node.get("type") == "object":
        return _mapping(node, "mappings" if many else "a mapping")
    name = (PATTERNS.get(node.get("pattern", "")) or TYPES.get(node.get("type", ""), ENTRIES))[many]
    limits = " and ".join(f"{sign} {node[key]:g}" for key, sign in BOUNDS.items() if key in node)
    return f"{name} {limits}".strip()


def _list(node: Node, name: str) -> str:
    if parts := node.get("prefixItems"):
        return f"{name} of {len(parts)} {allowed(parts[0], many=True)}"
    return f"{name} of {allowed(node['items'], many=True)}"


def _mapping(node: Node, name: str) -> str:
    if keys := node.get("properties"):
        return f"{name} with the keys {', '.join(sorted(keys))}"
    values = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    told = [f" of names to {allowed(value, many=True)}" for value in values if isinstance(value, Mapping)]
    return f"{name}{''.join(told)}"
