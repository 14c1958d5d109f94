"""Aligned wells against the plain steps of the recipe, with the plate or the batch as unit."""

import anndata
import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from platemae.config.sections import CorrectionEntry
from platemae.errors import ContractError
from platemae.layout import Results
from platemae.stages import correct_plate
from platemae.tables import write_anndata
from tests.stages.screen import embedded_plate
from tests.stages.test_fit_correction import fitted, summarized


def corrected(results, plate, unit, **entry):
    fitted(results, **entry)
    made = CorrectionEntry(name="c", **({"kind": "tvn"} | entry))
    cfg = {"correction": {"kind": made.kind, "fit_on": made.fit_on}, "unit_plates": unit}
    manifest = correct_plate.run(results, cfg, model="m", correction="c", plate=plate)
    return anndata.read_h5ad(results.corrected("m", "c", plate)), manifest


def by_hand(results, plate, unit, centre):
    """Return the published steps on rows: z-score, PCA, z-score on all controls, then each unit's own whitening."""
    tables = {p: anndata.read_h5ad(results.embedding("m", p)) for p in ("P1", "P2")}
    controls = {
        p: t.X[(t.obs["Metadata_Control_Type"] == "negcon").to_numpy()].astype(float) for p, t in tables.items()
    }
    pooled = np.vstack(list(controls.values()))
    first = StandardScaler().fit(pooled)
    pca = PCA().fit(first.transform(pooled))
    second = StandardScaler().fit(pca.transform(first.transform(pooled)))

    def white(x):
        return second.transform(pca.transform(first.transform(x)))

    own = white(np.vstack([controls[p] for p in unit]))
    align = fractional_matrix_power(np.cov(own.T) + 0.5 * np.eye(own.shape[1]), -0.5)
    return (white(tables[plate].X.astype(float)) - (own.mean(0) if centre else 0)) @ align


@pytest.fixture
def results(tmp_path):
    made = Results(tmp_path)
    for number, plate in enumerate(("P1", "P2")):
        embedded_plate(made, "m", plate, "B1", seed=number, shift=number)
    return made


@pytest.mark.parametrize("unit", [["P2"], ["P1", "P2"]])
@pytest.mark.parametrize("centre", [True, False])
def test_tvn_equals_the_published_steps(results, unit, centre):
    entry = {"center_per_batch": centre, "batch_unit": "plate" if len(unit) == 1 else "batch"}
    table, manifest = corrected(results, "P2", unit, **entry)
    expected = by_hand(results, "P2", unit, centre)
    # Principal axes have no sign and S^(-1/2) turns with them: all inner products must agree.
    np.testing.assert_allclose(table.X @ table.X.T, expected @ expected.T, atol=2e-3)
    assert manifest.counts["n_controls"] == 12 * len(unit)


def test_metadata_is_kept_and_features_are_named(results):
    table, manifest = corrected(results, "P1", ["P1"])
    raw = anndata.read_h5ad(results.embedding("m", "P1"))
    assert list(table.obs_names) == list(raw.obs_names)
    assert (table.obs.astype(str) == raw.obs.astype(str)).all().all()
    assert table.uns["feature_kind"] == "embedding"
    assert manifest.counts["wells"] == table.n_obs


def test_finer_rows_are_not_counted_as_wells(results):
    raw = anndata.read_h5ad(results.embedding("m", "P1"))
    cells = anndata.concat([raw] * 3, index_unique="_")
    cells.uns = raw.uns
    write_anndata(cells, results.embedding("m", "P1"))
    table, manifest = corrected(results, "P1", ["P1"])
    assert (manifest.counts["wells"], manifest.counts["n_rows"], table.n_obs) == (60, 180, 180)
    assert manifest.counts["n_controls"] == 36


def test_none_leaves_values_as_they_are(results):
    table, _ = corrected(results, "P1", ["P1"], kind="none")
    np.testing.assert_array_equal(table.X, anndata.read_h5ad(results.embedding("m", "P1")).X)


@pytest.mark.parametrize("kind", ["center", "centerscale", "pca_cs", "sphere", "harmony"])
def test_every_kind_writes_a_table(results, kind):
    pytest.importorskip("harmonypy") if kind == "harmony" else None
    table, manifest = corrected(results, "P2", ["P2"], kind=kind)
    assert np.isfinite(table.X).all()
    assert table.n_obs == 60
    assert manifest.counts["dims"] == table.n_vars == 8
    assert manifest.counts["unit"] == "P2"
    assert manifest.counts["policy"] in ("own", "global", "joint")


def test_the_unit_is_aligned_by_the_wells_that_it_is_fitted_on(results):
    query = "Metadata_Gene == 'G3'"
    table, manifest = corrected(results, "P2", ["P2"], kind="center", fit_on=query)
    own = (table.obs["Metadata_Gene"] == "G3").to_numpy()
    np.testing.assert_allclose(table.X[own].mean(0), 0, atol=1e-5)
    assert manifest.counts["n_controls"] == 2


def test_a_plate_that_came_later_gets_the_frozen_basis(results):
    """P3 is in no fit: the file of the basis stays as it is, and P3 is aligned by its own controls."""
    corrected(results, "P1", ["P1"])
    before = results.correction("m", "c").read_bytes()
    embedded_plate(results, "m", "P3", "B1", seed=9, shift=4)
    summarized(results, "negcon", "P3")
    cfg = {"correction": {"kind": "tvn", "fit_on": "negcon"}, "unit_plates": ["P3"]}
    correct_plate.run(results, cfg, model="m", correction="c", plate="P3")
    table = anndata.read_h5ad(results.corrected("m", "c", "P3"))
    controls = table.X[(table.obs["Metadata_Control_Type"] == "negcon").to_numpy()]
    np.testing.assert_allclose(controls.mean(0), 0, atol=1e-4)
    assert results.correction("m", "c").read_bytes() == before


def test_a_later_plate_is_no_part_of_harmony(results):
    pytest.importorskip("harmonypy")
    corrected(results, "P1", ["P1"], kind="harmony")
    embedded_plate(results, "m", "P3", "B1", seed=9)
    summarized(results, "negcon", "P3")
    cfg = {"correction": {"kind": "harmony", "fit_on": "negcon"}, "unit_plates": ["P3"]}
    with pytest.raises(ContractError, match="not part of the fit") as caught:
        correct_plate.run(results, cfg, model="m", correction="c", plate="P3")
    assert "fit_correction again" in caught.value.remedy
