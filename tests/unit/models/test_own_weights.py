"""Folders of our own: the weights come back as they went, and a hub takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from platemae.errors import ContractError
from platemae.models.export import save_model
from platemae.models.hub import export_model
from platemae.models.interchange import read_checkpoint
from platemae.models.registry import build
from tests.unit.models.released import FACTS, crops, network, path

__all__ = ["path"]  # the fixture


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    small = {"crop_px": 8, "patch_px": 4, "width": 16, "depth": 1, "heads": 2, "decoder_width": 16, "decoder_depth": 1}
    module = build("camae", small | {"decoder_heads": 2, "cross_heads": 2}, 3, seed=4)
    save_model(tmp_path / "mine", module, FACTS)
    return tmp_path / "mine"


def test_there_and_back(trained: Path, tmp_path: Path) -> None:
    original = read_checkpoint(trained)
    written = export_model(trained, tmp_path / "hub")
    assert sorted(p.name for p in (tmp_path / "hub").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert sorted(written) == sorted((tmp_path / "hub").iterdir())
    back = read_checkpoint(tmp_path / "hub")
    assert torch.equal(network(back).embed(crops(), "channelwise"), network(original).embed(crops(), "channelwise"))
    assert back.facts["pixel_size_um"] == 0.6
    assert back.source["layout"] == "platemae"
    assert network(back).spec == network(original).spec
    again = export_model(trained, tmp_path / "again")
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in written]


def test_an_imported_model_keeps_its_bias_layout_on_the_way_through_our_files(path: Path, tmp_path: Path) -> None:
    imported = read_checkpoint(path)
    save_model(tmp_path / "mine", imported.module, FACTS | {"imported": imported.source})
    export_model(tmp_path / "mine", tmp_path / "hub")
    assert torch.equal(network(read_checkpoint(tmp_path / "hub")).embed(crops()), network(imported).embed(crops()))
    assert imported.source["sha256"] in (tmp_path / "hub" / "README.md").read_text()


def test_the_export_checks_what_it_copies(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="onto itself"):
        export_model(trained, trained)
    (trained / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ContractError, match="not the ones"):
        export_model(trained, tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_a_card_shows_texts_as_texts(trained: Path, tmp_path: Path) -> None:
    facts = json.loads((trained / "model.json").read_text())
    facts["channels"] = [{"name": "a`|\n# <script>", "stain": ""}]
    (trained / "model.json").write_text(json.dumps(facts))
    export_model(trained, tmp_path / "hub")
    assert "`a'/ # <script> ()`" in (tmp_path / "hub" / "README.md").read_text()


def test_own_weights_under_another_name_or_digest(trained: Path) -> None:
    with pytest.raises(ContractError, match="`sha256`"):
        read_checkpoint(trained, "0" * 64)
    (trained / "model.safetensors").rename(trained / "best.safetensors")
    with pytest.raises(ContractError, match=r"called model\.safetensors"):
        read_checkpoint(trained / "best.safetensors")


def test_a_damaged_model_json_is_named(trained: Path) -> None:
    (trained / "model.json").write_text("{")
    with pytest.raises(ContractError, match="not a JSON file"):
        read_checkpoint(trained)


def test_a_hub_takes_the_folder(trained: Path, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    export_model(trained, tmp_path / "hub")
    card = hub.ModelCard.load(tmp_path / "hub" / "README.md")
    assert card.data.library_name == "platemae"
    assert "camae" in card.data.tags

    class Net(torch.nn.Module, hub.PyTorchModelHubMixin):
        """A network that the hub's own code makes from config.json and fills from model.safetensors."""

        def __init__(self, kind: str, architecture: dict[str, Any], n_channels: int, **more: Any) -> None:
            super().__init__()
            for name, child in build(kind, architecture, n_channels).named_children():
                self.add_module(name, child)

    loaded = Net.from_pretrained(tmp_path / "hub", strict=True).state_dict()
    expected = read_checkpoint(trained).module.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
