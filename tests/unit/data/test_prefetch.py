"""Prefetching keeps the order, runs ahead by a bounded amount, and hides no error."""

import threading
import time
from itertools import count

import pytest

from platemae.data.prefetch import prefetch


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_order_is_kept(threads):
    def slow_first(i: int) -> int:
        time.sleep(0.01 if i % 3 == 0 else 0)
        return i * i

    assert list(prefetch(slow_first, range(20), threads, depth=4)) == [i * i for i in range(20)]


def test_runs_ahead_but_not_further_than_depth():
    started = []
    results = prefetch(lambda i: started.append(i) or i, count(), threads=2, depth=3)
    assert next(results) == 0
    time.sleep(0.05)
    assert 3 <= len(started) <= 4
    results.close()


def test_work_overlaps_the_consumer():
    started = [threading.Event() for _ in range(10)]
    for item in prefetch(lambda i: started[i].set() or i, range(10), threads=1, depth=2):
        assert item == 9 or started[item + 1].wait(10), "the next item is not begun while this one is used"


def test_an_error_surfaces_at_its_place():
    def work(i: int) -> int:
        if i == 2:
            raise OSError("chunk 2 is torn")
        return i

    results = prefetch(work, range(5), threads=2, depth=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="torn"):
        next(results)


def test_closing_leaves_no_thread():
    results = prefetch(lambda i: i, count(), threads=2)
    next(results)
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]
