"""The committed config.yaml and schema say what the pydantic sections say; wrong keys are named."""

import json

import jsonschema
import pytest
import yaml

from platemae.config import Config, load_config, read_config
from platemae.config.document import default_yaml
from platemae.config.sections.whole import NAMED_PLATES
from platemae.errors import ConfigError


def test_committed_config_and_schema_are_up_to_date(project):
    assert (project / "config.yaml").read_text() == default_yaml(), "run `make config`"
    schema = json.loads((project / "workflow/schemas/config.schema.json").read_text())
    assert schema == Config.model_json_schema(), "run `make config`"


def test_config_yaml_holds_every_default(project):
    """Every key of every plain section stands in the file, at its default."""
    values = yaml.safe_load((project / "config.yaml").read_text())
    assert load_config(values) == Config()
    for name in ("ingest", "qc", "train", "embed", "map", "report"):
        assert set(values[name]) == set(type(getattr(Config(), name)).model_fields), name


def test_config_yaml_and_presets_keep_the_schema(project):
    schema = json.loads((project / "workflow/schemas/config.schema.json").read_text())
    files = [project / "config.yaml", *sorted((project / "workflow/configs").glob("*.yaml"))]
    for path in files:
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)
        assert isinstance(read_config(path), Config)


def test_every_key_is_described():
    def undescribed(schema):
        for name, definition in {"Config": schema, **schema["$defs"]}.items():
            for key, value in definition.get("properties", {}).items():
                told = "const" in value and definition.get("description")  # a kind, whose class says what it is
                if "description" not in value and "$ref" not in value and not told:
                    yield f"{name}.{key}"

    assert list(undescribed(Config.model_json_schema())) == []


def test_unknown_keys_and_values_are_all_named_at_once():
    with pytest.raises(ConfigError) as error:
        load_config({"train": {"stepz": 1, "lr": -1}, "modells": []}, "my.yaml")
    text = str(error.value)
    assert "train.stepz" in text
    assert "train.lr" in text
    assert "modells" in text
    assert "steps" in text, "the allowed keys are listed"


@pytest.mark.parametrize(
    ("values", "what", "remedy"),
    [
        (
            {"intensitiy": []},
            "unknown key intensitiy; did you mean intensity?",
            "allowed here: annotations, benchmarks",
        ),
        ({"train": {"step": 1}}, "unknown key train.step; did you mean steps?", "allowed in train: accumulate,"),
        ({"train": {"zzz": 1}}, "unknown key train.zzz", "allowed in train: accumulate,"),
        (
            {"map": {"entity": "genes"}},
            "map.entity: there is no genes; did you mean gene?",
            "map.entity: gene, compound",
        ),
        (
            {"benchmarks": [{"name": "r", "kind": "known_relation"}]},
            "benchmarks.r.kind: there is no known_relation; did you mean known_relations?",
            "benchmarks.r.kind: known_relations, ",
        ),
        (
            {"benchmarks": [{"name": "r", "kind": "replicate_consistency", "n_bootstraps": 9}]},
            "unknown key benchmarks.r.n_bootstraps; did you mean n_bootstrap?",
            "allowed in benchmarks.r: alpha, kind, ",
        ),
        (
            {"corrections": [{"kind": "tvm"}]},
            "corrections.entry 1.kind: there is no tvm; did you mean tvn?",
            "none, center",
        ),
        (
            {"models": [{"name": "a", "kind": "mae", "train": {"step": 3}}]},
            "unknown key models.a.train.step; did you mean steps?",
            "allowed in models.a.train: accumulate,",
        ),
        (
            {"datasets": [{"name": "screen", "hold_out": {"by": "gene", "fracton": 0.2}}]},
            "unknown key datasets.screen.hold_out.fracton; did you mean fraction?",
            "allowed in datasets.screen.hold_out: by, fraction",
        ),
    ],
)
def test_a_typo_is_told_with_what_was_meant_and_what_is_allowed_there(values, what, remedy):
    with pytest.raises(ConfigError) as error:
        load_config(values, "my.yaml")
    told = f"{error.value.what}\n"
    assert what in told
    assert told[told.index(what) + len(what)] in " \n", "nothing was meant where no key is near"
    assert remedy in error.value.remedy


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"models": [{"name": "a", "kind": "mae", "dataset": "nope", "intensity": "controls"}]}, "nope"),
        ({"models": [{"name": "a", "kind": "mae"}]}, "needs dataset"),
        ({"corrections": [{"name": "x", "kind": "tvn"}, {"name": "x", "kind": "none"}]}, "used twice"),
        ({"train": {"lr": float("inf")}}, "train.lr cannot be inf"),
        ({"measure": {"cells": ["DNA", "DNA"]}}, "measure: cells: named twice: DNA"),
        ({"models": [{"name": "../up", "kind": "profiles", "source": "well_position"}]}, "name"),
        ({"benchmarks": [{"name": "b", "kind": "known_relations"}]}, "benchmarks.b.relations is missing"),
        ({"models": [{"name": "a", "kind": "profiles", "source": "well_position", "train": {"x": 1}}]}, "x"),
    ],
)
def test_entries_that_do_not_fit_are_refused(values, word):
    with pytest.raises(ConfigError, match=word):
        load_config(values)


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match="no mapping"):
        read_config(path)
    path.write_text("a: [1\n")
    with pytest.raises(ConfigError, match="no valid YAML"):
        read_config(path)


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"kind": "checkpoint"}, "file: PATH"),
        ({"kind": "mae", "file": "weights"}, "file: PATH"),
        ({"kind": "checkpoint", "file": "w", "sha256": "abc"}, "sha256"),
        ({"kind": "checkpoint", "file": "w", "architecture": {"width": 8}}, "architecture from its file"),
    ],
)
def test_a_checkpoint_and_its_file_belong_together(keys, word):
    model = {"name": "a", "dataset": "screen", "intensity": "controls"} | keys
    with pytest.raises(ConfigError, match=word):
        load_config({"models": [model]})


def test_values_of_a_models_own_train_are_what_the_section_reads():
    """YAML reads 1e-4 as a text."""
    own = yaml.safe_load("{lr: 1e-4, steps: '5', betas: [0.8, 0.9]}")
    assert own["lr"] == "1e-4"
    model = {"name": "a", "kind": "mae", "dataset": "screen", "intensity": "controls", "train": own, "snapshots": [3]}
    assert load_config({"models": [model]}).models[0].train == {"lr": 1e-4, "steps": 5, "betas": (0.8, 0.9)}
    with pytest.raises(ConfigError, match=r"models.a.snapshots: 7 of 5 steps"):
        load_config({"models": [model | {"snapshots": [3, 7]}]})


PLATE_KEYS = [
    ("map.plates", {"map": {"plates": ...}}),
    ("datasets.screen.plates", {"datasets": [{"name": "screen", "plates": ...}]}),
    ("intensity.controls.fit_plates", {"intensity": [{"name": "controls", "fit_plates": ...}]}),
    ("corrections.tvn.fit_plates", {"corrections": [{"name": "tvn", "kind": "tvn", "fit_plates": ...}]}),
    ("models.m.feature_plates", {"models": [{"name": "m", "kind": "classical", "feature_plates": ...}]}),
]


def filled(values, plates):
    if isinstance(values, dict):
        return {key: filled(value, plates) for key, value in values.items()}
    return (
        [filled(value, plates) for value in values] if isinstance(values, list) else plates if values is ... else values
    )


@pytest.mark.parametrize(("key", "values"), PLATE_KEYS)
def test_a_list_of_plates_names_some_and_each_once(key, values):
    """Wells of a plate that is read twice count as replicates of themselves."""
    assert load_config(filled(values, ["P1", "P2"]))
    for plates, told in (([], "names no plate"), (["P2", "P1", "P1"], "named twice: P1")):
        with pytest.raises(ConfigError) as error:
            load_config(filled(values, plates))
        assert error.value.what.startswith(f"{key}: {told}")


def test_lists_of_plates_are_refused_together():
    with pytest.raises(ConfigError) as error:
        load_config({key: value for _, values in PLATE_KEYS for key, value in filled(values, ["P1", "P1"]).items()})
    assert [key for key, _ in PLATE_KEYS if f"{key}: named twice: P1 [" not in error.value.what] == []


def test_every_key_that_may_name_plates_is_looked_at():
    """Such a key is one whose value is all, or a list."""

    def named(definition):
        for key, value in definition["properties"].items():
            words = [part.get("const") for part in value.get("anyOf", [])]
            if "all" in words and "array" in [part.get("type") for part in value["anyOf"]]:
                yield key

    schema = Config.model_json_schema()
    classes = {"IntensityEntry": "intensity", "DatasetEntry": "datasets", "ModelEntry": "models"}
    classes |= {"CorrectionEntry": "corrections", "MapSection": "map"}
    found = {(classes[name], key) for name, definition in schema["$defs"].items() for key in named(definition)}
    assert found == {*NAMED_PLATES, ("map", "plates")}
