"""Tensors from a file that may come from anywhere: safetensors, or a torch pickle whatever its name says.

Nothing in the file is executed, and what is read is checked before use.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises when a file holds more than tensors and plain values
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from platemae.errors import ContractError, MissingError

_TORN = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError),
    *(ArithmeticError, struct.error, zipfile.BadZipFile),
)
"""What the readers of archive and pickle raise on bytes that make no sense."""
COPY = "Get the file again and compare its size and SHA-256."


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_tensors(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read named tensors, float32 on the CPU.

    Parameters
    ----------
    path
        A safetensors file, or torch's zip of tensors, also within ``{"state_dict": ...}``; the header tells.
    sha256
        What the file's bytes must hash to; None: any.

    Raises
    ------
    MissingError
        If there is no file.
    ContractError
        If it has another digest, is torn, holds anything but tensors of finite numbers, or code.
    """
    if not path.is_file():
        raise MissingError("a weights file is missing", str(path), "Correct the key `file` of the model.")
    if sha256 is not None and file_sha256(path) != sha256.lower():
        raise ContractError("the file is not the one that `sha256` names", str(path), COPY)
    with path.open("rb") as stream:
        head = stream.read(2)
    content = _read_zip(path) if head == b"PK" else _read_safetensors(path, head)
    return _checked(content, path)


def _read_safetensors(path: Path, head: bytes) -> dict[str, Any]:
    if head[:1] == b"\x80":
        what = "a bare pickle, which can hold code"
        raise ContractError(what, str(path), "Save the weights as safetensors, or by torch.save of torch 1.6 or later.")
    try:
        return load_file(path)
    except SafetensorError as error:
        what = f"neither a whole safetensors file nor one of torch: {error}"
        raise ContractError(what, str(path), COPY) from error


def _read_zip(path: Path) -> Any:
    try:
        damaged = _damaged(path)
        if not damaged:
            with path.open("rb") as stream:  # by its name alone, torch would take the file for safetensors
                content = torch.load(stream, map_location="cpu", weights_only=True)
            return content.get("state_dict", content) if isinstance(content, dict) else content
    except UnpicklingError as error:
        what = f"the file holds more than tensors, and nothing in it was run ({_line(error)})"
        raise ContractError(what, str(path), "Use weights from a source that you trust, as safetensors.") from error
    except _TORN as error:
        raise ContractError(f"not a whole file of torch: {_line(error)}", str(path), COPY) from error
    raise ContractError(f"{damaged} in the file is damaged or compressed", str(path), COPY)


def _damaged(path: Path) -> str | None:
    """Return the first member that is compressed, which torch's never are, or belies its check sum."""
    with zipfile.ZipFile(path) as archive:  # torch's own reader does not look at the check sums
        packed = [info.filename for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
        return packed[0] if packed else archive.testzip()


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _checked(content: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, dict) or not content:
        raise ContractError("the file holds no named tensors", str(path), "Save a state dict.")
    problems = [f"{name!r}: {why}" for name, value in content.items() if (why := _problem(name, value, path))]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ContractError(f"{'; '.join(problems[:5])}{more}", str(path), "Save the state dict of the network alone.")
    return {name: value.detach().float().contiguous() for name, value in content.items()}


def _problem(name: Any, value: Any, path: Path) -> str:
    if not isinstance(name, str) or not isinstance(value, Tensor):
        return "no named tensor"
    if value.layout != torch.strided or not value.is_floating_point():
        return f"{value.dtype} values, not dense floating-point ones"
    if value.numel() * value.element_size() > path.stat().st_size:
        return f"shape {tuple(value.shape)} is more than the file holds"
    return "" if bool(torch.isfinite(value).all()) else "values that are not finite"
