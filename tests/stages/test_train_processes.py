"""train_model in several processes and on several nodes: the training of one."""

import os
import time

import numpy as np
import pandas as pd
import pytest

from platemae.errors import DivergedError, MachineError
from platemae.training.preempt import Interrupted
from tests.stages.trainings import results, states, train

__all__ = ["results"]  # the fixture


@pytest.mark.slow
def test_two_processes_equal_one(make_screen, train_cfg):
    cfg = train_cfg(steps=6)
    one, two = make_screen("one"), make_screen("two")
    train(one, cfg)
    train(two, cfg, processes=2)
    history = [pd.read_parquet(r.model("m") / "history.parquet") for r in (one, two)]
    np.testing.assert_allclose(history[0]["loss"], history[1]["loss"], rtol=1e-5)
    np.testing.assert_allclose(history[0]["val_loss"], history[1]["val_loss"], rtol=1e-4, equal_nan=True)
    assert not (states(two)[0] / "lease.json").exists()


@pytest.mark.slow
def test_an_error_in_one_of_several_processes_is_told(results, train_cfg):
    with pytest.raises(MachineError, match="cannot be shared equally"):
        train(results, train_cfg(global_batch=9), processes=2)


SRUN = """#!/bin/bash
# Stand-in for srun: as many "nodes" as tasks, all of them this machine.
for word in "$@"; do case $word in --ntasks=*) n=${word#*=} ;; esac; done
while [[ $1 == --* ]]; do shift; done
for ((i = 0; i < n; i++)); do SLURM_NODEID=$i "$@" & pids+=($!); done
code=0
for pid in "${pids[@]}"; do wait $pid || code=$?; done
exit $code
"""


@pytest.fixture
def two_nodes(tmp_path, monkeypatch):
    """Make ``srun`` start its tasks here."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/srun").write_text(SRUN)
    (tmp_path / "bin/srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")


@pytest.mark.slow
def test_two_nodes_equal_one_with_as_many_processes(make_screen, train_cfg, two_nodes, capfd):
    cfg = train_cfg(steps=6)
    one, two = make_screen("one"), make_screen("two")
    first = train(one, cfg, processes=2)
    second = train(two, cfg, processes=1, nodes=2)
    assert second.digest == first.digest
    said = capfd.readouterr().err
    assert said.count("world size 2, as asked for") == 2
    history = [pd.read_parquet(r.model("m") / "history.parquet") for r in (one, two)]
    assert history[0]["loss"].tolist() == history[1]["loss"].tolist()


@pytest.mark.slow
def test_an_error_on_another_node_comes_back(results, train_cfg, two_nodes):
    with pytest.raises(MachineError, match="cannot be shared equally by 2 processes"):
        train(results, train_cfg(global_batch=9), nodes=2)
    with pytest.raises(DivergedError, match="loss"):
        train(results, train_cfg(lr=1e30), nodes=2)


@pytest.mark.slow
def test_two_nodes_stop_before_the_job_ends(make_screen, train_cfg, two_nodes):
    cfg = train_cfg(steps=4, checkpoint_steps=100)
    short, whole = make_screen("short"), make_screen("whole")
    with pytest.raises(Interrupted, match="the job ends at"):
        train(short, cfg, end_time=str(time.time()), nodes=2)
    assert train(short, cfg, processes=2).digest == train(whole, cfg, processes=2).digest
