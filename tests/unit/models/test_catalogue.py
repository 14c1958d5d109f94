"""The command that lists networks: exact counts, the published ones beside, no memory."""

import json

import pytest

from platemae.cli import main
from platemae.config.sections import MODEL_KINDS
from platemae.models.catalogue import Size, as_text, sizes
from platemae.models.registry import REGISTRY


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], Size]:
    return {(size.kind, size.preset if size.kind != "pretrained" else str(size.backbone)): size for size in sizes()}


@pytest.mark.parametrize(
    ("preset", "encoder"),
    [  # PAPER.md 1.2; the digits beyond the published ones follow from depth, width and patch
        ("vit_s16", 21_868_800),
        ("vit_b16", 86_201_856),
        ("vit_b8", 85_317_120),
        ("vit_l16", 303_792_128),
        ("vit_l8", 302_612_480),
    ],
)
def test_counts_are_those_of_the_papers(found, preset, encoder) -> None:
    size = found["mae", preset]
    assert (size.encoder, size.decoder, size.agrees) == (encoder, 25_220_608, True)
    depth, width, patch = {"s": (12, 384), "b": (12, 768), "l": (24, 1024)}[preset[4]] + (int(preset[5:]),)
    # One block: norm 2D, fused projection 7D^2, its MLP bias 4D, norms of queries and keys 4 * 64, two output
    # projections D^2 + D and 4D^2 + D, LayerScale D. Before them the patch projection and the class token.
    block = 2 * width + 7 * width**2 + 4 * width + 4 * 64 + 5 * width**2 + 2 * width + width
    assert encoder == depth * block + 6 * patch**2 * width + width + width


def test_camae_s16_is_the_released_one(found) -> None:
    size = found["camae", "camae_s16"]
    assert (size.all, size.agrees) == (178_045_568, True)
    assert size.encoder == pytest.approx(21.38e6, abs=5e3)


def test_every_kind_of_network_has_a_preset(found) -> None:
    listed = {kind for kind, _ in found}
    assert listed == set(REGISTRY) - {"tile_pca"}
    assert listed < set(MODEL_KINDS.__args__)
    wanted = {("mae", f"vit_{name}") for name in ("s16", "b16", "b8", "l16", "l8")} | {("mae", "tiny")}
    wanted |= {("camae", f"camae_{name}16") for name in "sbl"} | {("munet", f"munet_{name}") for name in "ml"}
    wanted |= {("wsl", "wsl_densenet161"), ("wsl", "vit_s16"), ("untrained", "vit_s16")}
    names = ("vit_small_patch16_384", "vit_base_patch16_384", "vit_base_patch8_224", "vit_large_patch16_384")
    assert wanted | {("pretrained", name) for name in names} <= set(found)


def test_the_command_prints_both(capsys, found, monkeypatch) -> None:
    monkeypatch.setattr("platemae.models.catalogue.sizes", lambda *_: list(found.values()))
    assert main(["list-models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    (row,) = (row for row in rows if row["kind"] == "camae" and row["preset"] == "camae_s16")
    assert row["all"] == row["published"]["all"] == 178_045_568
    lines = as_text([Size("mae", "vit_s16", None, 21_868_800, 25_220_608, 1, 2, {"encoder": 21_870_000})]).splitlines()
    assert lines[1].endswith("encoder 21.87 M: agrees")


def test_a_count_that_differs_is_told(capsys, monkeypatch) -> None:
    wrong = Size("mae", "vit_s16", None, 21_000_000, 25_220_608, 1, 2, {"encoder": 21_870_000})
    assert wrong.agrees is False
    monkeypatch.setattr("platemae.models.catalogue.sizes", lambda *_: [wrong])
    assert main(["list-models"]) == 1
    assert "DIFFERS" in capsys.readouterr().out


def test_published_counts_belong_to_six_channels(monkeypatch) -> None:
    entry = {"kind": "mae", "preset": "vit_s16", "backbone": None}
    monkeypatch.setattr("platemae.models.catalogue.entries", lambda: iter([entry]))
    ((five,), (six,)) = sizes(5), sizes(6)
    assert (five.agrees, six.agrees) == (None, True)
    assert six.encoder - five.encoder == 16 * 16 * 384
