"""A real plate from TIFFs to classical features: row A of BBBC013, whose dose moves FKHR-GFP into the nucleus."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from platemae.config import load_config, stage_config
from platemae.config.plates import read_plates
from platemae.layout import Results
from platemae.stages import import_profiles, ingest_plate, measure_plate, qc_plate

pytest.importorskip("cp_measure")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

READER = {
    "name": "bbbc013",
    "kind": "pattern",
    "pattern": r"Channel(?P<channel>[12])-\d+-(?P<row>A)-(?P<column>\d+)\.tif",
    "channels": [
        {"source": "1", "name": "FKHR-GFP", "stain": "GFP"},
        {"source": "2", "name": "DNA", "stain": "DRAQ"},
    ],
    "pixel_size_um": 1.0,
}


@pytest.fixture(scope="module")
def imported(shared_data, tmp_path_factory):
    """Return dose by well, the measured table, and the same as a model."""
    folder = tmp_path_factory.mktemp("classical")
    wells = pd.read_csv(shared_data / "bbbc013-rows-abcd/platemap.csv").query("Row == 'A'")
    kinds = {"negative": "negcon", "positive": "poscon", "dose": "treatment"}
    layout = pd.DataFrame({"well": wells["Well"], "perturbation": wells["DoseLevel"].astype(str)})
    layout.assign(control_type=wells["Control"].map(kinds)).to_csv(folder / "layout.tsv", sep="\t", index=False)
    images = shared_data / "bbbc013-rows-abcd/images"
    (folder / "plates.tsv").write_text(f"plate\tbatch\treader\tpath\tlayout\nP1\tb1\tbbbc013\t{images}\tlayout.tsv\n")
    values = {"readers": [READER], "measure": {"features": ["shape", "intensity", "correlation"]}}
    config = load_config(values | {"models": [{"name": "cp", "kind": "classical"}]})
    plates = read_plates(folder / "plates.tsv", ["bbbc013"])
    results = Results(folder / "results")
    ingest_plate.run(
        results, stage_config(config, plates, "ingest_plate", plate="P1"), plate="P1", base=folder, threads=2
    )
    qc_plate.run(results, stage_config(config, plates, "qc_plate", plate="P1"), plate="P1", threads=2)
    manifest = measure_plate.run(
        results, stage_config(config, plates, "measure_plate", plate="P1"), plate="P1", threads=2
    )
    cfg = stage_config(config, plates, "import_profiles", model="cp", plate="P1")
    import_profiles.run(results, cfg, model="cp", plate="P1", base=folder)
    dose = wells.set_index("Well")["DoseLevel"]
    return dose, manifest, anndata.read_h5ad(results.measured("P1")), anndata.read_h5ad(results.embedding("cp", "P1"))


def test_every_well_is_measured(imported):
    dose, manifest, measured, embedded = imported
    assert sorted(measured.obs["Metadata_Well"]) == sorted(dose.index)
    assert manifest.counts["cells"] == measured.obs["n_cells"].sum() > 12 * 100
    assert measured.n_vars > 150
    np.testing.assert_array_equal(embedded.X, measured.X)
    assert embedded.var_names.tolist() == measured.var_names.tolist()
    assert embedded.var["feature_category"].tolist() == measured.var["feature_category"].tolist()


def test_the_known_effect_is_measured(imported):
    """FKHR-GFP moves from the cytoplasm into the nucleus: there it gets brighter relative to the whole cell."""
    dose, _, measured, _ = imported
    frame = measured.to_df().set_axis(measured.obs["Metadata_Well"])
    share = frame["Nuclei_Intensity_MeanIntensity_FKHR-GFP"] / frame["Cells_Intensity_MeanIntensity_FKHR-GFP"]
    assert spearmanr(dose.loc[share.index], share).statistic >= 0.8
    together = frame["Cells_Correlation_Correlation_FKHR-GFP_DNA"]
    assert spearmanr(dose.loc[together.index], together).statistic >= 0.8
