"""Edge effect and drift on made plates: planted ones are measured, and none is found where none was planted."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from platemae.qc.plate_effects import drifts, edge_effects, effect_warnings

CHANNELS = ("DNA", "ER")


def plate(rows="ABCDEFGH", columns=range(1, 13), edge=0.0, drift=0.0, fields=2, seed=0):
    """QC rows of a plate: means around 1000 with deviation 50; outer wells and drift of ER shifted by deviations."""
    rng = np.random.default_rng(seed)
    wells = [f"{row}{column:02d}" for row in rows for column in columns]
    table = []
    for place, well in enumerate(wells):
        outer = well[0] in "AH" or well[1:] in ("01", "12")
        shift = rng.normal() + edge * outer + drift * (place / len(wells) - 0.5)
        for field in map(str, range(fields)):
            cells = 30 + rng.normal(0, 3) - 9 * edge * outer
            for channel in CHANNELS:
                mean = 1000 + 50 * (shift if channel == "ER" else rng.normal()) + rng.normal(0, 5)
                values = {"mean": mean, "background": 200 + rng.normal(), "foreground": 0.3 + 0.01 * rng.normal()}
                place_of = {"well": well, "field": field, "channel": channel, "cells": cells}
                table.append(place_of | values | {"focus": 0.2 + 0.01 * rng.normal()})
    return pd.DataFrame(table)


def one(effects, measure, channel):
    return next(effect for effect in effects if (effect.measure, effect.channel) == (measure, channel))


@pytest.mark.parametrize("planted", [-3.0, 2.0])
def test_a_planted_edge_effect_is_measured(planted):
    table = plate(edge=planted)
    edges = edge_effects(table)
    er = one(edges, "mean", "ER")
    assert (er.outer, er.inner) == (36, 60)
    assert er.deviations == pytest.approx(planted, abs=0.8)
    per_well = table[table["channel"] == "ER"].groupby("well")["mean"].median()
    outer = per_well.index.str.contains("^[AH]|01$|12$")
    expected = np.median(per_well[outer]) / np.median(per_well[~outer]) - 1
    assert er.change == pytest.approx(expected)
    assert {(e.measure, e.channel) for e in edges if e.beyond(1.0)} == {("mean", "ER"), ("cells", "")}


def test_a_planted_drift_is_measured():
    table = plate(drift=6.0)
    found = drifts(table)
    er = one(found, "mean", "ER")
    per_well = table[table["channel"] == "ER"].groupby("well", sort=False)["mean"].median()
    assert er.rho == pytest.approx(spearmanr(np.arange(96), per_well).statistic)
    assert er.rho > 0.7
    assert [(d.measure, d.channel) for d in found if d.beyond(0.5)] == [("mean", "ER")]
    assert one(drifts(plate(drift=-6.0)), "mean", "ER").rho < -0.7


def test_where_nothing_is_planted_nothing_is_found():
    """50 plates of 15 comparisons: four standard errors leave next to none to chance."""
    beyond = 0
    for seed in range(50):
        table = plate(fields=1, seed=seed)
        beyond += sum(e.beyond(0.0) for e in edge_effects(table)) + sum(d.beyond(0.0) for d in drifts(table))
    assert beyond <= 2


def test_a_well_counts_once_whatever_its_fields_and_their_order():
    table = plate(edge=2.0, drift=3.0)
    twice = pd.concat([table, table[table["well"] < "C05"].assign(field=table["field"] + "b")])
    again = twice.sample(frac=1, random_state=1)
    for effects in (edge_effects, drifts):
        assert sorted(effects(again), key=str) == sorted(effects(table), key=str)


def test_plates_without_outer_wells_or_with_few_give_no_edge():
    assert edge_effects(plate(rows="BCDEFG", columns=range(2, 12))) == []
    assert edge_effects(plate(rows="A", columns=range(1, 7))) == []
    assert edge_effects(plate().iloc[:0]) == []


def test_few_wells_and_equal_values_give_no_drift():
    assert drifts(plate(rows="A", columns=range(1, 12))) == []
    assert drifts(plate().assign(mean=1.0, background=1.0, focus=1.0)) == []
    assert drifts(plate().iloc[:0]) == []


def test_a_plate_without_counted_cells_has_no_edge_in_cells():
    assert "cells" not in {e.measure for e in edge_effects(plate().assign(cells=np.nan))}


def test_warnings_name_the_strongest_and_count_the_rest():
    table = plate(edge=-3.0, drift=0.0)
    warnings = effect_warnings(edge_effects(table), drifts(table), max_edge=1.0, max_drift=0.5)
    assert len(warnings) == 1
    assert warnings[0].startswith("edge effect: the 36 outer wells differ in cells (+")
    assert warnings[0].endswith("of the 60 inner wells); 1 more measure beyond the limit")
    table = plate(drift=8.0)
    (sentence,) = effect_warnings(edge_effects(table), drifts(table), max_edge=1.0, max_drift=0.5)
    assert sentence.startswith("drift: mean of ER changes in the order of the wells (Spearman +0.")
    assert effect_warnings(edge_effects(table), drifts(table), max_edge=1.0, max_drift=0.999) == []
