"""A small checkpoint in the layout of the released weights (PAPER.md 1.9)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from platemae.models.camae import CAMAE
from platemae.models.interchange import Imported

C, N, D, E, PATCH, DEPTH = 3, 4, 8, 16, 4, 2
BACKBONE = "encoder.vit_backbone."
FACTS = {"kind": "camae", "channels": [{"name": "DNA", "stain": "Hoechst"}], "pixel_size_um": 0.6}


def _table(side: int, width: int, channels: int) -> Tensor:
    """The zero row and, for each channel, sin(h), cos(h), sin(w), cos(w) of each patch (PAPER.md 1.2)."""
    quarter = width // 4
    rates = [10000 ** (-k / quarter) for k in range(quarter)]
    rows = [
        [f(p * r) for p, f in ((y, math.sin), (y, math.cos), (x, math.sin), (x, math.cos)) for r in rates]
        for y in range(side)
        for x in range(side)
    ]
    return torch.tensor([[0.0] * width, *(rows * channels)])[None]


def released(seed: int = 0, max_channels: int = 11) -> dict[str, Tensor]:
    """A small state dict in the layout of PAPER.md 1.9, written down name by name."""
    source = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source) * 0.3

    state = {
        f"{BACKBONE}cls_token": random(1, 1, D),
        f"{BACKBONE}pos_embed": _table(2, D, max_channels),
        f"{BACKBONE}patch_embed.proj.weight": random(D, 1, PATCH, PATCH),
        f"{BACKBONE}patch_embed.proj.bias": random(D),
    }
    for i in range(DEPTH):
        block = {
            "mlp_bias": (4 * D,), "in_norm.weight": (D,), "in_norm.bias": (D,), "in_proj.weight": (7 * D, D),
            "q_norm.weight": (4,), "q_norm.bias": (4,), "k_norm.weight": (4,), "k_norm.bias": (4,),
            "attn_out_proj.weight": (D, D), "attn_out_proj.bias": (D,), "mlp_out_proj.weight": (D, 4 * D),
            "mlp_out_proj.bias": (D,), "ls.gamma": (D,),
        }  # fmt: skip
        state |= {f"{BACKBONE}blocks.{i}.{name}": random(*shape) for name, shape in block.items()}
    state |= {f"{BACKBONE}fc_norm.weight": random(D), f"{BACKBONE}fc_norm.bias": random(D)}
    state |= {"decoder.mask_token": random(1, 1, E), "decoder.placeholder": torch.zeros(1, 1, E)}
    state |= {"decoder.pos_embeddings": _table(2, E, C)}
    state |= {f"decoder.modality_tokens.{c}": random(1, 1, E) for c in range(C)}
    shared = {
        "cross_attention.q.weight": (E, E), "cross_attention.kv.weight": (2 * E, E),
        "cross_attention.proj.weight": (E, E), "cross_attention.proj.bias": (E,), "mlp.fc1.weight": (4 * E, E),
        "mlp.fc1.bias": (4 * E,), "mlp.fc2.weight": (E, 4 * E), "mlp.fc2.bias": (E,),
    }  # fmt: skip
    shared |= {f"{n}_norm.{p}": (E,) for n in ("context", "query", "out") for p in ("weight", "bias")}
    stack = {
        "norm1.weight": (E,), "norm1.bias": (E,), "attn.qkv.weight": (3 * E, E), "attn.qkv.bias": (3 * E,),
        "attn.proj.weight": (E, E), "attn.proj.bias": (E,), "norm2.weight": (E,), "norm2.bias": (E,),
        "mlp.fc1.weight": (4 * E, E), "mlp.fc1.bias": (4 * E,), "mlp.fc2.weight": (E, 4 * E), "mlp.fc2.bias": (E,),
    }  # fmt: skip
    state |= {f"decoder.{name}": random(*shape) for name, shape in shared.items()}
    state |= {f"decoder.decoders.{c}.0.{name}": random(*shape) for c in range(C) for name, shape in stack.items()}
    state |= {"encoder_decoder_proj.weight": random(E, D), "encoder_decoder_proj.bias": random(E)}
    return state | {"decoder_pred.weight": random(PATCH**2, E), "decoder_pred.bias": random(PATCH**2)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_file(released(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def crops(n_channels: int = C) -> Tensor:
    values = np.random.default_rng(1).integers(0, 256, (2, n_channels, 8, 8))
    return torch.from_numpy(values.astype(np.uint8))


def network(imported: Imported) -> CAMAE:
    assert isinstance(imported.module, CAMAE)
    return imported.module.requires_grad_(False)
