"""Every kind of network that is no ViT: through train_model and embed_plate, as the pipeline runs them."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from platemae.contracts import Manifest
from platemae.errors import MissingError, TrainingError
from platemae.layout import Results
from platemae.making.key import training_key
from platemae.models.export import load_model
from platemae.models.registry import build
from platemae.models.timm_gate import ensure_torchvision_importable
from platemae.stages import embed_plate, train_model

MUNET = {"crop_px": 16, "patch_px": 4, "width": 8, "levels": 2, "convs": 1, "norm_groups": 2}


@pytest.fixture
def results(make_screen) -> Results:
    return make_screen()


def train(results: Results, cfg: dict, model: str = "m") -> Manifest:
    return train_model.run(results, cfg, model=model, threads=1, code="code")


def weights_file(results: Results) -> Path:
    return results.model("m") / "model.safetensors"


def history(results: Results) -> pd.DataFrame:
    return pd.read_parquet(results.model("m") / "history.parquet")


def embed(results: Results, plate: str = "P1", batch: int = 5, **more) -> anndata.AnnData:
    settings = {"tiling": "overlap", "pooling": "mean", "batch": batch}
    cfg = {"embed": settings, "exclude_failed": True} | more
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


WSL = {"crop_px": 16, "stem": 4, "growth": 4, "blocks": "1-1", "embedding": 12}


@pytest.fixture
def wsl_cfg(train_cfg):
    def make(label="perturbation", domain="plate", **train) -> dict:
        cfg = train_cfg("wsl", WSL, **train)
        own = {"preset": "wsl_tiny", "backbone": None, "label": label, "domain": domain}
        return cfg | {"model": cfg["model"] | own}

    return make


def of_domain(*plates: str, exact: bool = False, fields: int = 0) -> dict:
    return {"domain": {"plates": list(plates), "exact": exact, "fields": fields}}


@pytest.mark.parametrize(
    ("kind", "own"),
    [("mae", None), ("camae", None), ("munet", MUNET), ("wsl", WSL)],
)
def test_without_a_step_any_kind_is_the_network_as_it_was_drawn(results, train_cfg, kind, own):
    """The floor of its kind: random weights, its validation loss, no state, and it embeds."""
    cfg = train_cfg(kind, own, steps=0, seed=3)
    cfg["model"] |= {"preset": "tiny" if kind == "mae" else f"{kind}_tiny"}
    cfg["model"] |= {"backbone": None, "label": "perturbation", "domain": "plate"} if kind == "wsl" else {}
    manifest = train(results, cfg)
    facts = load_model(results.model("m"))[1]
    fresh = build(kind, facts["architecture"], 2, seed=3).state_dict()
    assert all(torch.equal(fresh[name], value) for name, value in load_file(weights_file(results)).items())
    assert (manifest.counts["kind"], manifest.counts["steps"], manifest.counts["flops"]) == (kind, 0, 0)
    if kind != "wsl":  # which has no well of validation with a label it knows; others start at the input's variance
        assert manifest.counts["val_mse"] == pytest.approx(manifest.counts["input_variance"], rel=0.1)
    assert [path.name for path in (results.root / "models").iterdir()] == ["m"]
    domain = of_domain("P1") if kind == "wsl" else {}
    assert embed(results, **domain).n_obs == 4


def test_wsl_without_a_step_guesses(results, wsl_cfg):
    """With labels that it knows in the wells of validation: the loss of chance among three classes, near log 3."""
    path = results.dataset("screen")
    table = pd.read_parquet(path)
    table.loc[(table["well"] == "A01") & (table["plate"] == "P2"), "split"] = "validation"
    table.to_parquet(path)
    assert train(results, wsl_cfg(steps=0)).counts["val_loss"] == pytest.approx(np.log(3), rel=0.5)


def test_wsl_says_what_it_learned_from(results, wsl_cfg):
    manifest = train(results, wsl_cfg())
    rows = history(results)
    assert rows["loss"].iloc[0] == pytest.approx(np.log(3), rel=0.3)
    assert rows["mse"].isna().all()
    assert manifest.counts["classes"] == 3
    assert manifest.counts["flops"] > 0
    assert "val_mse" not in manifest.counts
    facts = load_model(results.model("m"))[1]
    assert facts["labels"] == {"of": "perturbation", "domain": "plate", "classes": ["g0", "g1", "g2"]}
    assert np.load(results.model("m") / "reconstructions.npz")["target"].shape == (0, 2, 16, 16)


def test_wsl_validates_on_labels_it_has_seen(results, wsl_cfg):
    relabel(results, {"B02": "g1"})
    counts = train(results, wsl_cfg(steps=4)).counts
    assert counts["val_loss"] > 0
    assert 0 <= counts["val_accuracy"] <= 1


def relabel(results: Results, labels: dict[str, str], plates=("P1", "P2")) -> None:
    for plate in plates:
        fields = pd.read_parquet(results.fields(plate))
        fields["perturbation"] = fields["well"].map(labels).fillna(fields["perturbation"])
        fields.to_parquet(results.fields(plate))


def test_wsl_is_embedded_with_the_statistics_of_its_domain(results, wsl_cfg):
    train(results, wsl_cfg(steps=8))
    plate = embed(results, **of_domain("P1"))
    assert plate.shape == (4, 12)
    np.testing.assert_allclose(embed(results, batch=64, **of_domain("P1")).X, plate.X, atol=1e-5)
    both = embed(results, **of_domain("P1", "P2"))
    assert np.abs(both.X - plate.X).max() > 1e-3
    running = embed(results)
    assert np.abs(running.X - plate.X).max() > 1e-3
    exact = embed(results, **of_domain("P1", exact=True))
    bias = load_model(results.model("m"))[0].neck[5].bias.detach().numpy()
    # The mean over a domain of what a normalisation with its own statistics puts out is its bias.
    np.testing.assert_allclose(exact.X.mean(0), bias, atol=1e-4)
    assert np.abs(running.X.mean(0) - bias).max() > 1e-2
    assert np.corrcoef(exact.X.ravel(), plate.X.ravel())[0, 1] > 0.9


def test_wsl_with_other_labels_is_another_training(results, wsl_cfg):
    first = training_key(results, wsl_cfg())
    assert training_key(results, wsl_cfg(domain="batch")) != first
    relabel(results, {"A02": "g7"})
    assert training_key(results, wsl_cfg()) != first


def test_wsl_needs_two_classes(results, wsl_cfg):
    relabel(results, dict.fromkeys(("A01", "A02", "B01"), "g0"))
    with pytest.raises(TrainingError, match="one perturbation alone: g0"):
        train(results, wsl_cfg())


def test_wsl_goes_on_where_it_was(results, make_screen, wsl_cfg, monkeypatch):
    relabel(results, {"B02": "g1"})
    whole = make_screen("whole")
    relabel(whole, {"B02": "g1"})
    expected = train(whole, wsl_cfg(steps=8)).digest

    def dies(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("platemae.training.loop._Run.validate", dies)
    with pytest.raises(KeyboardInterrupt):
        train(results, wsl_cfg(steps=8))
    monkeypatch.undo()
    assert train(results, wsl_cfg(steps=8)).digest == expected


def pretrained_cfg(train_cfg, **more) -> dict:
    cfg = train_cfg("pretrained", {"crop_px": 16})
    own = {"backbone": "test_vit", "file": "weights.safetensors", "sha256": None}
    return cfg | {"model": cfg["model"] | own | more}


@pytest.fixture
def weights(tmp_path) -> Path:
    """What a release of the backbone looks like: three channels, its own crop, classes."""
    ensure_torchvision_importable()
    from timm import create_model

    path = tmp_path / "weights.safetensors"
    save_file(create_model("test_vit", pretrained=False, num_classes=7).state_dict(), path)
    return path


def test_pretrained_takes_its_weights_and_embeds(results, train_cfg, weights):
    cfg = pretrained_cfg(train_cfg)
    manifest = train_model.run(results, cfg, model="m", threads=1, base=weights.parent)
    assert manifest.counts["steps"] == 0
    assert manifest.counts["flops"] == 0
    module, facts = load_model(results.model("m"))
    assert facts["architecture"] == {"backbone": "test_vit", "crop_px": 16}
    released = load_file(weights)
    assert torch.equal(module.net.blocks[0].mlp.fc1.weight, released["blocks.0.mlp.fc1.weight"])
    assert len(history(results)) == 0
    assert np.load(results.model("m") / "reconstructions.npz")["target"].shape[0] == 0
    data = embed(results)
    assert data.shape == (4, 64)
    np.testing.assert_allclose(embed(results, batch=64).X, data.X, atol=1e-5)
    again = train_model.run(results, cfg, model="m", threads=1, base=weights.parent)
    assert again == manifest


def test_pretrained_without_its_file_leaves_nothing(results, train_cfg, weights):
    weights.unlink()
    with pytest.raises(MissingError, match="weights file is missing"):
        train_model.run(results, pretrained_cfg(train_cfg), model="m", threads=1, base=weights.parent)
    assert not (results.model("m") / "model.json").exists()
