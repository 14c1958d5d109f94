"""Our shards against zarr-python: each reads what the other wrote."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec

from platemae.errors import InputError, MissingError
from platemae.store import ngff
from platemae.store.shard import ShardLayout, encode, read_window

RNG = np.random.default_rng(1)


def write(folder, x_CYX, chunk_px):
    layout = ShardLayout.of(x_CYX.shape, x_CYX.dtype, chunk_px)
    shard = folder / "c" / "0" / "0" / "0"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"".join(encode(x_CYX, layout)))
    (folder / "zarr.json").write_text(json.dumps(ngff.array(layout)))
    return layout, shard


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(1, 32, 32), (6, 160, 160), (3, 113, 153), (2, 31, 300)])
def test_zarr_reads_what_we_write(tmp_path, shape, dtype):
    x_CYX = RNG.gamma(2.0, 40.0, shape).clip(0, 255).astype(dtype)
    write(tmp_path / "a", x_CYX, 64)
    array = zarr.open_array(tmp_path / "a", mode="r")
    assert array.dtype == np.dtype(dtype)
    assert array.shape == shape
    np.testing.assert_array_equal(array[:], x_CYX)


def test_we_read_what_zarr_writes_absent_chunks_included(tmp_path):
    x_CYX = RNG.integers(1, 5000, (2, 96, 128)).astype(np.uint16)
    x_CYX[:, 32:64, 64:96] = 0  # zarr leaves a chunk of fill values out of the shard
    array = zarr.create_array(
        tmp_path / "a",
        shape=x_CYX.shape,
        dtype=x_CYX.dtype,
        chunks=(2, 32, 32),
        shards=(2, 96, 128),
        compressors=[BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")],
    )
    array[:] = x_CYX
    layout = ShardLayout((2, 96, 128), (32, 32), np.dtype("uint16"))
    shard = tmp_path / "a" / "c" / "0" / "0" / "0"
    np.testing.assert_array_equal(read_window(shard, layout, (0, 96), (0, 128)), x_CYX)
    np.testing.assert_array_equal(read_window(shard, layout, (20, 80), (50, 110)), x_CYX[:, 20:80, 50:110])


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    x_CYX = RNG.integers(0, 60000, (2, 75, 101)).astype(np.uint16)
    layout, shard = write(tmp_path_factory.mktemp("field") / "a", x_CYX, 32)
    return x_CYX, layout, shard


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_window_equals_the_slice(field, data):
    x_CYX, layout, shard = field
    y0, x0 = data.draw(st.integers(0, 74)), data.draw(st.integers(0, 100))
    y1, x1 = data.draw(st.integers(y0 + 1, 75)), data.draw(st.integers(x0 + 1, 101))
    np.testing.assert_array_equal(read_window(shard, layout, (y0, y1), (x0, x1)), x_CYX[:, y0:y1, x0:x1])


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(32, 512))
def test_chunks_are_equal_cover_the_field_and_keep_to_the_limit(rows, columns, chunk_px):
    layout = ShardLayout.of((1, rows, columns), np.dtype("uint8"), chunk_px)
    for size, edge, count, whole in zip((rows, columns), layout.chunk, layout.grid, layout.shard[1:], strict=True):
        assert edge <= chunk_px
        assert count == -(-size // chunk_px)
        assert whole == edge * count >= size
        assert whole - size < count


@pytest.mark.parametrize("keep", [0, 3, 40, 0.5, 0.99])
def test_a_cut_shard_is_refused(field, tmp_path, keep):
    _, layout, shard = field
    raw = shard.read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(raw[: int(keep * len(raw)) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match="a field of the plate store"):
        read_window(cut, layout, (0, 75), (0, 101))


def test_damaged_chunks_and_index_never_crash(field, tmp_path):
    x_CYX, layout, shard = field
    raw = np.frombuffer(shard.read_bytes(), np.uint8)
    index = len(raw) - 16 * 12 - 4
    outcomes = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        broken = raw.copy()
        low, high = ((0, index), (index, len(raw) - 4), (0, 16))[seed % 3]
        broken[rng.integers(low, high, 4)] ^= rng.integers(1, 256, 4).astype(np.uint8)
        (tmp_path / "bad").write_bytes(broken.tobytes())
        try:
            outcomes.append(read_window(tmp_path / "bad", layout, (0, 75), (0, 101)).shape == x_CYX.shape)
        except InputError:
            outcomes.append(False)
    assert outcomes.count(False) > 40


def test_a_missing_shard(field, tmp_path):
    with pytest.raises(MissingError, match="is gone"):
        read_window(tmp_path / "none", field[1], (0, 1), (0, 1))
