"""The committed config.yaml and schema say what the pydantic sections say; wrong keys are named."""

import json

import jsonschema
import pytest
import yaml

from platemae.config import Config, load_config, read_config
from platemae.config.document import default_yaml
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
        ({"models": [{"name": "../up", "kind": "profiles", "source": "well_position"}]}, "name"),
        ({"benchmarks": [{"name": "b", "kind": "known_relations"}]}, "relations: Field required"),
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
