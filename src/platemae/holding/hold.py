"""One run at a time in a results folder: held from the first moment on, taken over from a run that is dead."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from platemae import slurm
from platemae.errors import PlatemaeError
from platemae.holding.note import SLURM_JOB, Note, Run, identity, note_file, read_note, this_host, this_user, write_note
from platemae.holding.orphans import RUN_ID, Orphans, look_after
from platemae.layout import Results
from platemae.locks import alone


@dataclass
class Held:
    """A results folder that this run holds.

    Parameters
    ----------
    results
        The folder.
    run
        This run.
    earlier
        Runs that were killed; when the folder is handed over, none of their jobs is at work.
    ended
        False when this run's Snakemake did not end in order: the next run then looks for what it left.
    """

    results: Results
    run: Run
    earlier: list[Run]
    ended: bool = True

    def note(self, *processes: int, earlier: bool = False) -> None:
        """Say which processes hold the folder; of none of them, the next run need not ask."""
        others = self.earlier if earlier else []
        write_note(self.results, Note(self.run, [identity(pid) for pid in processes], others))


@contextmanager
def hold(
    results: Results, orphans: Orphans = "refuse", *, take_over: bool = False, submits: bool = False
) -> Iterator[Held]:
    """Hold the results folder; take it over from a run whose process is proven dead.

    Parameters
    ----------
    results
        The folder.
    orphans
        What to do about SLURM jobs of a killed run.
    take_over
        Take the folder over from a run on another host, which cannot be looked up from here: somebody has.
    submits
        Whether this run submits jobs to SLURM.

    Raises
    ------
    PlatemaeError
        When another run is alive, or cannot be proven dead, or left jobs that are to be refused.
    """
    run = Run(uuid.uuid4().hex[:12], this_host(), submits, os.environ.get(SLURM_JOB, ""), this_user())
    held = _claim(results, run, take_over)
    looked_after = False
    try:
        for run in held.earlier:
            look_after(run, orphans)
        looked_after = True
        held.note(os.getpid())
        _sweep(results)
        os.environ[RUN_ID] = held.run.run_id
        yield held
    except BaseException:
        held.note(earlier=not looked_after)
        raise
    if held.ended:
        note_file(results).unlink(missing_ok=True)
    else:
        held.note()


def check_at_rest(results: Results) -> None:
    """Check that no run of this machine works in the results folder, and change nothing there.

    Raises
    ------
    PlatemaeError
        When one does.
    """
    try:
        note = read_note(results)
    except PlatemaeError:
        return
    if note and (living := note.living()):
        raise PlatemaeError(f"a run works in this folder (process {living[0]})", str(results.root), _STOP)


_STOP = "wait for it, or stop it with Ctrl-C"


def _claim(results: Results, run: Run, take_over: bool) -> Held:
    """Write our note, in the place of a dead run's: looking and writing are not parted by another run of this host."""
    with _guarded(results):
        found = read_note(results)
        if found is None:
            _refuse_lock(results)
        else:
            _refuse_living(found, results, take_over)
            for lock in _locks(results):
                lock.unlink(missing_ok=True)
        held = Held(results, run, [*found.earlier, found.run] if found else [])
        try:
            write_note(results, Note(run, [identity(os.getpid())], held.earlier), first=found is None)
        except FileExistsError:
            raise PlatemaeError("another run has just begun in this folder", str(results.root), _STOP) from None
    return held


@contextmanager
def _guarded(results: Results) -> Iterator[None]:
    path = note_file(results).with_suffix(".guard")
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path):
        yield


def _locks(results: Results) -> list[Path]:
    return list((results.root / ".snakemake" / "locks").glob("*"))


def _refuse_lock(results: Results) -> None:
    if _locks(results):
        what = "Snakemake's lock is set, and nothing says by whom"
        raise PlatemaeError(what, str(results.root), "when no Snakemake works there: snakemake --unlock")


def _refuse_living(note: Note, results: Results, take_over: bool) -> None:
    where = str(results.root)
    if living := note.living():
        raise PlatemaeError(f"another run works in this folder (process {living[0]})", where, _STOP)
    if not note.processes or note.run.host == this_host() or take_over:
        return
    if note.run.job and slurm.is_over(note.run.job):
        return
    machine, pid = note.run.host.split(" ")[0], note.processes[-1]["pid"]
    if note.run.job:
        look = f"squeue --jobs {note.run.job}"
    elif machine == this_host().split(" ")[0]:
        raise PlatemaeError(
            f"a run from before a reboot of {machine} holds the results folder", where, "platemae run --take-over"
        )
    else:
        look = f"ssh {machine} ps -p {pid}"
    raise PlatemaeError(
        f"a run on {machine} holds the results folder (process {pid}), and from here nobody sees whether it lives",
        where,
        f"see there: {look}; when it is over: platemae run --take-over, which looks after the jobs it left",
    )


def _sweep(results: Results) -> None:
    """Remove temporary files that killed jobs left; no other run works in the folder now.

    Stores clean up after themselves, and are not walked, nor are parts of them: they may hold a million files.
    """
    for folder, below, files in os.walk(results.root):
        below[:] = [name for name in below if not _is_store(name) and name != ".snakemake"]
        for name in files:
            if name.startswith(".") and ".tmp-" in name:
                Path(folder, name).unlink(missing_ok=True)


def _is_store(name: str) -> bool:
    return name.endswith(".zarr") or (name.startswith(".") and ".zarr." in name)
