"""One stain by its many names."""

import pytest

from platemae.stains import STAINS, same_stain, stain_of


@pytest.mark.parametrize(
    ("text", "stain"),
    [
        ("Hoechst 33342", "DNA"),
        ("HOECHST-33342", "DNA"),
        ("DAPI", "DNA"),
        ("OrigDNA", "DNA"),
        ("Concanavalin A", "ER"),
        ("SYTO 14", "RNA"),
        ("Mito Tracker Deep Red", "Mito"),
        ("Alpha Tubulin", "Tubulin"),
        ("AGP", "AGP"),
        ("Phalloidin Alexa Fluor 568", "Actin"),
        ("AF488-ConA", "ER"),
        ("Alexa 488", None),
        ("Brightfield", "Brightfield"),
        ("GFP", None),
        ("", None),
    ],
)
def test_names_of_stains(text, stain):
    assert stain_of(text) == stain


def test_every_name_belongs_to_one_stain():
    names = [name for aliases in STAINS.values() for name in aliases]
    assert len(names) == len(set(names))
    assert all(stain_of(name) == stain for stain, aliases in STAINS.items() for name in (stain, *aliases))


def test_unknown_stains_are_told_apart_by_spelling_alone():
    assert same_stain("anti-FKHR GFP", "Anti FKHR-GFP")
    assert not same_stain("GFP", "RFP")
    assert not same_stain("µ", "∂")
    assert same_stain("Hoechst", "dapi")
    assert not same_stain("Actin", "AGP")  # two stains in one channel are another picture
