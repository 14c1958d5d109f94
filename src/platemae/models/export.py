"""A trained network as two files, ``model.safetensors`` and ``model.json``, and back.

The files may come from anywhere: nothing in them is executed, and every claim is checked before use.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from platemae.errors import ContractError, MissingError
from platemae.models.registry import build

WEIGHTS, FACTS = "model.safetensors", "model.json"
SCHEMA = 1
_OWN_KEYS = ("schema", "architecture", "n_channels", "weights_sha256")


def save_model(folder: Path, module: nn.Module, facts: dict[str, Any]) -> None:
    """Write weights and facts, each to a temporary sibling that is then renamed.

    Parameters
    ----------
    folder
        Made when absent.
    module
        A network of ``registry.build``; ``architecture()`` and ``n_channels`` say how to build it again.
    facts
        ``kind`` and whatever else belongs to the model: channels by stain, pixel size, intensity map, training facts.
        JSON values only.

    Raises
    ------
    ContractError
        If the facts lack the kind, use a key of the file's own or are no JSON.
    """
    taken = sorted(set(facts) & set(_OWN_KEYS))
    if taken or "kind" not in facts:
        what = f"facts use the reserved keys {taken}" if taken else "facts lack the key 'kind'"
        raise ContractError(what, str(folder / FACTS), "Correct the facts given to save_model.")
    folder.mkdir(parents=True, exist_ok=True)
    weights, record = folder / f".{WEIGHTS}.{os.getpid()}", folder / f".{FACTS}.{os.getpid()}"
    try:
        save_file({name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}, weights)
        own = {
            "schema": SCHEMA,
            "architecture": module.architecture(),  # type: ignore[operator]
            "n_channels": module.n_channels,
            "weights_sha256": _sha256(weights),
        }
        record.write_text(_to_json(facts | own, folder / FACTS), encoding="utf-8")
        weights.replace(folder / WEIGHTS)
        record.replace(folder / FACTS)
    finally:
        weights.unlink(missing_ok=True)
        record.unlink(missing_ok=True)


def load_model(folder: Path, facts_name: str = FACTS) -> tuple[nn.Module, dict[str, Any]]:
    """Read a network, in evaluation mode on the CPU, and its facts.

    Parameters
    ----------
    folder
        Where ``model.safetensors`` lies.
    facts_name
        The file with its facts beside it.

    Raises
    ------
    MissingError
        If a file is absent.
    ContractError
        If a file is damaged, the two do not belong together, or the weights do not fit the architecture.
    ConfigError
        If the kind or the architecture is unknown or wrong.
    """
    facts = _read_facts(folder / facts_name)
    tensors = _read_weights(folder / WEIGHTS, facts["weights_sha256"])
    module = build(facts["kind"], facts["architecture"], facts["n_channels"])
    check_fit({name: t.shape for name, t in module.state_dict().items()}, tensors, folder / WEIGHTS)
    module.load_state_dict(tensors)
    return module.eval(), facts


def _to_json(values: dict[str, Any], where: Path) -> str:
    try:
        return json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ContractError(f"facts are no JSON: {error}", str(where), "Give finite numbers, text, lists.") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingError("the model's facts are gone", str(path), "Train or export the model again.")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ContractError(f"not a JSON file: {error}", str(path), "Export the model again.") from error
    expected = {"kind": str, "architecture": dict, "n_channels": int, "weights_sha256": str, "schema": int}
    wrong = [k for k, t in expected.items() if not isinstance(facts, dict) or not isinstance(facts.get(k), t)]
    if wrong or facts["schema"] != SCHEMA:
        what = f"keys missing or of the wrong type: {', '.join(wrong)}" if wrong else f"schema {facts['schema']}"
        raise ContractError(what, str(path), f"This version reads schema {SCHEMA}; export the model again.")
    return facts


def _read_weights(path: Path, digest: str) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise MissingError("the model's weights are gone", str(path), "Train or export the model again.")
    if _sha256(path) != digest:
        what = f"the weights are not the ones that {FACTS} describes"
        raise ContractError(what, str(path), "Copy both files of one export, or export the model again.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ContractError(f"not a safetensors file: {error}", str(path), "Export the model again.") from error


def check_fit(expected: dict[str, torch.Size], tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Check that a file has all expected tensors, in their shapes, and no others.

    Raises
    ------
    ContractError
        Naming the first five problems.
    """
    missing = [f"lacks {name}" for name in expected if name not in tensors]
    foreign = [f"has the unknown {name}" for name in tensors if name not in expected]
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(shape)}"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]
    problems = missing + foreign + shapes
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        what = f"the weights do not fit the architecture: {'; '.join(problems[:5])}{more}"
        raise ContractError(what, str(path), "Use the files of one export, unchanged.")
