"""The code blocks of the documentation, with what the comments above them say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKED = ("bash", "python", "yaml")
"""Languages of blocks that are executed or validated; others show a file or an output."""

_BLOCK = re.compile(
    r"(?:<!-- (?P<said>(?:(?!-->).)+) -->\n)?(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)\n(?P=indent)```$",
    re.S | re.M,
)
_WRITE = re.compile(r"write (\S+)")
_AFTER = re.compile(r"after `(.+)` in (\S+)")


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    page: str
    line: int
    language: str
    text: str
    said: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def why_not_run(self) -> str:
        """The reason of a block that is marked as not run; empty for the others."""
        return self.said.removeprefix("not run:").strip() if self.said.startswith("not run:") else ""

    @property
    def is_edit(self) -> bool:
        """Whether the block is a file, or lines of one."""
        return bool(_WRITE.fullmatch(self.said) or _AFTER.fullmatch(self.said))

    def apply(self, root: Path) -> Path:
        """Write the block to its file, or add it after the one line that it names; return the file's name."""
        if new := _WRITE.fullmatch(self.said):
            path = root / new[1]
            assert not path.exists(), f"{self}: {new[1]} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text + "\n")
            return Path(new[1])
        found = _AFTER.fullmatch(self.said)
        assert found, f"{self}: {self.said}"
        path = root / found[2]
        lines = path.read_text().splitlines()
        places = [number for number, line in enumerate(lines) if found[1] in line]
        assert len(places) == 1, f"{self}: {found[1]!r} stands in {len(places)} lines of {found[2]}"
        lines[places[0] + 1 : places[0] + 1] = self.text.splitlines()
        path.write_text("\n".join(lines) + "\n")
        return Path(found[2])


def pages(project: Path) -> list[Path]:
    """Return all pages that people read."""
    return [project / "README.md", project / "CONTRIBUTING.md", *sorted((project / "docs").rglob("*.md"))]


def blocks_of(page: Path, project: Path) -> Iterator[Block]:
    """Yield the blocks of a page in order."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        indent = len(found["indent"])
        inner = "\n".join(row[indent:] for row in found["text"].split("\n"))
        yield Block(str(page.relative_to(project)), line, found["language"], inner, (found["said"] or "").strip())


def all_blocks(project: Path) -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in pages(project) for block in blocks_of(page, project)]
