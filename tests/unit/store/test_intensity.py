"""The intensity map against numpy: quantiles of control pixels, applied, frozen, reported."""

import tracemalloc

import numpy as np
import pytest

from platemae.errors import ConfigError, ContractError, InputError, MissingError
from platemae.store import pixel_counts
from platemae.store.intensity_fit import FIELDS_PER_PLATE, MIN_STD, FitPlate, choose_fields, fit_map
from platemae.store.intensity_map import IntensityMap
from platemae.store.pixel_counts import make_counts
from platemae.store.plate_reader import StoreChannel

ENTRY = {
    "name": "controls",
    "kind": "quantile",
    "scope": "batch",
    "fit_on": "negcon",
    "quantiles": (0.01, 0.99),
    "limits": (0.0, 255.0),
}


@pytest.fixture
def plates(make_plate, make_pixels):
    """Three plates in two batches; plate c lists its channels in another order."""
    made = {}
    for i, name in enumerate("abc"):
        fields = {f"A/{k}/0": make_pixels(seed=10 * i + k) // (i + 1) for k in (1, 2, 3)}
        names = ("DNA", "ER", "Mito") if name != "c" else ("Mito", "DNA", "ER")
        store, _ = make_plate(fields, name=name, channels=[StoreChannel(n, n) for n in names])
        made[name] = FitPlate(name, "b1" if name in "ab" else "b2", store, ["A/1/0", "A/3/0"])
    return made


def channel(plate, name):
    index = plate.store.channel_names.index(name)
    return np.concatenate([plate.store.read_field(group)[index].ravel() for group in plate.groups])


def test_limits_are_numpys_quantiles_of_the_units_pixels_by_channel_name(plates):
    fitted, warnings = fit_map(ENTRY, list(plates.values()), threads=2)
    assert warnings == []
    assert fitted.unit_of == {"a": "b1", "b": "b1", "c": "b2"}
    for unit, members in (("b1", "ab"), ("b2", "c")):
        for name in ("DNA", "ER", "Mito"):
            pooled = np.concatenate([channel(plates[m], name) for m in members])
            np.testing.assert_allclose(fitted.maps[unit][name], np.quantile(pooled, (0.01, 0.99)), rtol=1e-12)
            low, high = fitted.maps[unit][name]
            shares = (pooled < low).mean(), (pooled > high).mean()
            np.testing.assert_allclose(fitted.clipped[unit][name], shares, rtol=1e-12)
    every = np.concatenate([channel(plate, "ER") for plate in plates.values()])
    np.testing.assert_allclose(fitted.pooled["ER"], np.quantile(every, (0.01, 0.99)), rtol=1e-12)


@pytest.mark.parametrize(("scope", "units"), [("plate", {"a", "b", "c"}), ("dataset", {"all"})])
def test_scopes(plates, scope, units):
    fitted, _ = fit_map(ENTRY | {"scope": scope}, list(plates.values()), threads=1)
    assert set(fitted.maps) == units
    if scope == "dataset":
        assert fitted.maps["all"] == fitted.pooled


def test_the_map_is_linear_clipped_float32_and_leaves_its_input_alone(plates):
    fitted, _ = fit_map(ENTRY, list(plates.values()), threads=1)
    x_CYX = plates["a"].store.read_field("A/2/0")
    before = x_CYX.copy()
    mapped_CYX = fitted.to_uint8range(x_CYX, "a")
    assert mapped_CYX.dtype == np.float32
    np.testing.assert_array_equal(x_CYX, before)
    for i, name in enumerate(("DNA", "ER", "Mito")):
        low, high = fitted.maps["b1"][name]
        expected_YX = np.clip((x_CYX[i].astype(float) - low) / (high - low), 0, 1) * 255
        np.testing.assert_allclose(mapped_CYX[i], expected_YX, atol=2e-3)
    assert mapped_CYX.min() == 0
    assert mapped_CYX.max() == 255
    stacked = fitted.to_uint8range(np.stack([x_CYX, x_CYX]), "a")
    np.testing.assert_array_equal(stacked[1], mapped_CYX)


def test_channels_are_asked_for_by_name(plates):
    fitted, _ = fit_map(ENTRY, list(plates.values()), threads=1)
    plate = plates["c"]
    x_CYX = plate.store.read_field("A/1/0")
    by_name = fitted.to_uint8range(x_CYX, "c", channels=plate.store.channel_names)
    low, high = fitted.maps["b2"]["Mito"]
    np.testing.assert_allclose(by_name[0], np.clip((x_CYX[0] - low) / (high - low), 0, 1) * 255, atol=2e-3)
    with pytest.raises(InputError, match="has no channel RNA; it has DNA, ER, Mito"):
        fitted.limits("c", channels=["DNA", "RNA"])
    with pytest.raises(InputError, match="2 channels meet an intensity map of 3"):
        fitted.to_uint8range(x_CYX[:2], "c")


def test_a_new_plate_gets_the_frozen_map_of_its_batch_else_the_pooled_one(plates):
    fitted, _ = fit_map(ENTRY, list(plates.values()), threads=1)

    def limits(plate, batch):
        return [tuple(pair) for pair in np.stack(fitted.limits(plate, batch), axis=1).tolist()]

    def exact(values):
        return [tuple(np.float32(v).item() for v in pair) for pair in values.values()]

    assert limits("new", "b2") == exact(fitted.maps["b2"])
    assert limits("new", "b9") == limits("new", None) == exact(fitted.pooled)
    assert limits("a", "b2") == exact(fitted.maps["b1"])
    per_plate, _ = fit_map(ENTRY | {"scope": "plate"}, list(plates.values()), threads=1)
    np.testing.assert_array_equal(
        per_plate.limits("new", "a")[0], [np.float32(per_plate.pooled[n][0]) for n in per_plate.channels]
    )


def test_json_round_trip(plates, tmp_path):
    import json

    fitted, _ = fit_map(ENTRY, list(plates.values()), threads=1)
    path = tmp_path / "controls.json"
    path.write_text(json.dumps(fitted.to_json()))
    again = IntensityMap.read(path)
    assert again == fitted
    path.write_text("{}")
    with pytest.raises(ContractError, match="cannot be understood"):
        IntensityMap.read(path)
    with pytest.raises(MissingError, match="intensity map is missing"):
        IntensityMap.read(tmp_path / "none.json")


def test_fixed_limits_are_taken_and_their_clipping_reported(plates):
    fitted, warnings = fit_map(ENTRY | {"kind": "fixed", "limits": (500.0, 1000.0)}, [plates["a"]], threads=1)
    assert set(fitted.pooled.values()) == {(500.0, 1000.0)}
    dna = channel(plates["a"], "DNA")
    np.testing.assert_allclose(fitted.clipped["b1"]["DNA"], ((dna < 500).mean(), (dna > 1000).mean()))
    assert any("channel DNA" in w and "clipped" in w for w in warnings)
    mapped = fitted.to_uint8range(np.full((3, 2, 2), 750, np.uint16), "a")
    np.testing.assert_allclose(mapped, 127.5)


def test_a_unit_without_controls_falls_back_to_pooled_with_a_warning(plates):
    bare = FitPlate("c", "b2", plates["c"].store, [])
    fitted, warnings = fit_map(ENTRY, [plates["a"], bare], threads=1)
    assert set(fitted.maps) == {"b1"}
    assert "c" not in fitted.unit_of
    assert warnings == ["batch b2 has no negcon field that passed QC: pooled limits"]
    np.testing.assert_array_equal(fitted.limits("c", "b2")[1], fitted.limits("unheard", None)[1])


def test_no_control_at_all_is_an_error_with_its_remedy(plates):
    bare = FitPlate("a", "b1", plates["a"].store, [])
    with pytest.raises(ConfigError, match="no negcon field passed QC") as caught:
        fit_map(ENTRY, [bare], threads=1)
    assert "fit_on: all" in caught.value.remedy
    assert fit_map(ENTRY | {"kind": "fixed"}, [bare], threads=1)[0].pooled["DNA"] == (0.0, 255.0)


def test_plates_that_do_not_match_are_refused(plates, make_plate, make_pixels):
    store, _ = make_plate({"A/1/0": make_pixels(dtype="uint8")}, name="eight")
    with pytest.raises(ConfigError, match="plate eight is uint8, plate a is uint16"):
        fit_map(ENTRY, [plates["a"], FitPlate("eight", "b1", store, ["A/1/0"])], threads=1)
    names = [StoreChannel(n, n) for n in ("DNA", "ER", "RNA")]
    store, _ = make_plate({"A/1/0": make_pixels()}, name="other", channels=names)
    with pytest.raises(ConfigError, match="plate other has the channels DNA, ER, RNA; plate a has DNA, ER, Mito"):
        fit_map(ENTRY, [plates["a"], FitPlate("other", "b1", store, ["A/1/0"])], threads=1)


def test_a_channel_without_contrast_is_reported_and_divides_by_nothing(make_plate, make_pixels):
    flat = make_pixels()
    flat[1] = 77
    flat[2, 0, 0] = 60000
    store, _ = make_plate({"A/1/0": flat})
    fitted, warnings = fit_map(ENTRY, [FitPlate("P1", "b1", store, ["A/1/0"])], threads=1)
    assert fitted.maps["b1"]["ER"] == (77.0, 78.0)
    assert fitted.collapsed["b1"] == {"DNA": 0.0, "ER": 1.0, "Mito": 0.0}
    assert warnings == [
        "b1, channel ER: 100.0% of the fields have no contrast left on the scale 0..255",
        "b1, channel ER: 1 of 256 grey levels are left, fewer than 32",
    ]
    assert np.isfinite(fitted.to_uint8range(flat, "P1")).all()


def test_a_map_much_wider_than_the_data_collapses(make_plate, make_pixels):
    store, _ = make_plate({"A/1/0": make_pixels()})
    spread = store.read_field("A/1/0").std(axis=(1, 2))
    edge = 255 * spread.min() / MIN_STD
    for width, collapsed in ((0.98 * edge, 0.0), (1.02 * edge, 1.0)):
        fitted, _ = fit_map(
            ENTRY | {"kind": "fixed", "limits": (0.0, width)}, [FitPlate("P1", "b1", store, ["A/1/0"])], threads=1
        )
        assert fitted.collapsed["b1"][store.channel_names[int(spread.argmin())]] == collapsed


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("limits", [(0.0, 40.0), (-10.0, 1500.0), (0.0, 65535.0), (90.0, 91.0)])
def test_grey_levels_are_the_distinct_rounded_values_of_the_map(make_plate, make_pixels, dtype, limits):
    pixels = (make_pixels() % 251).astype(dtype)
    store, _ = make_plate({"A/1/0": pixels})
    entry = ENTRY | {"kind": "fixed", "limits": limits}
    fitted, warnings = fit_map(entry, [FitPlate("P1", "b1", store, ["A/1/0"])], threads=1)
    for i, name in enumerate(store.channel_names):
        mapped_YX = fitted.to_uint8range(pixels.astype(float), "P1")[i]
        expected = len(np.unique(np.rint(mapped_YX)))
        assert fitted.levels["b1"][name] == pytest.approx(expected, abs=1)  # halves may round either way in float32
        few = f"b1, channel {name}: {fitted.levels['b1'][name]} of 256 grey levels are left, fewer than 32"
        assert (few in warnings) == (fitted.levels["b1"][name] < 32)


def test_a_few_hot_pixels_fill_no_grey_level():
    values = np.tile(np.arange(20, dtype=np.uint16), 50_000).reshape(1, 1000, 1000)
    values[0, 0, :10] = np.arange(100, 200, 10)
    for dtype in ("uint16", "float32"):
        counts = make_counts(1, np.dtype(dtype), 1)
        counts.add(values.astype(dtype), "")
        assert counts.filled_levels(np.array([[0.0, 255.0]])).tolist() == [20]


def test_memory_does_not_grow_with_the_number_of_fields(make_plate, make_pixels):
    """What is kept are counts of values; eight times as many fields may cost one field more."""
    groups = [f"A/{k}/0" for k in range(1, 25)]
    store, _ = make_plate({group: make_pixels(seed=k) for k, group in enumerate(groups)})
    peaks = []
    for count in (3, 24):
        plate = FitPlate("P1", "b1", store, groups[:count])
        tracemalloc.start()
        fit_map(ENTRY, [plate], threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + store.read_field(groups[0]).nbytes


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("q", [(0.0, 1.0), (0.001, 0.999), (0.25, 0.5)])
def test_counted_quantiles_are_exact(dtype, q):
    rng = np.random.default_rng(3)
    fields = [rng.integers(0, 200, (2, 7, 9)).astype(dtype) for _ in range(3)]
    counts = make_counts(2, np.dtype(dtype), 3)
    for x_CYX in fields:
        counts.add(x_CYX, "")
    both = np.concatenate([x.reshape(2, -1) for x in fields], axis=1)
    np.testing.assert_allclose(counts.quantiles(q), np.quantile(both, q, axis=1).T, rtol=1e-12)


def test_float_images_few_whole_many_sampled_in_any_order(monkeypatch):
    rng = np.random.default_rng(4)
    fields = {name: rng.normal(0.4, 0.1, (2, 50, 60)).astype(np.float32) for name in "abcd"}
    both = np.concatenate([x.reshape(2, -1) for x in fields.values()], axis=1)
    expected = np.quantile(both, (0.05, 0.95), axis=1).T

    def fit(names):
        counts = make_counts(2, np.dtype("float32"), len(names))
        for name in names:
            counts.add(fields[name], name)
        return counts

    np.testing.assert_allclose(fit("abcd").quantiles((0.05, 0.95)), expected, rtol=1e-6)
    monkeypatch.setattr(pixel_counts, "FLOAT_BUDGET", 4000)
    sampled = fit("abcd")
    assert sum(part.shape[1] for part in sampled.parts) == 4000
    np.testing.assert_array_equal(fit("dbca").quantiles((0.05, 0.95)), sampled.quantiles((0.05, 0.95)))
    np.testing.assert_allclose(sampled.quantiles((0.05, 0.95)), expected, atol=0.015)


def test_chosen_fields_are_few_spread_over_wells_and_always_the_same():
    wells = [f"A{w:02d}" for w in range(1, 25) for _ in range(9)]
    groups = [f"A/{w}/{f}" for w in range(1, 25) for f in range(9)]
    chosen = choose_fields(wells, groups)
    assert len(chosen) == len(set(chosen)) == FIELDS_PER_PLATE
    per_well = [sum(g.startswith(f"A/{w}/") for g in chosen) for w in range(1, 25)]
    assert max(per_well) - min(per_well) <= 1
    assert choose_fields(wells[::-1], groups[::-1]) == chosen
    assert sorted(choose_fields(["A01", "A02"], ["A/1/0", "A/2/0"])) == ["A/1/0", "A/2/0"]
