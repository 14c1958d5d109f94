"""Layouts of any order, spelling and damage: the same wells, or one clear error."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.contracts import CONTROL_TYPES
from platemae.errors import PlatemaeError
from platemae.layouts.options import LayoutOptions
from platemae.layouts.read import read_layout

ONE_FOLDER = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = {
    "well": ("well", "Well Position", "Metadata_Well", "well_position", "ADDRESS"),
    "perturbation": ("perturbation", "broad_sample", "Metadata_JCP2022", "sgRNA"),
    "gene": ("gene", "Metadata_Symbol", "Gene Symbol"),
    "concentration": ("concentration", "mmoles_per_liter", "Conc."),
    "control_type": ("control_type", "pert_type", "Metadata_control_type"),
}
WORDS = st.text("abcXYZ019-_. ,;\"'µ", max_size=8).map(str.strip)


@st.composite
def layouts(draw):
    """Return wells with their labels, which of the optional columns a table has, and how it is written."""
    wells = draw(st.lists(st.tuples(st.integers(0, 15), st.integers(1, 24)), min_size=1, max_size=12, unique=True))
    rows = [
        {
            "well": (chr(ord("A") + row), column),
            "perturbation": draw(WORDS.filter(lambda word: word.lower() not in ("", "na", "nan"))),
            "gene": draw(WORDS),
            "concentration": draw(st.sampled_from(("", "1", "0.5", "1e-3"))),
            "control_type": draw(st.sampled_from(CONTROL_TYPES)),
        }
        for row, column in wells
    ]
    kept = ["well", "perturbation", "control_type", *draw(st.sets(st.sampled_from(("gene", "concentration"))))]
    return rows, draw(st.permutations(kept)), draw(st.permutations(range(len(rows))))


@ONE_FOLDER
@given(layouts(), st.sampled_from("\t,;"), st.integers(0, 3), st.integers(0, 3), st.booleans(), st.randoms())
def test_order_padding_separator_and_names_change_nothing(tmp_path, layout, separator, zeros, spaces, lower, chance):
    rows, columns, order = layout

    def spell(column, value):
        if column == "well":
            value = f"{value[0].lower() if lower else value[0]}{'0' * zeros}{value[1]}"
        return '"' + " " * spaces + value.replace('"', '""') + " " * spaces + '"'

    header = separator.join(chance.choice(NAMES[column]) for column in columns)
    lines = [separator.join(spell(column, rows[i][column]) for column in columns) for i in order]
    path = tmp_path / "layout.txt"
    path.write_text("\r\n".join([header, *lines]), "utf-8", newline="")
    expected = {f"{row['well'][0]}{row['well'][1]:02d}": {c: row[c] for c in columns if c != "well"} for row in rows}
    found = read_layout(path, "P1", LayoutOptions())
    assert {well: {c: labels[c] for c in columns if c != "well"} for well, labels in found.items()} == expected


TABLE = b'well;perturbation;gene;concentration;unit;control_type\nA1;g1;TP53;0.5;uM;negcon\nB02;"g;2";MYC;1;nM;trt\n'
XML = (
    b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><AssayLayout xmlns="http://www.perkinelmer.com/PEHH/HarmonyV5">'
    b"<PlateCols>24</PlateCols><PlateRows>16</PlateRows><Layer><Name>Compound</Name><Well><Row>1</Row><Col>1</Col>"
    b"<Value>a</Value></Well><Well><Row>2</Row><Col>3</Col><Value /></Well></Layer></AssayLayout>"
)
BARCODES = b"Assay_Plate_Barcode,Plate_Map_Name\nP1,M1\nP2,M1\n"
PIECES = (
    b"\0",
    b"\xff",
    b"<",
    b"&a;",
    b'"',
    b"\n",
    b"\t",
    b";",
    b"../",
    b"9" * 400,
    b"<!DOCTYPE a>",
    b"A1",
    b"\xc2\x85",
)


def mutated(content, chance):
    """Return the content cut, doubled, or with pieces put in or taken out at random places."""
    content = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        start, end = sorted((chance.randrange(len(content) + 1), chance.randrange(len(content) + 1)))
        piece = chance.choice([b"", chance.choice(PIECES), bytes(content[start:end]) * 2, chance.randbytes(3)])
        content[start : end if chance.random() < 0.3 else start + chance.randrange(3)] = piece
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content"), [("l.csv", TABLE), ("l.xml", XML), ("maps/barcode_platemap.csv", BARCODES)]
)
def test_damaged_files_are_layouts_or_clear_errors(tmp_path, name, content):
    chance = random.Random(name)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (path.parent / "platemap").mkdir()
    (path.parent / "platemap" / "M1.txt").write_bytes(TABLE)
    options = LayoutOptions(control_types={"trt": "treatment", "unlabelled": "treatment", "blank": "empty"})
    layout = path.parent if "barcode" in name else path
    path.write_bytes(content)
    assert read_layout(layout, "P1", options)
    outcomes = {True: 0, False: 0}
    for _ in range(400):
        path.write_bytes(mutated(content, chance))
        try:
            found = read_layout(layout, "P1", options)
        except PlatemaeError:
            outcomes[False] += 1
        else:
            outcomes[True] += 1
            assert {labels["control_type"] for labels in found.values()} <= set(CONTROL_TYPES)
    assert min(outcomes.values()) > 10  # the damage is neither harmless nor total
