"""What the files between stages look like: names of columns, the manifest, and checks of both.

Every stage writes one manifest beside its output. The manifest is what the next stage lists as its input, so equal
content, whatever made it, stops a rerun there; it therefore holds no time, host or duration.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from platemae.errors import ContractError, MissingError

SCHEMA_VERSION = 1
MANIFEST_MAX_BYTES = 100_000

CONTROL_TYPES = ("negcon", "poscon", "treatment", "empty")
"""The control vocabulary shared with copairs and pycytominer."""

PERTURBATION_COLUMNS = ("perturbation", "gene", "compound", "concentration", "control_type")
"""Columns of a layout table beside ``well``, and of the fields table."""

FIELDS_COLUMNS = (
    "plate",
    "batch",
    "well",
    "field",
    "row",
    "column",
    "group",
    "missing_channels",
    *PERTURBATION_COLUMNS,
)
"""Columns of ``plates/{plate}.fields.parquet``; ``group`` is the field's group inside the store, e.g. ``B/3/0``."""

POSITION_COLUMNS = ("y_um", "x_um")
"""More of them: stage position relative to the well's centre, y downwards, NaN where unknown."""

CELLS_COLUMNS = ("plate", "batch", "well", "field", "group", "cell", "y", "x", *PERTURBATION_COLUMNS)
"""Columns of ``plates/{plate}.cells.parquet`` of pooled plates: a row a cell; y and x in pixels, from the centre of the
field's first one."""

QC_COLUMNS = (
    "plate",
    "well",
    "field",
    "channel",
    "focus",
    "saturation",
    "background",
    "foreground",
    "mean",
    "slope",
    "laplacian",
    "zeros",
    "cells",
    "verdict",
    "reason",
)
"""Columns of ``qc/{plate}.parquet``: a row a field and channel; cells, verdict and reason belong to the field."""

DATASET_COLUMNS = ("plate", "batch", "well", "field", "group", "split")
"""Columns of ``datasets/{dataset}.parquet``; split is ``train`` or ``validation``."""

OBS_COLUMNS = (
    "Metadata_Plate",
    "Metadata_Well",
    "Metadata_Site",
    "Metadata_Batch",
    "Metadata_Perturbation",
    "Metadata_Gene",
    "Metadata_Compound",
    "Metadata_Concentration",
    "Metadata_Control_Type",
)
"""Columns of ``AnnData.obs`` that every embedding carries, so that copairs and pycytominer read it unchanged."""

SCORE_COLUMNS = (
    "model",
    "correction",
    "benchmark",
    "source",
    "metric",
    "threshold",
    "value",
    "ci_low",
    "ci_high",
    "plate_ci_low",
    "plate_ci_high",
    "n",
    "chance",
    "overlap",
    "detail",
)
"""Columns of ``scores/{model}/{correction}.parquet``, a row a measured number."""

SHIFT_COLUMNS = ("plate", "source", "n", "shift", "chance", "spread")
"""Columns of ``maps/{model}/{correction}.plates.parquet``, a row a plate and its controls or wells."""

TABLE_KINDS = ("profiles", "classical")
"""Kinds of model that are no network: import_profiles writes their embeddings, from a table."""

TRAINED_KINDS = (
    "mae",
    "camae",
    "munet",
    "wsl",
)
"""Kinds of model that are optimised step by step, with a state of their own."""

OPTIMISER_KEYS = (
    "steps",
    "lr",
    "weight_decay",
    "betas",
    "warmup_fraction",
    "clip_norm",
    "ema_decay",
    "accumulate",
    "activation_checkpointing",
    "compile",
    "sharding",
    "validate_every",
    "on_divergence",
)
"""Keys of section ``train`` that mean nothing to a model which is not optimised."""

MACHINE_KEYS = {
    "train_model": (
        "train",
        ("device", "accumulate", "activation_checkpointing", "compile", "sharding", "cache", "cache_gb"),
    ),
    "embed_plate": ("embed", ("batch",)),
}
"""Section and keys that a stage reads and whose change reruns nothing: they move a result by rounding at most."""

JOINT_CORRECTIONS = ("harmony",)
"""Kinds of correction that align all wells at once: fit_correction reads embeddings, and new plates need a new fit."""

NETWORK_KINDS = (*TRAINED_KINDS, "untrained", "tile_pca", "pretrained")
"""Kinds of model that are a network made here, which a weights file can hold."""

POOLINGS = {
    "mae": ("mean", "cls", "block"),
    "camae": ("mean", "cls", "channelwise", "block"),
    "munet": ("mean", "block"),
    "wsl": ("mean",),
    "pretrained": ("mean", "cls"),
    "untrained": ("mean", "cls", "block"),
    "tile_pca": ("mean",),
}
"""What each kind of network makes one vector of; ``block`` stands for ``block1`` and so on."""

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$")
"""What a plate, model, correction, dataset or channel may be called: it becomes part of a path."""


def is_optimised(kind: str, steps: int) -> bool:
    """Tell whether a model is optimised step by step; with no step it is the floor of its kind."""
    return kind in TRAINED_KINDS and steps > 0


@dataclass(frozen=True)
class Manifest:
    """The currency between stages: what was made, in under 100 kB.

    Parameters
    ----------
    stage
        Name of the stage, which is also the name of its rule.
    digest
        Content digest of arrays and columns, not of file bytes.
    counts
        Small numbers and names worth passing on.
    warnings
        Sentences for the report.
    """

    stage: str
    digest: str
    counts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    schema_version: int = SCHEMA_VERSION

    def write(self, path: Path) -> None:
        """Write the manifest atomically.

        Raises
        ------
        ContractError
            When it is larger than 100 kB.
        """
        text = json.dumps(asdict(self), sort_keys=True, indent=1, allow_nan=False) + "\n"
        if len(text) > MANIFEST_MAX_BYTES:
            raise ContractError(f"the manifest holds {len(text)} bytes, more than {MANIFEST_MAX_BYTES}", str(path))
        write_text(path, text)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest.

        Raises
        ------
        MissingError
            When there is none.
        ContractError
            When it is torn or of another schema version.
        """
        try:
            fields = json.loads(path.read_text())
        except FileNotFoundError:
            raise MissingError("a manifest is missing", str(path), "run the stage that writes it") from None
        except ValueError as error:
            raise ContractError(f"a manifest cannot be read: {error}", str(path), "delete it and run again") from None
        if not isinstance(fields, dict) or fields.get("schema_version") != SCHEMA_VERSION:
            raise ContractError(
                f"a manifest is not of schema version {SCHEMA_VERSION}", str(path), "delete it and run again"
            )
        return cls(**fields)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to a temporary sibling and rename it, so that no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_columns(columns: Iterable[str], expected: Iterable[str], where: str) -> None:
    """Check that a table has every expected column.

    Raises
    ------
    ContractError
        Naming all the missing columns.
    """
    missing = sorted(set(expected) - set(columns))
    if missing:
        raise ContractError(f"columns are missing: {', '.join(missing)}", where, "run the stage that writes it again")


def canonical(value: Mapping[str, Any] | list[Any]) -> str:
    """Return the one JSON spelling of ``value``: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
