"""Channels found on another plate: by name, else by the only one of the stain, never by position."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platemae.errors import ConfigError
from platemae.store.channel_match import match_channels
from platemae.store.intensity_fit import FitPlate, fit_map
from platemae.store.plate_reader import StoreChannel


def channels(*texts):
    return [StoreChannel(*text.split(":")) for text in texts]


@pytest.mark.parametrize(
    ("found", "wanted", "order"),
    [
        (("DNA:Hoechst", "ER:ConA"), ("ER:ConA", "DNA:Hoechst"), [1, 0]),
        (("DNA:DAPI", "ER:ConA"), ("DNA:Hoechst",), [0]),
        (("w2:Phalloidin", "w1:DAPI"), ("DNA:Hoechst 33342", "Actin:Actin"), [1, 0]),
        (("DNA:GFP", "w1:DAPI"), ("DNA:Hoechst",), [1]),  # the name lies, the stain tells
        (("DNA:GFP",), ("DNA:Hoechst",), [None]),
        (("a:Hoechst", "b:DAPI"), ("DNA:Hoechst",), [None]),  # which of the two?
        (("a:Hoechst", "DNA:DAPI"), ("DNA:Hoechst",), [1]),
        (("w1:DAPI",), ("DNA1:Hoechst", "DNA2:Hoechst"), [None, None]),
        (("DNA1:Hoechst", "w9:DAPI"), ("DNA1:Hoechst", "DNA2:Hoechst"), [0, 1]),  # the only one left
        (("FKHR:GFP x",), ("fkhr:gfp-X",), [0]),
        (("DNA:",), ("DNA:Hoechst",), [0]),  # a stain that nobody named
        (("a:",), ("b:",), [None]),
    ],
)
def test_matches(found, wanted, order):
    assert match_channels(channels(*found), channels(*wanted)) == order


STAINS = ("Hoechst", "DAPI", "ConA", "Phalloidin", "GFP", "")


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(STAINS)), unique_by=lambda c: c[0]),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(STAINS)), unique_by=lambda c: c[0]),
    st.randoms(),
)
def test_no_channel_serves_twice_and_the_order_of_a_plate_is_nothing(found, wanted, chance):
    found, wanted = ([StoreChannel(*c) for c in channels_] for channels_ in (found, wanted))
    order = match_channels(found, wanted)
    used = [i for i in order if i is not None]
    assert len(used) == len(set(used))
    shuffled = chance.sample(found, len(found))
    again = match_channels(shuffled, wanted)
    assert [i if i is None else shuffled[i] for i in again] == [i if i is None else found[i] for i in order]


ENTRY = {"name": "i", "kind": "quantile", "scope": "dataset", "fit_on": "negcon", "quantiles": (0.0, 1.0)}


def test_an_intensity_map_is_fitted_over_instruments_that_spell_stains_differently(make_plate, make_pixels):
    pixels = {name: make_pixels(seed=seed) for seed, name in enumerate("ab")}
    names = {"a": ("DNA:Hoechst", "ER:ConA", "Mito:MitoTracker"), "b": ("w2:concanavalin A", "w3:Mito", "w1:DAPI")}
    plates = []
    for name in "ab":
        store, _ = make_plate({"A/1/0": pixels[name]}, name=name, channels=channels(*names[name]))
        plates.append(FitPlate(name, "b1", store, ["A/1/0"]))
    fitted, _ = fit_map(ENTRY | {"limits": (0.0, 255.0)}, plates, threads=1)
    assert fitted.channels == ("DNA", "ER", "Mito")
    dna = np.concatenate([pixels["a"][0].ravel(), pixels["b"][2].ravel()])
    assert fitted.pooled["DNA"] == (dna.min(), dna.max())
    store, _ = make_plate({"A/1/0": pixels["b"]}, name="c", channels=channels("w1:DAPI", "w2:Hoechst", "w3:Mito"))
    with pytest.raises(ConfigError, match="plate c has the channels w1, w2, w3; plate a has DNA, ER, Mito"):
        fit_map(ENTRY | {"limits": (0.0, 255.0)}, [plates[0], FitPlate("c", "b1", store, ["A/1/0"])], threads=1)
