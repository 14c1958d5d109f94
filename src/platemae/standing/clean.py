"""``platemae clean``: what the results folder holds and nothing asks for any more, and its removal by name."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from platemae.config import Config, stage_config
from platemae.config.plate_table import PlateTable
from platemae.config.slices import fit_name
from platemae.contracts import TABLE_KINDS
from platemae.errors import PlatemaeError
from platemae.fingerprint import digest_json
from platemae.holding.hold import check_at_rest, hold
from platemae.layout import Results
from platemae.making.key import training_key
from platemae.preflight.doctor import read_project
from platemae.standing.command import LEFTOVERS
from platemae.standing.verify import manifests
from platemae.store.plate_files import find_store


@dataclass(frozen=True)
class Leftover:
    """Something that nothing asks for.

    Parameters
    ----------
    group
        One of `LEFTOVERS`.
    what
        In words, with the reason.
    where
        Paths below the results folder, manifests first: a removal that is cut short leaves none that vouches for what
        is gone.
    bytes
        On disk; of what other projects share, nothing is here but a link.
    """

    group: str
    what: str
    where: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Leftovers:
    """All that nothing asks for.

    Parameters
    ----------
    found
        The leftovers.
    notes
        What could not be judged.
    removed
        Groups that were removed.
    """

    found: list[Leftover]
    notes: list[str] = field(default_factory=list)
    removed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"leftovers": [asdict(each) for each in self.found], "notes": self.notes, "removed": list(self.removed)}

    def lines(self) -> list[str]:
        """Return a line a leftover, and how to remove a group."""
        said = [f"{each.group}: {each.what}; {len(each.where)} paths, {_mb(each)}" for each in self.found]
        end = [f"{len(self.found)} leftovers, {_mb(*self.found)}"]
        kept = [group for group in LEFTOVERS if group not in self.removed and any(e.group == group for e in self.found)]
        if self.removed:
            end.append(f"removed: {', '.join(self.removed)}")
        if kept:
            end.append(f"to remove: platemae clean --remove {' '.join(kept)}")
        return [*said, *self.notes, *end]


def clean(configfile: Path | None, remove: Iterable[str] = ()) -> Leftovers:
    """List what nothing asks for, and remove the groups that are named.

    Records of jobs and logs are kept: they say how what is left was made.

    Raises
    ------
    PlatemaeError
        When the configuration or plates.tsv cannot be read, or a run works in the folder.
    """
    config, plates, _, results = read_project(configfile)
    chosen = tuple(group for group in LEFTOVERS if group in set(remove))
    check_at_rest(results)
    with hold(results) if chosen else nullcontext():
        found = leftovers(config, plates, results)
        for each in found.found:
            if each.group in chosen:
                for name in each.where:
                    _remove(results.root / name, results.root)
    return Leftovers(found.found, found.notes, chosen)


def leftovers(config: Config, plates: PlateTable, results: Results) -> Leftovers:
    """Return what the folder holds that neither configuration nor plates.tsv asks for."""
    trainings, notes = _trainings(config, plates, results)
    # Halves first: a store goes by the name that its own half would stand in the way of.
    return Leftovers([*_halves(plates, results), *_outputs(config, plates, results), *trainings], notes)


def _halves(plates: PlateTable, results: Results) -> Iterator[Leftover]:
    """Yield plate stores whose removal or exchange was cut short.

    Of a plate that is to be ingested none is named: its ingest removes them, or puts the old store back.
    """
    for path in sorted(results.store("x").parent.glob(".*.zarr*.tmp-*")):
        plate = path.name[1:].rpartition(".tmp-")[0].removesuffix(".zip").removesuffix(".zarr")
        whole = results.manifest("ingest_plate", plate=plate).exists() and find_store(results.store(plate)).exists()
        if whole or plate not in plates.names:
            what = f"part of a store of plate {plate}, left by a job or a removal that was stopped"
            yield Leftover("plates", what, (path.relative_to(results.root).as_posix(),), _size(path))


def _outputs(config: Config, plates: PlateTable, results: Results) -> Iterator[Leftover]:
    """Yield finished outputs, by the plate, model and so on that is gone."""
    asked = {
        "plate": set(plates.names),
        "model": {row.name for row in config.rows},
        "correction": {entry.name for entry in config.corrections},
        "fit_on": {fit_name(config, entry.name) for entry in config.corrections},
        "intensity": {entry.name for entry in config.intensity},
        "dataset": {entry.name for entry in config.datasets},
    }
    paths: dict[tuple[str, str, str], list[Path]] = defaultdict(list)
    for stage, wildcards, manifest in manifests(results):
        gone = next(((kind, name) for kind, name in wildcards.items() if name not in asked[kind]), None)
        if gone is None:
            continue
        files = [manifest, *results.outputs(stage, **wildcards)]
        if stage == "ingest_plate":
            files.append(find_store(results.store(wildcards["plate"])))
        paths["plates" if stage == "ingest_plate" else "results", *gone] += files
    for (group, kind, name), files in sorted(paths.items()):
        there = [path for path in dict.fromkeys(files) if path.is_symlink() or path.exists()]
        where = "plates.tsv" if kind == "plate" else "the configuration"
        what = f"{kind} {name} is not in {where}"
        names = tuple(path.relative_to(results.root).as_posix() for path in there)
        yield Leftover(group, what, names, sum(map(_size, there)))


def _trainings(config: Config, plates: PlateTable, results: Results) -> tuple[list[Leftover], list[str]]:
    """Return states of trainings whose key no model has, unless the key of one cannot be known yet."""
    folder = results.training_state("x").parent
    states = sorted(folder.iterdir()) if folder.is_dir() else []
    needed: set[str] = set()
    for row in config.rows if states else []:
        if row.kind in TABLE_KINDS:
            continue
        try:
            key = training_key(results, stage_config(config, plates, "train_model", model=row.name))
        except PlatemaeError as error:
            why = f"trainings are not judged: what {row.name} learns from is not made yet ({error.what})"
            return [], [why]
        needed.add(digest_json(key)[:32])
    found = []
    for path in states:
        if path.name not in needed:
            what = f"{_training(path)} of settings, data or labels that no model has any more"
            found.append(Leftover("trainings", what, (path.relative_to(results.root).as_posix(),), _size(path)))
    return found, []


def _training(state: Path) -> str:
    """Name a training by what its state says of itself."""
    try:
        key = json.loads((state / "state.json").read_text())["key"]
        kind, steps = str(key["kind"]), str(key["optimisation"]["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return "a training that does not say what it was,"
    done = "finished" if (state / "finished").is_dir() else "unfinished"
    return f"{done} training of kind {kind}, {steps} steps,"


def _mb(*leftovers: Leftover) -> str:
    return f"{sum(each.bytes for each in leftovers) / 1e6:,.1f} MB"


def _size(path: Path) -> int:
    if path.is_symlink():
        return 0
    if path.is_file():
        return path.stat().st_size
    return sum((Path(top) / name).lstat().st_size for top, _, files in os.walk(path) for name in files)


def _remove(path: Path, root: Path) -> None:
    """Remove a file, a folder, or a link without what it leads to; then the folders above that are empty."""
    if path.is_dir() and not path.is_symlink():
        going = path if path.name.startswith(".") else path.with_name(f".{path.name}.tmp-removed")
        path.rename(going)  # nobody takes a half-removed one for whole
        shutil.rmtree(going)
    else:
        path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == root or any(folder.iterdir()):
            return
        folder.rmdir()
