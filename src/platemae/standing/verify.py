"""``platemae verify``: are the results what their jobs left, whole and complete? Nothing is run and nothing changed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platemae.config import read_config
from platemae.contracts import Manifest
from platemae.errors import MissingError, PlatemaeError
from platemae.holding.hold import check_at_rest
from platemae.inputs import find_config, find_project
from platemae.job_record import read_record
from platemae.layout import MANIFESTS, Results
from platemae.logs import track
from platemae.readers.files import list_files
from platemae.readers.formats import SUFFIXES
from platemae.sharing.plate import gone
from platemae.standing.content import content_digest
from platemae.standing.crate import crate_changes
from platemae.standing.record import size_and_digest
from platemae.store.plate_files import find_store
from platemae.store.plate_reader import PlateStore

SHOWN = 3
"""Files that are named before they are only counted."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as a job left it.

    Parameters
    ----------
    kind
        ``gone``, ``torn`` (cannot be read), ``edited``, ``foreign`` (no manifest vouches for it), ``unrecorded``
        (nothing to hold it against), or ``raw`` (the plate's folder changed since it was ingested).
    what, where, remedy
        As of an error.
    """

    kind: str
    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.what}; {self.remedy}"


@dataclass
class Verification:
    """What was looked at, and what was found."""

    findings: list[Finding] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        found = [vars(finding) for finding in self.findings]
        return {"holds": not found, "checked": dict(self.checked), "findings": found, "notes": self.notes}

    def lines(self) -> list[str]:
        """Return one line a finding, and what was looked at."""
        looked = ", ".join(f"{stage} {count}" for stage, count in self.checked.items()) or "nothing"
        end = "all holds" if not self.findings else f"{len(self.findings)} findings"
        return [*map(str, self.findings), *self.notes, f"looked at {looked}: {end}"]


def verify_results(root: Path | None, configfile: Path | None, quick: bool = False) -> Verification:
    """Verify a results folder, or that of the configuration, in which no run works.

    Raises
    ------
    PlatemaeError
        When there is no such folder, or a run works in it.
    """
    if root is None:
        project = find_project()
        root = project / read_config(find_config(configfile, project)).results
    check_at_rest(Results(root))
    return verify(root, quick)


def verify(root: Path, quick: bool = False) -> Verification:
    """Hold every finished output against its manifest and the record of its job.

    Parameters
    ----------
    root
        The results folder, wherever it lies now.
    quick
        Compare sizes and stated digests alone; reads no pixel and no array.

    Raises
    ------
    MissingError
        When there is no such folder.
    """
    if not root.is_dir():
        raise MissingError("there is no such results folder", str(root), "name it with --results")
    results, found = Results(root), Verification()
    vouched: set[Path] = set()
    every = list(manifests(results))
    for stage, wildcards, path in track(every, len(every), "outputs"):
        vouched.add(path)
        try:
            manifest = Manifest.read(path)
        except (PlatemaeError, TypeError) as error:  # TypeError: of other fields
            found.findings.append(Finding("torn", str(error).splitlines()[0], _name(results, path), _AGAIN))
            vouched.update(results.outputs(stage, **wildcards))
            continue
        if manifest.stage not in _WRITERS.get(stage, (stage,)):
            what = f"it says that {manifest.stage} wrote it, which writes no manifest here"
            found.findings.append(Finding("edited", what, _name(results, path), _AGAIN))
            vouched.update(results.outputs(stage, **wildcards))
            continue
        job = _Job(results, manifest, wildcards, path)
        vouched.update([*results.outputs(manifest.stage, **wildcards), *job.store()])
        found.checked[manifest.stage] += 1
        found.findings += job.findings(quick)
        if manifest.stage == "ingest_plate":
            _raw_folder(results, wildcards["plate"], found)
    found.findings += [*_foreign(results, vouched), *_crate(results, quick)]
    return found


_AGAIN = "delete it and run again"
_WRITERS = {"embed_plate": ("embed_plate", "import_profiles")}
"""Stages that share a manifest."""


def verify_job(results: Results, stage: str, wildcards: dict[str, str], *, quick: bool = False) -> list[Finding]:
    """Return what is wrong with the outputs of one finished job, its content recomputed unless it is to be ``quick``.

    Raises
    ------
    MissingError, ContractError
        When its manifest is gone or torn.
    """
    path = results.manifest(stage, **wildcards)
    return _Job(results, Manifest.read(path), wildcards, path).findings(quick)


def manifests(results: Results) -> Iterator[tuple[str, dict[str, str], Path]]:
    """Yield stage, wildcards and path of every manifest; two stages share the one of embeddings."""
    for stage, pattern in MANIFESTS.items():
        if stage == "import_profiles":
            continue
        named = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/.][^/]*)", re.escape(pattern)))
        for path in sorted(results.root.glob(re.sub(r"{\w+}", "*", pattern))):
            if match := named.fullmatch(_name(results, path)):
                yield stage, match.groupdict(), path


def _name(results: Results, path: Path) -> str:
    return path.relative_to(results.root).as_posix()


@dataclass(frozen=True)
class _Job:
    """A finished job: what it left, and what is recorded of that."""

    results: Results
    manifest: Manifest
    wildcards: dict[str, str]
    path: Path

    def store(self) -> list[Path]:
        plate = self.wildcards.get("plate", "")
        has = self.manifest.stage == "ingest_plate" and self.manifest.counts.get("channels")
        return [find_store(self.results.store(plate))] if has else []

    def findings(self, quick: bool) -> list[Finding]:
        """Return what is wrong; files that are gone or of another size need not be read."""
        record = read_record(self.results, self.manifest.stage, self.wildcards)
        noted: dict[str, Any] = record.get("outputs", {})
        expected = dict.fromkeys([*self._files(), *self.store(), *(self.results.root / name for name in noted)])
        lost = [path for path in expected if not path.exists()]
        if lost:
            remedy = f"bring it back, or delete {_name(self.results, self.path)} and run again"
            return [Finding("gone", _lost(p), self._at(p), remedy) for p in lost]
        found = []
        if record.get("content_digest", self.manifest.digest) != self.manifest.digest:
            found.append(self._finding("edited", "the manifest states another digest than its job did", self.path))
        found += self._sizes(noted) or (self._stated() if quick else self._content(noted))
        return found

    def _files(self) -> list[Path]:
        return self.results.outputs(self.manifest.stage, **self.wildcards)

    def _at(self, path: Path) -> str:
        return _name(self.results, path)

    def _finding(self, kind: str, what: str, path: Path) -> Finding:
        return Finding(kind, what, self._at(path), f"delete {self._at(self.path)} and run again")

    def _sizes(self, noted: dict[str, Any]) -> list[Finding]:
        found = []
        for path in self._files():
            now, then = path.stat().st_size, noted.get(self._at(path), [None])[0]
            if then is not None and now != then:
                found.append(self._finding("edited", f"it has {now} bytes; {self.manifest.stage} left {then}", path))
        return found

    def _stated(self) -> list[Finding]:
        """Compare the digest that a plate store states of itself; of other files sizes were compared."""
        try:
            wrong = [p for p in self.store() if PlateStore(p).digest != self.manifest.counts["pixels"]]
        except PlatemaeError as error:
            return [self._finding("torn", error.what, self.store()[0])]
        return [self._finding("edited", "the store is another than the manifest vouches for", p) for p in wrong]

    def _content(self, noted: dict[str, Any]) -> list[Finding]:
        """Recompute the content digest, then compare the bytes of the files, some of which it does not cover."""
        subject = (self.store() or self._files())[0]
        try:
            digest = content_digest(self.results, self.manifest, self.wildcards)
        except PlatemaeError as error:
            return [self._finding("torn", f"{error.what} ({error.where})", subject)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            return [self._finding("torn", f"it cannot be read: {error}", subject)]
        if digest is not None and digest != self.manifest.digest:
            return [self._finding("edited", f"its content is not what {self.manifest.stage} made", subject)]
        unknown = [path for path in self._files() if self._at(path) not in noted]
        found = []
        for path in self._files():
            if self._at(path) in noted and size_and_digest(path)[1] != noted[self._at(path)][1]:
                what = "its bytes are not those that its job left" + (", its arrays are" if digest else "")
                found.append(self._finding("edited", what, path))
        if noted and unknown:
            what = f"{self.manifest.stage} did not write it"
            found += [Finding("foreign", what, self._at(path), "delete it") for path in unknown]
        elif digest is None:
            what = "the record of its job is gone or older than this check, and its manifest cannot tell"
            found += [self._finding("unrecorded", what, path) for path in unknown]
        return found


def _lost(path: Path) -> str:
    target = gone(path)
    return f"its shared store is gone: {target}" if target else "its manifest is there, the file is not"


def _foreign(results: Results, vouched: set[Path]) -> list[Finding]:
    """Return what no manifest vouches for, in the folders where outputs lie."""
    found = []
    for top in sorted({pattern.split("/")[0] for pattern in MANIFESTS.values()}):
        for path in _walk(results.root / top):
            if path in vouched:
                continue
            at = _name(results, path)
            if path.name.startswith(".") and ".tmp-" in path.name:
                remedy = "the next run removes it"
                if ".zarr" in path.name:  # which walks no stores
                    remedy = "the next ingest of its plate removes it; where none comes: platemae clean --remove plates"
                found.append(Finding("torn", "a job that was stopped left it", at, remedy))
            else:
                what = "no manifest vouches for it: it is foreign, or its job did not finish"
                remedy = "run again, or delete it"
                if ".zarr" in path.suffixes:  # its raw images may be on tape
                    remedy = "run again: a new store takes its place when it is whole"
                found.append(Finding("foreign", what, at, remedy))
    return found


def _crate(results: Results, quick: bool) -> list[Finding]:
    """Return why the RO-Crate is no longer true, if there is one; the results themselves are held against manifests."""
    at = _name(results, results.crate())
    try:
        changes = crate_changes(results, quick=quick)
    except PlatemaeError as error:
        return [Finding("torn", error.what, at, "make it again: platemae crate")]
    shown = "; ".join(changes[:SHOWN]) + (f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else "")
    what = f"the crate describes other results: {shown}"
    return [Finding("edited", what, at, "make it again: platemae crate")] if changes else []


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files and plate stores; states of trainings lie beside models and belong to no manifest."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name == ".state":
            continue
        if path.is_dir() and path.suffix != ".zarr" and ".tmp-" not in path.name:
            yield from _walk(path)
        else:
            yield path


def _raw_folder(results: Results, plate: str, found: Verification) -> None:
    """Compare the plate's raw folder with the inventory that ingest noted, where it can still be reached."""
    path = results.provenance("ingest_plate", f"{plate}.inventory")
    if not path.is_file():
        return
    try:
        record = json.loads(path.read_text())
        folder, unmatched = Path(record["folder"]), list(record["unmatched"])
        then = {name: (size, mtime) for name, size, mtime in record["files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"the inventory of plate {plate} cannot be read ({error}), and its raw folder was not compared"
        found.findings.append(Finding("torn", what, _name(results, path), f"platemae refresh {plate}"))
        return
    if not folder.is_dir():
        found.notes.append(f"note: the raw folder of plate {plate} is out of reach, and was not compared: {folder}")
        return
    try:
        now = {file.name: (file.size, file.mtime) for file in list_files(folder)}
    except PlatemaeError as error:
        found.findings.append(Finding("raw", error.what, error.where, error.remedy))
        return
    known = {*then, *unmatched}
    images = {name for name in now if name.lower().endswith(SUFFIXES)}
    groups = {
        "gone": sorted(set(then) - set(now)),
        "changed": sorted(name for name in set(then) & set(now) if then[name] != now[name]),
        "new": sorted(images - known),
    }
    words = [f"{len(names)} {word} ({', '.join(names[:SHOWN])})" for word, names in groups.items() if names]
    if words:
        what = f"images of plate {plate} since it was ingested: {'; '.join(words)}"
        remedy = f"platemae refresh {plate}, or bring the old ones back"
        found.findings.append(Finding("raw", what, str(folder), remedy))
