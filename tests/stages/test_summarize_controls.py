"""Statistics of the negative controls alone, against numpy."""

import numpy as np
import pytest

from platemae.correction.control_stats import ControlStats
from platemae.errors import MissingError
from platemae.layout import Results
from platemae.stages import summarize_controls
from tests.stages.screen import embedded_plate


def test_statistics_equal_numpys(tmp_path):
    results = Results(tmp_path)
    table = embedded_plate(results, "m", "P1", "B1", seed=0)
    manifest = summarize_controls.run(results, {}, model="m", plate="P1")
    controls = table.X[(table.obs["Metadata_Control_Type"] == "negcon").to_numpy()].astype(float)
    stats = ControlStats.load(results.control_stats("m", "P1"))
    assert stats.n == manifest.counts["n_controls"] == 12
    np.testing.assert_allclose(stats.mean, controls.mean(0), rtol=1e-12)
    np.testing.assert_allclose(stats.scatter / 11, np.cov(controls.T), rtol=1e-9)


def test_digest_follows_the_controls_and_nothing_else(tmp_path):
    results = Results(tmp_path)
    digests = []
    for seed in (0, 0, 1):
        embedded_plate(results, "m", "P1", "B1", seed=seed)
        digests.append(summarize_controls.run(results, {}, model="m", plate="P1").digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_plate_without_controls_is_counted_and_said(tmp_path):
    results = Results(tmp_path)
    embedded_plate(results, "m", "P1", "B1", seed=0, n_controls=0)
    manifest = summarize_controls.run(results, {}, model="m", plate="P1")
    assert manifest.counts["n_controls"] == 0
    assert "0 negative controls" in manifest.warnings[0]


def test_a_missing_embedding_is_named(tmp_path):
    with pytest.raises(MissingError, match="missing"):
        summarize_controls.run(Results(tmp_path), {}, model="m", plate="P1")
