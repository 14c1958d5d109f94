"""Memory and walltime by what a job reads: what ingest left, else a typical plate."""

import json
import math
from dataclasses import asdict, replace

import pytest

from platemae.layout import MANIFESTS, Results
from platemae.planning.asked import LEAST, TYPICAL_BYTES, map_memory_mb, minutes_of, plate_memory_mb
from platemae.planning.rates import REFERENCE

GB = 10**9


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path)


def ingested(results, plate, **counts):
    path = results.manifest("ingest_plate", plate=plate)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"counts": counts}))


def test_every_stage_has_its_least():
    assert LEAST.keys() == MANIFESTS.keys()


def test_three_times_the_time_of_the_pixels_beyond_the_least(results):
    ingested(results, "P1", pixel_bytes=100 * GB)
    # 22.5 core seconds a GB on two cores: 1,125 s, of which three times are 56.25 minutes.
    assert minutes_of(results, "qc_plate", ["P1"], threads=2) == LEAST["qc_plate"].minutes + 57
    assert minutes_of(results, "correct_plate", ["P1"], threads=1) == LEAST["correct_plate"].minutes


def test_several_plates_of_which_a_share_is_read(results):
    ingested(results, "P1", pixel_bytes=100 * GB)
    ingested(results, "P2", pixel_bytes=300 * GB)
    # 3.2 s a GB x 40 GB x 3.
    assert minutes_of(results, "fit_intensity", ["P1", "P2"], 1, share=0.1) == LEAST["fit_intensity"].minutes + 7


def test_a_plate_that_is_not_ingested_counts_as_a_typical_one(results):
    ingested(results, "P1", pixel_bytes=TYPICAL_BYTES)
    found = [minutes_of(results, "ingest_plate", [plate], 2) for plate in ("P1", "P2")]
    assert found[0] == found[1] > LEAST["ingest_plate"].minutes


def test_a_calibration_of_this_machine_counts(results):
    ingested(results, "P1", pixel_bytes=100 * GB)
    slow = replace(REFERENCE, seconds_per_gb={"qc_plate": 45.0})
    results.calibration().parent.mkdir(parents=True)
    results.calibration().write_text(json.dumps(asdict(slow)))
    assert minutes_of(results, "qc_plate", ["P1"], threads=2) == LEAST["qc_plate"].minutes + 113


def test_a_map_of_two_thousand_plates_asks_for_its_wells(results):
    """768,000 wells of 1,024 numbers and labels are 3.4 GB, held three times."""
    plates = [f"P{i}" for i in range(2000)]
    assert map_memory_mb(results, "build_map", "mae", plates) == pytest.approx(4000 + 3 * 768_000 * 4396 / 1e6, abs=1)


def test_a_map_asks_by_its_embeddings_width_and_the_wells_that_there_are(results, tmp_path):
    ingested(results, "P1", wells=1536)
    path = results.manifest("embed_plate", model="mae", plate="P1")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"counts": {"dimensions": 384}}))
    assert map_memory_mb(results, "score_map", "mae", ["P1"]) == 4000 + 9  # 3 x 1,536 x 1,836 bytes, rounded up


def embedded(results, plate, **counts):
    path = results.manifest("embed_plate", model="mae", plate=plate)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"counts": counts}))


def megabytes(rows, width=384):
    return math.ceil(3 * rows * (4 * width + 300) / 1e6)


def test_a_map_of_cells_asks_for_each_guide_in_each_well(results):
    """Of P1 cells are few, so guides in wells cannot be more; P2 is not embedded yet; P3 is not pooled."""
    ingested(results, "P1", wells=100, cells=90_000, cell_perturbations=2_000)
    embedded(results, "P1", rows="cell", n_rows=80_000, wells=100, dimensions=384)
    ingested(results, "P2", wells=100, cells=90_000, cell_perturbations=50)
    ingested(results, "P3", wells=96)
    embedded(results, "P3", rows="field", n_rows=864, wells=96, dimensions=384)
    plates = ["P1", "P2", "P3"]
    rows = 80_000 + 100 * 50 + 96
    assert map_memory_mb(results, "build_map", "mae", plates) == 4000 + megabytes(rows)
    assert map_memory_mb(results, "build_map", "mae", plates, "median") == 4000 + megabytes(rows + 90_000)


def test_a_correction_asks_for_all_rows_of_its_plate(results):
    ingested(results, "P1", wells=100, cells=900_000)
    assert plate_memory_mb(results, "correct_plate", "mae", "P1") == 2000 + megabytes(900_000, width=1024)
    ingested(results, "P4", wells=100, cells=900_000)
    embedded(results, "P4", rows="cell", n_rows=700_000, wells=100, dimensions=384)
    assert plate_memory_mb(results, "correct_plate", "mae", "P4") == 2000 + megabytes(700_000)
    ingested(results, "P2", wells=100)
    embedded(results, "P2", rows="crop", n_rows=7_000, wells=100, dimensions=384)
    assert plate_memory_mb(results, "summarize_controls", "mae", "P2") == 2000 + megabytes(7_000)
    embedded(results, "P3", wells=90, dimensions=768)  # profiles
    assert plate_memory_mb(results, "correct_plate", "mae", "P3") == 2000 + megabytes(90, width=768)


@pytest.mark.parametrize("text", ["", "[]", '{"counts": 3}'])
def test_a_torn_manifest_is_left_to_the_job_that_reads_it(results, text):
    ingested(results, "P1")
    results.manifest("ingest_plate", plate="P1").write_text(text)
    assert minutes_of(results, "qc_plate", ["P1"], 2) == minutes_of(results, "qc_plate", ["other"], 2)
