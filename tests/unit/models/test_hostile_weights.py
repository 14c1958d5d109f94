"""Weights of others that are torn, hostile or of another form are refused by name, and nothing in them is run."""

from __future__ import annotations

import hashlib
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from platemae.errors import ContractError, MissingError, PlatemaeError
from platemae.models.interchange import read_checkpoint
from tests.unit.models.released import BACKBONE, E, path, released

__all__ = ["path"]  # the fixture


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _refused(path: Path, match: str) -> str:
    with pytest.raises(ContractError, match=match) as caught:
        read_checkpoint(path)
    assert caught.value.where == str(path)
    assert caught.value.remedy
    return caught.value.what


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_pickle_is_not_run(path: Path, tmp_path: Path, writer: str) -> None:
    trap = tmp_path / "trap"
    if writer == "torch":
        torch.save(released() | {"decoder.mask_token": Evil(trap)}, path)
    else:
        path.write_bytes(pickle.dumps(Evil(trap)))
    _refused(path, "nothing in it was run" if writer == "torch" else "can hold code")
    assert not trap.exists()


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_torn_and_damaged_files(path: Path, form: str) -> None:
    if form == "torch":
        torch.save(released(), path)
    whole = path.read_bytes()
    for size in (0, 1, 2, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        _refused(path, "whole|damaged")
    if form == "torch":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
        _refused(path, "damaged|whole")


def test_flipped_bytes_end_in_an_error_of_ours(path: Path) -> None:
    """Also in the directory of the archive, and in a pickle whose check sum was put right."""
    torch.save(released(), path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    pickled = next(name for name in members if name.endswith("data.pkl"))
    refused = 0
    for attempt in range(120):
        text = bytearray(members[pickled] if attempt % 2 else whole[-9000:])
        text[rng.integers(len(text))] = rng.integers(256)
        if attempt % 2:
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in members.items():
                    archive.writestr(name, bytes(text) if name == pickled else content)
        else:
            path.write_bytes(whole[:-9000] + text)
        try:
            read_checkpoint(path)
        except PlatemaeError:
            refused += 1
    assert refused > 60, "most flips are noticed; none ends in another error"


def test_a_compressed_archive_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"0" * 10**6)
    _refused(path, "compressed")


def _spread(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"decoder.mask_token": torch.zeros(1).expand(10**12)}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s | {"decoder.extra": torch.zeros(2)}, "unknown decoder.extra"),
        (lambda s: s | {"decoder_pred.bias": torch.zeros(2)}, "decoder_pred.bias is"),
        (lambda s: {k: v for k, v in s.items() if "k_norm" not in k}, "lacks encoder.vit_backbone.blocks.0.k_norm"),
        (lambda s: s | {f"{BACKBONE}blocks.9.mlp_bias": torch.zeros(32)}, "lacks .*blocks.2.mlp_bias"),
        (lambda s: s | {f"{BACKBONE}pos_embed": s[f"{BACKBONE}pos_embed"] + 0.01}, "pos_embed is not the fixed table"),
        (lambda s: s | {"decoder.pos_embeddings": s["decoder.pos_embeddings"].flip(2)}, "embeddings is not the fixed"),
        (lambda s: {"conv.weight": torch.zeros(3, 3)}, "cls_token is missing"),
        (lambda s: s | {f"{BACKBONE}cls_token": torch.tensor(1.0)}, "shapes that do not fit|unpack"),
        (lambda s: s | {"decoder.mask_token": torch.full((1, 1, E), torch.nan)}, "not finite"),
        (lambda s: s | {"decoder.mask_token": torch.zeros(1, 1, E, dtype=torch.int64)}, "floating-point"),
        (_spread, "more than the file holds"),
        (lambda s: {"state_dict": 3}, "no named tensors"),
        (lambda s: s | {"epoch": 7}, "'epoch': no named tensor"),
    ],
)
def test_other_contents_are_refused(path: Path, change: Any, match: str) -> None:
    torch.save(change(released()), path)
    _refused(path, match)


def test_a_missing_file_and_another_digest(path: Path) -> None:
    with pytest.raises(MissingError, match="weights file is missing"):
        read_checkpoint(path.with_name("other.safetensors"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_checkpoint(path, digest.upper()).kind == "camae"
    with pytest.raises(ContractError, match="not the one that `sha256` names"):
        read_checkpoint(path, "0" * 64)
