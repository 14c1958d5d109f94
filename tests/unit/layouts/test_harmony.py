"""Assay layouts of Harmony: XML whose layers are columns."""

import pytest

from tests.unit.layouts.reading import read, refused

HARMONY = """\ufeff<?xml version="1.0" encoding="utf-8"?>
<AssayLayout xmlns="http://www.perkinelmer.com/PEHH/HarmonyV{version}"><PlateCols>24</PlateCols>{layers}</AssayLayout>"""


def layer(name, **wells):
    cells = "".join(
        f"<Well><Row>{ord(well[0]) - 64}</Row><Col>{well[1:]}</Col><Value>{value}</Value><Color>1</Color></Well>"
        for well, value in wells.items()
    )
    return f"<Layer><Name>{name}</Name><ValueType>string</ValueType>{cells}</Layer>"


def harmony(path, *layers, version=5):
    path.write_text(HARMONY.format(version=version, layers="".join(layers)), "utf-8")
    return path


@pytest.mark.parametrize("version", [4, 5, 6])
def test_layers_are_columns(tmp_path, version):
    path = harmony(
        tmp_path / "layout.xml",
        layer("Compound", A1="taxol", A2="DMSO", B1=""),
        layer("Concentration", A1="2.5"),
        layer("Colour", B2="red"),
        version=version,
    )
    options = {
        "control_types": {"unlabelled": "treatment", "blank": "empty"},
        "perturbations": {"DMSO": "negcon"},
    }
    layout = read(path, **options)
    assert {w: (c["compound"], c["concentration"], c["control_type"]) for w, c in layout.items()} == {
        "A01": ("taxol", "2.5", "treatment"),
        "A02": ("DMSO", "", "negcon"),
        "B01": ("", "", "empty"),
        "B02": ("", "", "empty"),
    }
    renamed = read(path, **options, columns={"gene": "Colour", "well": "Position"})
    assert renamed["B02"]["gene"] == "red"


@pytest.mark.parametrize(
    ("layers", "word"),
    [
        (layer("Compound", A1="a") + layer("Compound", A1="a"), "two layers are called 'Compound'"),
        (
            layer("Compound", A1="a").replace("</Layer>", layer("", A1="b").split("</ValueType>")[1]),
            "two values in one layer",
        ),
        (layer("Compound", A1="a").replace("<Row>1", "<Row>0"), "row '0', column '1' is no well"),
        (layer("Compound", A1="a").replace("<Row>1</Row>", ""), "row '', column '1' is no well"),
        ("", "names no well"),
        ("<Layer><Name>", "no XML"),
    ],
)
def test_assay_layouts_that_are_wrong(tmp_path, layers, word):
    assert word in refused(harmony(tmp_path / "l.xml", layers), control_types={"unlabelled": "treatment"})


def test_entities_and_other_xml_are_refused(tmp_path):
    path = tmp_path / "l.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><AssayLayout>&d;</AssayLayout>')
    assert "declares entities" in refused(path)
    path.write_text("<EvaluationInputData/>")
    assert "no assay layout but 'EvaluationInputData'" in refused(path)
