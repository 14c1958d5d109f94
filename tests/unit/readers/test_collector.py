"""An inventory is made without the collector of cycles, which is back whatever happens."""

import gc
from pathlib import Path

import pytest

from platemae.readers import registry


@pytest.fixture
def read(monkeypatch):
    """The reader that a run gets, of a kind whose inventory fails."""

    def fails(folder, entry):
        assert not gc.isenabled()
        raise ZeroDivisionError

    monkeypatch.setattr("platemae.readers.pattern.inventory", fails)
    return registry.resolve("pattern")


def test_the_collector_is_back_after_an_error(read):
    with pytest.raises(ZeroDivisionError):
        read(Path(), {})
    assert gc.isenabled()


def test_it_stays_off_where_it_was(read):
    gc.disable()
    try:
        with pytest.raises(ZeroDivisionError):
            read(Path(), {})
        assert not gc.isenabled()
    finally:
        gc.enable()
