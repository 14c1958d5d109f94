"""What is recorded of a job: by the job itself in provenance, and by Snakemake, whose record decides what is stale."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from platemae.job_record import read_json, read_record
from platemae.layout import Results

LIBRARIES = (
    "platemae",
    "numpy",
    "scipy",
    "pandas",
    "torch",
    "timm",
    "zarr",
    "numcodecs",
    "tifffile",
    "imagecodecs",
    "anndata",
    "scanpy",
    "scikit-learn",
    "scikit-image",
    "cp_measure",
    "snakemake",
)
NAME_MAX = 255
"""Bytes of a file name; Snakemake cuts longer ones into folders."""
_CODE = re.compile(r"[0-9a-f]{64}")


def libraries() -> dict[str, str]:
    """Return the installed versions of the libraries that move results."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def size_and_digest(path: Path) -> tuple[int, str]:
    """Return the size of a file in bytes, and the SHA-256 of its bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, digest


@dataclass(frozen=True)
class Made:
    """What a job was made with, as far as it is recorded.

    Parameters
    ----------
    cfg
        Its slice of the configuration; None where nothing is recorded.
    code
        Code digest of its stage.
    inputs
        Its input files; None where only provenance knows the job.
    """

    cfg: dict[str, Any] | None = None
    code: str | None = None
    inputs: tuple[str, ...] | None = None


def made_with(results: Results, stage: str, wildcards: Mapping[str, str]) -> Made:
    """Return what Snakemake noted of a job's manifest, or else what the job noted of itself."""
    manifest = results.manifest(stage, **wildcards).relative_to(results.root).as_posix()
    record = read_json(snakemake_record(results.root, manifest))
    if not record:
        own = read_record(results, stage, wildcards)
        return Made(own.get("parameters"), own.get("code_digest"))
    texts = [_literal(value) for value in record.get("params") or []]
    cfg = next((json.loads(text) for text in texts if text.startswith("{")), None)
    code = next((text for text in texts if _CODE.fullmatch(text)), None)
    return Made(cfg, code, tuple(record.get("input") or ()))


def snakemake_record(root: Path, output: str) -> Path:
    """Return where Snakemake keeps its record of an output (snakemake.persistence.file, 9.27)."""
    name = urlsafe_b64encode(output.encode()).decode()
    parts = [name[start : start + NAME_MAX - 1] for start in range(0, len(name), NAME_MAX - 1)]
    return root.joinpath(".snakemake", "metadata", *(f"@{part}" for part in parts[:-1]), parts[-1])


def _literal(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return ""
