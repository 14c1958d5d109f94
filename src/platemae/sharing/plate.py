"""A plate that several projects share: ingested once, then taken by the others."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from platemae.contracts import Manifest, write_text
from platemae.data.lease import LEASE, lease
from platemae.errors import ContractError, PlatemaeError
from platemae.fingerprint import digest_json
from platemae.layout import Results
from platemae.sharing.root import below, shared_root
from platemae.store.plate_files import find_store
from platemae.store.plate_reader import PlateStore
from platemae.store.swap import replaced

STAGE = "ingest_plate"
WAIT_SECONDS = 24 * 3600.0
"""How long a job waits for another project's that ingests the same plate; the limit of its own job comes first."""
_log = logging.getLogger("platemae")


def share_plate(
    results: Results, plate: str, key: Mapping[str, Any], ingest: Callable[[Results], Manifest]
) -> Manifest:
    """Take a plate that is ingested in the shared folder; ingest it there first where nobody has.

    Without a shared folder it is ingested into the results folder. In the shared one each plate has a small results
    folder of its own, ``plates/{digest of the key}``, whose manifest is written last: so `platemae verify --results`
    checks it, too. While one project writes it, others wait on its lease; that of a dead writer is taken over.

    Parameters
    ----------
    results
        The project's results folder, which gets a link to the store, and its own copy of the tables.
    plate
        Plate id.
    key
        All that the plate depends on: raw files, settings, code.
    ingest
        Writes the plate below the paths that it is given.

    Raises
    ------
    TrainingError
        When another process holds the plate's lease too long.
    ContractError
        When what is shared is not what its manifest says.
    """
    root = shared_root()
    if root is None:
        return ingest(results)
    place = Results(below(root, "plates", digest_json(key)[:32]))
    vouched = place.manifest(STAGE, plate=plate)
    if not vouched.is_file():
        if (place.root / LEASE).exists():
            _log.info("plate %s: another project ingests it; waiting (%s)", plate, place.root)
        with lease(place.root, WAIT_SECONDS, f"plate {plate}"):
            if not vouched.is_file():
                ingest(place).write(vouched)
    _log.info("plate %s is taken from %s", plate, place.root)
    return _take(results, place, plate)


def _take(results: Results, place: Results, plate: str) -> Manifest:
    manifest = Manifest.read(place.manifest(STAGE, plate=plate))
    store = find_store(place.store(plate))
    _check(store, manifest)
    results.manifest(STAGE, plate=plate).unlink(missing_ok=True)  # an older one would vouch for what comes
    local = results.root / "plates" / store.name
    with replaced(local) as new:
        new.symlink_to(store)
    for form in {results.store(plate), results.root / "plates" / f"{results.store(plate).name}.zip"} - {local}:
        _remove(form)
    for path in (Results.fields, Results.cells):
        if path(place, plate).is_file():
            with replaced(path(results, plate)) as new:
                shutil.copyfile(path(place, plate), new)
        else:
            path(results, plate).unlink(missing_ok=True)
    name = f"{plate}.inventory"
    record = json.loads(place.provenance(STAGE, name).read_text())
    write_text(results.provenance(STAGE, name), json.dumps(record | {"shared": str(place.root)}) + "\n")
    return manifest


def _check(store: Path, manifest: Manifest) -> None:
    """Compare the digest that the store states with that of its manifest; `platemae verify` recomputes it."""
    try:
        same = manifest.stage == STAGE and PlateStore(store).digest == manifest.counts["pixels"]
    except (PlatemaeError, KeyError):
        same = False
    if not same:
        what = "a shared plate is not what its manifest vouches for"
        raise ContractError(what, str(store), "when no project uses it, delete its folder: it is ingested again")


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def gone(path: Path) -> str | None:
    """Return where a link leads that leads nowhere any more, such as a store whose shared folder is gone."""
    return os.readlink(path) if path.is_symlink() and not path.exists() else None
