"""The basis: fitted on the named plates alone, few controls by the stated policy."""

from pathlib import Path

import anndata
import numpy as np
import pytest

from platemae.config import Config, stage_config
from platemae.config.plates import Plate
from platemae.config.sections import CorrectionEntry
from platemae.correction.center import Center
from platemae.correction.tvn import TVN
from platemae.errors import ConfigError, ContractError
from platemae.layout import Results
from platemae.selection import selection_name
from platemae.stages import fit_correction, summarize_controls
from tests.stages.screen import embedded_plate

BATCHES = {"P1": "B1", "P2": "B1", "P3": "B2"}


def fitted(results, kind="tvn", plates=("P1", "P2"), base=Path(), **values):
    """Summarise the plates and fit, as the rules do."""
    entry = CorrectionEntry(name="c", kind=kind, **values)
    config = Config(corrections=[entry])
    table = [Plate(plate, BATCHES[plate], "synthetic", "", "") for plate in plates]
    cfg = stage_config(config, table, "fit_correction", model="m", correction="c")
    for plate in plates:
        summarized(results, entry.fit_on, plate)
    return fit_correction.run(results, cfg, model="m", correction="c", base=base)


def summarized(results, fit_on, plate):
    name = selection_name(fit_on)
    manifest = results.manifest("summarize_controls", model="m", fit_on=name, plate=plate)
    summarize_controls.run(results, {"fit_on": fit_on}, model="m", fit_on=name, plate=plate).write(manifest)


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
    parts = [anndata.read_h5ad(results.embedding("m", plate)) for plate in ("P1", "P2")]
    controls = np.vstack([p.X[(p.obs["Metadata_Control_Type"] == "negcon").to_numpy()] for p in parts]).astype(float)
    white = (controls - basis.mean) / basis.scale @ basis.whiten
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(8), atol=1e-6)


def test_digest_follows_settings_and_fit_plates(results):
    first = fitted(results).digest
    assert fitted(results).digest == first
    assert fitted(results, ridge=0.1).digest != first
    assert fitted(results, plates=("P1", "P2", "P3")).digest != first


@pytest.mark.parametrize("kind", ["center", "centerscale", "pca_cs", "tvn"])
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


def test_fit_on_all_needs_no_control_and_says_what_it_costs(tmp_path):
    made = Results(tmp_path)
    for number, plate in enumerate(("P1", "P2")):
        embedded_plate(made, "m", plate, "B1", seed=number, n_controls=0)
    manifest = fitted(made, kind="centerscale", fit_on="all")
    assert manifest.counts["n_controls"] == 96
    assert manifest.counts["fit_on"] == "all"
    assert "removes biology" in manifest.warnings[0]


def test_fit_on_a_query_takes_just_these_wells(results):
    fitted(results, fit_on="Metadata_Gene in ['G0', 'G1']", kind="center")
    rows = []
    for plate in ("P1", "P2"):
        table = anndata.read_h5ad(results.embedding("m", plate))
        rows.append(table.X[table.obs["Metadata_Gene"].isin(["G0", "G1"]).to_numpy()].astype(float))
    basis = Center.load(results.correction("m", "c"))
    np.testing.assert_allclose(basis.mean, np.vstack(rows).mean(0), rtol=1e-12)
    assert basis.counts.n_controls == 8


def test_a_query_without_wells_on_one_plate_follows_the_policy(results):
    query = "Metadata_Plate != 'P2' and Metadata_Control_Type == 'negcon'"
    with pytest.raises(ConfigError, match="0 controls") as caught:
        fitted(results, fit_on=query)
    assert caught.value.where == "batch unit P2"
    assert fitted(results, fit_on=query, few_controls="skip").counts["n_controls"] == 12


def test_statistics_are_read_one_plate_at_a_time(results):
    reads = []
    lazy = fit_correction.ByPlate(["P1", "P2"], lambda plate: reads.append(plate) or plate.lower())
    assert list(lazy.values()) == ["p1", "p2"]
    assert (reads, len(lazy)) == (["P1", "P2"], 2)


def test_a_frozen_basis_is_taken_as_it_is(results, tmp_path):
    first = fitted(results, ridge=0.2)
    earlier = tmp_path / "earlier" / "m.npz"
    earlier.parent.mkdir()
    earlier.write_bytes(results.correction("m", "c").read_bytes())
    embedded_plate(results, "m", "P1", "B1", seed=77, shift=9)
    frozen = fitted(results, plates=(), ridge=0.2, basis="earlier/{model}.npz", base=tmp_path)
    np.testing.assert_array_equal(
        TVN.load(results.correction("m", "c")).whiten, TVN.load(earlier).whiten, "new wells do not move it"
    )
    assert frozen.counts["n_controls"] == first.counts["n_controls"]
    assert frozen.counts["basis"] == "earlier/m.npz"
    with pytest.raises(ConfigError, match=r"fitted with ridge: 0.2"):
        fitted(results, plates=(), basis="earlier/{model}.npz", base=tmp_path)
    with pytest.raises(ContractError, match="kind tvn where center is needed"):
        fitted(results, kind="center", plates=(), basis="earlier/{model}.npz", base=tmp_path)


def test_unresolved_directions_are_said(results):
    table = anndata.read_h5ad(results.embedding("m", "P1"))
    for plate in ("P1", "P2"):
        table = anndata.read_h5ad(results.embedding("m", plate))
        table.X = (table.X * np.logspace(-9, 9, 8)).astype(np.float32)
        table.write_h5ad(results.embedding("m", plate))
    manifest = fitted(results, kind="pca_cs")
    assert manifest.counts["unresolved"] > 0
    assert "below double precision" in manifest.warnings[0]


def test_harmony_reads_all_wells_and_says_that_it_does(results):
    pytest.importorskip("harmonypy")
    manifest = fitted(results, kind="harmony")
    assert manifest.counts["rows"] == 2 * 60
    assert "treated ones too" in manifest.warnings[0]
    embedded_plate(results, "m", "P1", "B1", seed=5)
    assert fitted(results, kind="harmony").digest != manifest.digest
