"""Statistics of the negative controls alone, against numpy."""

import numpy as np
import pytest

from platemae.correction.control_stats import ControlStats
from platemae.errors import MissingError
from platemae.layout import Results
from platemae.stages import summarize_controls
from tests.stages.screen import embedded_plate

NEGCON = {"fit_on": "negcon"}


def test_statistics_equal_numpys(tmp_path):
    results = Results(tmp_path)
    table = embedded_plate(results, "m", "P1", "B1", seed=0)
    manifest = summarize_controls.run(results, NEGCON, model="m", fit_on="negcon", plate="P1")
    controls = table.X[(table.obs["Metadata_Control_Type"] == "negcon").to_numpy()].astype(float)
    stats = ControlStats.load(results.control_stats("m", "negcon", "P1"))
    assert stats.n == manifest.counts["n_controls"] == 12
    np.testing.assert_allclose(stats.mean, controls.mean(0), rtol=1e-12)
    np.testing.assert_allclose(stats.scatter / 11, np.cov(controls.T), rtol=1e-9)


def test_digest_follows_the_controls_and_nothing_else(tmp_path):
    results = Results(tmp_path)
    digests = []
    for seed in (0, 0, 1):
        embedded_plate(results, "m", "P1", "B1", seed=seed)
        digests.append(summarize_controls.run(results, NEGCON, model="m", fit_on="negcon", plate="P1").digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_plate_without_controls_is_counted_and_said(tmp_path):
    results = Results(tmp_path)
    embedded_plate(results, "m", "P1", "B1", seed=0, n_controls=0)
    manifest = summarize_controls.run(results, NEGCON, model="m", fit_on="negcon", plate="P1")
    assert manifest.counts["n_controls"] == 0
    assert "0 negative controls" in manifest.warnings[0]


def test_a_missing_embedding_is_named(tmp_path):
    with pytest.raises(MissingError, match="missing"):
        summarize_controls.run(Results(tmp_path), NEGCON, model="m", fit_on="negcon", plate="P1")


def test_selections_lie_side_by_side(tmp_path):
    """A correction with wells of its own adds a file and touches none."""
    results = Results(tmp_path)
    table = embedded_plate(results, "m", "P1", "B1", seed=0)
    summarize_controls.run(results, NEGCON, model="m", fit_on="negcon", plate="P1")
    before = results.control_stats("m", "negcon", "P1").read_bytes()
    query = "Metadata_Gene == 'G1'"
    manifest = summarize_controls.run(results, {"fit_on": query}, model="m", fit_on="query-x", plate="P1")
    own = table.X[(table.obs["Metadata_Gene"] == "G1").to_numpy()].astype(float)
    stats = ControlStats.load(results.control_stats("m", "query-x", "P1"))
    np.testing.assert_allclose(stats.mean, own.mean(0), rtol=1e-12)
    assert manifest.counts["fit_on"] == query
    assert results.control_stats("m", "negcon", "P1").read_bytes() == before


def test_a_query_that_selects_too_few_is_said(tmp_path):
    results = Results(tmp_path)
    embedded_plate(results, "m", "P1", "B1", seed=0)
    query = "Metadata_Gene == 'none such'"
    manifest = summarize_controls.run(results, {"fit_on": query}, model="m", fit_on="query-x", plate="P1")
    assert query in manifest.warnings[0]
