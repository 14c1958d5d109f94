"""The shared folder, and links into it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platemae.errors import ConfigError

SHARED = "PLATEMAE_SHARED_FOLDER"
"""Environment variable that names the folder; a path of a machine has no place in config.yaml."""


def shared_root() -> Path | None:
    """Return the folder that projects share, or None where the variable is not set.

    Raises
    ------
    ConfigError
        When it names no folder: one that was made anew where a disk is not mounted would hold nothing to share.
    """
    named = os.environ.get(SHARED, "")
    if not named:
        return None
    root = Path(named)
    if not root.is_absolute() or not root.is_dir():
        what = "it is not an absolute path" if not root.is_absolute() else "there is no such folder"
        remedy = "mount or make the folder that projects share, or unset the variable"
        raise ConfigError(f"{SHARED} names no shared folder: {what}", named, remedy)
    return root.resolve()


def check_writing() -> None:
    """Check that this user may write plates and trainings into the shared folder, where one is set.

    Raises
    ------
    ConfigError
        When the variable names no folder, or writing is not permitted in it or where others have written.
    """
    root = shared_root()
    if root is None:
        return
    for folder in (root, root / "plates", root / "models"):
        try:
            if folder.is_dir():
                tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            what = f"nothing can be written into the shared folder: {error.strerror}"
            raise ConfigError(what, str(folder), "its owner: chmod -R g+w; all: umask 002 in the jobs") from None


def below(root: Path, *parts: str) -> Path:
    """Return a folder below the shared one, made where it is missing.

    Raises
    ------
    ConfigError
        When it leads out of the shared folder.
    """
    folder = root.joinpath(*parts)
    if not folder.resolve().is_relative_to(root) or ".." in folder.relative_to(root).parts:
        raise ConfigError("a path leads out of the shared folder", str(folder), "remove the link that leads out")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
