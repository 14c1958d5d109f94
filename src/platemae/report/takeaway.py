"""What a reader takes away: figures and tables as files in ``report/files``, with the Python that reloads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from platemae.fingerprint import digest_bytes
from platemae.report.drawing import Drawing
from platemae.report.spreadsheet import UNDO, csv_bytes
from platemae.report.tables import latex_table

FOLDER = "files"
"""Beside the page."""

UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Takeaway:
    """Files of one figure or table.

    Parameters
    ----------
    files
        Name -> bytes.
    snippet
        Python that reloads it, run in the report's folder.
    """

    files: Mapping[str, bytes]
    snippet: str

    @property
    def links(self) -> list[tuple[str, str]]:
        """Ending in capitals, and the relative link."""
        return [(name.rpartition(".")[2].upper(), f"{FOLDER}/{name}") for name in self.files]


def file_name(*parts: str) -> str:
    """Return a file name from any words: what no file system refuses.

    A digest of the words tells names apart where they were cut or altered, or where one of them, but for the first,
    holds the hyphen that joins them.
    """
    words = "-".join(parts)
    safe = UNSAFE.sub("_", words)[:80].lstrip(".") or "_"
    joined = len(parts) > 2 and any("-" in part for part in parts[1:])
    return f"{safe}-{digest_bytes(chr(0).join(parts).encode())[:8]}" if joined or safe != words else safe


def of_table(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Takeaway:
    """Return a table as CSV and TeX, cells as the page shows them."""
    frame = pd.DataFrame([list(row) for row in rows], columns=list(columns))
    content, guarded = csv_bytes(frame)
    files = {f"{name}.csv": content, f"{name}.tex": latex_table(frame, caption).encode()}
    return Takeaway(files, _read_csv(name, "table", guarded))


def of_figure(name: str, drawing: Drawing) -> Takeaway:
    """Return a figure in its forms, and what it shows as CSV."""
    files = {f"{name}.{ending}": content for ending, content in drawing.forms.items()}
    if drawing.data is not None:
        content, guarded = csv_bytes(drawing.data)
        return Takeaway(files | {f"{name}.csv": content}, _read_csv(name, "drawn", guarded))
    snippet = f'from PIL import Image\n\npicture = Image.open("{FOLDER}/{name}.png")\n'
    return Takeaway(files, snippet)


def _read_csv(name: str, variable: str, guarded: bool) -> str:
    read = f'pd.read_csv("{FOLDER}/{name}.csv", keep_default_na=False, na_values="")'  # NA may be a gene
    undone = (
        f"# names that a spreadsheet would run as formulas begin with an apostrophe\n{variable} = {variable}{UNDO}\n"
    )
    return f"import pandas as pd\n\n{variable} = {read}\n{undone if guarded else ''}"
