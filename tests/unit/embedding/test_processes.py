"""Processes that embed parts of a plate: their parts are joined in order, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from platemae.embedding.infer import FieldSums
from platemae.embedding.plate import Part, merge

WAITING = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from platemae.embedding.plate import _end_with_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600).result()
"""


def test_parts_are_joined_in_order():
    rows = [{"mean": np.full((n, 3), float(n))} for n in (2, 4)]
    joined = merge([Part({}, rows[0]), Part({}, {}), Part({}, rows[1])])
    assert joined.rows["mean"][:, 0].tolist() == [2, 2, 4, 4, 4, 4]
    assert (joined.n_crops, joined.width("mean")) == (6, 3)
    sums = [Part({"mean": FieldSums(np.full((n, 2), n), np.full(n, n))}, {}) for n in (1, 3)]
    joined = merge(sums)
    assert joined.sums["mean"].tiles_F.tolist() == [1, 3, 3, 3]
    assert (joined.n_crops, joined.width("mean")) == (10, 2)


@pytest.mark.slow
def test_a_process_ends_with_its_parent(tmp_path):
    (tmp_path / "waiting.py").write_text(WAITING)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "waiting.py")], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + 60
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.1)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
