"""The processes of a training: one, or several under torchrun, each of which runs this module."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from platemae import logs
from platemae.contracts import write_text
from platemae.data.training_state import FINISHED, join_lease
from platemae.errors import PlatemaeError, TrainingError
from platemae.layout import Results
from platemae.making.make import make
from platemae.training import distributed
from platemae.training.launch import launch

STAGE = "train_model"


def train_in_processes(results: Results, cfg: dict[str, Any], folder: Path, threads: int, processes: int) -> None:
    """Train in this process or in several; the finished model then lies in the state folder."""
    if processes == 1:
        make(results, cfg, folder, folder / FINISHED, threads)
        return
    job = {"results": str(results.root), "cfg": cfg, "folder": str(folder), "threads": max(1, threads // processes)}
    path, failure = folder / "job.json", folder / "error.json"
    failure.unlink(missing_ok=True)
    write_text(path, json.dumps(job))
    try:
        launch(["-m", "platemae.making.process", str(path)], processes)
    except TrainingError:
        if failure.exists():
            raise TrainingError(**json.loads(failure.read_text())) from None
        raise


def main(path: Path) -> int:
    """Run one process of a data-parallel training, as ``train_in_processes`` asked for in the job file."""
    job = json.loads(path.read_text())
    folder, mine = Path(job["folder"]), distributed.ranks()
    logs.start(STAGE)
    if mine.is_main:
        join_lease(folder)
    try:
        make(Results(Path(job["results"])), job["cfg"], folder, folder / FINISHED, job["threads"])
    except PlatemaeError as error:
        write_text(
            folder / "error.json", json.dumps({"what": error.what, "where": error.where, "remedy": error.remedy})
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
