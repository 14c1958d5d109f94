"""Statistics of control wells against the rows they come from."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from platemae.correction import control_stats
from platemae.correction.control_stats import ControlStats
from platemae.correction.npz import load_npz
from platemae.errors import ContractError, InputError, MissingError


def rows(n: int, dims: int, seed: int = 0, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, dims)) @ rng.standard_normal((dims, dims)) + offset


def test_rows_give_numpy_moments() -> None:
    x = rows(40, 7, offset=3.0)
    stats = ControlStats.from_rows(x, "p1")
    np.testing.assert_allclose(stats.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats.scatter / 39, np.cov(x, rowvar=False), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(stats.std, x.std(axis=0), rtol=1e-12)
    assert (stats.n, stats.dims, stats.unit) == (40, 7, "p1")


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    offset=st.floats(-1e3, 1e3),
    seed=st.integers(0, 2**32 - 1),
)
def test_merge_equals_statistics_of_all_rows(sizes: list[int], offset: float, seed: int) -> None:
    x = rows(sum(sizes), 4, seed, offset)
    parts = np.split(x, np.cumsum(sizes)[:-1])
    merged = ControlStats.merge(ControlStats.from_rows(part) for part in parts)
    whole = ControlStats.from_rows(x)
    assert merged.n == whole.n
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(merged.scatter, whole.scatter, rtol=1e-8, atol=1e-8)


def test_blocks_of_rows_give_the_statistics_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    x = rows(103, 4, offset=50.0)
    whole = ControlStats.from_rows(x)
    monkeypatch.setattr(control_stats, "BLOCK", 10)
    blocked = ControlStats.from_rows(x)
    assert blocked.n == 103
    np.testing.assert_allclose(blocked.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(blocked.scatter, whole.scatter, rtol=1e-10, atol=1e-10)


def test_merge_ignores_the_order_of_plates() -> None:
    parts = [ControlStats.from_rows(rows(5, 3, seed)) for seed in range(4)]
    one, other = ControlStats.merge(parts), ControlStats.merge(parts[::-1])
    np.testing.assert_allclose(one.scatter, other.scatter, rtol=1e-12)
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12, atol=1e-14)


def test_float32_rows_are_summed_in_float64() -> None:
    x = (rows(200, 5) * 1e-3 + 100).astype(np.float32)
    stats = ControlStats.from_rows(x)
    np.testing.assert_allclose(stats.std, x.astype(np.float64).std(axis=0), rtol=1e-10)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1])
def test_constant_feature_has_deviation_zero_as_in_sklearn(value: float) -> None:
    x = np.column_stack([np.full(30, value), np.arange(30.0)])
    merged = ControlStats.merge([ControlStats.from_rows(x[:7]), ControlStats.from_rows(x[7:])])
    assert merged.std[0] == 0
    assert merged.std[1] > 0
    assert StandardScaler().fit(x).scale_[0] == 1


def test_no_control_at_all() -> None:
    stats = ControlStats.from_rows(np.zeros((0, 3)), "p1")
    assert stats.n == 0
    assert stats.std.tolist() == [0, 0, 0]


def test_nan_names_the_well() -> None:
    x = rows(5, 3)
    x[3, 1] = np.nan
    with pytest.raises(InputError, match=r"1 of 5 rows hold NaN or infinite values: p1:D04") as caught:
        ControlStats.from_rows(x, "p1", [f"p1:{c}04" for c in "ABCDE"])
    assert caught.value.where == "p1"


def test_merge_refuses_other_widths_and_nothing() -> None:
    with pytest.raises(ContractError, match="4 dimensions where the correction was fitted on 3"):
        ControlStats.merge([ControlStats.empty(3, "a"), ControlStats.empty(4, "b")])
    with pytest.raises(ContractError, match="no control statistics"):
        ControlStats.merge([])


def test_file_round_trip_is_exact_and_byte_stable(tmp_path: Path) -> None:
    stats = ControlStats.from_rows(rows(9, 4), "plate é")
    first, second = tmp_path / "deep" / "a.npz", tmp_path / "b.npz"
    stats.save(first)
    stats.save(second)
    back = ControlStats.load(first)
    assert (back.n, back.unit) == (9, "plate é")
    assert np.array_equal(back.mean, stats.mean)
    assert np.array_equal(back.scatter, stats.scatter)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.npz", "b.npz", "deep"]


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        ControlStats.load(tmp_path / "none.npz")
    path = tmp_path / "cut.npz"
    ControlStats.from_rows(rows(9, 4)).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ContractError, match="not a complete platemae array file"):
        ControlStats.load(path)
    np.savez(path, n=np.array([{}], dtype=object), mean=np.zeros(1), scatter=np.zeros((1, 1)), meta=np.array("{}"))
    with pytest.raises(ContractError, match="not a complete platemae array file"):
        ControlStats.load(path)
    np.savez(path, n=np.array(1), mean=np.zeros(1), scatter=np.zeros((1, 1)), meta=np.array("[]"))
    with pytest.raises(ContractError, match="no mapping"):
        load_npz(path, ("mean",), "tvn")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.npy", bytes(4000))
        at = archive.infolist()[0].header_offset + 30 + len("meta.npy")
    packed = bytearray(path.read_bytes())
    packed[at : at + 4] = b"\xff" * 4  # no deflate stream begins like this
    path.write_bytes(packed)
    with pytest.raises(ContractError, match="not a complete platemae array file"):
        ControlStats.load(path)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    ControlStats.from_rows(rows(9, 4)).save(path)
    before = path.read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="no space"):
        ControlStats.empty(4).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
