"""qc_plate: blurred, saturated, dark and missing fields fail with their reason; the rest passes."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS
from platemae.errors import InputError, MissingError
from platemae.layout import Results
from platemae.stages import qc_plate
from platemae.store.plate_reader import StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

CHANNELS = (StoreChannel("DNA", "Hoechst"), StoreChannel("ER", "ConA"))
LIMITS = {"min_focus": 0.1, "max_saturation": 0.02, "min_foreground": 0.01, "limits": "robust", "mads": 6.0, "warn": {}}
LIMITS |= {"nucleus_um": 8.0, "max_edge": 1.0, "max_drift": 0.5, "stop": False, "max_failed": 0.5}
WELLS = ["A01", "A02", "A03", "B01", "B02", "B03"]


def field(seed, blur=0.0, signal=800.0):
    """Two channels of cells on a noisy background."""
    rng = np.random.default_rng(seed)
    grain = gaussian_filter(rng.normal(size=(2, 128, 128)), (0, 1.2, 1.2))
    mask = gaussian_filter(rng.normal(size=(2, 128, 128)), (0, 8, 8))
    cells = (mask > np.quantile(mask, 0.7)) * (1 + 0.6 * grain / grain.std()).clip(0)
    if blur:
        cells = gaussian_filter(cells, (0, blur, blur))
    return (200 + signal * cells + rng.normal(0, 10, cells.shape)).clip(0, 4095).astype(np.uint16)


def write(results, fields, missing=None, empty=(), plate="P1"):
    """A plate with one field a well, and its fields table."""
    sources = [
        FieldSource(f"{well[0]}/{int(well[1:])}/0", "1", well, lambda x=x: x)
        for well, x in zip(WELLS, fields, strict=True)
    ]
    write_plate(results.store(plate), plate, sources, CHANNELS, 0.65, chunk_px=64, threads=2)
    rows = []
    for well in WELLS:
        place = {"plate": plate, "batch": "b1", "well": well, "field": "1", "row": well[0], "column": int(well[1:])}
        place |= {"group": f"{well[0]}/{int(well[1:])}/0", "missing_channels": (missing or {}).get(well, "")}
        kind = "empty" if well in empty else "treatment"
        rows.append(
            place | {"perturbation": "g", "gene": "G", "compound": "", "concentration": "", "control_type": kind}
        )
    results.fields(plate).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=list(FIELDS_COLUMNS)).to_parquet(results.fields(plate))


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results")


def run(results, **limits):
    manifest = qc_plate.run(results, {"qc": LIMITS | limits}, plate="P1", threads=2)
    table = pd.read_parquet(results.qc("P1"))
    reasons = table.drop_duplicates("well").set_index("well")["reason"]
    return manifest, table, reasons


def test_a_sound_plate(results):
    fields = [field(i) for i in range(6)]
    write(results, fields)
    manifest, table, reasons = run(results)
    assert list(table.columns) == list(QC_COLUMNS)
    assert len(table) == 12
    assert set(reasons) == {""}
    assert manifest.counts["failed"] == 0
    assert manifest.warnings == []
    row = table[(table["well"] == "B01") & (table["channel"] == "ER")].iloc[0]
    assert row["mean"] == pytest.approx(fields[3][1].mean())
    assert row["background"] == pytest.approx(np.quantile(fields[3][1], 0.05), abs=1)
    assert row["saturation"] == pytest.approx((fields[3][1] == 4095).mean())


def test_each_fault_has_its_reason(results):
    fields = [field(i) for i in range(6)]
    fields[1] = field(1, blur=4)
    fields[2][0] = np.where(fields[2][0] > 1000, 4095, fields[2][0])
    fields[3] = np.zeros_like(fields[3])
    fields[4][1] = 0
    write(results, fields, missing={"B02": "ER"})
    manifest, _, reasons = run(results)
    assert reasons["A01"] == reasons["B03"] == ""
    assert reasons["A02"].startswith("focus below 0.1 of the plate's median: DNA 0.0")
    assert reasons["A03"].startswith("saturation above 0.02: DNA 0.")
    assert reasons["B01"] == "blank image, every pixel is zero: DNA, ER"
    assert reasons["B02"] == "missing image: ER"
    assert manifest.counts["failed"] == 4
    assert manifest.counts["failed_by"] == {"blank": 1, "focus": 1, "missing": 1, "saturation": 1}
    assert manifest.warnings[0] == "4 of 6 fields failed QC"
    assert "more than qc.max_failed allows (0.5)" in manifest.warnings[1]
    named = "well B01, field 1 (DNA, ER); well B02, field 1 (ER)"
    assert manifest.warnings[2] == f"images whose every pixel is zero: {named}"


def test_the_gate_stops_and_names_examples(results):
    write(results, [field(0)] + [field(i, signal=0.0) for i in range(5)])
    with pytest.raises(InputError, match="5 of 6 fields of plate P1 failed QC") as caught:
        run(results, stop=True)
    assert "well A02, field 1: foreground below 0.01" in caught.value.where
    assert not results.qc("P1").exists()
    run(results, stop=True, max_failed=0.9)


def test_empty_wells_fail_but_do_not_close_the_gate(results):
    write(results, [field(0), field(1)] + [field(i, signal=0.0) for i in range(4)], empty=WELLS[2:])
    manifest, _, reasons = run(results, stop=True)
    assert reasons["B03"].startswith("foreground")
    assert manifest.counts["failed"] == manifest.counts["failed_in_empty_wells"] == 4
    assert manifest.counts["fields_in_empty_wells"] == 4
    assert manifest.warnings == []


def test_labels_and_threads_do_not_touch_the_digest(results):
    fields = [field(i) for i in range(6)]
    write(results, fields)
    first = run(results)[0].digest
    write(results, fields, empty=WELLS[:1])
    assert qc_plate.run(results, {"qc": LIMITS}, plate="P1", threads=5).digest == first


def test_a_store_that_is_gone_is_one_clear_error(results):
    import shutil

    write(results, [field(i) for i in range(6)])
    shutil.rmtree(results.store("P1"))
    with pytest.raises(MissingError, match="plate store is gone"):
        run(results)
