"""What a page is made of. A block is data: its template decides how it looks and escapes all text.

A new kind of block is a dataclass here or beside the section that needs it, with a ``type``, and
``templates/blocks/{type}.html.j2``. Where it needs JavaScript, it names the files in ``scripts``; each is inlined once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, NamedTuple

from platemae.report.drawing import Drawing
from platemae.report.origin import Cell
from platemae.report.takeaway import Takeaway, of_figure, of_table

CONTENTS_FROM = 5
"""A page with so many headings starts with a list of them."""

Tone = Literal["plain", "note", "warning", "small"]


@dataclass(frozen=True)
class Block:
    """Base of all blocks.

    Parameters
    ----------
    volatile
        Shown on the page but left out of its digest: times, hosts, versions.
    """

    type: ClassVar[str] = ""
    scripts: ClassVar[tuple[str, ...]] = ()
    """Files of ``report/assets`` that the block needs, or ``package:path`` of another package, in this order."""
    volatile: bool = field(default=False, kw_only=True)

    @property
    def files(self) -> Mapping[str, bytes]:
        """Files by name that lie in ``report/files``; the block links them as ``files/NAME``."""
        return {}


@dataclass(frozen=True)
class Text(Block):
    """A paragraph; ``note`` and ``warning`` are boxed, ``small`` is small print."""

    type: ClassVar[str] = "text"
    text: str | Cell
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
    items: Sequence[str | Cell]
    tone: Tone = "plain"


class Statement(NamedTuple):
    """Sentences under a few words in bold.

    Parameters
    ----------
    about
        What they are about.
    text
        The sentences.
    meaning
        What is measured, in plain words, in front of them.
    names
        Sentences with long lists of names, behind a line that opens.
    """

    about: str
    text: str | Cell
    meaning: str = ""
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Statements(Block):
    """Sentences, each under what it is about."""

    type: ClassVar[str] = "statements"
    statements: Sequence[Statement]


@dataclass(frozen=True)
class Facts(Block):
    """Key numbers as tiles: label, number, small print."""

    type: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, str | Cell, str]]


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
    name
        Of its files in ``report/files``; without a name there are none.
    """

    type: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    caption: str | Cell = ""
    numeric: frozenset[int] = frozenset()
    faint: frozenset[tuple[int, int]] = frozenset()
    name: str = field(default="", kw_only=True)

    @property
    def takeaway(self) -> Takeaway | None:
        """Its files: CSV and TeX."""
        rows = [[str(cell) for cell in row] for row in self.rows]
        return of_table(self.name, self.columns, rows, str(self.caption)) if self.name else None

    @property
    def files(self) -> Mapping[str, bytes]:
        """Those of the takeaway."""
        return self.takeaway.files if self.takeaway else {}


@dataclass(frozen=True)
class Figure(Block):
    """A picture, with the text that stands for it.

    Parameters
    ----------
    drawing
        The picture, and the same in other forms.
    alt
        What is to be seen, for readers who do not see it.
    caption
        Shown below.
    width
        Natural width in CSS pixels; ``scroll`` keeps it on a phone, with sideways scrolling.
    name
        Of its files in ``report/files``; without a name there are none.
    """

    type: ClassVar[str] = "figure"
    drawing: Drawing
    alt: str
    caption: str
    width: int = 700
    scroll: bool = False
    name: str = field(default="", kw_only=True)

    @property
    def takeaway(self) -> Takeaway | None:
        """Its files: the picture, and what was drawn as CSV."""
        return of_figure(self.name, self.drawing) if self.name else None

    @property
    def files(self) -> Mapping[str, bytes]:
        """Those of the takeaway."""
        return self.takeaway.files if self.takeaway else {}


@dataclass(frozen=True)
class Document(Block):
    """Texts to take away, by file name."""

    type: ClassVar[str] = "document"
    texts: Mapping[str, str]

    @property
    def files(self) -> Mapping[str, bytes]:
        """The texts."""
        return {name: text.encode() for name, text in self.texts.items()}


@dataclass(frozen=True)
class Fold(Block):
    """Blocks behind a line that opens.

    Parameters
    ----------
    summary
        The line.
    blocks
        What it opens.
    raw
        It stays closed on paper, as it would fill pages with rows.
    quiet
        Without a frame, for what belongs to the text above it.
    """

    type: ClassVar[str] = "fold"
    summary: str
    blocks: Sequence[Block]
    raw: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a page; ``key`` is its anchor."""

    key: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A tab: ``key`` is its anchor. A page of one section shows that section's blocks under its own title."""

    key: str
    title: str
    sections: Sequence[Section]

    @property
    def contents(self) -> list[tuple[str, str, bool]]:
        """Anchor and text of its parts and headings, and whether it is a part; empty for a short page.

        The template numbers the headings in the same way.
        """
        found: list[tuple[str, str, bool]] = []
        for section in self.sections:
            if len(self.sections) > 1:
                found.append((self.anchor(section), section.title, True))
            named = [(f"{section.key}-{i}", block) for i, block in enumerate(section.blocks, 1)]
            found += [(anchor, block.text, False) for anchor, block in named if isinstance(block, Heading)]
        return found if len(found) >= CONTENTS_FROM else []

    def anchor(self, section: Section) -> str:
        """Return the anchor of a part of the page."""
        return section.key if section.key != self.key else f"{section.key}-part"


def walk(pages: Iterable[Page]) -> Iterator[Block]:
    """Yield all blocks in order, those in folds after their fold."""
    for page in pages:
        for section in page.sections:
            yield from _walk(section.blocks)


def _walk(blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from _walk(block.blocks)


def lasting(pages: Iterable[Page]) -> list[Page]:
    """Return the pages without the volatile blocks."""
    return [
        replace(page, sections=[replace(part, blocks=stable(part.blocks)) for part in page.sections]) for page in pages
    ]


def stable(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks without the volatile ones, folds included."""
    kept: list[Block] = []
    for block in blocks:
        if block.volatile:
            continue
        kept.append(replace(block, blocks=stable(block.blocks)) if isinstance(block, Fold) else block)
    return kept


def grid(
    rows: Sequence[Sequence[object]],
    columns: Sequence[str],
    caption: str | Cell = "",
    numeric: Sequence[str] = (),
    name: str = "",
) -> Table:
    """Return a table of any cells; ``numeric`` names the right-aligned columns."""
    right = frozenset(place for place, column in enumerate(columns) if column in numeric)
    cells = [[cell if isinstance(cell, Cell) else str(cell) for cell in row] for row in rows]
    return Table(columns, cells, caption, right, name=name)
