"""The state folder of a training that several projects share: the same folder, linked from each."""

from __future__ import annotations

import os
from pathlib import Path

from platemae.errors import MissingError
from platemae.sharing.root import SHARED, below, shared_root


def training_folder(local: Path, *, apart: bool = False) -> Path:
    """Return a training's state folder in the results folder; where projects share, a link to the one of all.

    One that is there already is kept. As the results folder has a link of its own, the training is found when the
    variable is unset later, too.

    Parameters
    ----------
    local
        State folder below the results folder; its name is the training's key.
    apart
        Leave the shared one alone: to train again must not throw away what other projects use.

    Raises
    ------
    MissingError
        When the link leads nowhere any more.
    ConfigError
        When the variable names no folder.
    """
    if apart and local.is_symlink():
        local.unlink()
    if local.is_symlink() and not local.exists():
        target = os.readlink(local)
        remedy = f"bring it back; or delete the link, set {SHARED} to where it lies now or nowhere, and run again"
        raise MissingError("the shared training is gone", f"{local} -> {target}", remedy)
    root = None if apart or local.exists() else shared_root()
    if root is not None:
        target_folder = below(root, "models", local.name)
        local.parent.mkdir(parents=True, exist_ok=True)
        half = local.with_name(f".{local.name}.tmp-{os.getpid()}")
        half.unlink(missing_ok=True)
        half.symlink_to(target_folder)
        half.replace(local)
    return local
