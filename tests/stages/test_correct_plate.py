"""Aligned wells against the plain steps of the recipe, with the plate or the batch as unit."""

import anndata
import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from platemae.layout import Results
from platemae.stages import correct_plate
from tests.stages.screen import embedded_plate
from tests.stages.test_fit_correction import fitted


def corrected(results, plate, unit, **entry):
    fitted(results, **entry)
    from platemae.config.sections import CorrectionEntry

    values = CorrectionEntry(name="c", **({"kind": "tvn"} | entry)).model_dump(mode="json")
    cfg = {"correction": values, "unit_plates": unit}
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


def test_none_leaves_values_as_they_are(results):
    table, _ = corrected(results, "P1", ["P1"], kind="none")
    np.testing.assert_array_equal(table.X, anndata.read_h5ad(results.embedding("m", "P1")).X)
