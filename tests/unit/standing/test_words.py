"""Differences of two slices of the configuration, in words."""

import pytest

from platemae.standing.words import differences


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"train": {"lr": 0.001}}, {"train": {"lr": 0.0003}}, ["train.lr was 0.001, is 0.0003"]),
        ({"a": None}, {"a": 1}, ["a was not set, is 1"]),
        ({"a": 1}, {"b": 2}, ["a is gone, was 1", "b is new: 2"]),
        ({"plates": ["P1", "P2"]}, {"plates": ["P2", "P3"]}, ["plates: now with P3, without P1"]),
        ({"plates": ["P1", "P2"]}, {"plates": ["P2", "P1"]}, ["plates was ['P1', 'P2'], is ['P2', 'P1']"]),
        ({"b": [{"name": "x", "n": 1}]}, {"b": [{"name": "x", "n": 2}]}, ["b.x.n was 1, is 2"]),
        ({"s": [{"model": "x", "n": 1}]}, {"s": [{"model": "x", "n": 2}]}, ["s.x.n was 1, is 2"]),
        ({"b": [{"name": "x"}, {"name": "y"}]}, {"b": [{"name": "y"}, {"name": "x"}]}, ["b: the order changed"]),
        ({"on": True}, {"on": 1}, ["on was True, is 1"]),
        ({"same": [1, {"x": None}]}, {"same": [1, {"x": None}]}, []),
    ],
)
def test_a_phrase_a_difference(before, now, words):
    assert differences(before, now) == words


def test_long_values_are_cut():
    (phrase,) = differences({"a": "x" * 500}, {"a": "y"})
    assert len(phrase) < 100
    assert phrase.endswith("..., is y")
