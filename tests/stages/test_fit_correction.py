"""The basis: fitted on the named plates alone, few controls by the stated policy."""

import numpy as np
import pytest

from platemae.config.sections import CorrectionEntry
from platemae.correction.tvn import TVN
from platemae.errors import ConfigError
from platemae.layout import Results
from platemae.stages import fit_correction, summarize_controls
from tests.stages.screen import embedded_plate


def fitted(results, kind="tvn", plates=("P1", "P2"), **entry):
    values = CorrectionEntry(name="c", kind=kind, **entry).model_dump(mode="json") | {"fit_plates": list(plates)}
    batches = {"P1": "B1", "P2": "B1", "P3": "B2"}
    cfg = {"correction": values, "batch_of": {plate: batches[plate] for plate in plates}}
    for plate in plates:
        manifest = results.manifest("summarize_controls", model="m", plate=plate)
        summarize_controls.run(results, {}, model="m", plate=plate).write(manifest)
    return fit_correction.run(results, cfg, model="m", correction="c")


@pytest.fixture
def results(tmp_path):
    made = Results(tmp_path)
    for number, plate in enumerate(("P1", "P2", "P3")):
        embedded_plate(made, "m", plate, "B1", seed=number, shift=number)
    return made


def test_rank_and_ridge_are_stated(results):
    facts = fitted(results).counts
    assert facts["n_controls"] == 24
    assert facts["rank"] == facts["components"] == 8
    assert facts["ridge"] == 0.5


def test_rank_is_what_the_controls_span(tmp_path):
    made = Results(tmp_path)
    for number, plate in enumerate(("P1", "P2")):
        embedded_plate(made, "m", plate, "B1", seed=number, n_controls=3, dims=20)
    facts = fitted(made).counts
    assert facts["rank"] == facts["components"] == 5, "six controls span five directions"


def test_pooled_controls_become_white(results):
    fitted(results)
    basis = TVN.load(results.correction("m", "c"))
    import anndata

    parts = [anndata.read_h5ad(results.embedding("m", plate)) for plate in ("P1", "P2")]
    controls = np.vstack([p.X[(p.obs["Metadata_Control_Type"] == "negcon").to_numpy()] for p in parts]).astype(float)
    white = (controls - basis.mean) / basis.scale @ basis.whiten
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(8), atol=1e-6)


def test_digest_follows_settings_and_fit_plates(results):
    first = fitted(results).digest
    assert fitted(results).digest == first
    assert fitted(results, ridge=0.1).digest != first
    assert fitted(results, plates=("P1", "P2", "P3")).digest != first


@pytest.mark.parametrize("kind", ["tvn", "centerscale"])
def test_no_control_at_all_is_refused(tmp_path, kind):
    made = Results(tmp_path)
    embedded_plate(made, "m", "P1", "B1", seed=0, n_controls=0)
    with pytest.raises(ConfigError, match="control"):
        fitted(made, kind=kind, plates=("P1",), few_controls="pool")


def test_a_unit_with_one_control_is_refused_or_pooled(tmp_path):
    made = Results(tmp_path)
    embedded_plate(made, "m", "P1", "B1", seed=0)
    embedded_plate(made, "m", "P2", "B1", seed=1, n_controls=1)
    with pytest.raises(ConfigError, match="P2"):
        fitted(made)
    assert fitted(made, few_controls="pool").counts["n_controls"] == 13
    assert fitted(made, batch_unit="batch").counts["n_controls"] == 13
