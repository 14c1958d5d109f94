"""train_model: the files of a model, and what they say of it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from platemae.fingerprint import PACKAGE, import_closure
from platemae.making.files import FILES
from platemae.making.key import training_key
from platemae.models.export import load_model
from platemae.models.normalise import standardise
from platemae.models.registry import build
from platemae.models.settings import architecture
from tests.stages.trainings import results, states, train, weights

__all__ = ["results"]  # the fixture


def test_files_facts_and_manifest(results, train_cfg):
    manifest = train(results, train_cfg())
    folder = results.model("m")
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    facts = json.loads((folder / "model.json").read_text())
    assert facts["channels"] == [{"name": "DNA", "stain": "Hoechst"}, {"name": "Actin", "stain": "Phalloidin"}]
    assert facts["pixel_size_um"] == 0.5
    assert facts["intensity"]["pooled"]["DNA"] == [400.0, 9000.0]
    assert facts["training"]["crops"] == 96
    assert facts["training"]["flops"] > 0
    history = pd.read_parquet(folder / "history.parquet")
    assert history["step"].tolist()[-1] == 12
    assert history["val_loss"].notna().sum() == 2
    assert manifest.counts["val_loss"] == pytest.approx(history["val_loss"].iloc[-1], rel=1e-5)
    assert 0.3 < manifest.counts["val_mse_share"] < 3
    assert train(results, train_cfg()).digest == manifest.digest


def test_reconstructions_show_what_was_hidden(results, train_cfg):
    train(results, train_cfg())
    shown = np.load(results.model("m") / "reconstructions.npz")
    target, masked, reconstruction = (shown[name] for name in ("target", "masked", "reconstruction"))
    assert target.shape == masked.shape == reconstruction.shape == (12, 2, 16, 16)
    np.testing.assert_allclose(target.mean((2, 3)), 0, atol=1e-4)
    hidden = np.isnan(masked)
    assert hidden.mean() == pytest.approx(0.75)
    assert np.array_equal(masked[~hidden], target[~hidden])
    assert np.array_equal(reconstruction[~hidden], target[~hidden])


def test_input_variance_is_that_of_the_standardised_validation_crops(results, train_cfg):
    counts = train(results, train_cfg()).counts
    shown = torch.from_numpy(np.load(results.model("m") / "reconstructions.npz")["target"])
    # Noise of 20 counts in a range of 8600 is far above the epsilon of the standardisation.
    assert counts["input_variance"] == pytest.approx(float(standardise(shown * 255).square().mean()), abs=0.02)


def test_other_settings_have_another_state(results, train_cfg):
    train(results, train_cfg(steps=2))
    train(results, train_cfg(steps=3))
    assert len(states(results)) == 2
    cfg = train_cfg(steps=3)
    assert training_key(results, cfg) == training_key(results, train_cfg(steps=3, checkpoint_steps=1, validate_every=1))
    assert training_key(results, cfg) != training_key(results, train_cfg(steps=3, flip=False))


def test_untrained_is_the_network_before_its_first_step(results, train_cfg):
    cfg = train_cfg("untrained")
    manifest = train(results, cfg)
    assert manifest.counts["steps"] == 0
    spec = architecture(cfg["model"]["preset"], **cfg["model"]["architecture"]).to_dict()
    fresh = build("mae", spec, 2, seed=0).state_dict()
    assert all(torch.equal(fresh[name], tensor) for name, tensor in weights(results).items())
    assert [p.name for p in (results.root / "models").iterdir()] == ["m"]
    assert train(results, train_cfg("untrained", seed=1), model="other").digest != manifest.digest
    assert train(results, cfg).digest == manifest.digest


def test_tile_pca(results, train_cfg):
    cfg = train_cfg("tile_pca", {"crop_px": 16, "tile_px": 8, "components": 6})
    manifest = train(results, cfg)
    assert manifest.counts["kind"] == "tile_pca"
    assert 0 < manifest.counts["variance_share"] <= 1
    module, facts = load_model(results.model("m"))
    assert facts["architecture"] == {"crop_px": 16, "tile_px": 8, "components": 6}
    assert module.embed(torch.rand(3, 2, 16, 16) * 255).shape == (3, 12)
    assert train(results, cfg).digest == manifest.digest
    shown = np.load(results.model("m") / "reconstructions.npz")
    residual = np.mean((shown["target"] - shown["reconstruction"]) ** 2)
    assert residual < np.mean(shown["target"] ** 2)


def test_the_code_of_a_model_is_its_own_and_holds_no_page():
    closure = import_closure("platemae.stages.train_model", ("mae",), PACKAGE)
    assert {"platemae.making.make", "platemae.training.loop", "platemae.models.mae"} <= set(closure)
    assert not [name for name in closure if name.startswith(("platemae.live", "platemae.models.munet"))]


def test_the_page_is_found_beside_the_log_and_changes_no_weight(make_screen, train_cfg, monkeypatch):
    watched, alone = make_screen("watched"), make_screen("alone")
    monkeypatch.setattr("platemae.live.watch.EVERY_SECONDS", 0.0)
    cfg = train_cfg(checkpoint_steps=4)
    cfg["model"]["name"] = "<i>"
    first = train(watched, cfg)
    link = watched.root / "logs/train_model/m.html"
    text = link.read_text()
    assert link.resolve() == (states(watched)[0] / "training.html").resolve()
    assert "Finished" in text
    assert "&lt;i&gt;" in text
    assert "<i>" not in text
    assert text.count("<img") == 3
    monkeypatch.setattr("platemae.making.make.crops_so_far", lambda model: None)
    assert train(alone, cfg).digest == first.digest


def test_cost_is_in_the_facts_and_not_in_the_manifest(results, train_cfg):
    manifest = train(results, train_cfg())
    facts = json.loads((results.model("m") / "model.json").read_text())["training"]
    assert facts["gpu_hours"] == 0
    assert 0 < facts["core_hours"] < 0.1
    assert facts["attempts"] == 1
    assert not {"gpu_hours", "core_hours", "attempts", "seconds"} & manifest.counts.keys()
