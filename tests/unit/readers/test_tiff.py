"""TIFFs are read with distrust: what is not one sound grey plane is refused by name."""

import numpy as np
import pytest
import tifffile

from platemae.errors import InputError
from platemae.readers.tiff import read_tiff

RNG = np.random.default_rng(0)
COUNTS = RNG.integers(0, 4000, (60, 70)).astype(np.uint16)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}, {"compression": "lzw"}])
def test_pixels_survive_in_their_dtype(tmp_path, dtype, options):
    x_YX = COUNTS.astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", x_YX, **options)
    read_YX = read_tiff(tmp_path / "a.tif")
    assert read_YX.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read_YX, x_YX)


def test_byte_order_is_no_content(tmp_path):
    tifffile.imwrite(tmp_path / "big.tif", COUNTS, byteorder=">")
    tifffile.imwrite(tmp_path / "little.tif", COUNTS, byteorder="<")
    big_YX, little_YX = read_tiff(tmp_path / "big.tif"), read_tiff(tmp_path / "little.tif")
    assert big_YX.dtype.str == little_YX.dtype.str == "<u2"
    np.testing.assert_array_equal(big_YX, little_YX)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"compression": "zlib", "rowsperstrip": 8}])
@pytest.mark.parametrize("keep", [0, 4, 100, 0.3, 0.6, 0.97])
def test_a_cut_file_never_passes_as_an_image(tmp_path, options, keep):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, COUNTS, **options)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(keep * len(raw)) if isinstance(keep, float) else keep])
    with pytest.raises(InputError) as caught:
        read_tiff(path)
    assert caught.value.where == str(path)
    assert "copy it again" in caught.value.remedy


def test_damaged_bytes_are_refused_or_read_but_never_crash(tmp_path):
    path = tmp_path / "bad.tif"
    tifffile.imwrite(path, COUNTS, compression="zlib")
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        broken = raw.copy()
        broken[rng.integers(0, 300 if seed % 2 else len(raw), 6)] = rng.integers(0, 256, 6)
        path.write_bytes(broken.tobytes())
        try:
            assert read_tiff(path).ndim == 2
        except InputError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("x", "what"),
    [
        (np.zeros((2, 60, 70), np.uint16), "holds 2 pages"),
        (np.zeros((60, 70, 3), np.uint8), "no grey image"),
        (np.zeros((60, 70), np.float64), "float64"),
        (np.zeros((60, 70), np.int16), "int16"),
        (np.full((60, 70), np.nan, np.float32), "not finite"),
        (np.full((60, 70), np.inf, np.float32), "not finite"),
    ],
)
def test_what_is_no_plane_is_refused(tmp_path, x, what):
    photometric = "rgb" if x.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", x, photometric=photometric, metadata=None)
    with pytest.raises(InputError, match=what):
        read_tiff(tmp_path / "a.tif")


def test_a_header_that_claims_too_much_is_refused_without_reading(tmp_path):
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("ImageWidth", "ImageLength"):
            tiff.pages.first.tags[name].overwrite(60000)
    with pytest.raises(InputError, match="claims 60000 x 60000 pixels"):
        read_tiff(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_tiff(tmp_path / "none.tif")
