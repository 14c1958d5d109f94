"""Snakemake looks at the functions of rules once, and sees what it saw before."""

import inspect

import pytest
import snakemake.common
import snakemake.rules

from platemae.snakemake_signatures import remember_signatures


@pytest.fixture
def looks(monkeypatch):
    """Count how often Python is asked for a signature; what is replaced is put back after the test."""
    for module in (snakemake.common, snakemake.rules):
        monkeypatch.setattr(module, "get_function_params", module.get_function_params)
    asked = []
    signature = inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda function: asked.append(function) or signature(function))
    return asked


def test_a_function_is_looked_at_once(looks):
    def of_wildcards(wildcards, attempt):
        """Stand for a function of a rule."""

    def of_all(wildcards, **others):
        """Stand for one that takes what there is."""

    remember_signatures()
    given = {"attempt": 2, "threads": 4}
    for _ in range(3):
        assert list(snakemake.rules.get_function_params(of_wildcards)) == ["wildcards", "attempt"]
        assert snakemake.common.get_input_function_aux_params(of_wildcards, given) == {"attempt": 2}
        assert snakemake.rules.get_input_function_aux_params(of_all, given) == given
    assert looks == [of_wildcards, of_all]


def test_parameters_that_a_function_was_given_hold(looks):
    def of_any(*arguments):
        """Stand for one of Snakemake's own helpers."""

    snakemake.common.overwrite_function_params(of_any, ["wildcards", "output"])
    remember_signatures()
    assert snakemake.rules.get_function_params(of_any) == ["wildcards", "output"]
