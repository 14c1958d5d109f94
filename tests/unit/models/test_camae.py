"""The channel-agnostic network: any channels in, the decoder against slow loops, and what it counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from platemae.errors import ConfigError, ContractError
from platemae.models import blocks
from platemae.models.camae import CAMAE, ChannelDecoder, count_parameters
from platemae.models.masking import mask_from_noise
from platemae.models.registry import build
from platemae.models.settings import PRESETS, ChannelArchitecture, Objective, architecture

SMALL = {
    "crop_px": 16, "patch_px": 4, "width": 32, "depth": 3, "heads": 2, "layer_scale_init": 0.3, "drop_path": 0.5,
    "decoder_width": 24, "decoder_depth": 2, "decoder_heads": 2, "cross_heads": 3,
}  # fmt: skip
N_CHANNELS, N_PATCHES = 6, 16


@pytest.fixture
def camae() -> CAMAE:
    network = build("camae", SMALL, N_CHANNELS, seed=3)
    assert isinstance(network, CAMAE)
    generator = torch.Generator().manual_seed(2)
    torch.nn.init.normal_(network.decoder_pred.weight, std=0.1, generator=generator)  # a fresh one predicts 0
    return network


def crops(n_channels: int = N_CHANNELS, n_crops: int = 4) -> torch.Tensor:
    values = np.random.default_rng(0).integers(0, 256, (n_crops, n_channels, 16, 16))
    return torch.from_numpy(values.astype(np.uint8))


def noise(n_crops: int = 4) -> torch.Tensor:
    return torch.rand(n_crops, N_CHANNELS * N_PATCHES, generator=torch.Generator().manual_seed(0))


# -- channels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_vector_does_not_depend_on_the_order_of_channels(camae: CAMAE, pooling: str) -> None:
    camae.requires_grad_(False)
    plain, order = camae.embed(crops(), pooling), torch.tensor([4, 2, 5, 0, 3, 1])
    assert float((camae.embed(crops()[:, order], pooling) - plain).abs().max()) < 1e-5
    assert float((camae.embed(crops()[:, [0, 0, 2, 3, 4, 5]], pooling) - plain).abs().max()) > 1e-3


def test_one_to_sixteen_channels(camae: CAMAE) -> None:
    """Also beyond the 11 for which the released network has positions."""
    camae.requires_grad_(False)
    for n_channels in range(1, 17):
        x_BCHW = crops(n_channels)
        vectors = camae.embed(x_BCHW)
        assert vectors.shape == (4, 32)
        assert bool(torch.isfinite(vectors).all())
        assert camae.embed(x_BCHW, "channelwise").shape == (4, 32 * n_channels)
        assert float((camae.embed(x_BCHW.flip(1)) - vectors).abs().max()) < 1e-5


def test_trained_on_six_it_embeds_five_and_three(camae: CAMAE) -> None:
    optimizer = torch.optim.Adam(camae.parameters(), 1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        camae(crops(), noise()).total.backward()
        optimizer.step()
    camae.requires_grad_(False)
    for n_channels in (5, 3):
        subset = crops()[:, :n_channels]
        assert bool(torch.isfinite(camae.embed(subset)).all())
        assert float((camae.embed(subset) - camae.embed(crops())).abs().max()) > 1e-3
        with pytest.raises(ContractError, match=f"{n_channels} channels, the decoder has stacks for 6"):
            camae(subset, noise())
        with pytest.raises(ContractError, match="the decoder has stacks for 6"):
            camae.reconstruct(subset, noise())


def test_one_channel_is_encoded_as_by_the_plain_network(camae: CAMAE) -> None:
    plain = build("mae", {key: value for key, value in SMALL.items() if key != "cross_heads"}, 1)
    plain.encoder.load_state_dict(camae.encoder.state_dict())  # type: ignore[union-attr]
    assert torch.equal(camae.encode(crops(1)), plain.encode(crops(1)))  # type: ignore[operator]
    torch.testing.assert_close(camae.embed(crops(1), "channelwise"), camae.embed(crops(1)))


def test_positions_repeat_for_every_channel(camae: CAMAE) -> None:
    table = camae.encoder.positions(13 * N_PATCHES)[0]
    assert not table[0].any()
    for channel in range(13):
        part = table[1 + channel * N_PATCHES : 1 + (channel + 1) * N_PATCHES]
        assert torch.equal(part, camae.encoder.pos_embed[0, 1:])


def test_poolings_by_hand(camae: CAMAE) -> None:
    tokens = camae.encode(crops(3))
    means = [sum(tokens[:, 1 + c * N_PATCHES + i] for i in range(N_PATCHES)) / N_PATCHES for c in range(3)]
    torch.testing.assert_close(camae.embed(crops(3), "channelwise"), torch.cat(means, 1))
    torch.testing.assert_close(camae.embed(crops(3)), sum(means) / 3)
    torch.testing.assert_close(camae.embed(crops(3), "cls"), tokens[:, 0])
    with pytest.raises(ConfigError, match="channelwise"):
        camae.embed(crops(3), "max")
    with pytest.raises(ConfigError, match="channelwise"):
        build("mae", {k: v for k, v in SMALL.items() if k != "cross_heads"}, 3).embed(crops(3), "channelwise")


def test_a_channel_follows_its_place_in_channelwise_vectors(camae: CAMAE) -> None:
    order = [2, 0, 1]
    shuffled = camae.embed(crops(3)[:, order], "channelwise").unflatten(1, (3, -1))
    plain = camae.embed(crops(3), "channelwise").unflatten(1, (3, -1))
    torch.testing.assert_close(shuffled, plain[:, order], rtol=1e-4, atol=1e-5)


# -- masks, patches, loss ---------------------------------------------------------------------------------------------


def test_patches_are_channel_major_then_row_major(camae: CAMAE) -> None:
    x_BCHW = torch.arange(4 * 6 * 256).reshape(4, 6, 16, 16) % 251
    patches, standardised = camae.patches(x_BCHW), camae.image(camae.patches(x_BCHW))
    assert patches.shape == (4, 6 * N_PATCHES, 16)
    for sample, channel, row, column in ((0, 0, 0, 0), (1, 3, 2, 1), (3, 5, 3, 3)):
        window = standardised[sample, channel, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
        assert torch.equal(patches[sample, channel * N_PATCHES + row * 4 + column], window.flatten())
    torch.testing.assert_close(standardised.mean((2, 3)), torch.zeros(4, 6), atol=1e-5, rtol=0)


def test_one_permutation_runs_over_all_channels(camae: CAMAE) -> None:
    assert camae.noise_sizes == (N_CHANNELS * N_PATCHES, 3)
    mask = mask_from_noise(noise(), 0.75)
    visible = torch.stack([torch.bincount(kept // N_PATCHES, minlength=6) for kept in mask.keep_BK])
    assert visible.sum(1).tolist() == [24] * 4
    assert len(set(visible.flatten().tolist())) > 2, "channels of one crop show different numbers of patches"


def test_the_encoder_does_not_see_masked_patches(camae: CAMAE) -> None:
    patches, mask = camae.patches(crops()), mask_from_noise(noise(), 0.75)
    changed = patches.scatter(1, mask.hidden_BM[..., None].expand(-1, -1, 16), 99.0)
    assert torch.equal(camae.encoder(patches, mask.keep_BK), camae.encoder(changed, mask.keep_BK))


@pytest.mark.parametrize("layout", ["patch", "image"])
def test_loss_is_what_the_reconstruction_shows(camae: CAMAE, layout: str) -> None:
    shown = camae.reconstruct(crops(), noise(), 0.75)
    hidden = torch.isnan(shown.masked)
    assert shown.target.shape == shown.reconstruction.shape == (4, 6, 16, 16)
    assert float(hidden.float().mean()) == 0.75
    assert torch.equal(shown.reconstruction[~hidden], shown.target[~hidden])
    parts = camae(crops(), noise(), None, Objective(fourier_weight=0.1, fourier_layout=layout))
    torch.testing.assert_close((shown.reconstruction - shown.target)[hidden].square().mean(), parts.mse)
    images = [i.numpy().astype(np.float64) for i in (shown.reconstruction, shown.target)]
    if layout == "patch":
        images = [i.reshape(4, 6, 4, 4, 4, 4).swapaxes(3, 4) for i in images]
    distance = np.abs(np.abs(np.fft.fft2(images[0])) - np.abs(np.fft.fft2(images[1])))
    expected = distance.mean() if layout == "image" else distance.mean() / 0.75  # visible patches differ by nothing
    assert float(parts.fourier) == pytest.approx(expected, rel=1e-4)


def test_every_weight_learns(camae: CAMAE) -> None:
    camae(crops(), noise(), torch.rand(4, 3, generator=torch.Generator().manual_seed(1))).total.backward()
    assert [name for name, p in camae.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_loss_falls_in_sixty_steps() -> None:
    """Two channels that share structure, as stains of one cell do; other crops and masks at every step."""
    network = build("camae", SMALL | {"width": 16, "depth": 2, "layer_scale_init": 1.0, "drop_path": 0.0}, 2)
    optimizer, source = torch.optim.Adam(network.parameters(), 5e-3), torch.Generator().manual_seed(0)
    row, column, losses = *torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij"), []
    for _ in range(60):
        angle = 0.3 * row + 0.2 * column + 6 * torch.rand(16, 1, 1, generator=source)
        x_BCHW = 127 + torch.stack([100 * angle.sin(), 60 * angle.cos()], 1)
        loss = network(x_BCHW, torch.rand(16, 32, generator=source)).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])


@pytest.mark.parametrize("shape", [(2, 6, 16, 12), (2, 6, 8, 8), (2, 0, 16, 16)])
def test_wrong_crops_are_named(camae: CAMAE, shape: tuple[int, ...]) -> None:
    with pytest.raises(ContractError, match=r"16, 16"):
        camae.embed(torch.zeros(shape))


# -- the decoder against loops ----------------------------------------------------------------------------------------


def _norm(vector: np.ndarray, w: dict[str, np.ndarray], name: str, epsilon: float) -> np.ndarray:
    scaled = (vector - vector.mean()) / math.sqrt(vector.var() + epsilon)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def _linear(vector: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    return w[f"{name}.weight"] @ vector + w.get(f"{name}.bias", 0.0)


def _mlp(vector: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    hidden = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in _linear(vector, w, f"{name}.fc1")]
    return _linear(np.array(hidden), w, f"{name}.fc2")


def _attention(query: np.ndarray, keys: list[np.ndarray], values: list[np.ndarray], heads: int) -> np.ndarray:
    """Attention of one query, one head at a time."""
    size, out = len(query) // heads, np.zeros_like(query)
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        weights = np.exp([query[part] @ key[part] / math.sqrt(size) for key in keys])
        for weight, value in zip(weights / weights.sum(), values, strict=True):
            out[part] += weight * value[part]
    return out


def _block(x: list[np.ndarray], w: dict[str, np.ndarray], name: str, heads: int, epsilon: float) -> list[np.ndarray]:
    width = len(x[0])
    qkv = [_linear(_norm(t, w, f"{name}.norm1", epsilon), w, f"{name}.attn.qkv") for t in x]
    keys, values = [t[width : 2 * width] for t in qkv], [t[2 * width :] for t in qkv]
    out = []
    for token, mixed in zip(x, qkv, strict=True):
        token = token + _linear(_attention(mixed[:width], keys, values, heads), w, f"{name}.attn.proj")
        out.append(token + _mlp(_norm(token, w, f"{name}.norm2", epsilon), w, f"{name}.mlp"))
    return out


def _positions(side: int, width: int) -> list[np.ndarray]:
    rates = [10000 ** (-k / (width // 4)) for k in range(width // 4)]
    return [
        np.array([f(p * r) for p, f in ((y, math.sin), (y, math.cos), (x, math.sin), (x, math.cos)) for r in rates])
        for y in range(side)
        for x in range(side)
    ]


def _decode(tokens: list[list[np.ndarray]], w: dict[str, np.ndarray], spec: ChannelArchitecture) -> np.ndarray:
    """The decoder of PAPER.md 1.5 for one sample, tokens[channel][patch]: one channel and one patch at a time."""
    positions, epsilon = _positions(spec.crop_px // spec.patch_px, spec.decoder_width), spec.decoder_norm_epsilon
    placed = [
        [t + p + w[f"modality_tokens.{m}"][0, 0] for t, p in zip(channel, positions, strict=True)]
        for m, channel in enumerate(tokens)
    ]
    kv = [_linear(_norm(t, w, "context_norm", epsilon), w, "cross_attention.kv") for c in placed for t in c]
    keys, values = [t[: spec.decoder_width] for t in kv], [t[spec.decoder_width :] for t in kv]
    decoded = []
    for m, channel in enumerate(placed):
        x = []
        for token in channel:
            query = _linear(_norm(token, w, "query_norm", epsilon), w, "cross_attention.q")
            mixed = _linear(_attention(query, keys, values, spec.cross_heads), w, "cross_attention.proj")
            x.append(mixed + _mlp(_norm(mixed, w, "out_norm", epsilon), w, "mlp"))
        for depth in range(spec.decoder_depth):
            x = _block(x, w, f"decoders.{m}.{depth}", spec.decoder_heads, epsilon)
        decoded += x
    return np.array(decoded)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-2])
def test_the_decoder_equals_loops_over_channels_heads_and_tokens(epsilon: float) -> None:
    spec = architecture("camae_tiny", crop_px=8, decoder_width=12, decoder_heads=2, cross_heads=3, decoder_depth=2,
                        decoder_norm_epsilon=epsilon)  # fmt: skip
    assert isinstance(spec, ChannelArchitecture)
    decoder, source = ChannelDecoder(spec, 3).double(), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.4)
    mask = mask_from_noise(torch.rand(2, 12, generator=source), 0.5)
    visible = torch.randn(2, 7, 12, dtype=torch.float64, generator=source)
    found = decoder(visible, mask).detach().numpy()
    w = {name: value.detach().numpy() for name, value in decoder.state_dict().items()}
    for sample in range(2):
        full = [w["mask_token"][0, 0]] * 12
        for place, token in zip(mask.keep_BK[sample].tolist(), visible[sample, 1:].numpy(), strict=True):
            full[place] = token
        expected = _decode([full[0:4], full[4:8], full[8:12]], w, spec)[mask.hidden_BM[sample].numpy()]
        np.testing.assert_allclose(found[sample], expected, atol=1e-6)  # positions are float32


# -- counts -----------------------------------------------------------------------------------------------------------


def test_parameters_equal_the_released_checkpoints() -> None:
    """PAPER.md 1.5, 1.6, 1.9: 178,045,568 values in 765 tensors, 5 of them fixed; the encoder 21.38 M and 1.08 M."""
    with torch.device("meta"):
        network = CAMAE.from_dict(PRESETS["camae_s16"].to_dict(), 6)
    counts = count_parameters(network)
    assert counts.total == 178_045_568
    assert counts.trained == 176_175_616
    assert counts.fixed == 2817 * 384 + 2 * 384 + 1537 * 512 + 512
    assert len(network.state_dict()) == 765 - 5
    encoder = sum(p.numel() for p in network.encoder.parameters()) + 2 * 384
    assert encoder == pytest.approx(21.38e6, abs=5e3)
    assert encoder + 2817 * 384 == pytest.approx(22.46e6, abs=5e3)


@pytest.mark.parametrize(("preset", "millions"), [("camae_b16", 85.32), ("camae_l16", 302.61)])
def test_larger_encoders_lack_only_patches_of_more_channels(preset: str, millions: float) -> None:
    """The ViT of the same width with 8-pixel patches of 6 channels has 128 inputs a patch more (PAPER.md 1.2)."""
    with torch.device("meta"):
        network = CAMAE.from_dict(PRESETS[preset].to_dict(), 6)
    width = PRESETS[preset].width
    encoder = sum(p.numel() for p in network.encoder.parameters()) + (6 * 64 - 256) * width + 2 * width
    assert encoder / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"cross_heads": 5}, "cross_heads"),
        ({"bias_layout": "timm"}, "bias_layout"),
        ({"decoder_norm_epsilon": 0.0}, "epsilon"),
    ],
)
def test_wrong_architectures_are_named(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ChannelArchitecture.from_dict(SMALL | wrong)
    with pytest.raises(ConfigError, match="channel"):
        build("camae", SMALL, 0)


def test_operations_equal_torchs_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platemae.models.camae.attend", blocks.attend_matmul)  # the counter knows no fused kernel
    monkeypatch.setattr(blocks, "attend", blocks.attend_matmul)
    network = build("camae", PRESETS["camae_tiny"].to_dict(), 5)
    assert isinstance(network, CAMAE)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 5, 32, 32), torch.rand(1, 320), None, Objective(0.75, 0.0))
    assert counter.get_total_flops() == network.forward_flops(0.75)
