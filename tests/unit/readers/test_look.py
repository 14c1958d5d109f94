"""A plate is looked at without the collector of cycles, which is back whatever happens."""

import gc

import pytest

from platemae.errors import InputError
from platemae.readers import look as module


def read(folder, entry):
    assert not gc.isenabled()
    raise entry["error"]


def look(tmp_path, monkeypatch, error):
    monkeypatch.setattr(module, "resolve_reader", lambda kind: read)
    row = {"plate": "P1", "batch": "b1", "path": "raw", "layout": "layout.tsv"}
    cfg = {"plate": row, "reader": {"name": "scope", "kind": "pattern", "error": error}, "ingest": {}}
    return module.look(cfg, "P1", tmp_path)


def test_the_collector_is_back_after_a_problem(tmp_path, monkeypatch):
    inventory, _, problems = look(tmp_path, monkeypatch, InputError("nothing fits"))
    assert inventory is None
    assert [problem.what for problem in problems][-1] == "nothing fits"
    assert gc.isenabled()


def test_the_collector_is_back_after_an_error_and_stays_off_where_it_was(tmp_path, monkeypatch):
    with pytest.raises(ZeroDivisionError):
        look(tmp_path, monkeypatch, ZeroDivisionError())
    assert gc.isenabled()
    gc.disable()
    try:
        look(tmp_path, monkeypatch, InputError("nothing fits"))
        assert not gc.isenabled()
    finally:
        gc.enable()
