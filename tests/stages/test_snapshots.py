"""Snapshots (`model@step`) and trainings that diverge: rows of their own, whatever came between."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from platemae.errors import ConfigError, DivergedError, MissingError, TrainingError
from platemae.layout import Results
from platemae.making.files import FILES
from platemae.models.export import load_model
from platemae.stages.train_model import run
from platemae.training import loop

STEPS = (3, 8)


def train(results: Results, cfg: dict, model: str = "m", **more):
    return run(results, cfg, model=model, threads=1, code="code", **more)


def weights(results: Results, model: str = "m") -> dict[str, torch.Tensor]:
    return load_model(results.model(model))[0].state_dict()


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def results(make_screen) -> Results:
    return make_screen()


@pytest.fixture
def cfg(train_cfg) -> dict:
    return train_cfg()


def stopped_at(step: int, cfg: dict, results: Results, monkeypatch) -> dict[str, torch.Tensor]:
    """Train until a step and return the weights then: what a snapshot must hold."""
    seen = {}
    update = loop._Run._update

    def looking(self, *arguments):
        if self.step == step:
            seen.update({name: value.clone() for name, value in self.module.state_dict().items()})
            raise KeyboardInterrupt
        return update(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "_update", looking)
        with pytest.raises(KeyboardInterrupt):
            train(results, cfg)
    return seen


def test_a_snapshot_is_the_network_of_its_step(results, make_screen, cfg, monkeypatch):
    manifest = train(results, cfg, snapshots=STEPS)
    for step in STEPS:
        snapshot = train(results, cfg | {"snapshot": step}, f"m@{step}")
        expected = stopped_at(step, cfg, make_screen(f"stopped{step}"), monkeypatch)
        assert equal(weights(results, f"m@{step}"), expected)
        assert snapshot.counts["steps"] == step
        assert snapshot.counts["crops"] == step * 8
        assert snapshot.counts["flops"] * 12 == manifest.counts["flops"] * step
        assert sorted(path.name for path in results.model(f"m@{step}").iterdir()) == sorted(FILES)
        history = pd.read_parquet(results.model(f"m@{step}") / "history.parquet")
        assert history["step"].iloc[-1] == step
        assert history["val_loss"].iloc[-1] == pytest.approx(snapshot.counts["val_loss"], rel=1e-5)


def test_keeping_snapshots_changes_no_weight(results, make_screen, cfg):
    plain = make_screen("plain")
    train(plain, cfg)
    train(results, cfg, snapshots=STEPS)
    assert equal(weights(results), weights(plain))


def test_snapshots_outlive_an_interruption(results, make_screen, cfg, monkeypatch):
    whole = make_screen("whole")
    train(whole, cfg, snapshots=STEPS)
    update = loop._Run._update

    def dies(self, *arguments):  # after the checkpoint of step 4, and the snapshot of step 8: both are passed again
        if self.step == 9 and not (results.root / "died").exists():
            (results.root / "died").touch()
            for newer in self.store.files()[:1]:
                newer.unlink()
            raise KeyboardInterrupt
        return update(self, *arguments)

    monkeypatch.setattr(loop._Run, "_update", dies)
    with pytest.raises(KeyboardInterrupt):
        train(results, cfg, snapshots=STEPS)
    train(results, cfg, snapshots=STEPS)
    for step in STEPS:
        for found in (results, whole):
            train(found, cfg | {"snapshot": step}, f"m@{step}")
        assert equal(weights(results, f"m@{step}"), weights(whole, f"m@{step}"))
    assert equal(weights(results), weights(whole))


def test_a_snapshot_asked_for_too_late_is_told_and_costs_no_training(results, cfg, monkeypatch):
    before = train(results, cfg, snapshots=(3,))
    monkeypatch.setattr("platemae.stages.train_model.train_in_processes", lambda *_: pytest.fail("trained again"))
    assert train(results, cfg, snapshots=(3, 8)) == before
    train(results, cfg | {"snapshot": 3}, "m@3")
    with pytest.raises(MissingError, match="went past step 8") as error:
        train(results, cfg | {"snapshot": 8}, "m@8")
    assert "--model m --retrain" in error.value.remedy
    assert not results.model("m@8").exists()


def test_trained_again_all_snapshots_are_there(results, cfg):
    train(results, cfg)
    train(results, cfg, snapshots=STEPS, retrain=True)
    train(results, cfg | {"snapshot": 8}, "m@8")
    with pytest.raises(ConfigError, match="not alone"):
        train(results, cfg | {"snapshot": 8}, "m@8", retrain=True)


def test_training_again_for_one_model_keeps_the_snapshots_of_another(results, cfg):
    train(results, cfg, snapshots=(3,))
    train(results, cfg, "other", snapshots=(8,), retrain=True)
    for name in ("m@3", "other@8"):
        step = int(name[-1])
        assert train(results, cfg | {"snapshot": step}, name).counts["steps"] == step


def test_a_snapshot_of_other_code_or_of_no_training_is_refused(results, cfg):
    with pytest.raises(MissingError, match="is gone"):
        train(results, cfg | {"snapshot": 3}, "m@3")
    train(results, cfg, snapshots=STEPS)
    with pytest.raises(TrainingError, match="by other code"):
        run(results, cfg | {"snapshot": 3}, model="m@3", threads=1, code="other")


def test_a_snapshot_holds_the_average_where_that_is_exported(results, cfg, monkeypatch):
    seen = {}
    update = loop._Run._update

    def looking(self, *arguments):
        found = update(self, *arguments)
        if self.step == 7:  # the eighth step, just taken
            seen.update({name: value.clone() for name, value in self.network.average.state().items()})
        return found

    monkeypatch.setattr(loop._Run, "_update", looking)
    averaged = cfg | {"train": cfg["train"] | {"ema_decay": 0.9}}
    train(results, averaged, snapshots=STEPS)
    train(results, averaged | {"snapshot": 8}, "m@8")
    found = weights(results, "m@8")
    assert all(torch.equal(found[name], value) for name, value in seen.items())


@pytest.mark.slow
def test_two_processes_keep_the_snapshot_of_one(results, make_screen, cfg):
    alone = make_screen("alone")
    for found, more in ((alone, {}), (results, {"processes": 2})):
        train(found, cfg, snapshots=(8,), **more)
    one, two = (train(found, cfg | {"snapshot": 8}, "m@8").counts for found in (alone, results))
    assert one["steps"] == two["steps"] == 8
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-4)


def test_a_classifier_has_snapshots_with_their_accuracy(results, train_cfg):
    architecture = {"crop_px": 16, "stem": 8, "growth": 4, "blocks": "1", "embedding": 12}
    cfg = train_cfg("wsl", architecture)
    cfg["model"] |= {"preset": "wsl_tiny", "backbone": None, "label": "perturbation", "domain": "plate"}
    train(results, cfg, snapshots=(8,))
    manifest = train(results, cfg | {"snapshot": 8}, "m@8")
    assert manifest.counts["steps"] == 8
    assert manifest.counts["classes"] == 3
    assert load_model(results.model("m@8"))[1]["labels"]["classes"] == ["g0", "g1", "g2"]


# -- divergence -------------------------------------------------------------------------------------------------------


@pytest.fixture
def diverging(monkeypatch):
    """Let the loss of step 5 be no number."""
    losses = loop._Run._gradients

    def bad(self, *arguments):
        found = losses(self, *arguments)
        return found * float("nan") if self.step == 5 else found

    monkeypatch.setattr(loop._Run, "_gradients", bad)


@pytest.mark.usefixtures("diverging")
def test_a_recorded_divergence_is_a_model_of_the_last_good_step(results, make_screen, cfg, monkeypatch):
    expected = stopped_at(5, cfg, make_screen("stopped"), monkeypatch)
    with pytest.raises(DivergedError):
        train(results, cfg)
    recording = cfg | {"train": cfg["train"] | {"on_divergence": "record"}}
    manifest = train(results, recording, snapshots=STEPS)
    assert (manifest.counts["diverged_at"], manifest.counts["steps"], manifest.counts["crops"]) == (5, 5, 40)
    assert any("diverged at step 5" in warning for warning in manifest.warnings)
    assert equal(weights(results), expected)
    later = train(results, recording | {"snapshot": 8}, "m@8")
    assert (later.digest, later.counts["diverged_at"]) == (manifest.digest, 5)


@pytest.mark.usefixtures("diverging")
def test_without_recording_a_divergence_is_an_error(results, cfg):
    for _ in range(2):
        with pytest.raises(DivergedError):
            train(results, cfg)
    assert not results.model("m").exists()


def test_what_happens_at_a_divergence_is_no_other_training(results, cfg):
    first = train(results, cfg)
    states = sorted((results.root / "models" / ".state").iterdir())
    assert train(results, cfg | {"train": cfg["train"] | {"on_divergence": "record"}}) == first
    assert sorted((results.root / "models" / ".state").iterdir()) == states


def test_facts_tell_gradient_norms_and_spikes(results, cfg):
    counts = train(results, cfg).counts
    history = pd.read_parquet(results.model("m") / "history.parquet")
    assert counts["grad_norm_max"] == pytest.approx(history["grad_norm_max"].max(), rel=1e-5)
    assert counts["grad_norm_median"] == pytest.approx(np.median(history["grad_norm"]), rel=1e-5)
    assert counts["loss_spikes"] == 0
    assert (history["loss_max"] >= history["loss"]).all()
    assert "diverged_at" not in json.loads((results.model("m") / "model.json").read_text())["training"]
