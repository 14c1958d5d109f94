"""Write what the pydantic sections say: the commented config.yaml and the JSON schema."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from platemae.config.allowed import allowed, choices, schema
from platemae.config.sections import LIST_SECTIONS, Config
from platemae.contracts import write_text

HEAD = """\
# yaml-language-server: $schema=workflow/schemas/config.schema.json
# platemae: every scientific knob, grouped by stage, each at its default. Threads, partitions and GPUs belong to
# workflow/profiles. Relative paths start at the folder of the Snakefile. Written by `make config`; a test keeps it
# equal to src/platemae/config/sections/. A file of your own need only name what differs.
"""
NO_BREAK = "\u00a0"
"""A space that no line is broken at."""


def write_documents(folder: Path) -> list[Path]:
    """Write config.yaml and workflow/schemas/config.schema.json below ``folder`` and return their paths."""
    config, schema = folder / "config.yaml", folder / "workflow" / "schemas" / "config.schema.json"
    write_text(config, default_yaml())
    write_text(schema, json.dumps(Config.model_json_schema(), indent=1) + "\n")
    return [config, schema]


def default_yaml() -> str:
    """Return the commented default configuration."""
    config = Config()
    lines = [HEAD]
    for key, info in Config.model_fields.items():
        value = getattr(config, key)
        if key in LIST_SECTIONS:
            lines += ["", *_comment(info.description or ""), f"{key}:", *_entries(value, _classes(info.annotation))]
        elif isinstance(value, BaseModel):
            lines += ["", *_comment((type(value).__doc__ or "").strip()), f"{key}:", *_keys(value, "  ")]
        else:
            lines += [*_comment(info.description or ""), f"{key}: {_scalar(value)}"]
    return "\n".join(lines) + "\n"


def _classes(annotation: Any) -> list[type[BaseModel]]:
    """Return the classes that a list of entries may hold: one, or one a kind."""
    (item,) = get_args(annotation)
    found = [kind for kind in (item, *get_args(item)) if isinstance(kind, type)]
    return found or [kind for union in get_args(item) for kind in get_args(union)]


def _entries(entries: list[BaseModel], classes: list[type[BaseModel]]) -> list[str]:
    """Return the entries; the meaning of each key is given once, above the first entry."""
    shared = [key for key in classes[0].model_fields if _in_all(key, classes)]
    lines = [line for key in shared for line in _comment(f"{key}: {_meaning(classes[0], key, entry=True)}", "  ")]
    for kind in classes[1:] and classes:
        (name,) = get_args(kind.model_fields["kind"].annotation)
        lines += _comment(f"kind {name}: {(kind.__doc__ or '').strip()}", "  ")
        own = [key for key in kind.model_fields if key not in {*shared, "kind"}]
        lines += [line for key in own for line in _comment(f"  {key}: {_meaning(kind, key, entry=True)}", "  ")]
    for entry in entries:
        shown = {
            key: value for key, value in entry.model_dump(mode="json").items() if _worth_showing(entry, key, value)
        }
        lines += [
            f"  {'- ' if i == 0 else '  '}{key}: {_scalar(value)}" for i, (key, value) in enumerate(shown.items())
        ]
    return lines


def _meaning(section: type[BaseModel], key: str, *, entry: bool = False) -> str:
    """Return what a key means, with the words it may be where that does not name them; of an entry the default, too."""
    info = section.model_fields[key]
    meaning, node = info.description or "", schema()["$defs"][section.__name__]["properties"][key]
    unnamed = [word for word in choices(node) if not re.search(rf"\b{re.escape(word)}\b", meaning)]
    told = [allowed(node)] if unnamed else []
    if entry and not info.is_required() and info.default_factory is None and info.default not in (None, ()):
        told.append(f"default:{NO_BREAK}{_scalar(_plain(info.default))}")
    return f"{meaning} ({'; '.join(told)})" if told else meaning


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _in_all(key: str, classes: list[type[BaseModel]]) -> bool:
    return all(key in kind.model_fields for kind in classes) and (key != "kind" or len(classes) == 1)


def _worth_showing(entry: BaseModel, key: str, value: Any) -> bool:
    return value not in (None, {}, []) and (
        key in entry.model_fields_set or value != type(entry).model_fields[key].default
    )


def _keys(section: BaseModel, indent: str) -> list[str]:
    lines = []
    for key, value in section.model_dump(mode="json").items():
        lines += [*_comment(_meaning(type(section), key), indent), f"{indent}{key}: {_scalar(value)}"]
    return lines


def _comment(text: str, indent: str = "") -> list[str]:
    inner = text[: len(text) - len(text.lstrip(" "))]
    lines = textwrap.wrap(text, 118, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# {inner}")
    return [line.replace(NO_BREAK, " ") for line in lines]


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).replace("\n...", "").strip()
