"""The short way to read TIFFs gives what tifffile gives, or leaves the file to it."""

import itertools

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from platemae.errors import InputError
from platemae.readers.tiff import DAMAGE, MAX_PIXELS, read_tiff
from platemae.readers.tiff_strips import read_strips

RNG = np.random.default_rng(0)
COUNTS = RNG.integers(0, 4000, (61, 70)).astype(np.uint16)
TAKEN = [
    *({"compression": name, "rowsperstrip": rows} for name, rows in itertools.product((None, "zlib", "lzw"), (8, 61))),
    {"compression": "zlib", "predictor": True},
    {"compression": "lzw", "predictor": True, "rowsperstrip": 7},
    {"software": "x" * 9000},
    {"extratags": [(65000, 2, 6000, "y" * 5999, True)]},
]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("options", TAKEN)
def test_usual_files_are_read_as_tifffile_reads_them(tmp_path, dtype, options):
    if dtype == "float32" and options.get("predictor"):
        options = {**options, "predictor": False}
    tifffile.imwrite(tmp_path / "a.tif", COUNTS.astype(dtype), **options)
    found_YX = read_strips(tmp_path / "a.tif", MAX_PIXELS)
    assert found_YX is not None
    assert found_YX.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found_YX, tifffile.imread(tmp_path / "a.tif"))


def test_a_plane_is_decoded_where_it_is_wanted(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COUNTS, compression="zlib", predictor=True)
    stack_CYX = np.zeros((2, 61, 70), np.uint16)
    assert np.shares_memory(read_strips(tmp_path / "a.tif", MAX_PIXELS, stack_CYX[1]), stack_CYX)
    np.testing.assert_array_equal(stack_CYX, np.stack([np.zeros_like(COUNTS), COUNTS]))
    other_YX = read_strips(tmp_path / "a.tif", MAX_PIXELS, np.zeros((61, 71), np.uint16))
    np.testing.assert_array_equal(other_YX, COUNTS)


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": (16, 16)},
        {"compression": "zstd"},
        {"photometric": "miniswhite"},
        {"compression": "zlib", "predictor": 3, "dtype": "float32"},
        {"dtype": "int16"},
        {"dtype": "float64"},
        {"pages": 2},
        {"photometric": "rgb", "shape": (61, 70, 3), "dtype": "uint8"},
        {"extratags": [(33629, 4, 1, 5, True)]},
    ],
)
def test_unusual_files_are_left_to_tifffile(tmp_path, options):
    dtype, pages, shape = options.pop("dtype", "uint16"), options.pop("pages", 1), options.pop("shape", None)
    x = np.zeros(shape, dtype) if shape else np.stack([COUNTS.astype(dtype)] * pages)
    tifffile.imwrite(tmp_path / "a.tif", x if pages > 1 or shape else x[0], **options)
    assert read_strips(tmp_path / "a.tif", MAX_PIXELS) is None


def test_more_pixels_than_allowed_are_not_allocated(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COUNTS)
    assert read_strips(tmp_path / "a.tif", COUNTS.size - 1) is None
    assert read_strips(tmp_path / "a.tif", COUNTS.size) is not None


def _read_or_refused(path):
    try:
        return read_tiff(path)
    except InputError:
        return None


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True, "rowsperstrip": 20}])
def test_mutated_headers_never_give_other_pixels_than_tifffile(tmp_path_factory, options):
    folder = tmp_path_factory.mktemp("mutated")
    tifffile.imwrite(folder / "a.tif", COUNTS, **options)
    sound = (folder / "a.tif").read_bytes()

    @settings(max_examples=120, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(st.integers(0, 330), st.integers(0, 255)), min_size=1, max_size=3))
    def check(changes):
        broken = bytearray(sound)
        for place, value in changes:
            broken[place] = value
        (folder / "b.tif").write_bytes(broken)
        short = read_strips(folder / "b.tif", MAX_PIXELS)
        if short is None:
            _read_or_refused(folder / "b.tif")
            return
        try:
            with tifffile.TiffFile(folder / "b.tif") as tiff:
                pages, expected_YX = len(tiff.pages), tiff.pages.first.asarray()
        except DAMAGE:
            return  # it minds tags that have nothing to do with the pixels
        assert pages == 1
        np.testing.assert_array_equal(short, expected_YX)

    check()
