"""Weights that were trained elsewhere: folders of this program, and files in the layout of OpenPhenom (PAPER.md 1.9).

The released layout differs from ours in three ways. Its encoder's names start with ``encoder.vit_backbone.``; five of
its 765 tensors are fixed (both position tables, zeros in place of the class token, and a norm after pooling that
neither training nor ``predict`` reaches), which are left out here; its blocks were trained with timm's shifted bias,
which the architecture notes as ``bias_layout: shifted``. ``predict`` is the mean of the un-normalised patch tokens:
``final_norm: none`` with pooling ``mean``.

Shape legend: C channels, N patches of a channel, D encoder width, E decoder width.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from platemae.errors import ConfigError, ContractError
from platemae.models.camae import CAMAE
from platemae.models.export import FACTS, WEIGHTS, check_fit, load_model
from platemae.models.positions import sincos_positions
from platemae.models.registry import build
from platemae.models.settings import ChannelArchitecture
from platemae.models.weights_file import COPY, file_sha256, read_tensors

RELEASED, OWN = "openphenom", "platemae"
CONFIG = "config.json"
_BACKBONE = "encoder.vit_backbone."
_ENCODER_TABLE, _DECODER_TABLE = f"{_BACKBONE}pos_embed", "decoder.pos_embeddings"
_DECODER_HEADS, _CROSS_HEADS, _DECODER_EPSILON = 16, 8, 1e-5  # shapes do not tell; as released (PAPER.md 1.5, 1.9)
_TABLE_TOLERANCE = 1e-4


class Imported(NamedTuple):
    """A network from a file.

    Attributes
    ----------
    kind
        Kind of the network in ``registry``.
    module
        In evaluation mode, on the CPU.
    facts
        What a file of ours says beside the architecture; nothing for the released layout.
    source
        Where it comes from, for ``model.json``: layout, name and digest of the file.
    """

    kind: str
    module: nn.Module
    facts: dict[str, Any]
    source: dict[str, str]


def read_checkpoint(path: Path, sha256: str | None = None) -> Imported:
    """Read a network from a file or its folder.

    Parameters
    ----------
    path
        Weights, or the folder of ``model.safetensors``. They are ours where ``model.json`` or our ``config.json`` lies
        beside them, else they must have the released layout.
    sha256
        Digest of the weights file; None: any.

    Raises
    ------
    MissingError
        If there is no file.
    ContractError
        If the file is damaged, has another digest, holds code, or is of another kind of network.
    """
    weights = path / WEIGHTS if path.is_dir() else path
    beside = next((name for name in (FACTS, CONFIG) if _is_ours(weights.with_name(name))), None)
    if beside is None:
        source = {"layout": RELEASED, "file": weights.name}
        imported = Imported("camae", from_released(read_tensors(weights, sha256), weights), {}, source)
    else:
        if weights.name != WEIGHTS:
            what = f"the weights of a model of ours are called {WEIGHTS}"
            raise ContractError(what, str(weights), "Name the folder of the model in the key `file`.")
        if sha256 is not None and weights.is_file() and file_sha256(weights) != sha256.lower():
            raise ContractError("the file is not the one that `sha256` names", str(weights), COPY)
        module, facts = load_model(weights.parent, beside)
        imported = Imported(facts["kind"], module, facts, {"layout": OWN, "file": weights.name})
    return imported._replace(source=imported.source | {"sha256": file_sha256(weights)})


def _is_ours(path: Path) -> bool:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return path.name == FACTS and path.is_file()  # damaged: load_model says how
    return path.name == FACTS or (isinstance(facts, dict) and "weights_sha256" in facts)


# -- the released layout ----------------------------------------------------------------------------------------------


def from_released(tensors: dict[str, Tensor], path: Path) -> CAMAE:
    """Make the network whose tensors, in the released layout, are ``tensors``.

    Parameters
    ----------
    tensors
        As ``read_tensors`` returns them.
    path
        For errors.

    Raises
    ------
    ContractError
        If a tensor is missing, foreign or of another shape, or a table is not the fixed one.
    """
    spec, n_channels = _spec_of(tensors, path)
    with torch.device("meta"):
        expected = released_shapes(CAMAE(spec, n_channels), tensors[_ENCODER_TABLE].shape[1])
    check_fit(expected, tensors, path)
    side = spec.crop_px // spec.patch_px
    _check_table(tensors[_ENCODER_TABLE], sincos_positions(side, spec.width), _ENCODER_TABLE, path)
    _check_table(tensors[_DECODER_TABLE], sincos_positions(side, spec.decoder_width), _DECODER_TABLE, path)
    network = build("camae", spec.to_dict(), n_channels)
    assert isinstance(network, CAMAE)
    network.load_state_dict({name: tensors[_released_name(name)] for name in network.state_dict()})
    return network.eval()


def released_shapes(network: CAMAE, table_rows: int) -> dict[str, torch.Size]:
    """Return name and shape of every tensor that a network has in the released layout.

    Parameters
    ----------
    network
        Ours.
    table_rows
        Rows of the encoder's position table: 1 + N for each channel that it was made for, 11 in the released file.
    """
    spec, size = network.spec, torch.Size
    shapes = {_released_name(name): value.shape for name, value in network.state_dict().items()}
    rows = 1 + network.n_channels * spec.n_patches
    shapes |= {_ENCODER_TABLE: size((1, table_rows, spec.width)), _DECODER_TABLE: size((1, rows, spec.decoder_width))}
    shapes |= {f"{_BACKBONE}fc_norm.{name}": size((spec.width,)) for name in ("weight", "bias")}
    return shapes | {"decoder.placeholder": size((1, 1, spec.decoder_width))}


def _released_name(name: str) -> str:
    return _BACKBONE + name.removeprefix("encoder.") if name.startswith("encoder.") else name


def _spec_of(tensors: dict[str, Tensor], path: Path) -> tuple[ChannelArchitecture, int]:
    """Read the architecture off the shapes."""
    try:
        *_, width = tensors[f"{_BACKBONE}cls_token"].shape
        patch_px = tensors[f"{_BACKBONE}patch_embed.proj.weight"].shape[-1]
        head = tensors[f"{_BACKBONE}blocks.0.q_norm.weight"].shape[0]
        hidden = tensors[f"{_BACKBONE}blocks.0.mlp_bias"].shape[0]
        *_, rows, decoder_width = tensors[_DECODER_TABLE].shape
        tensors[_ENCODER_TABLE].shape[1]
        n_channels = _count(tensors, "decoder.modality_tokens.")
        n_patches = (rows - 1) // n_channels
        spec = ChannelArchitecture(
            crop_px=math.isqrt(n_patches) * patch_px, patch_px=patch_px, width=width, heads=width // head,
            depth=_count(tensors, f"{_BACKBONE}blocks."), mlp_ratio=hidden / width, decoder_width=decoder_width,
            decoder_depth=_count(tensors, "decoder.decoders.0."), decoder_heads=_DECODER_HEADS,
            cross_heads=_CROSS_HEADS, decoder_norm_epsilon=_DECODER_EPSILON, bias_layout="shifted",
        )  # fmt: skip
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        what = f"no weights in the layout of OpenPhenom: {_reason(error)}"
        remedy = f"Weights of this program need their {FACTS} or {CONFIG} beside them; other networks are not read."
        raise ContractError(what, str(path), remedy) from error
    return spec, n_channels


def _count(tensors: dict[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)})


def _reason(error: Exception) -> str:
    if isinstance(error, ConfigError):
        return error.what
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else "shapes that do not fit together"


def _check_table(found_1TD: Tensor, spatial_1TD: Tensor, name: str, path: Path) -> None:
    """Check that a stored position table is the zero row and the spatial table once for each channel."""
    patches_1ND = spatial_1TD[:, 1:]
    times, rest = divmod(found_1TD.shape[1] - 1, patches_1ND.shape[1])
    if not rest and times:
        expected = torch.cat([spatial_1TD[:, :1], patches_1ND.repeat(1, times, 1)], dim=1)
        if float((found_1TD - expected).abs().max()) < _TABLE_TOLERANCE:
            return
    what = f"{name} is not the fixed table of sines and cosines"
    raise ContractError(what, str(path), "This program computes positions and cannot take others.")
