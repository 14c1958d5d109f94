"""The maps of illumination: drawn where there is one, silent where there is none."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from platemae.errors import ContractError
from platemae.layout import Results
from platemae.report.blocks import Figure
from platemae.report.lights import light_blocks
from platemae.report.source import Source
from platemae.store.illumination import Illumination


@pytest.fixture
def source(tmp_path):
    return Source(Results(tmp_path), {"plates": ["P1", "P2"]})


def test_nothing_is_said_of_plates_that_are_not_corrected(source):
    assert light_blocks(source) == []


def test_a_map_a_channel_with_its_range(source):
    grid_CGG = np.ones((2, 8, 8), np.float32)
    grid_CGG[0, 0, 0], grid_CGG[1, 7, 7] = 0.55, 1.5
    Illumination(("DNA", "ER"), grid_CGG, 40).write(source.results.illumination("P2"))
    figures = [block for block in light_blocks(source) if isinstance(block, Figure)]
    assert [figure.caption for figure in figures] == ["Plate P2"]
    assert "0.55 to 1.50" in figures[0].alt
    picture = Image.open(io.BytesIO(base64.b64decode(figures[0].drawing.uri.split(",")[1]))).convert("RGB")
    assert len(set(picture.getdata())) > 3  # dark, mean and bright beside the page


def test_a_damaged_file_is_named(source):
    path = source.results.illumination("P1")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK damaged")
    with pytest.raises(ContractError, match="illumination of a plate cannot be understood"):
        light_blocks(source)
