"""Planes out of PNG, JPEG, JPEG 2000, TIFF, parquet and Zarr; what is cut, coloured or false is refused by name."""

import json
import os
import pickle
import struct
import zlib
from contextlib import suppress

import imagecodecs
import numcodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from platemae.errors import InputError
from platemae.readers.base import Plane
from platemae.readers.formats import decode, read_plane

RNG = np.random.default_rng(0)
X8 = RNG.integers(0, 255, (33, 47)).astype(np.uint8)
X16 = RNG.integers(0, 65535, (33, 47)).astype(np.uint16)
RGB = RNG.integers(0, 255, (33, 47, 3)).astype(np.uint8)
ENCODED = {
    "png8": (imagecodecs.png_encode(X8), X8),
    "png16": (imagecodecs.png_encode(X16), X16),
    "j2k8": (imagecodecs.jpeg2k_encode(X8, codecformat="j2k", reversible=True), X8),
    "jp2-16": (imagecodecs.jpeg2k_encode(X16, codecformat="jp2", reversible=True), X16),
}
JPEG = imagecodecs.jpeg_encode(X8, level=95)


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("suffix", ["png", "jp2", "jpg"])
def test_lossless_images_by_their_first_bytes_not_their_names(tmp_path, name, suffix):
    data, x_YX = ENCODED[name]
    (tmp_path / f"a.{suffix}").write_bytes(data)
    found_YX = read_plane(Plane(tmp_path / f"a.{suffix}"))
    assert found_YX.dtype == x_YX.dtype
    np.testing.assert_array_equal(found_YX, x_YX)


def test_a_grey_jpeg_is_what_libjpeg_makes_of_it():
    smooth_YX = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
    found_YX = decode(imagecodecs.jpeg_encode(smooth_YX, level=100), "x")
    assert np.abs(found_YX.astype(int) - smooth_YX).max() <= 2


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "deflate"])
@pytest.mark.parametrize("x_YX", [X8, X16, X16.astype(np.float32)], ids=["uint8", "uint16", "float32"])
def test_tiffs_of_every_lossless_compression(tmp_path, compression, x_YX):
    tifffile.imwrite(tmp_path / "a.tif", x_YX, compression=compression)
    np.testing.assert_array_equal(read_plane(Plane(tmp_path / "a.tif")), x_YX)


def test_a_jpeg_inside_a_tiff_and_a_page_of_many(tmp_path):
    tifffile.imwrite(tmp_path / "j.tif", X8, compression="jpeg", compressionargs={"level": 95})
    np.testing.assert_array_equal(read_plane(Plane(tmp_path / "j.tif")), tifffile.imread(tmp_path / "j.tif"))
    tifffile.imwrite(tmp_path / "m.tif", np.stack([X16, X16 + 1]), photometric="minisblack")
    np.testing.assert_array_equal(read_plane(Plane(tmp_path / "m.tif", (1,))), X16 + 1)


def test_a_codestream_behind_long_boxes_is_found():
    data = ENCODED["jp2-16"][0]
    at = data.index(b"jp2c") - 4
    box = struct.pack(">I4s", 8 + 6000, b"xml ") + b"\xff\x51" * 3000
    np.testing.assert_array_equal(decode(data[:at] + box + data[at:], "x"), X16)


@pytest.mark.parametrize("name", [*ENCODED, "jpeg"])
@pytest.mark.parametrize("keep", [0.0, 0.05, 0.3, 0.6, 0.97])
def test_a_cut_file_never_passes_as_an_image(tmp_path, name, keep):
    data = JPEG if name == "jpeg" else ENCODED[name][0]
    (tmp_path / "a.png").write_bytes(data[: int(keep * len(data))])
    with pytest.raises(InputError) as caught:
        read_plane(Plane(tmp_path / "a.png"))
    assert caught.value.where == str(tmp_path / "a.png")


@pytest.mark.parametrize(
    "data",
    [
        imagecodecs.png_encode(RGB),
        imagecodecs.jpeg_encode(RGB),
        imagecodecs.jpeg2k_encode(RGB, reversible=True),
        imagecodecs.png_encode(np.dstack([RGB, X8])),
    ],
    ids=["png", "jpeg", "jpeg2k", "rgba"],
)
def test_colours_are_refused(data):
    with pytest.raises(InputError, match=r"is no grey image \([34] components\)"):
        decode(data, "x")


def bomb(kind):
    """Return an image whose header claims 60000 x 60000 pixels."""
    if kind == "png":
        data = bytearray(ENCODED["png8"][0])
        data[16:24] = struct.pack(">II", 60000, 60000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "jpeg":
        data = bytearray(JPEG)
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    else:
        data = bytearray(ENCODED["j2k8"][0])
        at = data.index(b"\xff\x51")
        data[at + 6 : at + 14] = struct.pack(">II", 60000, 60000)
    return bytes(data)


@pytest.mark.parametrize("kind", ["png", "jpeg", "jpeg2k"])
def test_a_header_that_claims_too_much_is_refused_without_decoding(kind, monkeypatch):
    monkeypatch.setattr(f"imagecodecs.{kind}_decode", lambda data: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match="claims 60000 x 60000 pixels"):
        decode(bomb(kind), "x")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "no TIFF, PNG, JPEG"),
        (b"GIF89a", "no TIFF, PNG, JPEG"),
        (b"\xff\xd8\xff\xd9" + b"\0" * 9, "cannot be decoded"),
        (b"\xff\xd8\xff\xff\xff\xff", "its header is cut short"),
        (b"\x89PNG\r\n\x1a\n\0\0", "its header is cut short"),
        (b"\xff\x4f\xff\x51\0", "its header is cut short"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "holds no codestream"),
        (imagecodecs.jpeg2k_encode(X16.astype(np.int16), reversible=True), "type int16"),
    ],
)
def test_what_is_no_image(data, what):
    with pytest.raises(InputError, match=what):
        decode(data, "x")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.parquet", "a.zarr"])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(InputError, match="cannot be read"):
        read_plane(Plane(tmp_path / name, (0, 0)))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    st.sampled_from([*(data for data, _ in ENCODED.values()), JPEG]),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_damaged_bytes_are_refused_or_read_but_never_crash(data, changes):
    raw = bytearray(data)
    for place, value in changes:
        raw[int(place * min(len(raw), 200 if value % 2 else len(raw)))] = value
    with suppress(InputError):
        assert decode(bytes(raw), "x").ndim == 2


def parquet(path, images, **options):
    pq.write_table(pa.table({"key": [str(i) for i in range(len(images))], "jp2": images}), path, **options)


def test_images_in_the_rows_of_a_parquet_file(tmp_path):
    pixels = [RNG.integers(0, 255, (9, 7)).astype(np.uint8) for _ in range(11)]
    images = [imagecodecs.png_encode(x_YX) for x_YX in pixels]
    parquet(tmp_path / "raw.parquet", images, row_group_size=4)
    parquet(tmp_path / "dict.parquet", [{"bytes": data, "path": "x"} for data in images], row_group_size=3)
    for name in ("raw.parquet", "dict.parquet"):
        for row in (10, 0, 3, 4, 7):
            np.testing.assert_array_equal(read_plane(Plane(tmp_path / name, (row, 1))), pixels[row])


def test_a_parquet_file_that_was_written_again_is_read_again(tmp_path):
    path = tmp_path / "a.parquet"
    for stamp, x_YX in ((1, X8), (2, X8.T)):
        parquet(path, [imagecodecs.png_encode(np.ascontiguousarray(x_YX))])
        os.utime(path, ns=(stamp, stamp))
        np.testing.assert_array_equal(read_plane(Plane(path, (0, 1))), x_YX)


@pytest.mark.parametrize(
    ("index", "what"),
    [((5, 1), "cannot be read from a table"), ((0, 7), "cannot be read from a table"), ((0, 0), "holds no image")],
)
def test_rows_of_a_parquet_file_that_hold_no_image(tmp_path, index, what):
    parquet(tmp_path / "a.parquet", [ENCODED["png8"][0]] * 5)
    with pytest.raises(InputError, match=what):
        read_plane(Plane(tmp_path / "a.parquet", index))


def test_a_damaged_parquet_file(tmp_path):
    path = tmp_path / "a.parquet"
    parquet(path, [ENCODED["png8"][0]] * 5)
    raw = path.read_bytes()
    path.write_bytes(raw[:50] + bytes(200) + raw[250:])
    with pytest.raises(InputError):
        read_plane(Plane(path, (0, 1)))
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match="cannot be read from a table"):
        read_plane(Plane(path, (0, 1)))


def stack(path, x, **options):
    options = {"chunks": (1,) * (x.ndim - 2) + (16, 16), **options}
    made = zarr.create_array(path, shape=x.shape, dtype=x.dtype, **options)
    made[...] = x
    return x


ZARR = {
    "v2": {"zarr_format": 2},
    "v2 blosc, delta": {
        "zarr_format": 2,
        "compressors": numcodecs.Blosc("lz4"),
        "filters": [numcodecs.Delta(dtype="u2")],
    },
    "v3": {"zarr_format": 3},
    "v3 shards": {"zarr_format": 3, "shards": (3, 33, 48), "chunks": (1, 11, 16)},
    "v3 gzip": {"zarr_format": 3, "compressors": zarr.codecs.GzipCodec()},
}


@pytest.mark.parametrize("form", ZARR)
def test_planes_of_zarr_arrays(tmp_path, form):
    x = stack(tmp_path / "a", np.stack([X16, X16 + 1, X16 + 2]), **ZARR[form])
    for i in range(3):
        np.testing.assert_array_equal(read_plane(Plane(tmp_path / "a", (i,))), x[i])


def test_byte_order_of_a_zarr_array_is_no_content(tmp_path):
    stack(tmp_path / "a", X16.astype(">u2"), zarr_format=2)
    found_YX = read_plane(Plane(tmp_path / "a"))
    assert found_YX.dtype.str == "<u2"
    np.testing.assert_array_equal(found_YX, X16)


@pytest.mark.parametrize("index", [(), (3,), (0, 0), (0, 0, 0)])
def test_indices_that_name_no_plane(tmp_path, index):
    stack(tmp_path / "a", np.stack([X16] * 3))
    with pytest.raises(InputError, match="holds no plane"):
        read_plane(Plane(tmp_path / "a", index))


@pytest.mark.parametrize(
    ("x", "what"),
    [
        (X16.astype(np.int32), "type int32"),
        (np.full((9, 9), np.nan, np.float32), "not finite"),
    ],
)
def test_zarr_pixels_that_the_store_does_not_take(tmp_path, x, what):
    stack(tmp_path / "a", x)
    with pytest.raises(InputError, match=what):
        read_plane(Plane(tmp_path / "a"))


@pytest.mark.parametrize("form", ["v2", "v3", "v3 shards"])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_damaged_chunks_are_refused(tmp_path, form, damage):
    stack(tmp_path / "a", np.stack([X16] * 3), **ZARR[form])
    for file in (p for p in (tmp_path / "a").rglob("*") if p.is_file() and not p.name.startswith((".", "zarr"))):
        raw = file.read_bytes()
        changed = {"cut": raw[: len(raw) // 2], "noise": RNG.bytes(len(raw)), "empty": b""}[damage]
        file.write_bytes(changed)
    with pytest.raises(InputError, match="cannot be read"):
        read_plane(Plane(tmp_path / "a", (0,)))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"shape": [1, 10**6, 10**6]}, "holds no plane"),
        ({"chunks": [10**4, 10**4, 10**4]}, "chunks of 10000 x 10000 x 10000 pixels"),
        ({"compressor": {"id": "bz3"}}, "cannot be read"),
        ({"compressor": {"id": "json2"}}, "cannot be read"),
        ({"filters": [{"id": "base64"}]}, "compressed with base64, which is not read"),
        ({"dtype": "|O"}, "cannot be read"),
        ({"shape": "x"}, "cannot be read"),
    ],
)
def test_hostile_metadata_of_an_array(tmp_path, change, what):
    stack(tmp_path / "a", np.stack([X16]), zarr_format=2)
    path = tmp_path / "a" / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=what):
        read_plane(Plane(tmp_path / "a", (0,)))


class Mark:
    """What a hostile pickle looks like: it makes a folder when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("place", [{"compressor": {"id": "pickle"}}, {"filters": [{"id": "pickle"}]}])
def test_no_pickle_is_loaded(tmp_path, place):
    stack(tmp_path / "a", np.stack([X16]), zarr_format=2)
    path = tmp_path / "a" / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"compressor": None, "filters": None} | place))
    for chunk in (p for p in (tmp_path / "a").iterdir() if not p.name.startswith(".")):
        chunk.write_bytes(pickle.dumps(Mark(str(tmp_path / "loaded"))))
    with pytest.raises(InputError):
        read_plane(Plane(tmp_path / "a", (0,)))
    assert not (tmp_path / "loaded").exists()
