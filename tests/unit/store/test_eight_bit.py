"""The 8-bit store: rounding, clipping, and the note of both."""

import numpy as np
import pytest

from platemae.errors import ConfigError
from platemae.store.eight_bit import EightBit

RANGES = {"DNA": (100.0, 610.0), "ER": (0.0, 65535.0)}


def test_it_rounds_to_the_nearest_and_clips():
    x_CYX = np.stack([np.arange(0, 800), np.linspace(0, 65535, 800)]).astype(np.uint16).reshape(2, 20, 40)
    eight = EightBit(RANGES, ["DNA", "ER"], "here")
    out_CYX = eight(x_CYX)
    assert out_CYX.dtype == np.uint8
    for c, (low, high) in enumerate(RANGES.values()):
        flat = x_CYX[c].ravel().tolist()
        expected = [min(255, max(0, round((value - low) / (high - low) * 255))) for value in flat]
        np.testing.assert_array_equal(out_CYX[c].ravel(), expected)
    back = out_CYX[0] * (510 / 255) + 100
    inside = (x_CYX[0] >= 100) & (x_CYX[0] <= 610)
    assert np.abs(back - x_CYX[0])[inside].max() <= 1.0


def test_the_share_outside_is_told_over_all_fields():
    eight = EightBit(RANGES, ["DNA", "ER"], "here")
    eight(np.full((2, 10, 10), 300, np.uint16))
    eight(np.concatenate([np.full((1, 10, 10), 700), np.full((1, 10, 10), 300)]).astype(np.uint16))
    warnings = eight.warnings()
    assert "not lossless: DNA 100 to 610, ER 0 to 65535" in warnings[0]
    assert warnings[1:] == ["channel DNA: 50.00% of the pixels lie outside its range"]


def test_ranges_and_channels_must_match():
    with pytest.raises(ConfigError, match="no range for Mito and a range for ER, which the plate lacks") as caught:
        EightBit(RANGES, ["DNA", "Mito"], "ingest.uint8_range")
    assert caught.value.where == "ingest.uint8_range"
