"""The page: tabs in, one self-contained HTML text out. Every text is escaped; nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from platemae.fingerprint import digest_bytes
from platemae.look import BASE_CSS
from platemae.report.blocks import Page, lasting, walk

MAX_BYTES = 15_000_000
"""A page that should go through e-mail."""

FRAME_SCRIPTS = ("tabs.js",)
ASSETS = files("platemae.report") / "assets"


def render(title: str, pages: Sequence[Page], written: str = "", *, scripted: bool = True) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    title
        Heading.
    pages
        In the order of the tabs.
    written
        When it was written, shown in the footer.
    scripted
        With the scripts; without them all pages stand one below the other.
    """
    environment = Environment(
        loader=PackageLoader("platemae.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = _scripts(pages) if scripted else []
    return environment.get_template("index.html.j2").render(
        title=title,
        pages=pages,
        written=written,
        style=Markup(BASE_CSS + (ASSETS / "report.css").read_text()),  # ours, nothing of it comes from outside
        scripts=[Markup(script) for script in scripts],
        allowed=Markup(" ".join(map(_hash, scripts)) or "'none'"),
    )


def files_of(pages: Sequence[Page]) -> Mapping[str, bytes]:
    """Return the files that lie beside the page, by name."""
    found: dict[str, bytes] = {}
    for block in walk(pages):
        for name, content in block.files.items():
            if found.setdefault(name, content) != content:
                raise ValueError(f"two files of the report are called {name}")
    return found


def page_digest(title: str, pages: Sequence[Page]) -> str:
    """Return the digest of page and files without times, hosts, versions and libraries."""
    kept = lasting(pages)
    beside = [part for name, content in sorted(files_of(kept).items()) for part in (name.encode(), content)]
    return digest_bytes(render(title, kept, scripted=False).encode(), *beside)


def _scripts(pages: Sequence[Page]) -> list[str]:
    """Return the text of each script once: libraries and blocks first, then the tabs, which show what they made."""
    names = dict.fromkeys(name for block in walk(pages) for name in block.scripts)
    return [_text(name) for name in (*names, *FRAME_SCRIPTS)]


def _text(name: str) -> str:
    package, _, path = name.rpartition(":")
    text = (files(package) / path if package else ASSETS / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError(f"the script {name} cannot be inlined: it holds a tag that would end it")
    return text.replace("\r\n", "\n")  # as a browser reads it, else its hash is another


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
