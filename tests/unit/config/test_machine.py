"""Keys that move a result by rounding at most are handed over beside the slices; models of one training are known."""

import pytest

from platemae.config import Config, machine_config, stage_config, with_machine
from platemae.config.machine import earlier_twins, shared_snapshots
from platemae.config.plates import Plate
from platemae.config.sections import EmbedSection, TrainSection
from platemae.contracts import MACHINE_KEYS
from platemae.data.groups import SAMPLING_KEYS
from platemae.making.key import settings_of

PLATES = [Plate("P1", "b1", "synthetic", "P1", "layout.tsv")]
NET = {"kind": "mae", "dataset": "screen", "intensity": "controls"}
OTHER = {
    "steps": 7,
    "global_batch": 32,
    "lr": 0.5,
    "weight_decay": 0.5,
    "betas": (0.5, 0.5),
    "warmup_fraction": 0.5,
    "mask_ratio": 0.5,
    "fourier_weight": 0.5,
    "fourier_layout": "image",
    "fourier_norm": "l2",
    "clip_norm": 0.5,
    "ema_decay": 0.5,
    "device": "cpu",
    "accumulate": 2,
    "activation_checkpointing": True,
    "compile": True,
    "sharding": "ddp",
    "precision": "float32",
    "seed": 7,
    "checkpoint_steps": 7,
    "validate_every": 7,
    "on_divergence": "record",
    "flip": False,
    "sampling": "plate",
    "crops_per_field": 2,
    "cache": "/tmp",
    "cache_gb": 7,
}


def jobs(**sections):
    config = Config(models=[NET | {"name": "m"}], **sections)
    names = {"train_model": {"model": "m"}, "embed_plate": {"model": "m", "plate": "P1"}}
    return {stage: (stage_config, machine_config, config, PLATES, stage, where) for stage, where in names.items()}


def read(job):
    cut, beside, *rest, where = job
    return cut(*rest, **where), beside(*rest, **where)


@pytest.mark.parametrize(
    ("stage", "section", "values"),
    [
        ("train_model", "train", {key: OTHER[key] for key in MACHINE_KEYS["train_model"][1]}),
        ("embed_plate", "embed", {"batch": 7}),
    ],
)
def test_what_belongs_to_the_machine_is_in_no_slice_and_reaches_the_job(stage, section, values):
    assert set(values) == set(MACHINE_KEYS[stage][1])
    (before, _), (cut, beside) = read(jobs()[stage]), read(jobs(**{section: values})[stage])
    assert cut == before
    assert beside == {section: values}
    kind = {"train": TrainSection, "embed": EmbedSection}[section]
    whole = with_machine(cut, beside)[section]
    assert values.items() <= whole.items()
    if section == "train":
        assert set(whole) == set(kind.model_fields)


@pytest.mark.parametrize("key", list(TrainSection.model_fields))
def test_models_share_a_training_where_its_key_is_the_same(key):
    """What the key holds is read from the loop's own settings and the sampler's."""
    values = [TrainSection(**changes).model_dump() for changes in ({}, {key: OTHER[key]})]
    keys = [settings_of(v).identity() | {k: v[k] for k in SAMPLING_KEYS} for v in values]
    models = [NET | {"name": "one"}, NET | {"name": "two", "train": {key: OTHER[key]}}]
    twins = earlier_twins(Config(models=models), PLATES)
    assert twins == ({"two": "one"} if keys[0] == keys[1] else {})


def test_twins_follow_each_other_in_the_order_of_the_configuration():
    names = {"b": {}, "a": {"embed": {"tiling": "reflect"}}, "other": {"preset": "vit_s16"}, "c": {}}
    assert earlier_twins(Config(models=[NET | {"name": n} | more for n, more in names.items()]), PLATES) == {
        "a": "b",
        "c": "a",
    }


def test_whichever_of_them_trains_keeps_the_snapshots_of_all():
    steps = {"one": [20], "two": [5, 20], "other": [7], "three": []}
    entries = [NET | {"name": name, "snapshots": kept} for name, kept in steps.items()]
    entries[2]["preset"] = "vit_s16"
    config = Config(models=entries)
    twins = earlier_twins(config, PLATES)
    kept = {name: shared_snapshots(config, twins, name) for name in steps}
    assert kept == {"one": [5, 20], "two": [5, 20], "three": [5, 20], "other": [7]}


def test_models_that_are_not_optimised_share_nothing():
    models = [{"name": name, "kind": "profiles", "source": "well_position"} for name in "ab"]
    models += [NET | {"name": name, "kind": "untrained"} for name in "cd"]
    models += [NET | {"name": name, "train": {"steps": 0}} for name in "ef"]
    assert earlier_twins(Config(models=models), PLATES) == {}
