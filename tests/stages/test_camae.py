"""The channel-agnostic network through training and embedding, and plates that have only some of its stains."""

import anndata
import numpy as np
import pytest
import torch

from platemae.contracts import TRAINED_KINDS
from platemae.errors import ConfigError
from platemae.layout import Results
from platemae.models.export import load_model
from platemae.stages import train_model
from platemae.stages.embed_plate import run as embed_plate
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import PlateStore, StoreChannel

DNA, ACTIN = StoreChannel("DNA", "Hoechst"), StoreChannel("Actin", "Phalloidin")
TINY = {
    "crop_px": 16, "patch_px": 4, "width": 16, "depth": 2, "heads": 2, "layer_scale_init": 1.0,
    "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2, "cross_heads": 2,
}  # fmt: skip


def train(results: Results, train_cfg, **changes):
    cfg = train_cfg("camae", TINY, **changes)
    cfg["model"]["preset"] = "camae_tiny"
    return train_model.run(results, cfg, model="m", threads=1, code="code")


@pytest.fixture
def results(make_screen, train_cfg) -> Results:
    results = make_screen()
    train(results, train_cfg)
    return results


def embed(results: Results, plate: str = "P1", pooling: str = "mean"):
    settings = {"tiling": "overlap", "pooling": pooling, "batch": 16}
    cfg = {"embed": settings, "exclude_failed": True}
    manifest = embed_plate(results, cfg, model="m", plate=plate, threads=1)
    return manifest, anndata.read_h5ad(results.embedding("m", plate))


def test_it_trains_and_shows_what_it_makes_of_hidden_patches(results, train_cfg):
    assert "camae" in TRAINED_KINDS
    manifest = train(results, train_cfg, steps=60, lr=3e-3, fourier_weight=0.0)
    assert manifest.counts["kind"] == "camae"
    assert manifest.counts["val_mse_share"] < 0.97
    module, facts = load_model(results.model("m"))
    assert facts["architecture"]["cross_heads"] == 2
    assert facts["training"]["flops"] == 3 * module.forward_flops(0.75) * 8 * 60
    shown = np.load(results.model("m") / "reconstructions.npz")
    assert shown["target"].shape == shown["masked"].shape == shown["reconstruction"].shape == (12, 2, 16, 16)
    hidden = np.isnan(shown["masked"])
    assert hidden.mean() == pytest.approx(0.75)
    assert len({int(n) for n in hidden.sum((2, 3)).flatten()}) > 1, "channels of a crop hide different numbers"


def test_a_plate_with_some_of_the_stains_is_embedded_and_told(results, write_plate_of):
    whole, _ = embed(results)
    assert "channels_missing" not in whole.counts
    write_plate_of(results, "P1", (StoreChannel("BF", "none"), DNA), seed=1)
    manifest, data = embed(results)
    assert manifest.counts["channels_missing"] == ["Actin"]
    assert any("lacks Actin" in warning for warning in manifest.warnings)
    module, facts = load_model(results.model("m"))
    intensity, store = IntensityMap.from_json(facts["intensity"]), PlateStore(results.store("P1"))
    fields = [intensity.to_uint8range(store.read_field(f"A/1/{i}")[1:], "P1", "b1", ["DNA"]) for i in (0, 1)]
    tiles = [f[:, y : y + 16, x : x + 16] for f in fields for y in (0, 16, 32) for x in (0, 16, 32)]
    expected = module.embed(torch.from_numpy(np.stack(tiles))).detach().mean(0)
    np.testing.assert_allclose(data.X[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "problem"),
    [
        ((DNA, StoreChannel("Actin", "SiR")), "has another stain in Actin"),
        ((DNA, StoreChannel("w2", "F-actin"), StoreChannel("w3", "phalloidin")), "no single channel for Actin"),
        ((StoreChannel("BF", "none"),), "lacks DNA, Actin"),
    ],
)
def test_stains_that_contradict_and_plates_that_share_none_are_refused(results, write_plate_of, channels, problem):
    write_plate_of(results, "P1", channels)
    with pytest.raises(ConfigError, match=problem):
        embed(results)


def test_channelwise_vectors_name_their_channels(results, write_plate_of):
    data = embed(results, pooling="channelwise")[1]
    assert data.shape == (4, 32)
    assert data.var_names[[0, 15, 16, 31]].tolist() == ["m_DNA_0000", "m_DNA_0015", "m_Actin_0000", "m_Actin_0015"]
    mean = embed(results)[1].X
    np.testing.assert_allclose((data.X[:, :16] + data.X[:, 16:]) / 2, mean, rtol=1e-4, atol=1e-5)
    write_plate_of(results, "P1", (DNA,), seed=1)
    with pytest.raises(ConfigError, match="lacks Actin") as error:
        embed(results, pooling="channelwise")
    assert "pooling" in error.value.where
