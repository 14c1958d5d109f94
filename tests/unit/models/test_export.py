"""A model's two files: there and back, and every way in which they can be wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from platemae.errors import ConfigError, ContractError, MissingError
from platemae.models.export import load_model, save_model
from platemae.models.registry import build

SMALL = {"crop_px": 16, "patch_px": 4, "width": 16, "depth": 2, "heads": 2, "decoder_width": 8, "decoder_depth": 1}
SMALL |= {"decoder_heads": 2}
FACTS = {"kind": "mae", "channels": ["DNA", "ER", "AGP"], "pixel_size_um": 0.6}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "m", build("mae", SMALL, 3, seed=7), FACTS)
    return tmp_path / "m"


def _edit(folder: Path, **changes: Any) -> None:
    facts = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(facts | changes))


def _replace_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, folder / "model.safetensors")
    _edit(folder, weights_sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())


def test_round_trip(folder: Path) -> None:
    crops = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    module, facts = load_model(folder)
    original = build("mae", SMALL, 3, seed=7)
    assert torch.equal(module.embed(crops), original.embed(crops))  # type: ignore[operator]
    assert not module.training
    assert {key: facts[key] for key in FACTS} == FACTS
    assert facts["n_channels"] == 3
    assert facts["architecture"]["width"] == 16
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.safetensors"]


def test_saving_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "again", build("mae", SMALL, 3, seed=7), FACTS)
    for name in ("model.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("facts", [{}, {"kind": "mae", "n_channels": 4}, {"kind": "mae", "loss": float("nan")}])
def test_wrong_facts_write_nothing(facts: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ContractError):
        save_model(tmp_path / "m", build("mae", SMALL, 3), facts)
    assert not list(tmp_path.rglob("*model*"))


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_missing_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(MissingError, match="gone"):
        load_model(folder)


def test_weights_of_another_save(folder: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "other", build("mae", SMALL, 3, seed=8), FACTS)
    (tmp_path / "other" / "model.safetensors").replace(folder / "model.safetensors")
    with pytest.raises(ContractError, match="not the ones"):
        load_model(folder)


def test_a_pickle_under_the_name_of_weights(folder: Path) -> None:
    torch.save(build("mae", SMALL, 3).state_dict(), folder / "model.safetensors")
    _edit(folder, weights_sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())
    with pytest.raises(ContractError, match="safetensors"):
        load_model(folder)


def test_wrong_shapes_and_names_are_listed(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.cls_token"] = torch.zeros(1, 1, 5)
    tensors["extra"] = tensors.pop("decoder.mask_token")
    _replace_weights(folder, tensors)
    with pytest.raises(ContractError) as caught:
        load_model(folder)
    for part in ("lacks decoder.mask_token", "unknown extra", "(1, 1, 5), not (1, 1, 16)"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"kind": "evil"}, {"architecture": {"crop_px": 16, "import": "os"}}, {"architecture": {"width": -4}}]
)
def test_hostile_facts_are_refused(folder: Path, change: dict[str, Any]) -> None:
    _edit(folder, **change)
    with pytest.raises(ConfigError):
        load_model(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": 3}'])
def test_broken_json_is_refused(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    with pytest.raises(ContractError):
        load_model(folder)
