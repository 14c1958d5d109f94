"""`platemae plan` as people call it."""

import json

import pytest

from platemae.cli import main
from platemae.planning.command import span
from platemae.planning.rates import Rates

FITS = ["--memory-gb", "900", "--quota-gb", "1000"]


def planned(screen, capsys, *more):
    code = main(["plan", "--configfile", str(screen), *more])
    return code, capsys.readouterr()


def test_a_plan_says_what_is_left_and_what_it_rests_on(screen, capsys):
    code, said = planned(screen, capsys, "--json", *FITS)
    plan = json.loads(said.out)
    stages = {stage["stage"]: stage for stage in plan["stages"]}
    assert code == 0, said.err
    assert (stages["ingest_plate"]["jobs"], stages["ingest_plate"]["pending"]) == (4, 0)
    assert stages["train_model"]["core_hours"] > 0
    assert plan["total"]["jobs"] == plan["total"]["pending"] + 4 == 101
    assert plan["total"]["sbatch_calls"] == 0, "this machine"
    assert any("not calibrated here" in sentence for sentence in plan["assumptions"])


def test_a_plate_that_cannot_be_read_is_said_to_be_missing_from_the_figures(screen, capsys):
    whole = json.loads(planned(screen, capsys, "--json", *FITS)[1].out)
    assert whole["not_counted"] == []
    (screen.parent / "results" / "plates" / "P2.manifest.json").write_text("{")
    code, said = planned(screen, capsys, *FITS)
    assert code == 2
    assert "not counted are plates that cannot be read: P2\n" in said.out
    assert said.err.count("P2.manifest.json") == 1
    assert json.loads(planned(screen, capsys, "--json", *FITS)[1].out)["not_counted"] == ["P2"]


def test_a_gpu_is_named_with_its_source_and_share(screen, capsys):
    code, said = planned(screen, capsys, "--profile", "slurm", "--gpu", "A100", "--mfu", "0.3", *FITS)
    assert code == 0, said.err
    assert "312 TFLOP/s bf16" in said.out
    assert "30% of it is reached" in said.out
    assert "calls of sbatch: " in said.out


def test_a_gpu_that_the_profile_does_not_ask_for_is_named_in_the_assumptions(screen, capsys):
    words = "asks for no GPU for train_model, embed_plate"
    assert words in planned(screen, capsys, "--gpu", "A100", *FITS)[1].out
    assert words not in planned(screen, capsys, "--gpu", "A100", "--profile", "slurm", *FITS)[1].out
    assert words not in planned(screen, capsys, *FITS)[1].out


def test_the_shipped_profile_without_a_gpu_asks_for_its_name(screen, capsys):
    Rates(1e6, {}, 1.0, 1.0, "slow cores").write(screen.parent / "results" / "provenance" / "calibration.json")
    code, said = planned(screen, capsys, "--profile", "slurm", *FITS)
    assert code == 0, said.err
    assert "name the GPU: --gpu" in said.out


def test_what_cannot_fit_is_refused_with_a_message_each(screen, capsys):
    code, said = planned(screen, capsys, "--quota-gb", "0", "--quota-files", "5")
    assert code == 2
    assert said.err.count("error:") == 2
    assert "the quota leaves 0.0" in said.err
    assert "the quota leaves 5" in said.err


def test_a_calibration_is_kept_and_used(screen, capsys):
    Rates(123e9, {}, 1.0, 1.0, "calibrated on a test").write(
        screen.parent / "results" / "provenance" / "calibration.json"
    )
    _, said = planned(screen, capsys, *FITS)
    assert "calibrated on a test; 123 GFLOP/s" in said.out


def test_finished_jobs_stand_beside_their_plan(screen, capsys):
    folder = screen.parent / "results" / "benchmarks" / "qc_plate"
    folder.mkdir(parents=True)
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    (folder / "P0.tsv").write_text(f"{head}10.0\t0:00:10\t300.0\t1\t1\t1\t0\t0\t90\t9\n")
    (folder / "P1.tsv").write_text(f"{head}20.0\t0:00:20\tNA\t1\t1\t1\t0\t0\t90\tNA\n")
    code, said = planned(screen, capsys, "--compare", "--json", *FITS)
    (row,) = json.loads(said.out)["compared"]
    assert code == 0
    assert (row["stage"], row["jobs"], row["seconds"], row["memory_mb"]) == ("qc_plate", 2, 15.0, 300.0)
    assert row["ratio"] == pytest.approx(15.0 / row["planned_seconds"])
    assert "qc_plate" in planned(screen, capsys, "--compare")[1].out


@pytest.mark.parametrize("more", [["--profile", "nope"], ["--gpu", "B9"]])
def test_unknown_names_are_one_error(screen, capsys, more):
    code, said = planned(screen, capsys, *more)
    assert (code, said.err.count("error:")) == (2, 1)


def test_durations_are_said_as_people_do():
    assert [span(s) for s in (45, 119, 720, 12_600, 535_680)] == ["45 s", "119 s", "12 min", "3.5 h", "6.2 d"]


@pytest.mark.slow
def test_this_machine_is_calibrated():
    from platemae.planning.calibrate import calibrate

    found = calibrate(1.0)
    assert found.flops > 1e8
    assert 0.05 < found.light_start_seconds < found.start_seconds < 120
    assert all(0.01 < rate < 1e5 for rate in found.seconds_per_gb.values())
