"""Models from files: ours and the released layout, in the channels of the screen, with the map of the screen."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from platemae.errors import ConfigError, ContractError
from platemae.fingerprint import PACKAGE, import_closure
from platemae.layout import Results
from platemae.models.export import load_model
from platemae.models.interchange import from_released, released_shapes
from platemae.models.positions import sincos_positions
from platemae.models.registry import build
from platemae.stages import train_model
from platemae.stages.embed_plate import run as embed_plate

TINY = {
    "crop_px": 16, "patch_px": 4, "width": 16, "depth": 2, "heads": 2, "layer_scale_init": 1.0,
    "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2, "cross_heads": 2,
}  # fmt: skip


@pytest.fixture
def results(make_screen) -> Results:
    return make_screen()


def take(results: Results, train_cfg, file, model: str = "imported", sha256=None, base=None):
    cfg = train_cfg("checkpoint", {})
    cfg["model"] |= {"file": str(file), "sha256": sha256}
    arguments = {} if base is None else {"base": base}
    return train_model.run(results, cfg, model=model, threads=1, **arguments)


def embed(results: Results, model: str, **more) -> np.ndarray:
    settings = {"tiling": "overlap", "pooling": "mean", "batch": 16} | more
    cfg = {"embed": settings, "exclude_failed": True}
    embed_plate(results, cfg, model=model, plate="P1", threads=1)
    return anndata.read_h5ad(results.embedding(model, "P1")).X


def released(path, n_channels: int) -> dict[str, torch.Tensor]:
    """A file in the released layout, with weights made here."""
    spec = TINY | {"width": 16, "bias_layout": "shifted", "decoder_heads": 16, "cross_heads": 8}
    network, source = build("camae", spec, n_channels), torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(shape, generator=source) * 0.3
        for name, shape in released_shapes(network, 1 + 11 * 16).items()
    }
    patches = sincos_positions(4, 16)[:, 1:]
    for name, times in (("encoder.vit_backbone.pos_embed", 11), ("decoder.pos_embeddings", n_channels)):
        tensors[name] = torch.cat([torch.zeros(1, 1, 16), *[patches] * times], 1)
    save_file(tensors, path)
    return tensors


@pytest.mark.parametrize("kind", ["mae", "camae", "tile_pca"])
def test_a_model_of_ours_embeds_as_where_it_was_trained(results, train_cfg, kind):
    spec = {k: v for k, v in TINY.items() if k != "cross_heads" or kind == "camae"}
    spec = {"crop_px": 16, "tile_px": 8, "components": 6} if kind == "tile_pca" else spec
    cfg = train_cfg(kind, spec, steps=3)
    cfg["model"]["preset"] = "camae_tiny" if kind == "camae" else "tiny"
    first = train_model.run(results, cfg, model="m", threads=1, code="code")
    manifest = take(results, train_cfg, results.model("m").name, base=results.root / "models")
    assert manifest.counts["kind"] == kind
    assert {k: manifest.counts[k] for k in ("crops", "steps")} == {k: first.counts[k] for k in ("crops", "steps")}
    assert np.array_equal(embed(results, "imported"), embed(results, "m"))
    for name in ("reconstructions.npz", "history.parquet"):
        assert (results.model("imported") / name).is_file()
    assert take(results, train_cfg, results.model("m")).digest == manifest.digest


def test_the_channels_of_the_file_are_found_by_stain(results, train_cfg):
    train_model.run(results, train_cfg("untrained"), model="m", threads=1)
    expected = embed(results, "m")
    facts = json.loads((results.model("m") / "model.json").read_text())
    names = [{"name": "w1", "stain": "DAPI"}, {"name": "w2", "stain": "F-actin"}]
    (results.model("m") / "model.json").write_text(json.dumps(facts | {"channels": names, "pixel_size_um": 0.25}))
    take(results, train_cfg, results.model("m"))
    taken = load_model(results.model("imported"))[1]
    assert [c["name"] for c in taken["channels"]] == ["DNA", "Actin"]
    assert taken["pixel_size_um"] == 0.25, "that of the training"
    assert np.array_equal(embed(results, "imported", pixel_size="ignore"), expected)
    lacking = [*names, {"name": "w3", "stain": "ConA"}]
    (results.model("m") / "model.json").write_text(json.dumps(facts | {"channels": lacking}))
    with pytest.raises(ConfigError, match=r"looks at w1 .*w3 .*the dataset has DNA"):
        take(results, train_cfg, results.model("m"))


@pytest.mark.parametrize("n_channels", [2, 6])
def test_the_released_layout_takes_the_channels_of_the_screen(results, train_cfg, tmp_path, n_channels):
    tensors = released(tmp_path / "model.safetensors", n_channels)
    manifest = take(results, train_cfg, "model.safetensors", base=tmp_path)
    assert manifest.counts["channels"] == ["DNA", "Actin"]
    history = pd.read_parquet(results.model("imported") / "history.parquet")
    shown = np.load(results.model("imported") / "reconstructions.npz")["target"]
    assert history["val_mse"].notna().all() == (n_channels == 2), "a decoder has a stack for each of its channels alone"
    assert shown.shape == ((12 if n_channels == 2 else 0), 2, 16, 16)
    expected = from_released(tensors, tmp_path)
    module, facts = load_model(results.model("imported"))
    assert facts["imported"]["layout"] == "openphenom"
    assert facts["architecture"]["bias_layout"] == "shifted"
    x = torch.rand(3, 2, 16, 16) * 255
    assert torch.equal(module.embed(x), expected.embed(x))
    with pytest.raises(ConfigError, match="pixel size of the model is not known"):
        embed(results, "imported")
    assert np.isfinite(embed(results, "imported", pixel_size="ignore")).all()


def test_a_damaged_file_leaves_no_model(results, train_cfg, tmp_path):
    released(tmp_path / "w.safetensors", 2)
    with pytest.raises(ContractError, match="sha256"):
        take(results, train_cfg, tmp_path / "w.safetensors", sha256="0" * 64)
    (tmp_path / "w.safetensors").write_bytes(b"PK\x03\x04torn")
    with pytest.raises(ContractError, match="whole file"):
        take(results, train_cfg, tmp_path / "w.safetensors")
    assert not results.model("imported").exists()


def test_the_importer_is_code_of_its_own_models_alone():
    taken = import_closure("platemae.stages.train_model", ("checkpoint",), PACKAGE)
    trained = import_closure("platemae.stages.train_model", ("mae",), PACKAGE)
    assert {"platemae.models.interchange", "platemae.models.weights_file"} <= set(taken)
    assert "platemae.models.interchange" not in trained
