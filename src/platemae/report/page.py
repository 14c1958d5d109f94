"""The page: sections in, one self-contained HTML text out. Every text is escaped; nothing is loaded from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jinja2 import Environment, PackageLoader, StrictUndefined

from platemae.fingerprint import digest_bytes
from platemae.report.blocks import Section, stable

MAX_BYTES = 15_000_000
"""A page that should go through e-mail."""


def render(title: str, sections: Sequence[Section], written: str = "") -> str:
    """Return the page as HTML.

    Parameters
    ----------
    title
        Heading of the page.
    sections
        In the order of the page.
    written
        When it was written, shown in the footer.
    """
    environment = Environment(
        loader=PackageLoader("platemae.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("index.html.j2").render(title=title, sections=sections, written=written)


def page_digest(title: str, sections: Sequence[Section]) -> str:
    """Return the digest of the page without times, hosts and versions."""
    lasting = [replace(section, blocks=stable(section.blocks)) for section in sections]
    return digest_bytes(render(title, lasting).encode())
