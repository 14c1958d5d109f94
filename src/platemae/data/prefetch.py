"""Work done ahead in threads, handed out in order.

Threads and no processes: a forked reader of Zarr stores can wait for ever on a lock that its parent held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int = 1, depth: int = 2
) -> Generator[Result]:
    """Yield ``work(item)`` for each item, in order, computing up to ``depth`` results ahead.

    An error in a thread is raised where its result is asked for. Closing the iterator waits for the results under way
    and starts no other.

    Parameters
    ----------
    work
        Thread-safe function.
    items
        May be endless; read in the consumer's thread.
    threads
        Threads; 0 computes in the consumer, with nothing ahead.
    depth
        Results held at most, the ones under way included.
    """
    if threads == 0:
        yield from map(work, items)
        return
    remaining = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    ahead: deque[Future[Result]] = deque()
    try:
        ahead.extend(pool.submit(work, item) for item in islice(remaining, depth))
        while ahead:
            result = ahead.popleft().result()
            ahead.extend(pool.submit(work, item) for item in islice(remaining, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
