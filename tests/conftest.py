"""Fixtures that several folders use: the project's root, and the real data beside it."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Time is no property that a test here asserts: on a busy machine any example may take long.
settings.register_profile("platemae", deadline=None)
settings.load_profile("platemae")

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project() -> Path:
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data, which the project never ships."""
    folder = Path(os.environ.get("PLATEMAE_SHARED", PROJECT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data is not there: {folder} (set PLATEMAE_SHARED)")
    return folder
