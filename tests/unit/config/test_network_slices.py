"""What jobs read for kinds of network beside the MAE: their own keys, and no other kind's."""

import pytest

from platemae.config import Config, load_config, stage_config
from platemae.config.chosen_plates import unit_plates
from platemae.config.plates import Plate
from platemae.config.slices import training_sets
from platemae.errors import ConfigError

PLATES = [Plate(p, b, "synthetic", p, "layout.tsv") for p, b in (("P1", "b1"), ("P2", "b1"), ("P3", "b2"))]
DATA = {"dataset": "screen", "intensity": "controls"}


def slices(stage, embed=None, sections=None, **entry):
    config = Config(models=[DATA | {"name": "m"} | entry], embed=embed or {}, **(sections or {}))
    wildcards = {"embed_plate": {"plate": "P2"}, "score_map": {"correction": "tvn"}}.get(stage, {})
    return stage_config(config, PLATES, stage, model="m", **wildcards)


def test_a_munet_masks_a_quarter_unless_told_otherwise():
    assert slices("train_model", kind="munet")["train"]["mask_ratio"] == 0.25
    assert slices("train_model", kind="munet", train={"mask_ratio": 0.75})["train"]["mask_ratio"] == 0.75
    assert slices("train_model", kind="mae")["train"]["mask_ratio"] == 0.75


@pytest.mark.parametrize(("domain", "plates"), [("plate", ["P2"]), ("batch", ["P1", "P2"])])
def test_a_domain_is_a_plate_or_all_plates_of_its_batch(domain, plates):
    found = slices("embed_plate", kind="wsl", domain=domain, embed={"domain_exact": True, "domain_fields": 7})
    assert found["domain"] == {"plates": plates, "exact": True, "fields": 7}
    of_cells = slices("embed_plate", kind="wsl", domain=domain, embed={"rows": "cell", "tiling": "drop"})
    assert of_cells["embed"]["tiling"] == "drop", "the domain's statistics are those of tiles"


def test_without_a_domain_there_are_no_statistics_to_take():
    assert "domain" not in slices("embed_plate", kind="wsl", domain="none")
    assert slices("embed_plate", kind="mae") == slices("embed_plate", kind="mae", embed={"domain_exact": True})


def test_labels_belong_to_the_classifier_alone():
    assert slices("train_model", kind="wsl", label="gene")["model"]["label"] == "gene"
    assert slices("train_model", kind="mae") == slices("train_model", kind="mae", label="gene", domain="batch")


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("wsl", {"dataset": "screen", "label": "perturbation"}),
        ("mae", {"dataset": "screen", "label": None}),
        ("untrained", "none"),
        ("pretrained", "none"),
    ],
)
def test_scores_look_up_what_training_saw(kind, seen):
    assert slices("score_map", kind=kind)["overlap"] == seen


def test_of_a_table_made_elsewhere_nobody_knows_what_its_training_saw():
    table = {"kind": "profiles", "source": "table", "table": "x.csv", "dataset": None, "intensity": None}
    assert slices("score_map", **table)["overlap"] == "unknown"
    assert slices("score_map", **(table | {"source": "well_position", "table": None}))["overlap"] == "none"


def test_labels_are_looked_up_where_they_were_learned_or_held_out():
    def looked_up(stage, **entry):
        config = Config(models=[DATA | {"name": "m"} | entry], **sections)
        return training_sets(config, PLATES, stage, model="m", correction="tvn")

    sections = {}
    assert looked_up("score_map", kind="mae") == [("screen", [])]
    assert looked_up("score_map", kind="wsl") == [("screen", ["P1", "P2", "P3"])]
    assert looked_up("score_map", kind="untrained") == looked_up("build_map", kind="mae") == []
    for by, plates in (("plate", []), ("gene", ["P1", "P2"])):
        held = {"name": "part", "plates": ["P2", "P1"], "hold_out": {"by": by, "fraction": 0.5}}
        sections = {"datasets": [{"name": "screen"}, held], "map": {"held_out_of": "part"}}
        assert looked_up("build_map", kind="mae") == [("part", plates)]
        assert looked_up("score_map", kind="mae") == [("part", plates), ("screen", [])]


def test_what_is_held_out_is_in_the_slices_of_its_dataset_and_of_the_maps():
    plain, held = Config(), {"name": "screen", "hold_out": {"by": "gene", "values": ["G1"]}}
    assert "hold_out" not in stage_config(plain, PLATES, "build_dataset", dataset="screen")["dataset"]
    cut = stage_config(Config(datasets=[held]), PLATES, "build_dataset", dataset="screen")["dataset"]
    assert cut["hold_out"] == {"by": "gene", "values": ["G1"], "fraction": None, "seed": 0}
    where = {"model": "mae_tiny", "correction": "tvn"}
    scored = Config(datasets=[held], map={"held_out_of": "screen"})
    for stage in ("build_map", "score_map"):
        assert "held_out" not in stage_config(plain, PLATES, stage, **where)["map"]
        assert stage_config(scored, PLATES, stage, **where)["map"]["held_out"] == {"dataset": "screen", "by": "gene"}
    assert stage_config(scored, PLATES, "train_model", model="mae_tiny") == stage_config(
        plain, PLATES, "train_model", model="mae_tiny"
    )


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"map": {"held_out_of": "screen"}}, "screen is no dataset with hold_out"),
        ({"datasets": [{"name": "screen", "hold_out": {"by": "plate"}}]}, "either values"),
        (
            {"datasets": [{"name": "screen", "hold_out": {"by": "plate", "values": ["P1"], "fraction": 0.1}}]},
            "either values",
        ),
        ({"datasets": [{"name": "screen", "hold_out": {"by": "well", "values": ["A01"]}}]}, "compound"),
    ],
)
def test_hold_outs_that_say_nothing_are_refused(sections, said):
    with pytest.raises(ConfigError, match=said):
        load_config(sections)


@pytest.mark.parametrize("kind", ["mae", "camae", "munet", "wsl"])
def test_without_a_step_a_model_has_seen_nothing_and_no_optimiser_moves_it(kind):
    floor = {"kind": kind, "train": {"steps": 0}}
    assert slices("score_map", **floor)["overlap"] == "none"
    assert slices("score_map", kind=kind, sections={"train": {"steps": 0}})["overlap"] == "none"
    cut = slices("train_model", **floor)
    assert cut["train"]["steps"] == 0
    assert cut == slices("train_model", **floor, sections={"train": {"steps": 300, "lr": 0.5}})
    assert cut != slices("train_model", **floor, sections={"train": {"seed": 1}})


def test_plates_outside_the_map_only_train():
    sections = {"map": {"plates": ["P3", "P2"]}, "datasets": [{"name": "screen", "plates": ["P1"]}]}
    assert slices("score_map", kind="wsl", sections=sections)["plates"] == ["P2", "P3"]
    sections["datasets"] = [{"name": "screen", "plates": ["P1", "P2"]}]
    config = Config(**sections)
    cut = stage_config(config, PLATES, "build_map", model="mae_tiny", correction="none")
    assert cut == {"map": {"entity": "gene", "aggregate": "mean"}, "plates": ["P2", "P3"]}
    assert stage_config(config, PLATES, "render_report")["map_plates"] == ["P2", "P3"]
    fitted = stage_config(config, PLATES, "fit_correction", model="mae_tiny", correction="tvn")
    assert list(fitted["unit_of"]) == fitted["correction"]["fit_plates"] == ["P2", "P3"], "P1 need not be embedded"
    batches = Config(**sections, corrections=[{"name": "tvn", "kind": "tvn", "batch_unit": "batch"}])
    cut = stage_config(batches, PLATES, "correct_plate", model="mae_tiny", correction="tvn", plate="P2")
    assert cut["unit_plates"] == ["P2"], "P1 is of its batch, and not embedded"
    assert unit_plates(Config(corrections=batches.corrections), PLATES, "tvn", "P2") == ["P1", "P2"]
    assert stage_config(config, PLATES, "render_report")["plates"] == ["P1", "P2", "P3"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"kind": "mae", "backbone": "vit"}, "backbone belongs to"),
        ({"kind": "munet", "file": "x"}, "only kind: pretrained"),
        ({"kind": "pretrained", "sha256": "0" * 64}, "sha256 belongs to file"),
    ],
)
def test_keys_of_another_kind_are_refused(entry, problem):
    with pytest.raises(ValueError, match=problem):
        Config(models=[DATA | {"name": "m"} | entry])


def test_a_backbone_is_named_with_its_file():
    found = slices("train_model", kind="pretrained", backbone="vit_base_patch8_224", file="w.safetensors")["model"]
    assert (found["backbone"], found["file"], found["sha256"]) == ("vit_base_patch8_224", "w.safetensors", None)
