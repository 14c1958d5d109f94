"""measure_plate: cells of drawn wells, medians by hand, wells and features that are left out, real plates."""

import anndata
import numpy as np
import pandas as pd
import pytest
from skimage.measure import regionprops_table

from platemae.config.sections import MeasureSection
from platemae.contracts import FIELDS_COLUMNS, OBS_COLUMNS, QC_COLUMNS, Manifest
from platemae.errors import ConfigError, InputError, MissingError
from platemae.layout import Results
from platemae.measure.segmentation import segment
from platemae.qc.verdict import PASS
from platemae.stages import measure_plate
from platemae.store.plate_reader import StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate
from tests.unit.measure.drawn import SETTINGS, draw

pytest.importorskip("cp_measure")

CHANNELS = (StoreChannel("Nuc", "Hoechst"), StoreChannel("Body", "Phalloidin"))
PLACES = [(y, x) for y in (40, 100, 160) for x in (40, 100, 160, 200)]
CFG = MeasureSection(features=["shape", "intensity", "correlation"]).model_dump(mode="json")


def cfg(**changes):
    exclude_failed = changes.pop("exclude_failed", True)
    return {"measure": CFG | changes, "exclude_failed": exclude_failed}


def write_wells(results, wells, channels=CHANNELS, failed=(), plate="P1", **store):
    """Write a plate; ``wells`` maps a well to the pixels of its fields."""
    sources, fields, qc = [], [], []
    for well, images in wells.items():
        for number, x_CYX in enumerate(images):
            group = f"{well[0]}/{int(well[1:])}/{number}"
            sources.append(FieldSource(group, str(number), group, lambda x_CYX=x_CYX: x_CYX))
            place = [plate, "b1", well, str(number)]
            fields.append([*place, well[0], int(well[1:]), group, "", f"g{well}", "", "", "", "treatment"])
            verdict = "fail" if (well, str(number)) in failed else PASS
            rows = pd.DataFrame([place], columns=["plate", "batch", "well", "field"])
            qc.append(rows.assign(verdict=verdict).reindex(columns=list(QC_COLUMNS)))
    write_plate(results.store(plate), plate, sources, channels, 1.0, chunk_px=64, threads=1, **store)
    results.qc(plate).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(fields, columns=list(FIELDS_COLUMNS)).to_parquet(results.fields(plate))
    pd.concat(qc).to_parquet(results.qc(plate))


@pytest.fixture
def wells():
    """Two fields of 12 cells, one of 12, one of 3."""
    return {
        "A01": [draw(PLACES, seed=1), draw(PLACES, radius=9, seed=2)],
        "A02": [draw(PLACES, radius=7, seed=3)],
        "B01": [draw(PLACES[:3], seed=4)],
    }


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results")


def run(results, threads=1, **changes):
    manifest = measure_plate.run(results, cfg(**changes), plate="P1", threads=threads)
    return manifest, anndata.read_h5ad(results.measured("P1"))


def test_medians_over_the_cells_of_all_fields(results, wells):
    write_wells(results, wells)
    manifest, data = run(results)
    assert data.obs["Metadata_Well"].tolist() == ["A01", "A02"]
    assert data.obs["n_cells"].tolist() == [24, 12]
    assert data.obs["n_fields"].tolist() == [2, 1]
    assert set(OBS_COLUMNS) <= set(data.obs.columns)
    areas, means = [], []
    for x_CYX in wells["A01"]:
        objects = segment(x_CYX[0], x_CYX[1:], 1.0, SETTINGS)
        areas += list(regionprops_table(objects.cells, properties=("area",))["area"])
        means += [x_CYX[1][objects.nuclei == i].mean() / 65535 for i in range(1, objects.count + 1)]
    frame = data.to_df()
    assert frame.loc["P1_A01", "Cells_AreaShape_Area"] == pytest.approx(np.median(areas))
    assert frame.loc["P1_A01", "Nuclei_Intensity_MeanIntensity_Body"] == pytest.approx(np.median(means), rel=1e-5)
    row = data.var.loc["Nuclei_Intensity_MeanIntensity_Body"]
    assert row.tolist() == ["nucleus", "intensity", "Body"]
    assert set(data.var["feature_category"]) == {"shape", "intensity", "correlation"}
    assert np.isfinite(data.X).all()
    assert manifest.counts["cells"] == 39
    assert manifest.counts["wells_dropped"] == 1
    assert "1 wells have too few cells: B01" in manifest.warnings[0]


def test_what_is_left_out_is_counted(results, wells):
    write_wells(results, wells)
    manifest, data = run(results)
    # Of each compartment the moments 0_0, 0_1 and 1_0 are undefined by definition.
    assert manifest.counts["features_undefined"] >= 6
    assert not any("NormalizedMoment_0_0" in name for name in data.var_names)
    assert "Nuclei_AreaShape_EulerNumber" not in data.var_names, "1 in every well"
    assert manifest.counts["features_constant"] >= 2
    left_out = manifest.counts["features_undefined"] + manifest.counts["features_constant"]
    assert f"{manifest.counts['features_undefined']} features without a value" in manifest.warnings[1]
    assert data.n_vars + left_out == 2 * (74 + 15 * 2 + 6)


def test_processes_do_not_touch_the_result(results, wells):
    write_wells(results, wells)
    assert run(results, threads=2)[0] == run(results)[0]


def test_wells_are_joined_by_one_table_of_features(results, wells, monkeypatch):
    """Medians have no names of their own: a well of other features must not slip in under those of the first."""
    write_wells(results, wells)
    measured, seen = measure_plate.measure_objects, []

    def other_in_the_second_well(*args):
        x_ND, columns = measured(*args)
        seen.append(columns.assign(name=columns["name"] + "x" * (len(seen) > 1)))
        return x_ND, seen[-1]

    monkeypatch.setattr(measure_plate, "measure_objects", other_in_the_second_well)
    with pytest.raises(InputError, match="wells of a plate have different features"):
        measure_plate.run(results, cfg(), plate="P1", threads=1)


def test_failed_fields_are_not_measured(results, wells):
    write_wells(results, wells, failed={("A01", "1")})
    _, data = run(results)
    assert data.obs["n_cells"].tolist() == [12, 12]
    assert data.obs["n_fields"].tolist() == [1, 1]
    assert run(results, exclude_failed=False)[1].obs["n_cells"].tolist() == [24, 12]
    write_wells(results, wells, failed={(well, str(f)) for well in wells for f in range(2)})
    with pytest.raises(InputError, match="no field of the plate passed"):
        run(results)


def test_few_cells(results, wells):
    write_wells(results, wells)
    assert run(results, min_cells=1)[1].n_obs == 3
    with pytest.raises(InputError, match="no well has 25 cells; the plate has 39"):
        run(results, min_cells=25)


def test_depth_of_the_camera(results, wells):
    write_wells(results, wells)
    name = "Cells_Intensity_MeanIntensity_Body"
    plain, scaled = run(results)[1].to_df()[name], run(results, bits=14)[1].to_df()[name]
    np.testing.assert_allclose(scaled, plain * 65535 / 16383, rtol=1e-5)
    with pytest.raises(InputError, match="the range is 0 to 4095") as caught:
        run(results, bits=12)
    assert caught.value.where == "plate P1, well A01, field A/1/0"
    assert "measure.bits" in caught.value.remedy


@pytest.mark.slow
def test_an_error_of_a_process_keeps_its_parts(results, wells):
    write_wells(results, wells)
    with pytest.raises(InputError, match="the range is 0 to 4095") as caught:
        run(results, threads=2, bits=12)
    assert caught.value.where == "plate P1, well A01, field A/1/0"


@pytest.mark.parametrize(
    ("channels", "measure", "expected"),
    [
        ([("a", "Hoechst"), ("b", "ConA")], {}, (0, [1])),
        ([("b", "GFP"), ("DNA", "unknown")], {}, (1, [0])),
        ([("a", "DAPI"), ("b", "ConA"), ("c", "Brightfield")], {}, (0, [1])),
        ([("a", "DAPI"), ("b", "ConA")], {"nuclei": "b"}, (1, [0])),
        ([("a", "DAPI"), ("b", "ConA"), ("c", "WGA")], {"cells": ["c"]}, (0, [2])),
        ([("a", "DAPI")], {}, (0, [])),
    ],
)
def test_channels_are_chosen_by_stain_or_by_name(channels, measure, expected):
    found = measure_plate.choose_channels([StoreChannel(*c) for c in channels], CFG | measure, "P1")
    assert found == expected


@pytest.mark.parametrize(
    ("channels", "measure", "message"),
    [
        ([("a", "GFP"), ("b", "ConA")], {}, "no channel shows DNA"),
        ([("a", "DAPI")], {"nuclei": "x", "cells": ["y"]}, "there is no channel y, x"),
    ],
)
def test_channels_that_are_not_there(channels, measure, message):
    with pytest.raises(ConfigError, match=message):
        measure_plate.choose_channels([StoreChannel(*c) for c in channels], CFG | measure, "P1")


def test_a_store_that_is_gone(results, wells):
    import shutil

    write_wells(results, wells)
    shutil.rmtree(results.store("P1"))
    with pytest.raises(MissingError, match="plate store is gone"):
        run(results)


def test_a_store_of_eight_bits_is_refused(results, wells):
    ranges = {channel.name: (0.0, 65535.0) for channel in CHANNELS}
    write_wells(results, {w: [(x >> 8).astype(np.uint8) for x in f] for w, f in wells.items()}, source_ranges=ranges)
    with pytest.raises(InputError, match="holds 8 bits of each pixel"):
        run(results)


def test_the_manifest_keeps_its_size_with_all_features(results, wells):
    write_wells(results, wells)
    manifest, _ = run(results)
    manifest.write(results.manifest("measure_plate", plate="P1"))
    assert Manifest.read(results.manifest("measure_plate", plate="P1")) == manifest
    assert results.manifest("measure_plate", plate="P1").stat().st_size < 2000
