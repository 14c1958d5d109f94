"""Write a plate as a folder, one file a shard and one a Zarr group or array."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType


class FolderWriter:
    """A store being written; :meth:`put` is safe in threads.

    Parameters
    ----------
    path
        Folder to make.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: set[str] = set()
        path.mkdir()

    def __enter__(self) -> FolderWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: each file was closed when it was written."""

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        """Write a file and the folders above it."""
        # One folder after the other, each once: pathlib's way costs as much as compressing a small field.
        above, start = f"{self.path}/", 0
        while (end := name.find("/", start)) > 0:
            if name[:end] not in self._made:
                with contextlib.suppress(FileExistsError):  # another thread was first
                    os.mkdir(above + name[:end])
                self._made.add(name[:end])
            start = end + 1
        with open(above + name, "wb") as file:
            file.writelines(parts)

    def finish(self, texts: Iterable[tuple[str, str]]) -> None:
        """Write the metadata into the folders that the shards have made."""
        for name, text in texts:
            (self.path / name).write_text(text)
