"""The site: built without a network, warnings are errors, and it asks nothing of the outside."""

import os
import re
import subprocess
import sys

import pytest

OUTSIDE = re.compile(
    r"""<(?:script|img|iframe|source)[^>]+src=["'](https?:)?//|<link[^>]+rel=["'](?:stylesheet|preconnect|preload)["'][^>]+href=["'](https?:)?//"""
)


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(project, tmp_path):
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=project,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    made = list((tmp_path / "site").rglob("*.html"))
    assert len(made) > 15
    assert [str(page) for page in made if OUTSIDE.search(page.read_text())] == []
    api = (tmp_path / "site/api.html").read_text()
    assert "Learn the basis from the control statistics of the fit plates" in api


def test_every_page_is_in_the_menu_and_of_the_menu_there(project):
    menu = re.findall(r":\s([\w/-]+\.md)$", (project / "mkdocs.yml").read_text(), re.M)
    pages = {str(path.relative_to(project / "docs")) for path in (project / "docs").rglob("*.md")}
    assert set(menu) == pages
    assert len(menu) == len(set(menu))
