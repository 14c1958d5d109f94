"""Whether the RO-Crate of a results folder still describes what lies there."""

from __future__ import annotations

import json

from platemae.errors import ContractError
from platemae.layout import Results
from platemae.standing.record import size_and_digest


def crate_changes(results: Results, *, quick: bool) -> list[str]:
    """Return in words where ``ro-crate-metadata.json`` no longer describes the folder; nothing without a crate.

    Parameters
    ----------
    results
        The results folder.
    quick
        Compare sizes alone.

    Raises
    ------
    ContractError
        When the crate cannot be read.
    """
    root, found = results.root.resolve(), []
    for name, (size, digest) in _stated(results).items():
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            found.append(f"{name} leads out of the folder")
        elif not path.is_file():
            found.append(f"{name} is gone")
        elif path.stat().st_size != size or not (quick or size_and_digest(path)[1] == digest):
            found.append(f"{name} is another now")
    return found


def _stated(results: Results) -> dict[str, tuple[int, str]]:
    """Return the files of the crate, with the size and SHA-256 that it states."""
    try:
        graph = json.loads(results.crate().read_text())["@graph"]
        return {str(e["@id"]): (int(e["contentSize"]), str(e["sha256"])) for e in graph if "sha256" in e}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractError(f"it cannot be read: {error}", str(results.crate()), "platemae crate") from None
