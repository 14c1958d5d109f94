"""The page of a training, opened while the training runs: it loads nothing, goes on by itself, and can be read."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.browser.conftest import PHONE
from tests.stages.conftest import make_screen, train_cfg

__all__ = ["make_screen", "train_cfg"]
pytestmark = pytest.mark.slow

RUN = """
import json, sys
from pathlib import Path
from platemae.layout import Results
from platemae.live import page, watch
from platemae.stages.train_model import run
page.REFRESH_SECONDS, watch.EVERY_SECONDS = 2, 0.0
run(Results(Path(sys.argv[1])), json.loads(sys.argv[2]), model="m", threads=1, code="code")
"""


@pytest.fixture
def training(make_screen, train_cfg, tmp_path):
    """A training that would go on for hours, whose page is written at each row and read again every other second."""
    cfg = train_cfg(steps=1_000_000, validate_every=20, checkpoint_steps=1000)
    results = make_screen()
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-c", RUN, str(results.root), json.dumps(cfg)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        yield process, results
        process.kill()
        process.wait()


def wait_for(path: Path, process: subprocess.Popen) -> Path:
    while not path.exists():
        assert process.poll() is None, "the training ended before its page was there"
        time.sleep(0.2)
    return path


def step_of(title: str) -> int:
    return int(title.split(": step ")[1].split(" of ")[0].replace(",", ""))


def test_the_page_follows_a_training_until_it_is_stopped(training, open_page, screenshots):
    process, results = training
    path = wait_for(results.training_page("m"), process)
    opened = open_page(path)
    page = opened.page
    first = step_of(page.title())
    page.wait_for_function("first => Number(document.querySelector('progress').value) > first", arg=first + 40)
    page.get_by_role("button", name="Hold the page still").click()
    held = page.title()
    assert opened.faults() == []
    page.screenshot(path=screenshots / "training-1280.png", full_page=True)
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.screenshot(path=screenshots / "training-390.png", full_page=True)
    page.wait_for_timeout(5000)
    assert page.title() == held, "a page that is held still is not read again"
    page.get_by_role("button", name="Read again").click()
    page.wait_for_function("held => document.title !== held", arg=held)

    process.terminate()
    process.wait()
    page.wait_for_function("() => document.querySelector('.badge').classList.contains('continue')")
    assert page.get_by_role("button").count() == 0
    assert not opened.errors
    assert not opened.dialogs
    assert {url.split("?")[0] for url in opened.requests if not url.startswith("data:")} == {page.url}
