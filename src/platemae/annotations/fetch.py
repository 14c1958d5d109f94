"""`platemae fetch-annotations`: download or read, check, normalise, write."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from platemae.annotations.catalogue import ORIGIN, AnnotationSet, choose
from platemae.annotations.normalise import normalise
from platemae.contracts import write_text
from platemae.errors import ConfigError, InputError, MissingError, PlatemaeError, raise_all, writing
from platemae.logs import track

_FULL = 64
_TIMEOUT = 60


def fetch(
    names: Sequence[str],
    out: Path,
    accepted: Sequence[str] = (),
    origin: str = ORIGIN,
    aliases: dict[str, str] | None = None,
) -> list[str]:
    """Write annotation sets as ``{name}.csv``, and beside each ``{name}.source.json``: its origin and licence.

    Parameters
    ----------
    names
        Sets of the catalogue; or files of one's own (a path or ``file://``), which are normalised, unchecked.
    out
        Folder that gets the tables. Nothing is written unless all sets are right.
    accepted
        Licences accepted, such as ``cc-by-nc``.
    origin
        Address or folder where the sets lie.
    aliases
        Outdated symbol -> symbol in use.

    Returns
    -------
    Sentences, one a set, with its licence.

    Raises
    ------
    ConfigError
        If a set is not known, its licence not accepted, or a table would replace another or its own source.
    MissingError
        If a file is not there, or the address cannot be reached.
    InputError
        If a file is not the one of the catalogue, or cannot be read as what it should be.
    """
    own = [name for name in names if _is_file(name)]
    chosen = choose([name for name in names if name not in own], list(accepted))
    todo: list[AnnotationSet | str] = [*chosen, *own]
    problems: list[PlatemaeError] = []
    made: list[tuple[str, str, dict[str, object]]] = []
    with tempfile.TemporaryDirectory() as folder:
        for wanted in track(todo, len(todo), "sets"):
            try:
                made.append(_one(wanted, origin, Path(folder), aliases))
            except PlatemaeError as error:
                problems.append(error)
    raise_all([*problems, *_clashes([name for name, _, _ in made], own, out)])
    with writing("the annotations"):
        for name, text, source in made:
            write_text(out / f"{name}.csv", text)
            write_text(out / f"{name}.source.json", json.dumps(source, indent=1) + "\n")
    return [_sentence(out / f"{name}.csv", source) for name, _, source in made]


def _clashes(names: list[str], own: list[str], out: Path) -> list[PlatemaeError]:
    """Return what would be lost: one table below another of its name, or a file of one's own below its table."""
    twice = sorted({name for name in names if names.count(name) > 1})
    sources = {(_local(name) or Path(name)).resolve() for name in own}
    below = sorted({name for name in names if (out / f"{name}.csv").resolve() in sources})
    return [
        *(ConfigError(f"two tables would be called {name}.csv", str(out), "rename one of them") for name in twice),
        *(ConfigError(f"{name}.csv would replace its source", str(out), "name another folder") for name in below),
    ]


def _one(
    wanted: AnnotationSet | str, origin: str, folder: Path, aliases: dict[str, str] | None
) -> tuple[str, str, dict[str, object]]:
    """Return name, table and origin of one set."""
    if isinstance(wanted, str):
        path = _local(wanted) or Path(wanted)
        data = _read(path)
        name, form = (
            path.stem.lower(),
            "clusters" if "cluster" in path.stem.lower() or path.suffix == ".gmt" else "pairs",
        )
        facts: dict[str, object] = {"origin": str(path), "licence": "not known here", "checked": False}
    else:
        address = f"{origin.rstrip('/')}/{wanted.file}"
        data = _data(address, wanted, folder)
        name, form = wanted.name, wanted.form
        facts = {"origin": address, "licence": wanted.licence, "terms": wanted.terms, "checked": True}
    text, counts = normalise(data, form, str(facts["origin"]), aliases)
    return name, text, {**facts, "sha256": hashlib.sha256(data).hexdigest(), **counts}


def _data(address: str, wanted: AnnotationSet, folder: Path) -> bytes:
    """Return a set's file as it is at the origin, its checksum compared."""
    local = _local(address)
    data = _read(local if local is not None else _download(address, wanted, folder))
    found = hashlib.sha256(data).hexdigest()
    if not found.startswith(wanted.sha256):
        raise _wrong(wanted, address, found)
    return data


def _download(address: str, wanted: AnnotationSet, folder: Path) -> Path:
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    known = f"sha256:{wanted.sha256}" if len(wanted.sha256) == _FULL else None
    loader = pooch.HTTPDownloader(timeout=_TIMEOUT, progressbar=False)
    try:
        return Path(pooch.retrieve(address, known_hash=known, fname=wanted.file, path=folder, downloader=loader))
    except requests.RequestException as error:
        what = f"{wanted.name} cannot be downloaded: {error}"
        raise MissingError(what, address, "download it elsewhere, then name its folder with --from") from None
    except ValueError:  # pooch has compared the checksum, and removed what it got
        raise _wrong(wanted, address, "another") from None


def _wrong(wanted: AnnotationSet, address: str, found: str) -> InputError:
    digits = "" if len(wanted.sha256) == _FULL else f" (the first {len(wanted.sha256)} digits)"
    what = f"{wanted.name} is not the file it should be: sha256 {found[:16]}, not {wanted.sha256[:16]}{digits}"
    return InputError(what, address, "the download was cut short, or the file was changed; nothing was written")


def _is_file(name: str) -> bool:
    return name.startswith("file:") or "/" in name or Path(name).suffix in (".csv", ".tsv", ".txt", ".gmt")


def _local(address: str) -> Path | None:
    """Return the path of an address on this machine."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme in ("http", "https") else Path(address)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise MissingError("the annotation file is not there", str(path), "correct the path")
    return path.read_bytes()


def _sentence(path: Path, source: dict[str, object]) -> str:
    kind = "clusters" if "clusters" in source else "pairs"
    licence = f"{source['licence']} {source['terms']}" if "terms" in source else f"licence {source['licence']}"
    return f"{path}: {source[kind]:,} {kind}; {licence}"
