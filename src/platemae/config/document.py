"""Write what the pydantic sections say: the commented config.yaml and the JSON schema."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from platemae.config.sections import LIST_SECTIONS, Config
from platemae.contracts import write_text

HEAD = """\
# yaml-language-server: $schema=workflow/schemas/config.schema.json
# platemae: every scientific knob, grouped by stage, each at its default. Threads, partitions and GPUs belong to
# workflow/profiles. Relative paths start at the folder of the Snakefile. Written by `make config`; a test keeps it
# equal to src/platemae/config/sections/. A file of your own need only name what differs.
"""


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
    shared = {key: info for key, info in classes[0].model_fields.items() if _in_all(key, classes)}
    lines = [line for key, info in shared.items() for line in _comment(f"{key}: {info.description}", "  ")]
    for kind in classes[1:] and classes:
        (name,) = get_args(kind.model_fields["kind"].annotation)
        lines += _comment(f"kind {name}: {(kind.__doc__ or '').strip()}", "  ")
        own = {key: info for key, info in kind.model_fields.items() if key not in {*shared, "kind"}}
        lines += [line for key, info in own.items() for line in _comment(f"  {key}: {info.description}", "  ")]
    for entry in entries:
        shown = {
            key: value for key, value in entry.model_dump(mode="json").items() if _worth_showing(entry, key, value)
        }
        lines += [
            f"  {'- ' if i == 0 else '  '}{key}: {_scalar(value)}" for i, (key, value) in enumerate(shown.items())
        ]
    return lines


def _in_all(key: str, classes: list[type[BaseModel]]) -> bool:
    return all(key in kind.model_fields for kind in classes) and (key != "kind" or len(classes) == 1)


def _worth_showing(entry: BaseModel, key: str, value: Any) -> bool:
    return value not in (None, {}, []) and (
        key in entry.model_fields_set or value != type(entry).model_fields[key].default
    )


def _keys(section: BaseModel, indent: str) -> list[str]:
    lines = []
    for key, value in section.model_dump(mode="json").items():
        info = type(section).model_fields[key]
        lines += [*_comment(info.description or "", indent), f"{indent}{key}: {_scalar(value)}"]
    return lines


def _comment(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, 118, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).replace("\n...", "").strip()
