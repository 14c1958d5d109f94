"""Headless Chromium, pages that note what goes wrong in them, and the reports that are opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.result import write_result

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@dataclass
class Opened:
    """A page, and what was heard from it since it was opened."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Note errors, requests and dialogs from now on."""
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def faults(self) -> list[str]:
        """Return what axe-core finds of serious or critical impact, a line each."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{fault['id']} ({fault['impact']}): {fault['help']}: {[node['target'] for node in fault['nodes'][:4]]}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
        ]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Return a function that opens a file in a profile of its own; keywords are those of a browser's context."""
    contexts = []

    def open_(path: Path, fragment: str = "", **context: Any) -> Opened:
        contexts.append(browser.new_context(**({"viewport": WIDE} | context)))
        opened = Opened(contexts[-1].new_page())
        opened.listen()
        opened.page.goto(path.as_uri() + fragment)
        return opened

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def small_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of a small screen with names that are markup."""
    return write_result(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def demo_report() -> Path:
    """Report of the demo, named by PLATEMAE_REPORT, as `make browser` does."""
    path = Path(os.environ.get("PLATEMAE_REPORT", "")).absolute()
    if not path.is_file():
        pytest.skip("the demo's report is not there: run `make demo`, then `make browser`")
    return path


@pytest.fixture(scope="session", params=["small", "demo"])
def report(request: pytest.FixtureRequest) -> Path:
    """Each report in turn."""
    return request.getfixturevalue(f"{request.param}_report")


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the screenshots: PLATEMAE_SCREENSHOTS, or one that goes with the test."""
    folder = Path(os.environ.get("PLATEMAE_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
