"""Weights of others: the released layout from files made here, hostile files, and folders for a hub."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from platemae.errors import ContractError, MissingError, PlatemaeError
from platemae.models.blocks import ParallelScalingBlock
from platemae.models.camae import CAMAE
from platemae.models.export import save_model
from platemae.models.hub import export_model
from platemae.models.interchange import Imported, read_checkpoint, released_shapes
from platemae.models.registry import build
from platemae.models.settings import PRESETS

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


# -- the released layout against a slow reference ---------------------------------------------------------------------


def _norm(v: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (v - v.mean()) / math.sqrt(v.var() + 1e-6) * weight + bias


def _gelu(v: np.ndarray) -> np.ndarray:
    return np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in v])


def _effective_bias(mlp_bias: np.ndarray) -> np.ndarray:
    """What timm 0.9.7 adds to the fused projection, split in the order mlp 4 D, q D, k D, v D (PAPER.md 1.2)."""
    width = len(mlp_bias) // 4
    mlp = [0.0] * (3 * width) + list(mlp_bias[:width])
    return np.array([*mlp, *mlp_bias[width : 2 * width], *mlp_bias[2 * width : 3 * width], *mlp_bias[3 * width :]])


def _block(x: list[np.ndarray], w: dict[str, np.ndarray], heads: int) -> list[np.ndarray]:
    """One parallel block of the released layout, one token and one head at a time."""
    width, size = len(x[0]), len(x[0]) // heads
    fused = [
        w["in_proj.weight"] @ _norm(t, w["in_norm.weight"], w["in_norm.bias"]) + _effective_bias(w["mlp_bias"])
        for t in x
    ]
    cut = [np.split(f, [4 * width, 5 * width, 6 * width]) for f in fused]
    out = []
    for token, (mlp, query, _, _) in zip(x, cut, strict=True):
        mixed = np.zeros(width)
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            q = _norm(query[part], w["q_norm.weight"], w["q_norm.bias"])
            keys = [_norm(k[part], w["k_norm.weight"], w["k_norm.bias"]) for _, _, k, _ in cut]
            weights = np.exp([q @ k / math.sqrt(size) for k in keys])
            mixed[part] = sum(a * v[part] for a, (_, _, _, v) in zip(weights / weights.sum(), cut, strict=True))
        attention = w["attn_out_proj.weight"] @ mixed + w["attn_out_proj.bias"]
        added = attention + w["mlp_out_proj.weight"] @ _gelu(mlp) + w["mlp_out_proj.bias"]
        out.append(token + w["ls.gamma"] * added)
    return out


def _predict(state: dict[str, Tensor], x_CHW: np.ndarray) -> np.ndarray:
    """Mean of the un-normalised tokens of each channel, (C, D), by loops."""
    w = {name: value.double().numpy() for name, value in state.items()}
    side, tokens = x_CHW.shape[1] // PATCH, [w[f"{BACKBONE}cls_token"][0, 0]]
    for channel in x_CHW / 255:
        standardised = (channel - channel.mean()) / math.sqrt(channel.var() + 1e-5)
        for y in range(side):
            for x in range(side):
                window = standardised[y * PATCH : (y + 1) * PATCH, x * PATCH : (x + 1) * PATCH]
                token = (w[f"{BACKBONE}patch_embed.proj.weight"][:, 0] * window).sum((1, 2))
                position = w[f"{BACKBONE}pos_embed"][0, 1 + y * side + x]
                tokens.append(token + w[f"{BACKBONE}patch_embed.proj.bias"] + position)
    for i in range(DEPTH):
        prefix = f"{BACKBONE}blocks.{i}."
        tokens = _block(tokens, {n.removeprefix(prefix): v for n, v in w.items() if n.startswith(prefix)}, D // 4)
    return np.array(tokens[1:]).reshape(len(x_CHW), N, D).mean(1)


@pytest.mark.parametrize("n_channels", [3, 1, 5])
def test_vectors_equal_the_released_forward_pass_by_loops(path: Path, n_channels: int) -> None:
    imported, x = read_checkpoint(path), crops(n_channels)
    expected = np.array([_predict(released(), sample.astype(np.float64)) for sample in x.numpy()])
    found = network(imported).embed(x, "channelwise").numpy()
    np.testing.assert_allclose(found, expected.reshape(2, -1), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(network(imported).embed(x).numpy(), expected.mean(1), rtol=1e-3, atol=1e-5)
    assert imported.kind == "camae"
    assert imported.source["layout"] == "openphenom"
    assert imported.source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_shifted_bias_is_the_papers_toy() -> None:
    """D = 8, biases 1..32: the hidden units get 24 zeros and 1..8, q 9..16, k 17..24, v 25..32 (PAPER.md 1.2)."""
    block = ParallelScalingBlock(8, 2, 4.0, False, 1.0, 0.0, "shifted").requires_grad_(False)
    for parameter in block.parameters():
        parameter.zero_()
    block.mlp_bias.copy_(torch.arange(1.0, 33.0))
    seen: dict[str, Tensor] = {}
    block.q_norm.register_forward_hook(lambda m, i, o: seen.update(q=o[0, :, 0].flatten()))
    block.k_norm.register_forward_hook(lambda m, i, o: seen.update(k=o[0, :, 0].flatten()))
    block.attn_out_proj.register_forward_pre_hook(lambda m, i: seen.update(v=i[0][0, 0]))
    block.mlp_out_proj.register_forward_pre_hook(lambda m, i: seen.update(mlp=i[0][0, 0]))
    block(torch.randn(1, 3, 8))
    assert seen["q"].tolist() == list(range(9, 17))
    assert seen["k"].tolist() == list(range(17, 25))
    torch.testing.assert_close(seen["v"], torch.arange(25.0, 33.0))
    torch.testing.assert_close(seen["mlp"], torch.nn.functional.gelu(torch.tensor([0.0] * 24 + list(range(1, 9)))))


def test_the_released_size_has_765_tensors_of_178_million_values() -> None:
    with torch.device("meta"):
        shapes = released_shapes(CAMAE.from_dict(PRESETS["camae_s16"].to_dict(), 6), 1 + 11 * 256)
    assert len(shapes) == 765
    assert sum(shape.numel() for shape in shapes.values()) == 178_045_568
    assert shapes[f"{BACKBONE}blocks.11.in_proj.weight"] == (2688, 384)
    assert shapes["decoder.decoders.5.7.attn.qkv.weight"] == (1536, 512)


@pytest.mark.parametrize("wrap", [True, False])
def test_a_torch_pickle_under_the_name_of_safetensors(path: Path, wrap: bool) -> None:
    expected = network(read_checkpoint(path)).embed(crops())
    torch.save({"state_dict": released()} if wrap else released(), path)
    imported = read_checkpoint(path.parent)
    assert torch.equal(network(imported).embed(crops()), expected)
    assert network(imported).spec.bias_layout == "shifted"


def test_every_tensor_of_the_decoder_arrives(path: Path) -> None:
    module, state = network(read_checkpoint(path)), released()
    fixed = {f"{BACKBONE}pos_embed", "decoder.pos_embeddings", "decoder.placeholder"}
    fixed |= {f"{BACKBONE}fc_norm.weight", f"{BACKBONE}fc_norm.bias"}
    found = {n.replace("encoder.", BACKBONE) if n.startswith("encoder.") else n for n in module.state_dict()}
    assert found == set(state) - fixed
    assert torch.equal(
        module.decoder.state_dict()["decoders.2.0.mlp.fc2.weight"], state["decoder.decoders.2.0.mlp.fc2.weight"]
    )
    assert module.decoder.query_norm.eps == 1e-5  # type: ignore[attr-defined]


# -- files that are wrong or hostile ----------------------------------------------------------------------------------


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


# -- folders of ours --------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    small = {"crop_px": 8, "patch_px": 4, "width": 16, "depth": 1, "heads": 2, "decoder_width": 16, "decoder_depth": 1}
    module = build("camae", small | {"decoder_heads": 2, "cross_heads": 2}, 3, seed=4)
    save_model(tmp_path / "mine", module, FACTS)
    return tmp_path / "mine"


def test_there_and_back(trained: Path, tmp_path: Path) -> None:
    original = read_checkpoint(trained)
    written = export_model(trained, tmp_path / "hub")
    assert sorted(p.name for p in (tmp_path / "hub").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert sorted(written) == sorted((tmp_path / "hub").iterdir())
    back = read_checkpoint(tmp_path / "hub")
    assert torch.equal(network(back).embed(crops(), "channelwise"), network(original).embed(crops(), "channelwise"))
    assert back.facts["pixel_size_um"] == 0.6
    assert back.source["layout"] == "platemae"
    assert network(back).spec == network(original).spec
    again = export_model(trained, tmp_path / "again")
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in written]


def test_an_imported_model_keeps_its_bias_layout_on_the_way_through_our_files(path: Path, tmp_path: Path) -> None:
    imported = read_checkpoint(path)
    save_model(tmp_path / "mine", imported.module, FACTS | {"imported": imported.source})
    export_model(tmp_path / "mine", tmp_path / "hub")
    assert torch.equal(network(read_checkpoint(tmp_path / "hub")).embed(crops()), network(imported).embed(crops()))
    assert imported.source["sha256"] in (tmp_path / "hub" / "README.md").read_text()


def test_the_export_checks_what_it_copies(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="onto itself"):
        export_model(trained, trained)
    (trained / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ContractError, match="not the ones"):
        export_model(trained, tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_a_card_shows_texts_as_texts(trained: Path, tmp_path: Path) -> None:
    facts = json.loads((trained / "model.json").read_text())
    facts["channels"] = [{"name": "a`|\n# <script>", "stain": ""}]
    (trained / "model.json").write_text(json.dumps(facts))
    export_model(trained, tmp_path / "hub")
    assert "`a'/ # <script> ()`" in (tmp_path / "hub" / "README.md").read_text()


def test_own_weights_under_another_name_or_digest(trained: Path) -> None:
    with pytest.raises(ContractError, match="`sha256`"):
        read_checkpoint(trained, "0" * 64)
    (trained / "model.safetensors").rename(trained / "best.safetensors")
    with pytest.raises(ContractError, match=r"called model\.safetensors"):
        read_checkpoint(trained / "best.safetensors")


def test_a_damaged_model_json_is_named(trained: Path) -> None:
    (trained / "model.json").write_text("{")
    with pytest.raises(ContractError, match="not a JSON file"):
        read_checkpoint(trained)


def test_a_hub_takes_the_folder(trained: Path, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    export_model(trained, tmp_path / "hub")
    card = hub.ModelCard.load(tmp_path / "hub" / "README.md")
    assert card.data.library_name == "platemae"
    assert "camae" in card.data.tags

    class Net(torch.nn.Module, hub.PyTorchModelHubMixin):
        """A network that the hub's own code makes from config.json and fills from model.safetensors."""

        def __init__(self, kind: str, architecture: dict[str, Any], n_channels: int, **more: Any) -> None:
            super().__init__()
            for name, child in build(kind, architecture, n_channels).named_children():
                self.add_module(name, child)

    loaded = Net.from_pretrained(tmp_path / "hub", strict=True).state_dict()
    expected = read_checkpoint(trained).module.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
