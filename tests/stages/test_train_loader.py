"""How crops are loaded: what changes the weights is in the key, what does not leaves them bit for bit."""

import pandas as pd
import pytest
import torch

from platemae.data.dataset import open_training_set
from platemae.data.node_cache import LIST, NodeCache
from platemae.errors import MachineError
from platemae.layout import Results
from platemae.making.key import training_key
from platemae.models.export import load_model
from platemae.stages.train_model import run
from tests.stages.conftest import add_plate


def trained(results: Results, cfg: dict) -> dict[str, torch.Tensor]:
    run(results, cfg, model="m", threads=1)
    return load_model(results.model("m"))[0].state_dict()


def test_plates_read_from_the_node_give_the_same_weights(make_screen, train_cfg, tmp_path, monkeypatch):
    expected = trained(make_screen("plain"), train_cfg(steps=3))
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "node"))
    results, cfg = make_screen("cached"), train_cfg(steps=3, cache="$NODE_DISK")
    found = trained(results, cfg)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert len(list((tmp_path / "node").rglob(LIST))) == 2
    assert training_key(results, cfg) == training_key(results, train_cfg(steps=3))


def test_copies_stay_for_as_long_as_a_training_reads_them(make_screen, train_cfg, tmp_path):
    results, entry = make_screen(), train_cfg()["model"]
    data = open_training_set(results, entry["dataset"], entry["intensity"], 16, 0, cache=NodeCache(str(tmp_path), 1.0))
    add_plate(results, "P9", seed=9)
    greedy = NodeCache(str(tmp_path), 1e-9)  # has room for a plate when all others are gone, if at all
    assert greedy.path_of(results.store("P9")) == results.store("P9")
    assert len(list(tmp_path.rglob(LIST))) == 2
    del data
    greedy.path_of(results.store("P9"))
    assert not list(tmp_path.rglob(LIST))


def test_a_cache_that_cannot_be_had_is_tried_again_when_it_can(make_screen, train_cfg, tmp_path):
    results = make_screen()
    with pytest.raises(MachineError, match=r"no \$PLATEMAE_NOWHERE here"):
        run(results, train_cfg(steps=2, cache="$PLATEMAE_NOWHERE"), model="m", threads=1)
    run(results, train_cfg(steps=2, cache=str(tmp_path / "node")), model="m", threads=1)


@pytest.mark.parametrize(
    "changed", [{"sampling": "plate"}, {"sampling": "perturbation"}, {"sampling": "plate", "crops_per_field": 4}]
)
def test_sampling_makes_another_training(make_screen, train_cfg, changed):
    results = make_screen()
    plain, cfg = train_cfg(steps=3), train_cfg(steps=3, **changed)
    assert training_key(results, cfg) != training_key(results, plain)
    before, after = trained(results, plain), trained(results, cfg)
    assert any(not torch.equal(after[name], value) for name, value in before.items())


def test_only_sampling_by_perturbation_depends_on_the_layout(make_screen, train_cfg):
    results = make_screen()
    keys = {how: training_key(results, train_cfg(sampling=how)) for how in ("uniform", "plate", "perturbation")}
    fields = pd.read_parquet(results.fields("P1"))
    fields.assign(perturbation="another").to_parquet(results.fields("P1"))
    changed = [how for how, key in keys.items() if training_key(results, train_cfg(sampling=how)) != key]
    assert changed == ["perturbation"]
