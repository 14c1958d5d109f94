"""One cluster for all tests of a session; none where it cannot be started."""

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, running_cluster, why_not
from tests.workflow.conftest import tiny_screen

__all__ = ["cluster", "tiny_screen"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Four virtual nodes of two CPUs, the upper two with two GPUs each, and accounting."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with running_cluster() as running:
        yield running
