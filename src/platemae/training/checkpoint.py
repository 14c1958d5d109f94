"""Training state on disk: complete or not there at all, the newest two kept.

Shape legend: B crops of this process, C channels, H W pixels.
"""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises when a file holds more than tensors and plain values
from typing import Any

import numpy as np
import torch
from torch import Tensor

from platemae.errors import TrainingError

FORMAT = "platemae-training-1"
KEPT = 2
_logger = logging.getLogger(__name__)


class UnreadableError(Exception):
    """One checkpoint file is torn, or not ours."""


class CheckpointStore:
    """The checkpoints of one training run.

    Parameters
    ----------
    folder
        Made when the first checkpoint is written.
    identity
        Architecture and settings as JSON values; a checkpoint with another identity belongs to another run.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder, self.identity = folder, identity

    def files(self) -> list[Path]:
        """Return the checkpoint files, newest first."""
        return sorted(self.folder.glob("step-*.pt"), reverse=True)

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint and drop all but the newest two.

        Parameters
        ----------
        step
            Finished steps.
        state
            Tensors and plain values.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:09d}.pt"
        temporary = self.folder / f".{path.name}.{os.getpid()}"
        try:
            with temporary.open("wb") as stream:
                torch.save({"format": FORMAT, "identity": self.identity, "step": step, "state": state}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        for old in self.files()[KEPT:]:
            old.unlink()
        return path

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """Read the newest sound checkpoint, on the CPU; None when the folder holds none at all.

        Raises
        ------
        TrainingError
            If there are checkpoints and none is sound: starting again in silence could throw weeks away.
        """
        files = self.files()
        for path in files:
            try:
                return self._read(path)
            except UnreadableError as error:
                _logger.warning("checkpoint %s is left out: %s", path, error)
        if not files:
            return None
        what = f"none of {len(files)} checkpoints can be continued"
        remedy = "See the warnings above; move the folder away to train from the start."
        raise TrainingError(what, str(self.folder), remedy)

    def keep_batch(self, step: int, rank: int, x_BCHW: Tensor) -> Path:
        """Write the crops of a step that diverged beside the checkpoints, and return the file.

        Parameters
        ----------
        step
            Finished steps.
        rank
            Process that had the crops.
        x_BCHW
            (B, C, H, W) crops.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"bad-batch-step-{step:09d}-rank-{rank}.npy"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as stream:
            np.save(stream, x_BCHW.cpu().numpy(), allow_pickle=False)
        temporary.replace(path)
        return path

    def _read(self, path: Path) -> tuple[int, dict[str, Any]]:
        try:
            with zipfile.ZipFile(path) as archive:  # torch's own reader does not look at the check sums
                damaged = archive.testzip()
            if damaged:
                raise UnreadableError(f"{damaged} is damaged")
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, UnpicklingError) as error:
            raise UnreadableError(f"not a whole checkpoint ({str(error).splitlines()[0]})") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise UnreadableError("it is no checkpoint of this program")
        if content["identity"] != self.identity:
            differing = ", ".join(_differences(content["identity"], self.identity))
            raise UnreadableError(f"it was made with other {differing}")
        return content["step"], content["state"]


def _differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    return sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
