"""Every kind of benchmark: its configuration and its settings name the same things."""

from dataclasses import fields
from typing import get_args

import pytest

from platemae.benchmarks.registry import REGISTRY, resolve
from platemae.config.sections import Benchmark, BenchmarkEntry
from platemae.errors import ConfigError

ENTRIES = {get_args(entry.model_fields["kind"].annotation)[0]: entry for entry in Benchmark.__subclasses__()}


def test_each_kind_has_an_entry_and_a_class():
    assert set(ENTRIES) == set(REGISTRY)
    assert set(get_args(get_args(BenchmarkEntry)[0])) == set(ENTRIES.values())


@pytest.mark.parametrize("kind", REGISTRY)
def test_the_keys_of_an_entry_are_the_settings(kind):
    entry, settings = ENTRIES[kind], resolve(kind).Settings
    own = set(entry.model_fields) - set(Benchmark.model_fields) - {"kind"}
    named = {field.name for field in fields(settings)}
    assert own <= named
    assert entry.file_keys == settings.file_keys
    made = entry.model_construct()
    for field in fields(settings):
        if field.name in own and field.name not in entry.file_keys:
            assert getattr(made, field.name) == getattr(settings(), field.name), field.name


def test_an_unknown_kind_is_named_with_the_known():
    with pytest.raises(ConfigError, match="unknown benchmark 'magic'") as caught:
        resolve("magic")
    assert "known_relations" in caught.value.remedy
