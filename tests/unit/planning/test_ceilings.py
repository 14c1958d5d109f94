"""Attempts ask for more each time, up to what SLURM has."""

import pytest

from platemae.planning.ceilings import VARIABLE, as_variable, at_attempt, ceilings
from platemae.planning.resources import Asked, Profile
from platemae.preflight.cluster import read_sinfo

SINFO = "cpu*|4|16|64000|(null)|4:00:00\ngpu|2|32|256000|gpu:a100:4|1:00:00\ngpu|1|64|512000|(null)|1:00:00\n"
PROFILE = Profile(
    {
        "qc_plate": Asked(runtime_minutes=20),
        "ingest_plate": Asked(runtime_minutes=30),
        "embed_plate": Asked(runtime_minutes=20, partition="gpu", gpus_per_node=1),
        "build_map": Asked(runtime_minutes=30),
        "score_map": Asked(partition="nope"),
    },
    groups={"qc_plate": "plate", "ingest_plate": "plate"},
)
TOGETHER = {"qc_plate": 3, "ingest_plate": 2, "embed_plate": 1, "build_map": 1, "score_map": 1}


def test_jobs_in_turn_share_the_partitions_time_and_memory_is_that_of_a_node_that_has_the_rest():
    assert ceilings(PROFILE, TOGETHER, read_sinfo(SINFO)) == {
        # 3 x 20 and 2 x 30 minutes in one submission are half of four hours: twice of each fits, and no more.
        "qc_plate": {"runtime": 40, "mem_mb": 64_000},
        "ingest_plate": {"runtime": 60, "mem_mb": 64_000},
        "embed_plate": {"runtime": 60, "mem_mb": 256_000},  # the larger node has no GPU
        "build_map": {"runtime": 240, "mem_mb": 64_000},
    }


def test_what_is_not_limited_has_no_ceiling():
    assert ceilings(PROFILE, TOGETHER, {}) == {}
    assert ceilings(PROFILE, {"build_map": 1}, read_sinfo("cpu*|4|16|0|(null)|infinite\n")) == {"build_map": {}}


@pytest.mark.parametrize(("attempt", "minutes"), [(1, 20), (2, 40), (3, 40), (20, 40)])
def test_an_attempt_stops_at_the_ceiling(monkeypatch, attempt, minutes):
    monkeypatch.setenv(VARIABLE, as_variable(ceilings(PROFILE, TOGETHER, read_sinfo(SINFO)))[VARIABLE])
    assert at_attempt("qc_plate", "runtime", 20, attempt) == minutes
    assert at_attempt("compare_models", "runtime", 20, attempt) == 20 * attempt
    monkeypatch.delenv(VARIABLE)
    assert at_attempt("qc_plate", "runtime", 20, attempt) == 20 * attempt
