"""build_dataset: whole wells held out, failed fields left out, and a digest that follows pixels, not labels."""

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.contracts import DATASET_COLUMNS, FIELDS_COLUMNS, QC_COLUMNS, Manifest
from platemae.errors import InputError, MissingError
from platemae.layout import Results
from platemae.stages import build_dataset

WELLS = [f"{row}{column:02d}" for row in "ABCDE" for column in range(1, 9)]


def add_plate(results, plate, batch="b1", failed=(), pixels="0", gene="G", wells=WELLS, of_well=None):
    fields, qc = [], []
    for well in wells:
        for f in ("1", "2"):
            group = f"{well[0]}/{int(well[1:])}/{int(f) - 1}"
            place = [plate, batch, well, f, well[0], int(well[1:]), group, ""]
            label = (of_well or {}).get(well, ("g", gene, "", "", "treatment"))
            fields.append([*place, *label])
            verdict = "fail" if (well, f) in failed else "pass"
            measures = [0.2, 0.0, 0.0, 0.5, 1.0, -1.5, 0.1, 0.0, 9.0]
            qc += [[plate, well, f, channel, *measures, verdict, ""] for channel in ("DNA", "ER")]
    results.fields(plate).parent.mkdir(parents=True, exist_ok=True)
    results.qc(plate).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(fields, columns=list(FIELDS_COLUMNS)).to_parquet(results.fields(plate))
    pd.DataFrame(qc, columns=list(QC_COLUMNS)).to_parquet(results.qc(plate))
    counts = {"pixels": f"{plate}{pixels}"}
    Manifest("ingest_plate", f"{plate}{pixels}{gene}", counts).write(results.manifest("ingest_plate", plate=plate))


@pytest.fixture
def results(tmp_path):
    results = Results(tmp_path / "results")
    add_plate(results, "P1", failed=[("A01", "1"), ("B02", "1"), ("B02", "2")])
    add_plate(results, "P2", batch="b2")
    return results


def run(results, plates=("P1", "P2"), **changes):
    entry = {"name": "screen", "plates": list(plates), "validation_fraction": 0.1, "seed": 0, "exclude_failed": True}
    entry["fraction"] = 1.0
    manifest = build_dataset.run(results, {"dataset": entry | changes}, dataset="screen")
    return manifest, pd.read_parquet(results.dataset("screen"))


def wells(table, split):
    chosen = table[table["split"] == split]
    return set(zip(chosen["plate"], chosen["well"], strict=True))


def test_failed_fields_are_left_out_and_each_other_one_is_there_once(results):
    manifest, table = run(results)
    assert list(table.columns) == list(DATASET_COLUMNS)
    assert len(table) == 2 * 80 - 3 == manifest.counts["fields"]
    assert not table.duplicated(["plate", "group"]).any()
    first = table[table["plate"] == "P1"]
    assert list(first[first["well"] == "A01"]["field"]) == ["2"]
    assert "B02" not in set(first["well"])
    assert set(table[table["plate"] == "P2"]["batch"]) == {"b2"}
    assert list(table[table["well"] == "C03"]["group"]) == ["C/3/0", "C/3/1"] * 2


def test_failed_fields_train_where_nothing_is_excluded(results):
    assert run(results, exclude_failed=False)[0].counts["fields"] == 2 * 80


def test_whole_wells_are_held_out(results):
    manifest, table = run(results)
    train, validation = wells(table, "train"), wells(table, "validation")
    assert not train & validation
    assert len(validation) == round(0.1 * 79) == manifest.counts["validation_wells"]
    assert manifest.counts["validation_fields"] == int((table["split"] == "validation").sum())


def test_the_split_depends_on_the_seed_and_hardly_on_what_else_is_there(results):
    held_out = wells(run(results)[1], "validation")
    assert wells(run(results, plates=("P2", "P1"))[1], "validation") == held_out
    assert wells(run(results, seed=1)[1], "validation") != held_out
    add_plate(results, "P3")
    more = wells(run(results, plates=("P1", "P2", "P3"))[1], "validation")
    assert len(held_out - more) <= len(held_out) // 2


def test_over_many_seeds_every_well_gets_its_turn(results):
    counts = dict.fromkeys([("P2", well) for well in WELLS], 0)
    for seed in range(60):
        for well in wells(run(results, plates=("P2",), seed=seed, validation_fraction=0.25)[1], "validation"):
            counts[well] += 1
    assert sum(counts.values()) == 60 * 10
    assert min(counts.values()) >= 5  # binomial, mean 15, deviation 3.4
    assert max(counts.values()) <= 27


def test_at_least_one_well_validates_and_one_trains(results):
    for fraction, count in ((0.001, 1), (0.89, 1)):
        add_plate(results, "P9", wells=["A01", "A02"])
        table = run(results, plates=("P9",), validation_fraction=fraction)[1]
        assert len(wells(table, "validation")) == count
        assert len(wells(table, "train")) == 1


def test_the_digest_follows_pixels_and_fields_but_no_label(results):
    first = run(results)[0].digest
    add_plate(results, "P2", batch="b2", gene="RENAMED")
    assert run(results)[0].digest == first
    add_plate(results, "P2", batch="b2", pixels="1")
    assert run(results)[0].digest != first
    add_plate(results, "P2", batch="b2", failed=[("C05", "2")])
    assert run(results)[0].digest != first


def test_too_few_wells(results):
    add_plate(results, "P9", wells=["A01"])
    with pytest.raises(InputError, match="the dataset screen has 1 wells"):
        run(results, plates=("P9",))
    with pytest.raises(MissingError, match="a table is missing"):
        run(results, plates=("P1", "P7"))


FRACTIONS = st.floats(0.001, 1.0)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pair=st.tuples(FRACTIONS, FRACTIONS), seed=st.integers(0, 1000))
def test_a_smaller_fraction_lies_inside_a_larger_and_validates_on_the_same_wells(results, pair, seed):
    small, large, whole = (run(results, fraction=f, seed=seed)[1] for f in (min(pair), max(pair), 1.0))
    assert wells(small, "train") <= wells(large, "train") <= wells(whole, "train")
    assert wells(small, "validation") == wells(large, "validation") == wells(whole, "validation")


@pytest.mark.parametrize("fraction", [0.001, 0.25, 0.5, 1.0])
def test_a_fraction_is_of_each_plate(results, fraction):
    manifest, table = run(results, fraction=fraction)
    whole = run(results)[1]
    for plate in ("P1", "P2"):
        taken, there = (len({w for p, w in wells(t, "train") if p == plate}) for t in (table, whole))
        assert taken == max(round(fraction * there), 1)
    assert manifest.counts["fields"] == len(table)
    assert manifest.counts["wells"] == len(wells(table, "train")) + len(wells(table, "validation"))
    assert list(table.index) == list(range(len(table)))


def test_the_whole_of_a_dataset_is_what_it_was_without_fractions(results):
    assert run(results, fraction=1.0)[0].digest != run(results, fraction=0.9)[0].digest
    rows = run(results, fraction=1.0)[1]
    assert len(rows) == 2 * 80 - 3


def test_which_wells_a_fraction_takes_depends_on_the_seed(results):
    taken = [frozenset(wells(run(results, fraction=0.3, seed=seed)[1], "train")) for seed in range(4)]
    assert len(set(taken)) == 4


GENES = [f"G{i}" for i in range(10)]


def screened(results, plate, batch):
    """Ten genes with two guides each in turn, and the last eight wells controls."""
    labels = {}
    for i, well in enumerate(WELLS):
        gene = GENES[i % 10]
        control = ("NTC", "", "", "", "negcon")
        labels[well] = control if i >= 32 else (f"{gene}_g{i // 10 % 2 + 1}", gene, "", "", "treatment")
    add_plate(results, plate, batch=batch, of_well=labels)
    return labels


@pytest.mark.parametrize(("by", "value"), [("plate", "P2"), ("batch", "b2"), ("gene", "G3"), ("perturbation", "G3_g1")])
def test_what_is_held_out_trains_nowhere_and_is_named(results, by, value):
    labels = screened(results, "P1", "b1")
    screened(results, "P2", "b2")
    manifest, table = run(results, hold_out={"by": by, "values": [value], "fraction": None, "seed": 0})
    named = {
        (plate, well)
        for plate, batch in (("P1", "b1"), ("P2", "b2"))
        for well in WELLS
        if value in (plate, batch, *labels[well][:2])
    }
    every = {(plate, well) for plate in ("P1", "P2") for well in WELLS}
    assert wells(table, "train") | wells(table, "validation") == every - named
    noted = manifest.counts["hold_out"]
    assert (noted["by"], noted["names"], noted["n_names"]) == (by, [value], 1)
    assert (noted["n_wells"], noted["n_fields"]) == (len(named), 2 * len(named))
    assert noted["plates"] == (["P2"] if by in ("plate", "batch") else [])
    assert list(table.columns) == list(DATASET_COLUMNS)
    assert list(table.index) == list(range(len(table)))


def test_a_share_is_drawn_of_treated_names_by_the_seed(results):
    for plate, batch in (("P1", "b1"), ("P2", "b2")):
        screened(results, plate, batch)
    drawn = [
        run(results, hold_out={"by": "gene", "values": [], "fraction": 0.3, "seed": seed})[0].counts["hold_out"][
            "names"
        ]
        for seed in range(6)
    ]
    assert all(len(names) == 3 and set(names) <= set(GENES) for names in drawn)
    assert len({tuple(names) for names in drawn}) > 3
    for fraction, count in ((0.001, 1), (0.999, 1)):
        noted = run(results, hold_out={"by": "plate", "values": [], "fraction": fraction, "seed": 0})[0].counts
        assert noted["hold_out"]["n_names"] == count, "at least one, and never all"
        assert noted["plates"] == 1


def test_pixels_of_a_plate_held_out_whole_do_not_train_again(results):
    hold_out = {"by": "plate", "values": ["P2"], "fraction": None, "seed": 0}
    first = run(results, hold_out=hold_out)[0].digest
    add_plate(results, "P2", batch="b2", pixels="1")
    assert run(results, hold_out=hold_out)[0].digest == first
    assert run(results, plates=("P1",))[0].digest == first, "the training is the same as without the plate"


@pytest.mark.parametrize(
    ("hold_out", "said"),
    [
        ({"by": "gene", "values": ["G", "H", "K"]}, "has no gene H, K"),
        ({"by": "compound", "values": [], "fraction": 0.5}, "no treated well has a compound"),
        ({"by": "gene", "values": [], "fraction": 0.5}, "its one gene cannot be divided"),
        ({"by": "plate", "values": ["P1", "P2"]}, "0 wells with a field that passed QC and is not held out"),
    ],
)
def test_what_cannot_be_held_out_is_an_error(results, hold_out, said):
    with pytest.raises(InputError, match=said):
        run(results, hold_out={"fraction": None, "seed": 0} | hold_out)
