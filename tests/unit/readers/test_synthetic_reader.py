"""Folders of the synthetic screen are read by their own description."""

import json

import numpy as np
import pytest
import tifffile

from platemae.errors import InputError, MissingError
from platemae.readers.pixels import load_field
from platemae.readers.synthetic import inventory
from platemae.synthetic import ScreenSettings, write_screen

ENTRY = {"name": "synthetic", "kind": "synthetic"}


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    settings = ScreenSettings(
        plates=("P1",),
        batches=("B1",),
        rows=2,
        columns=3,
        negcon_wells=2,
        poscon_wells=1,
        modules=1,
        strengths=(1.0,),
        genes_per_module=1,
        inactive_genes=0,
        height=64,
        width=64,
    )
    return write_screen(tmp_path_factory.mktemp("screen"), settings, workers=1) / "plates" / "P1"


def test_the_description_and_the_files_agree(plate):
    found = inventory(plate, ENTRY)
    assert found.promised == len(found.files) == 2 * 3 * 2 * 6
    assert [c.name for c in found.channels] == ["DNA", "ER", "RNA", "Actin", "Mito", "Membrane"]
    assert found.channels[0].stain == "Hoechst"
    assert found.pixel_size_um == 0.65
    assert found.unmatched == ()
    record = found.records[-1]
    assert (record.well, record.field) == ("B03", "2")
    x_CYX = load_field(record)
    for channel in range(6):
        expected = tifffile.imread(plate / "Images" / f"r02c03f02-ch{channel + 1}.tiff")
        np.testing.assert_array_equal(x_CYX[channel], expected)


def test_no_description(tmp_path):
    with pytest.raises(MissingError, match="description of a plate is missing"):
        inventory(tmp_path, ENTRY)


@pytest.mark.parametrize("text", ["{", "[]", '{"channels": [{}]}', json.dumps({"channels": []})])
def test_a_description_that_makes_no_sense(tmp_path, text):
    (tmp_path / "plate.json").write_text(text)
    with pytest.raises(InputError, match="cannot be understood"):
        inventory(tmp_path, ENTRY)
