"""What `platemae run` says before it submits, with commands of SLURM that are played by scripts."""

import getpass
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from platemae.errors import PlatemaeError
from platemae.layout import Results
from platemae.planning.asked import LEAST, TYPICAL_BYTES, minutes_of
from platemae.planning.ceilings import VARIABLE
from platemae.planning.largest import with_largest
from platemae.planning.rates import FASTEST, Rates
from platemae.planning.resources import read_profile
from platemae.planning.sizes import PlateSize, sampled_sizes
from platemae.planning.submission import check_submission, cluster_arguments
from platemae.preflight.cluster import accounts, cluster_lines, keeps_accounts, read_sinfo
from platemae.preflight.doctor import read_project
from platemae.preflight.submit_limits import submit_limits

ROOT = Path(__file__).parents[3]
SINFO = "cpu*|2|16|64000|(null)|1-00:00:00\ncpu*|1|64|512000|(null)|1-00:00:00\ngpu|2|8|32000|gpu:a100:4|2:00:00\n"
FITS = {"mem_mb": 1000, "runtime": 60}


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Return a function that puts a command of SLURM on PATH, which prints a text and ends with a code."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for name in ("sbatch", "sinfo", "sacct", "sacctmgr", "sshare", "scontrol", "squeue"):  # a real one must not answer
        script = folder / name
        script.write_text("#!/bin/sh\necho not played >&2; exit 1\n")
        script.chmod(0o755)

    def played(name, text="", code=0):
        said = f"cat <<'END'\n{text.rstrip()}\nEND\n" if text else ""
        (folder / name).write_text(f"#!/bin/sh\n{said}exit {code}\n")

    played("sbatch")
    played("sinfo", SINFO)
    played("sacct")
    played("sacctmgr", "root\nLab")
    return played


def submit(screen, folder, **changed):
    """Check the submission of a screen under a profile in which every rule asks for what ``changed`` says."""
    own = {"resources": {}, "rule": {}, "quota": {}} | changed
    values = {
        "executor": "slurm",
        "default-resources": FITS | own["resources"],
        "set-resources": {stage.stem: FITS | own["resources"] for stage in (ROOT / "rules").glob("*_*.smk")},
    }
    values["set-resources"]["train_model"] |= {"runtime": 120} | own["rule"]
    profile = folder / "profile"
    profile.mkdir(exist_ok=True)
    (profile / "config.yaml").write_text(yaml.safe_dump(values))
    check_submission(screen, profile, **own["quota"])


def test_what_fits_goes_on(screen, tmp_path, play):
    submit(screen, tmp_path)
    assert cluster_arguments() == []


CASES = {
    "train_model asks for the partition nope": {"rule": {"slurm_partition": "nope"}},
    "asks for the account other, which SLURM does not let this user name": {"rule": {"slurm_account": "other"}},
    "asks for 600 minutes, partition gpu allows 120": {"rule": {"slurm_partition": "gpu", "runtime": 600}},
    "asks for 8 GPUs of a node, a node has 4": {"rule": {"slurm_partition": "gpu", "gpu": 8}},
    "asks for 600,000 MB, a node has 512,000": {"rule": {"mem_mb": 600_000}},
    "asks for 9 nodes, partition cpu has 3": {"rule": {"nodes": 9}},
    "asks for 32 threads, 600 MB and 4 GPUs, which no node of partition both has together": {
        "rule": {"slurm_partition": "both", "gpu": 4, "threads": 32, "mem_mb": 600}
    },
    "the quota leaves 0.0": {"quota": {"quota_gb": 0.0}},
    "the quota leaves 5": {"quota": {"quota_files": 5}},
}


@pytest.mark.parametrize("words", CASES)
def test_what_slurm_would_not_take_is_one_message_before_anything_is_submitted(words, screen, tmp_path, play):
    play("sinfo", f"{SINFO}both|1|64|9000|(null)|1:00:00\nboth|1|8|9000|gpu:4|2:00:00\n")
    with pytest.raises(PlatemaeError) as caught:
        submit(screen, tmp_path, **CASES[words])
    assert words in caught.value.what
    assert "problems" not in caught.value.what
    assert caught.value.where
    assert caught.value.remedy


def test_a_walltime_below_a_checkpoint_interval_is_refused_as_slow_as_the_cores_are(screen, tmp_path, play):
    submit(screen, tmp_path, rule={"runtime": 2})
    Rates(1e6, {}, 1.0, 1.0, "slow cores").write(Results(tmp_path / "results").calibration())
    with pytest.raises(PlatemaeError, match="2 minutes, is shorter than one checkpoint interval"):
        submit(screen, tmp_path, rule={"runtime": 2})


def test_on_a_gpu_the_fastest_one_decides_where_none_is_named(screen, tmp_path, play, monkeypatch):
    slow = replace(FASTEST, bf16_flops=1e7)
    monkeypatch.setattr("platemae.planning.refusals.FASTEST", slow)
    asked = {"slurm_partition": "gpu", "gpu": 1, "runtime": 2}
    with pytest.raises(PlatemaeError, match="even on the fastest GPU known"):
        submit(screen, tmp_path, rule=asked)
    submit(screen, tmp_path, rule=asked | {"gpu_model": "a100"})


def test_several_problems_are_told_together(screen, tmp_path, play):
    with pytest.raises(PlatemaeError) as caught:
        submit(screen, tmp_path, rule={"slurm_account": "other", "mem_mb": 600_000}, quota={"quota_files": 5})
    assert caught.value.what.startswith("3 problems")


def test_no_sbatch_and_a_silent_controller_are_one_message_each(screen, tmp_path, play, monkeypatch):
    play("sinfo", code=1)
    with pytest.raises(PlatemaeError, match="SLURM does not answer"):
        submit(screen, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlatemaeError, match="there is no sbatch here") as caught:
        submit(screen, tmp_path)
    assert "--profile local" in caught.value.remedy


def test_without_accounts_squeue_is_asked_and_said(screen, tmp_path, play, capsys):
    play("sacct", code=1)
    play("sacctmgr", code=1)
    play("sshare")
    submit(screen, tmp_path, rule={"slurm_account": "other"})  # which nobody can judge
    assert cluster_arguments() == ["--slurm-status-command", "squeue"]
    assert "squeue is asked" in capsys.readouterr().err
    assert (keeps_accounts(), accounts()) == (False, frozenset())
    assert "it keeps no accounts of jobs" in cluster_lines()[0]


def test_doctor_tells_partitions_in_words(play):
    assert cluster_lines()[1:] == [
        "SLURM partition cpu (default): 2 nodes of 16 cores, 64,000 MB; 1 nodes of 64 cores, 512,000 MB; "
        "at most 1,440 minutes a job",
        "SLURM partition gpu: 2 nodes of 8 cores, 32,000 MB, 4 GPUs; at most 120 minutes a job",
    ]
    assert accounts() == {"root", "lab"}


def test_doctor_goes_on_beside_a_silent_controller(play):
    play("sinfo", code=1)
    assert cluster_lines() == ["SLURM does not answer: exit code 1"]


def test_a_new_plate_counts_as_the_first_of_its_reader(screen, plates, monkeypatch):
    config, table, base, results = read_project(screen)
    known = sampled_sizes(config, table, base, results)
    assert {size.fields for size in known.values()} == {20}
    opened = []

    def raw(config, plates, name, base):
        opened.append(name)
        return known["P0"]

    monkeypatch.setattr("platemae.planning.sizes._raw", raw)
    assert sampled_sizes(config, table, base, Results(base / "elsewhere")) == known
    assert opened == ["P0"]


def test_sinfo_without_nodes_or_limits_is_read():
    found = read_sinfo("down|0|0|0|(null)|infinite\nnonsense\n")
    assert (found["down"].minutes, found["down"].nodes.cores) == (0, 0)


def test_the_scripts_play(play):
    assert subprocess.run(["sinfo"], capture_output=True, text=True).stdout == SINFO


def follow_data(screen, folder, target="all", **own):
    """Check a screen under a profile that leaves walltimes and memory to the rules, as the shipped one does."""
    values = {"executor": "slurm", "retries": 2, "groups": {"qc_plate": "qc"}, "group-components": {"qc": 10}}
    (folder / "profile").mkdir(exist_ok=True)
    (folder / "profile" / "config.yaml").write_text(yaml.safe_dump(values | {"set-resources": own}))
    return check_submission(screen, folder / "profile", target=target)


SHORT = "cpu*|4|16|16000|(null)|2:30:00\n"
HOUR = {"runtime": 60}


def test_what_the_rules_ask_for_the_largest_plate_is_checked(screen, tmp_path, play):
    play("sinfo", SHORT)
    ingested(tmp_path, wells=1_000_000, pixel_bytes=TYPICAL_BYTES)
    with pytest.raises(PlatemaeError) as caught:
        follow_data(screen, tmp_path, train_model=HOUR)
    assert caught.value.what.startswith("3 problems")
    assert "qc_plate asks for 152 minutes for 4 jobs in turn, 38 each, partition cpu allows 150" in caught.value.what
    for stage in ("build_map", "score_map"):
        assert f"{stage} asks for 17,189 MB, a node has 16,000" in caught.value.what


def test_a_plate_that_is_not_ingested_counts_by_its_reader_and_for_its_ingest_as_a_typical_one(screen, plates):
    config, table, base, _ = read_project(screen)
    small = dict.fromkeys(table.names, PlateSize(10, 20, 2, 100, 64, 2))
    profile = read_profile(ROOT / "workflow" / "profiles" / "slurm", ROOT / "rules")
    fresh = with_largest(profile, config, table, Results(base / "elsewhere"), small).asked
    assert fresh["qc_plate"].runtime_minutes == LEAST["qc_plate"].minutes + 1
    assert fresh["ingest_plate"].runtime_minutes == minutes_of(Results(base), "ingest_plate", ["other"], 2)


def ingested(folder, **counts):
    """Change what the ingest of the first plate counted."""
    path = folder / "results" / "plates" / "P0.manifest.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"counts": held["counts"] | counts}))


def test_the_rules_are_told_where_attempts_stop(screen, tmp_path, play):
    play("sinfo", SHORT.replace("2:30:00", "4:00:00"))
    told = json.loads(follow_data(screen, tmp_path, train_model=HOUR).variables[VARIABLE])
    assert told["qc_plate"] == {"runtime": 240 // 4, "mem_mb": 16_000}
    assert told["render_report"] == {"runtime": 240, "mem_mb": 16_000}


def test_a_target_below_the_training_does_not_ask_for_its_walltime(screen, tmp_path, play):
    play("sinfo", SHORT)
    follow_data(screen, tmp_path, target="datasets_all", qc_plate={"runtime": 30})
    with pytest.raises(PlatemaeError, match="train_model asks for 1440 minutes, partition cpu allows 150"):
        follow_data(screen, tmp_path, target="models_all", qc_plate={"runtime": 30})


def test_what_is_finished_is_no_reason_to_refuse_but_is_said(screen, tmp_path, play, capsys):
    play("sinfo", SHORT)
    config, _, _, results = read_project(screen)
    for row in config.rows:
        path = results.manifest("train_model", model=row.name)
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    follow_data(screen, tmp_path, qc_plate={"runtime": 30})
    assert (
        "train_model asks for 1440 minutes, partition cpu allows 150; its jobs are finished" in capsys.readouterr().err
    )


def test_a_full_disk_is_not_called_a_quota(screen, tmp_path, play, monkeypatch):
    monkeypatch.setattr("platemae.planning.refusals.free_bytes", lambda folder: 0)
    with pytest.raises(PlatemaeError, match=r"the disk has 0\.0") as caught:
        submit(screen, tmp_path)
    assert caught.value.where == str(tmp_path / "results")


def limited(play, queued=(), enforced="associations,limits,qos", partition="", qos="", accounts=()):
    """Play a SLURM with limits: QOS normal lets a user have 20 jobs, account lab 50."""
    associations = "lab|50|normal|long,normal\nother|||long"
    own = "\n".join(("here|root|||", *accounts))
    play("sacctmgr", f"lab\nother\n{associations}\nnormal|20|\nlong||\n{qos}\n{own}")
    play("scontrol", f"ClusterName = here\nAccountingStorageEnforce = {enforced}\n{partition}")
    play("squeue", "\n".join(f"{getpass.getuser()}|{name}" for name in queued))


def sent(screen, folder, *words, jobs=200, **own):
    """Return what the check of a run has Snakemake told; every rule asks for what ``own`` says."""
    stages = [stage.stem for stage in (ROOT / "rules").glob("*_*.smk")]
    values = {"executor": "slurm", "jobs": jobs, "set-resources": dict.fromkeys(stages, FITS | own)}
    (folder / "profile").mkdir(exist_ok=True)
    (folder / "profile" / "config.yaml").write_text(yaml.safe_dump(values))
    return check_submission(screen, folder / "profile", given=words).words


def test_a_run_keeps_below_the_jobs_that_slurm_lets_a_user_have(screen, tmp_path, play, capsys):
    limited(play, ["platemae_1-ab", "mine", "mine"])
    assert sent(screen, tmp_path) == ["--jobs", "18"], "jobs of a killed run are waited for, before any other"
    assert "20 jobs in the queue (QOS normal), 2 of other work are there: --jobs 18" in capsys.readouterr().err
    assert sent(screen, tmp_path, slurm_account="lab", qos="long") == ["--jobs", "48"]
    assert sent(screen, tmp_path, slurm_account="other") == []
    assert sent(screen, tmp_path, jobs=18) == sent(screen, tmp_path, "--jobs", "7") == []


def test_a_full_queue_is_refused_and_limits_that_nobody_enforces_are_none(screen, tmp_path, play):
    limited(play, ["mine"] * 20)
    with pytest.raises(PlatemaeError, match="and 20 of other work are there"):
        sent(screen, tmp_path)
    limited(play, ["mine"] * 20, enforced="none")
    assert sent(screen, tmp_path) == []


def squeue_of(folder, **queued):
    """Play a squeue that is asked for some jobs by one word, and has so many of another user for it."""
    cases = "".join(f"--{word}) n={count} ;; " for word, count in queued.items())
    text = f"#!/bin/sh\nn=0\ncase ${{1%%=*}} in {cases} esac\nwhile [ $n -gt 0 ]; do echo 'ada|x'; n=$((n-1)); done\n"
    (folder / "bin" / "squeue").write_text(text)


def test_the_qos_of_a_partition_counts(screen, tmp_path, play, capsys):
    partition = "PartitionName=cpu Default=YES QoS=small\nPartitionName=gpu Default=NO QoS=N/A"
    limited(play, ["mine"], partition=partition, qos="small|7|")
    assert sent(screen, tmp_path) == ["--jobs", "6"]
    assert "this user have 7 jobs in the queue (QOS small), 1 of other work are there" in capsys.readouterr().err
    assert sent(screen, tmp_path, slurm_partition="gpu") == ["--jobs", "19"]


def test_jobs_that_all_users_may_have_together_count_those_of_others(screen, tmp_path, play, capsys):
    limited(play, partition="PartitionName=cpu Default=YES QoS=small", qos="small||40")
    squeue_of(tmp_path, partition=35)
    assert sent(screen, tmp_path) == ["--jobs", "5"]
    assert "lets all users together have 40 jobs in the queue (QOS small), 35 of other" in capsys.readouterr().err
    squeue_of(tmp_path, partition=40)
    with pytest.raises(PlatemaeError, match="and 40 of other work are there") as caught:
        sent(screen, tmp_path)
    assert caught.value.where == "squeue --partition=cpu"


def test_an_account_and_those_above_it_limit_all_their_users(screen, tmp_path, play, capsys):
    tree = (
        "here|faculty||root|100",
        "here|lab||faculty|",
        "here|other||faculty|",
        "away|lab||root|1",
        "here|x||root|1",
    )
    limited(play, accounts=tree)
    squeue_of(tmp_path, account=88)
    assert sent(screen, tmp_path, slurm_account="lab", qos="long") == ["--jobs", "12"]
    assert "all users together have 100 jobs in the queue (account faculty)" in capsys.readouterr().err
    counted = [limit.counted for limit in submit_limits([("lab", "long", "")])]
    assert counted == ["--me", "--account=faculty,lab,other"]
