"""What pydantic refuses is told in the words of the file, once a place, with what is allowed there."""

import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platemae.config import Config, load_config
from platemae.config.allowed import PATTERNS, allowed, alternatives, schema
from platemae.errors import ConfigError

MODEL = {"name": "a", "kind": "mae", "dataset": "screen", "intensity": "controls"}


def relations(**keys):
    return {"benchmarks": [{"name": "r", "kind": "known_relations", "relations": "pairs.csv"} | keys]}


@pytest.mark.parametrize(
    ("values", "what", "remedy"),
    [
        ({"map": {"plates": "P1"}}, "map.plates cannot be P1", "map.plates: all, or a list of names"),
        ({"map": {"plates": "alll"}}, "map.plates cannot be alll; did you mean all?", "map.plates: all, or a list"),
        ({"map": {"plates": None}}, "map.plates cannot be null", "map.plates: all, or a list of names"),
        (
            {"map": {"plates": ["P1", 2427]}},
            "map.plates cannot be 2427",
            "each of map.plates: a name of letters, digits",
        ),
        ({"map": {"plates": [2427]}}, "map.plates cannot be 2427", "; put it in quotes"),
        (
            {"map": {"embed": 3}},
            "map.embed cannot be 3",
            "a mapping with the keys neighbors, resolution, seed, or null",
        ),
        ({"map": {"embed": {"neighbor": 3}}}, "unknown key map.embed.neighbor; did you mean neighbors?", "neighbors, "),
        ({"embed": {"pixel_size": "foo"}}, "embed.pixel_size cannot be foo", "resample, ignore, or a number > 0"),
        ({"embed": {"pixel_size": -1}}, "embed.pixel_size cannot be -1", "resample, ignore, or a number > 0"),
        ({"embed": {"pooling": ["mean", "x"]}}, "embed.pooling cannot be x", "each of embed.pooling: mean, cls, "),
        ({"embed": {"pooling": []}}, "embed.pooling cannot be []", "mean, cls, "),
        ({"models": [MODEL | {"embed": {"pooling": "x"}}]}, "models.a.embed.pooling cannot be x", "mean, cls, "),
        ({"models": [MODEL | {"train": 3}]}, "models.a.train cannot be 3", "a mapping with the keys accumulate, "),
        ({"models": [MODEL | {"train": {1: 3}}]}, "unknown key models.a.train.1", "allowed in models.a.train: accumu"),
        (
            {"models": [MODEL | {"architecture": {"x": [1]}}]},
            "models.a.architecture.x cannot be [1]",
            "a whole number,",
        ),
        ({"models": [3]}, "models cannot be 3", "each of models: a mapping with the keys architecture, "),
        (
            {"readers": [{"name": "a", "kind": "ngff", "z": "foo"}]},
            "readers.a.z cannot be foo",
            "max, best_focus, or a",
        ),
        (
            {"intensity": [{"name": "c", "quantiles": [0]}]},
            "intensity.c.quantiles cannot be [0]",
            "a list of 2 numbers",
        ),
        ({"qc": {"warn": {"focus": [1]}}}, "qc.warn.focus cannot be [1]", "a list of 2 numbers, or null"),
        (
            {"layouts": {"columns": {"genes": "x"}}},
            "unknown key layouts.columns.genes; did you mean gene?",
            "plate, well",
        ),
        ({"train": {"betas": ["x", 1]}}, "train.betas cannot be x", "each of train.betas: a number"),
        ({"report": {"seed": "y" * 99}}, f"report.seed cannot be {'y' * 60}...", "report.seed: a whole number >= 0"),
        (
            relations(relations=3),
            "benchmarks.r.relations cannot be 3",
            "a text, or a mapping of names to texts; put it",
        ),
        (relations(relations={"a b": "x"}), "unknown key benchmarks.r.relations.a b", "names of letters, digits"),
        (relations(relations={"a": None}), "benchmarks.r.relations.a cannot be null", "a text"),
        (relations(thresholds=[[0.1]]), "benchmarks.r.thresholds.entry 1 cannot be [0.1]", "a list of 2 numbers >= 0"),
        ({"benchmarks": [{"name": "c"}]}, "benchmarks.c.kind is missing", "benchmarks.c.kind: known_relations, "),
        ({"benchmarks": [3]}, "benchmarks cannot be 3", "each of benchmarks: a mapping with a kind"),
        (
            {"benchmarks": [{"name": "c", "kind": "clusters", "clusters": "x", "alpha": 3}]},
            "benchmarks.c.alpha cannot be 3",
            "a number > 0 and < 1",
        ),
        ({1: 2}, "unknown key 1", "allowed here: annotations, "),
    ],
)
def test_a_place_is_told_once_by_its_key_with_what_is_allowed(values, what, remedy):
    with pytest.raises(ConfigError) as error:
        load_config(values, "my.yaml")
    assert error.value.what == what
    assert error.value.where == "my.yaml"
    assert remedy in error.value.remedy


def test_wrong_entries_of_one_list_are_all_told_and_no_more():
    with pytest.raises(ConfigError, match=r"2 problems\n  1. map.plates cannot be 3 .*\n  2. map.plates cannot be a b"):
        load_config({"map": {"plates": ["P1", 3, "a b"]}})


def test_every_pattern_and_union_of_the_schema_has_words():
    def nodes(node):
        if isinstance(node, dict):
            yield node
        for one in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
            yield from nodes(one)

    every = list(nodes(schema()))
    assert {node["pattern"] for node in every if isinstance(node.get("pattern"), str)} == set(PATTERNS)
    unions = [allowed(node) for node in every if len(alternatives(node)) > 1]
    assert len(unions) > 5
    assert [told for told in unions if re.search(r"any value|\[|\$|mapping with a kind", told)] == []


ATOMS = st.none() | st.booleans() | st.integers(-2, 300) | st.floats() | st.text(max_size=4) | st.sampled_from(["all"])
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(0, 3), inner, max_size=3)
    ),
    max_leaves=4,
)


@given(st.data())
def test_any_value_anywhere_is_taken_or_told_in_the_words_of_the_file(data):
    values = copy.deepcopy(Config().model_dump(mode="json"))
    holder, keys = values, []
    while True:
        key = data.draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
        keys.append(key)
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.integers(0, 3)) == 0:
            break
        holder = holder[key]
    holder[key] = data.draw(VALUES)
    told = ""
    try:
        load_config(values)
    except ConfigError as error:
        told = str(error).replace(str(holder[key]), "")
    assert "remedy: " in told or not told
    assert not re.search(r"constrained|literal\[|list\[|dict\[|Input should|\[key\]", told)
