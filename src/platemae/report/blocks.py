"""What a section of the page is made of. A block is data: the template decides how it looks and escapes all text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

Tone = Literal["plain", "note", "warning"]


@dataclass(frozen=True)
class Block:
    """Base of all blocks.

    Parameters
    ----------
    volatile
        Shown on the page but left out of its digest: times, hosts, versions.
    """

    type: ClassVar[str] = ""
    volatile: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Text(Block):
    """A paragraph; ``note`` and ``warning`` are boxed."""

    type: ClassVar[str] = "text"
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Heading(Block):
    """A heading below the section's own."""

    type: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Items(Block):
    """A list of sentences."""

    type: ClassVar[str] = "items"
    items: Sequence[str]
    tone: Tone = "plain"


@dataclass(frozen=True)
class Statements(Block):
    """Sentences under a few words in bold that say what they are about."""

    type: ClassVar[str] = "statements"
    statements: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Facts(Block):
    """Key numbers as tiles: label, number, small print."""

    type: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Table(Block):
    """A table of text.

    Parameters
    ----------
    columns, rows
        Headings and cells.
    caption
        What the table shows.
    numeric
        Places of right-aligned columns.
    faint
        Cells (row, column) shown in grey, such as results at chance.
    """

    type: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    numeric: frozenset[int] = frozenset()
    faint: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Figure(Block):
    """A picture as a data URI, with the text that stands for it.

    Parameters
    ----------
    uri
        ``data:image/...``.
    alt
        What is to be seen, for readers who do not see it.
    caption
        Shown below.
    width
        Natural width in CSS pixels; ``scroll`` keeps it on a phone, with sideways scrolling.
    """

    type: ClassVar[str] = "figure"
    uri: str
    alt: str
    caption: str
    width: int = 700
    scroll: bool = False


@dataclass(frozen=True)
class Fold(Block):
    """Blocks behind a line that opens."""

    type: ClassVar[str] = "fold"
    summary: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Section:
    """One section of the page; ``key`` is its anchor."""

    key: str
    title: str
    blocks: Sequence[Block]


def stable(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks without the volatile ones, folds included."""
    kept: list[Block] = []
    for block in blocks:
        if block.volatile:
            continue
        kept.append(Fold(block.summary, stable(block.blocks)) if isinstance(block, Fold) else block)
    return kept


def grid(
    rows: Sequence[Sequence[object]], columns: Sequence[str], caption: str = "", numeric: Sequence[str] = ()
) -> Table:
    """Return a table of any cells; ``numeric`` names the right-aligned columns."""
    right = frozenset(place for place, name in enumerate(columns) if name in numeric)
    return Table(columns, [[str(cell) for cell in row] for row in rows], caption, right)
