"""Every kind of network that is no ViT: through train_model and embed_plate, as the pipeline runs them."""

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae.contracts import Manifest
from platemae.layout import Results
from platemae.models.export import load_model
from platemae.stages import embed_plate, train_model

MUNET = {"crop_px": 16, "patch_px": 4, "width": 8, "levels": 2, "convs": 1, "norm_groups": 2}


@pytest.fixture
def results(make_screen) -> Results:
    return make_screen()


def train(results: Results, cfg: dict, model: str = "m") -> Manifest:
    return train_model.run(results, cfg, model=model, threads=1, code="code")


def history(results: Results) -> pd.DataFrame:
    return pd.read_parquet(results.model("m") / "history.parquet")


def embed(results: Results, plate: str = "P1", batch: int = 5, **more) -> anndata.AnnData:
    settings = {"tiling": "overlap", "pooling": "mean", "batch": batch}
    cfg = {"embed": settings, "kind": "", "exclude_failed": True} | more
    embed_plate.run(results, cfg, model="m", plate=plate, threads=1)
    return anndata.read_h5ad(results.embedding("m", plate))


@pytest.fixture
def munet_cfg(train_cfg):
    def make(**train) -> dict:
        cfg = train_cfg("munet", MUNET, **({"mask_ratio": 0.25} | train))
        return cfg | {"model": cfg["model"] | {"preset": "munet_tiny"}}

    return make


def test_munet_learns_and_embeds(results, munet_cfg):
    manifest = train(results, munet_cfg(steps=60, lr=2e-3, validate_every=60))
    losses = history(results)["loss"]
    assert losses.iloc[-1] < 0.8 * losses.iloc[0]
    assert manifest.counts["flops"] > 0
    assert manifest.counts["val_mse_share"] < 1
    shown = np.load(results.model("m") / "reconstructions.npz")
    assert np.isnan(shown["masked"]).mean() == pytest.approx(0.25)
    data = embed(results)
    assert data.shape == (4, 32)
    np.testing.assert_allclose(embed(results, batch=64).X, data.X, atol=1e-5)


def test_munet_goes_on_where_it_was(results, make_screen, munet_cfg, monkeypatch):
    """A training that stopped at a checkpoint ends with the weights of one that did not."""
    whole = make_screen("whole")
    expected = train(whole, munet_cfg(steps=8)).digest

    def dies(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("platemae.training.loop._Run.validate", dies)  # at step 6, after the checkpoint of step 4
    with pytest.raises(KeyboardInterrupt):
        train(results, munet_cfg(steps=8))
    monkeypatch.undo()
    assert train(results, munet_cfg(steps=8)).digest == expected
    assert load_model(results.model("m"))[1]["kind"] == "munet"
