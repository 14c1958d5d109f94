"""What every correction of the registry keeps, and centre-scale and none in closed form."""

import ast
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from platemae.correction import registry
from platemae.correction.centerscale import CenterScale
from platemae.correction.control_stats import ControlStats
from platemae.correction.moments import MomentSettings
from platemae.correction.none import NoCorrection, NoSettings
from platemae.correction.npz import save_npz
from platemae.correction.tvn import TVN, TVNSettings
from platemae.errors import ConfigError, ContractError, InputError

KINDS = sorted(set(registry.REGISTRY) - {"harmony"})  # harmony has no transform of its own: test_harmony.py
BATCH = {"a": "a", "b": "b"}


def wells(plate: int, n: int = 30, dims: int = 5) -> np.ndarray:
    rng = np.random.default_rng(plate)
    return rng.standard_normal((n, dims)) * rng.uniform(0.5, 2, dims) + 10 * plate


@pytest.fixture
def stats() -> dict[str, ControlStats]:
    return {name: ControlStats.from_rows(wells(index), name) for index, name in enumerate("ab")}


def test_registry_is_a_plain_literal_that_imports_no_correction() -> None:
    tree = ast.parse(Path(registry.__file__).read_text())
    literal = next(node for node in tree.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(literal.value) == registry.REGISTRY
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in imported if module.startswith("platemae.correction")]


def test_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown correction 'combat'") as caught:
        registry.resolve("combat")
    assert all(kind in caught.value.remedy for kind in registry.REGISTRY)


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load_give_the_same_transform(kind: str, stats: dict[str, ControlStats], tmp_path: Path) -> None:
    correction = registry.resolve(kind)
    fitted = correction.fit(stats, BATCH, correction.Settings())
    fitted.save(tmp_path / "basis.npz")
    back = correction.load(tmp_path / "basis.npz")
    assert back.settings == fitted.settings if kind != "none" else back.counts == fitted.counts
    x = wells(7)
    np.testing.assert_array_equal(back.transform(x, stats["b"]), fitted.transform(x, stats["b"]))
    assert back.facts() == fitted.facts()
    assert back.facts()["kind"] == kind
    assert back.batch_facts(stats["b"])["unit"] == "b"
    assert back.transform(x, stats["b"]).dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_refused(kind: str, stats: dict[str, ControlStats], tmp_path: Path) -> None:
    other = registry.resolve("center" if kind != "center" else "tvn")
    other.fit(stats, BATCH, other.Settings()).save(tmp_path / "basis.npz")
    with pytest.raises(ContractError, match=f"where {kind} is needed") as caught:
        registry.resolve(kind).load(tmp_path / "basis.npz")
    assert str(tmp_path / "basis.npz") in caught.value.where


@pytest.mark.parametrize("kind", KINDS)
def test_wells_are_mapped_one_by_one(kind: str, stats: dict[str, ControlStats]) -> None:
    """Any order and any block gives the same rows, also past the size of a block."""
    correction = registry.resolve(kind)
    fitted = correction.fit(stats, BATCH, correction.Settings())
    x = wells(3, n=9000)
    order = np.random.default_rng(0).permutation(len(x))
    whole = fitted.transform(x, stats["a"], dtype=np.float64)
    np.testing.assert_allclose(fitted.transform(x[order], stats["a"], dtype=np.float64), whole[order], atol=1e-11)
    assert fitted.transform(x[:0], stats["a"]).shape == (0, whole.shape[1])


@pytest.mark.parametrize("kind", KINDS)
def test_nan_and_other_widths_are_refused_by_name(kind: str, stats: dict[str, ControlStats]) -> None:
    correction = registry.resolve(kind)
    fitted = correction.fit(stats, BATCH, correction.Settings())
    x = wells(3, n=4)
    x[2, 0] = np.inf
    with pytest.raises(InputError, match="b:C01") as caught:
        fitted.transform(x, stats["b"], labels=["b:A01", "b:B01", "b:C01", "b:D01"])
    assert caught.value.where == "b"
    with pytest.raises(ContractError, match="6 dimensions where the correction was fitted on 5"):
        fitted.transform(np.zeros((2, 6)), stats["b"])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_no_negative_control_in_the_run_names_the_remedy(kind: str) -> None:
    correction = registry.resolve(kind)
    empty = {name: ControlStats.empty(5, name) for name in "ab"}
    with pytest.raises(ConfigError, match="no control in all 2 plates") as caught:
        correction.fit(empty, BATCH, correction.Settings())
    assert "negcon" in caught.value.remedy
    empty["a"] = ControlStats.from_rows(wells(0, n=1), "a")
    with pytest.raises(ConfigError, match="a single control"):
        correction.fit(empty, BATCH, correction.Settings(few_controls="pool"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
@pytest.mark.parametrize("batch", [{"a": "a"}, {"a": "a", "b": " "}])
def test_a_plate_without_batch_is_named(kind: str, batch: dict[str, str], stats: dict[str, ControlStats]) -> None:
    correction = registry.resolve(kind)
    with pytest.raises(ConfigError, match="no batch") as caught:
        correction.fit(stats, batch, correction.Settings())
    assert caught.value.where == "plate b"


def test_none_changes_nothing_and_needs_no_control() -> None:
    empty = {"a": ControlStats.empty(5, "a")}
    fitted = NoCorrection.fit(empty, {"a": "a"}, NoSettings())
    x = wells(1).astype(np.float32)
    np.testing.assert_array_equal(fitted.transform(x, empty["a"]), x)


def test_centerscale_per_batch_equals_sklearn_on_the_controls_of_the_unit(stats: dict[str, ControlStats]) -> None:
    fitted = CenterScale.fit(stats, BATCH, MomentSettings())
    for index, name in enumerate("ab"):
        x = wells(index + 5)
        expected = StandardScaler().fit(wells(index)).transform(x)
        np.testing.assert_allclose(fitted.transform(x, stats[name], dtype=np.float64), expected, rtol=1e-10, atol=1e-10)


def test_centerscale_global_equals_sklearn_on_all_controls(stats: dict[str, ControlStats]) -> None:
    fitted = CenterScale.fit(stats, BATCH, MomentSettings(per="global"))
    x = wells(5)
    expected = StandardScaler().fit(np.vstack([wells(0), wells(1)])).transform(x)
    np.testing.assert_allclose(fitted.transform(x, stats["a"], dtype=np.float64), expected, rtol=1e-10, atol=1e-10)
    assert fitted.batch_facts(ControlStats.empty(5, "c"))["policy"] == "global"


def test_centerscale_counts_a_zero_deviation_as_one() -> None:
    controls = np.column_stack([np.full(9, 0.1), np.arange(9.0)])
    stats = {"a": ControlStats.from_rows(controls, "a")}
    fitted = CenterScale.fit(stats, {"a": "a"}, MomentSettings())
    out = fitted.transform(np.array([[2.1, 4.0]]), stats["a"], dtype=np.float64)
    np.testing.assert_allclose(out, [[2.0, 0.0]], atol=1e-12)
    assert fitted.facts()["constant_features"] == 1
    assert fitted.batch_facts(stats["a"])["constant_features"] == 1


def test_centerscale_few_control_policies(stats: dict[str, ControlStats]) -> None:
    stats["b"] = ControlStats.from_rows(wells(1, n=1), "b")
    x = wells(5)
    with pytest.raises(ConfigError, match="1 control where") as caught:
        CenterScale.fit(stats, BATCH, MomentSettings())
    assert caught.value.where == "batch unit b"
    pool = CenterScale.fit(stats, BATCH, MomentSettings(few_controls="pool"))
    skip = CenterScale.fit(stats, BATCH, MomentSettings(few_controls="skip"))
    everything = np.vstack([wells(0), wells(1, n=1)])
    expected = StandardScaler().fit(everything).transform(x)
    np.testing.assert_allclose(pool.transform(x, stats["b"], dtype=np.float64), expected, rtol=1e-9)
    np.testing.assert_array_equal(skip.transform(x, stats["b"], dtype=np.float64), x)
    assert skip.batch_facts(stats["b"])["policy"] == "skip"


@pytest.mark.parametrize("bad", [{"per": "plate"}, {"few_controls": "none"}])
def test_centerscale_settings_name_the_allowed_values(bad: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="not allowed") as caught:
        MomentSettings(**bad)
    assert next(iter(bad)) in caught.value.where


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_a_file_whose_arrays_do_not_fit_together_is_refused(
    kind: str, stats: dict[str, ControlStats], tmp_path: Path
) -> None:
    cls = registry.resolve(kind)
    fitted = cls.fit(stats, BATCH, cls.Settings())
    torn = replace(fitted, mean=fitted.mean[:-1])
    torn.save(tmp_path / "torn.npz")
    with pytest.raises(ContractError, match="does not fit the others"):
        cls.load(tmp_path / "torn.npz")
    replace(fitted, mean=np.full_like(fitted.mean, np.nan)).save(tmp_path / "nan.npz")
    with pytest.raises(ContractError, match="not finite"):
        cls.load(tmp_path / "nan.npz")


def test_a_file_of_another_version_is_refused(stats: dict[str, ControlStats], tmp_path: Path) -> None:
    fitted = TVN.fit(stats, BATCH, TVNSettings())
    arrays = {name: getattr(fitted, name) for name in TVN.axes_of}
    save_npz(tmp_path / "old.npz", arrays, {"kind": "tvn", "settings": {"shrink": 1}, "counts": asdict(fitted.counts)})
    with pytest.raises(ContractError, match="another version"):
        TVN.load(tmp_path / "old.npz")
