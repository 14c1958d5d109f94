"""What a masked autoencoder is (its architecture) and what it is asked to do (its objective). Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from platemae.errors import ConfigError

FINAL_NORMS = ("none", "layer")
FOURIER_LAYOUTS = ("patch", "image")
FOURIER_NORMS = ("l1", "l2")
BIAS_LAYOUTS = ("mlp", "shifted")


@dataclass(frozen=True)
class Architecture:
    """A ViT encoder of parallel scaling blocks and a plain ViT decoder (PAPER.md 1.2, 1.5).

    Attributes
    ----------
    crop_px, patch_px
        Side of the square crop and of a patch, in pixels.
    width, depth, heads
        Encoder: token width, blocks, attention heads.
    mlp_ratio
        Hidden width of every MLP over its block's width.
    qk_norm
        LayerNorm of queries and keys over each head.
    layer_scale_init
        Initial value of the LayerScale of every encoder block.
    drop_path
        Stochastic depth of the last encoder block; the first has 0, linear between.
    final_norm
        ``none``: decoder and pooling see the un-normalised tokens of the last block, as the released weights do
        (PAPER.md 1.2, "final norm trap"); ``layer``: a trained LayerNorm comes between.
    decoder_width, decoder_depth, decoder_heads
        The same of the decoder.
    """

    crop_px: int = 256
    patch_px: int = 16
    width: int = 384
    depth: int = 12
    heads: int = 6
    mlp_ratio: float = 4.0
    qk_norm: bool = True
    layer_scale_init: float = 1e-4
    drop_path: float = 0.1
    final_norm: str = "none"
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16

    def __post_init__(self) -> None:
        problems = [*self._type_problems(), *(self._value_problems() if not self._type_problems() else [])]
        if problems:
            raise ConfigError("; ".join(problems), "architecture", "Correct the named keys.")

    def _type_problems(self) -> list[str]:
        kinds: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "str": str}
        values = {f.name: (getattr(self, f.name), str(f.type)) for f in fields(self)}
        return [
            f"{name} must be {kind}, not {value!r}"
            for name, (value, kind) in values.items()
            if not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind != "bool")
        ]

    def _value_problems(self) -> list[str]:
        sizes = ("crop_px", "patch_px", "width", "depth", "heads", "decoder_width", "decoder_depth", "decoder_heads")
        problems = [f"{name} must be at least 1" for name in sizes if getattr(self, name) < 1]
        if problems:
            return problems
        if self.crop_px % self.patch_px:
            problems.append(f"patch_px {self.patch_px} does not divide crop_px {self.crop_px}")
        for part, width, heads in (("", self.width, self.heads), ("decoder_", self.decoder_width, self.decoder_heads)):
            if width % heads or width % 4:
                problems.append(f"{part}width {width} must be a multiple of 4 and of {part}heads {heads}")
        if not 0 <= self.drop_path < 1:
            problems.append("drop_path must be in [0, 1)")
        if self.mlp_ratio <= 0 or self.layer_scale_init <= 0:
            problems.append("mlp_ratio and layer_scale_init must be positive")
        if self.final_norm not in FINAL_NORMS:
            problems.append(f"final_norm must be one of {', '.join(FINAL_NORMS)}, not {self.final_norm!r}")
        return problems

    @property
    def n_patches(self) -> int:
        """Patches of a crop."""
        return (self.crop_px // self.patch_px) ** 2

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dictionary, as model.json holds them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """Make an architecture from a dictionary.

        Raises
        ------
        ConfigError
            If a key is unknown or a value is wrong.
        """
        return replace_checked(cls(), values, "architecture")


@dataclass(frozen=True)
class ChannelArchitecture(Architecture):
    """A channel-agnostic ViT encoder and a decoder with a stack of blocks for each channel (PAPER.md 1.5, 1.6).

    Attributes
    ----------
    cross_heads
        Heads of the decoder's cross-attention; the other widths are those of ``Architecture``.
    decoder_norm_epsilon
        Of every LayerNorm of the decoder; the released configuration says 1e-6, the released code computes with 1e-5.
    bias_layout
        Of the encoder's blocks, see ``platemae.models.blocks.ParallelScalingBlock``; only imported weights are
        ``shifted``.
    """

    cross_heads: int = 8
    decoder_norm_epsilon: float = 1e-6
    bias_layout: str = "mlp"

    def _value_problems(self) -> list[str]:
        problems = super()._value_problems()
        if self.cross_heads < 1 or self.decoder_width % max(self.cross_heads, 1):
            problems.append(f"decoder_width {self.decoder_width} must be a multiple of cross_heads {self.cross_heads}")
        if self.decoder_norm_epsilon <= 0:
            problems.append("decoder_norm_epsilon must be positive")
        if self.bias_layout not in BIAS_LAYOUTS:
            problems.append(f"bias_layout must be one of {', '.join(BIAS_LAYOUTS)}, not {self.bias_layout!r}")
        return problems


@dataclass(frozen=True)
class Objective:
    """The training loss (PAPER.md 1.4, 1.8).

    Attributes
    ----------
    mask_ratio
        Fraction of patches hidden from the encoder.
    fourier_weight
        a in (1 - a) * MSE + a * Fourier; 0 leaves the Fourier term out.
    fourier_layout
        ``patch``: spectrum of each masked patch and channel; ``image``: spectrum of each whole channel, with the true
        pixels where the encoder saw them.
    fourier_norm
        Distance of the amplitudes: ``l1`` or ``l2`` (mean square).
    """

    mask_ratio: float = 0.75
    fourier_weight: float = 0.01
    fourier_layout: str = "patch"
    fourier_norm: str = "l1"

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.mask_ratio < 1:
            problems.append(f"mask_ratio must be in (0, 1), not {self.mask_ratio!r}")
        if not 0 <= self.fourier_weight < 1:
            problems.append(f"fourier_weight must be in [0, 1), not {self.fourier_weight!r}")
        if self.fourier_layout not in FOURIER_LAYOUTS:
            problems.append(f"fourier_layout must be one of {', '.join(FOURIER_LAYOUTS)}, not {self.fourier_layout!r}")
        if self.fourier_norm not in FOURIER_NORMS:
            problems.append(f"fourier_norm must be one of {', '.join(FOURIER_NORMS)}, not {self.fourier_norm!r}")
        if problems:
            raise ConfigError("; ".join(problems), "training", "Correct the named keys.")


# PAPER.md 1.2 and 1.6; `tiny` and `camae_tiny` are for two CPU cores.
PRESETS = {
    "tiny": Architecture(
        crop_px=32, patch_px=4, width=128, depth=4, heads=4, drop_path=0.0, layer_scale_init=1.0,
        decoder_width=96, decoder_depth=2, decoder_heads=4,
    ),
    "vit_s16": Architecture(),
    "vit_b16": Architecture(width=768, heads=12),
    "vit_b8": Architecture(patch_px=8, width=768, heads=12),
    "vit_l16": Architecture(width=1024, depth=24, heads=16, drop_path=0.3),
    "vit_l8": Architecture(patch_px=8, width=1024, depth=24, heads=16, drop_path=0.3),
    "camae_tiny": ChannelArchitecture(
        crop_px=32, patch_px=4, width=128, depth=4, heads=4, drop_path=0.0, layer_scale_init=1.0,
        decoder_width=96, decoder_depth=2, decoder_heads=4, cross_heads=4,
    ),
    "camae_s16": ChannelArchitecture(),
    "camae_b16": ChannelArchitecture(width=768, heads=12),
    "camae_l16": ChannelArchitecture(width=1024, depth=24, heads=16, drop_path=0.3),
}  # fmt: skip


def replace_checked(start: Architecture, overrides: dict[str, Any], where: str) -> Architecture:
    """Replace fields of ``start``, refusing unknown ones with a ConfigError."""
    known = [f.name for f in fields(start)]
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ConfigError(f"unknown keys {', '.join(map(repr, unknown))}", where, f"Known keys: {', '.join(known)}.")
    return replace(start, **overrides)


def architecture(preset: str, **overrides: Any) -> Architecture:
    """Return a preset with some fields replaced.

    Parameters
    ----------
    preset
        A key of ``PRESETS``.
    **overrides
        Fields of ``Architecture``.

    Raises
    ------
    ConfigError
        If the preset, a key or a value is wrong.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}", "architecture", f"Use one of {', '.join(PRESETS)}.")
    return replace_checked(PRESETS[preset], overrides, f"architecture (preset {preset})")
