"""Progress of long work: a bar on a terminal, lines elsewhere, nothing from helpers."""

import io
import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tqdm import tqdm

from platemae import logs


@pytest.fixture(autouse=True)
def _handlers_as_before():
    log = logging.getLogger("platemae")
    before = list(log.handlers)
    yield
    log.handlers = before


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_a_bar_counts_and_goes_away(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    logging.getLogger("platemae").handlers = []
    assert list(logs.track("abc", 3, "fields")) == ["a", "b", "c"]
    said = screen.getvalue()
    assert "fields" in said
    assert "\r" in said
    assert "\x1b[3" not in said  # no colour, so NO_COLOR has nothing to turn off


def test_elsewhere_there_are_plain_lines_that_the_log_file_gets_too(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(logs, "LINES_APART_S", 0.0)
    logs.start("ingest_plate", tmp_path / "log.jsonl")
    list(logs.track(range(3), 3, "fields"))
    lines = [json.loads(line)["message"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == ["1 of 3 fields (33 %)", "2 of 3 fields (66 %)"]  # the end is said by the stage itself
    said = capsys.readouterr().err
    assert "ingest_plate: 2 of 3 fields (66 %)" in said
    assert "\r" not in said


def test_a_job_with_a_log_file_draws_no_bar_even_on_a_terminal(monkeypatch, tmp_path):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    logs.start("ingest_plate", tmp_path / "log.jsonl")
    list(logs.track(range(3), 3, "fields"))
    assert screen.getvalue() == ""


def test_short_work_says_nothing_and_a_command_prints(monkeypatch, capsys):
    logging.getLogger("platemae").handlers = []
    list(logs.track(range(3), 3, "outputs"))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(logs, "LINES_APART_S", 0.0)
    list(logs.track(range(2), 2, "outputs"))
    assert capsys.readouterr().err == "1 of 2 outputs (50 %)\n"


def test_threads_lose_no_step(monkeypatch):
    screen, bars = Terminal(), []
    monkeypatch.setattr("tqdm.tqdm", lambda *args, **options: bars.append(tqdm(*args, **options)) or bars[-1])
    monkeypatch.setattr(sys, "stderr", screen)
    logging.getLogger("platemae").handlers = []
    with logs.progress(2000, "fields") as advance, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: advance(), range(2000)))
        assert bars[0].n == 2000
