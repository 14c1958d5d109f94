"""Every form of a layout, well formed and not: the same wells come out, and every problem names its place."""

import gzip
import os

import pytest

from platemae.errors import ConfigError
from platemae.layouts import text
from platemae.layouts.options import LayoutOptions
from platemae.layouts.read import open_layouts, read_layout

TREATED = LayoutOptions(control_types={"unlabelled": "treatment"})


def read(path, plate="P1", **options):
    return read_layout(path, plate, LayoutOptions(**options))


def refused(path, plate="P1", **options):
    with pytest.raises(ConfigError) as error:
        read(path, plate, **options)
    return str(error.value)


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


# -- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n"])
def test_the_separator_is_told_from_the_header(tmp_path, separator, start):
    lines = ("Well Position", "Perturbation, in words", "perturbation", "control_type"), ("b2", "a;b,c", "g1", "negcon")
    path = tmp_path / "layout.txt"
    path.write_text(start + "\n".join(separator.join(f'"{cell}"' for cell in line) for line in lines), "utf-8")
    assert read(path)["B02"]["perturbation"] == "g1"


def test_configured_names_come_before_well_known_ones(tmp_path):
    path = write(tmp_path / "l.csv", "well,Position,perturbation,Reagent,Kind", "Z,A1,no,siX,negcon")
    given = {"well": "Position", "perturbation": "Reagent", "control_type": "Kind"}
    assert read(path, columns=given)["A01"]["perturbation"] == "siX"
    assert "there is no column 'reagent'" in refused(path, columns={"gene": "reagent"})


def test_a_row_and_a_column_make_a_well(tmp_path):
    path = write(tmp_path / "l.csv", "row;col;drug;concentration;unit", "C;3;taxol;250;nM", "D;4;taxol;1;uM")
    layout = read_layout(path, "P1", TREATED)
    assert {well: (w["compound"], w["perturbation"], w["concentration"]) for well, w in layout.items()} == {
        "C03": ("taxol", "taxol", "0.25"),
        "D04": ("taxol", "taxol", "1"),
    }


def test_units_that_no_factor_joins_are_refused_among_treated_wells_alone(tmp_path):
    head = "well,compound,concentration,unit,control_type"
    rows = ("A1,taxol,1,uM,treatment", "A2,dmso,0.1,%,negcon")
    assert read(write(tmp_path / "l.csv", head, *rows))["A02"]["concentration"] == "0.1"
    assert "different units: molar (1 wells), % (1 wells)" in refused(
        write(tmp_path / "l.csv", head, *rows, "A3,soap,0.1,%,treatment")
    )


def test_all_problems_of_a_table_come_together(tmp_path):
    path = write(
        tmp_path / "l.tsv",
        "well\tperturbation\tconcentration\tcontrol_type",
        "A1\tg\t\ttreatment",
        "A01\tg\t\ttreatment",
        "Q99\tg\t\ttreatment",
        "B1\t\t\ttreatment",
        "B2\tg\tinf\ttrt",
    )
    message = refused(path)
    assert "A01 stands twice [" in message
    assert "row 3, column well" in message
    assert "'Q99' is no well" in message
    assert "B01 has no perturbation" in message
    assert "row 5, column perturbation" in message
    assert "'inf' is no concentration" in message
    assert "unknown control type 'trt' (1 well); known ones are 'treatment' (3 wells)" in message


@pytest.mark.parametrize(
    ("row", "what", "remedy"),
    [
        ("A1,,", "1 well not filled in ('blank')", "fill in perturbation and control_type"),
        ("A1,DMSO,", "1 well with a perturbation and no control type ('unlabelled')", "{DMSO: negcon}"),
        ("A1,DMSO,negcontrol", "unknown control type 'negcontrol' (1 well)", "{negcontrol: negcon}"),
        ("A1,DMSO,ctl_vector", "unknown control type 'ctl_vector' (1 well)", "{ctl_vector: ...}"),
    ],
)
def test_what_a_layout_leaves_open_is_told_from_what_it_says_wrongly(tmp_path, row, what, remedy):
    """A template that nobody filled in holds no label `blank`, and no remedy makes a control a treatment."""
    message = refused(write(tmp_path / "l.csv", "well,perturbation,control_type", row, "A2,g1,treatment"))
    assert f"{what}; known ones are 'treatment' (1 well)" in message
    assert remedy in message


def test_hundreds_of_problems_are_counted_not_listed(tmp_path):
    rows = [f"{row}{column},g,treatment" for row in "ABCDEFGH" for column in range(50, 90)]
    message = refused(write(tmp_path / "l.csv", "well,perturbation,control_type", *rows))
    assert "300 more problems" in message
    assert len(message) < 6000


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "no header"),
        (b"\n \n", "no header"),
        (b"well\tperturbation\n", "names no well"),
        (b"perturbation,control_type\ng,negcon\n", "well, or row and column"),
        (b"well,Well,perturbation\nA1,A1,g\n", "two columns hold the same thing"),
        (b"well,perturbation\nA1,g,h\n", "a row has 3 cells, the header 2"),
        (b'well,perturbation\nA1,"g\nA2,h\n', "cannot be split into cells"),
        ("well,perturbation\nA1,Gr\u00fcn\n".encode("latin-1"), "no.* UTF-8 text: byte 0xfc in line 2"),
        ("well,perturbation\nA1,g\n".encode("utf-16"), "UTF-8"),
        ("well,perturbation\nA1,g\n".encode("utf-16-le"), "zero bytes"),
        (b"\x1f\x8b\x08broken", "cannot be read"),
    ],
)
def test_what_is_no_table_is_one_clear_error(tmp_path, content, word):
    path = tmp_path / "l.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=word):
        read_layout(path, "P1", TREATED)


def test_a_packed_table_is_read_and_a_bomb_is_not(tmp_path, monkeypatch):
    path = tmp_path / "l.csv.gz"
    path.write_bytes(gzip.compress(b"well,perturbation,control_type\nA1,g,negcon\n" + b"\n" * 10_000))
    assert list(read(path)) == ["A01"]
    monkeypatch.setattr(text, "MAX_BYTES", 5000)
    with pytest.raises(ConfigError, match="larger than"):
        read(path)


def test_a_fifo_and_a_name_that_no_file_has_are_no_layouts(tmp_path):
    os.mkfifo(tmp_path / "l.csv")
    assert "a layout is missing" in refused(tmp_path / "l.csv")
    assert "a layout is missing" in refused(tmp_path / ("l" * 5000))


@pytest.mark.parametrize("text", ["inf", "1e999", "1_000", "0,5", "\u0661", "1 uM", "--1"])
def test_what_is_no_number_is_no_concentration(tmp_path, text):
    path = write(tmp_path / "l.csv", "well,concentration,control_type", f'A1,"{text}",negcon')
    assert f"{text!r} is no concentration" in refused(path)


# -- several plates in one table --------------------------------------------------------------------------------------


def test_a_table_of_several_plates_gives_each_its_own(tmp_path):
    path = write(tmp_path / "l.csv", "plate,well,perturbation,control_type", "P1,A1,a,negcon", "P2,A1,b,negcon")
    assert read(path, "P2")["A01"]["perturbation"] == "b"
    assert "no row is of plate P3; the table names P1, P2" in refused(path, "P3")
    assert "A01 stands twice" in refused(path, "P3", columns={"plate": ""})


RXRX1 = (
    "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id",
    "HUVEC-01_1_B02_1,HUVEC-01_1_B02,HUVEC,train,HUVEC-01,1,B02,1,negative_control,EMPTY,1138",
    "HUVEC-01_1_B02_2,HUVEC-01_1_B02,HUVEC,train,HUVEC-01,1,B02,2,negative_control,EMPTY,1138",
    "HUVEC-01_1_B03_1,HUVEC-01_1_B03,HUVEC,train,HUVEC-01,1,B03,1,treatment,s20894,855",
    "HUVEC-01_2_B03_1,HUVEC-01_2_B03,HUVEC,train,HUVEC-01,2,B03,1,positive_control,s501309,1108",
)
RXRX1_LABELS = {"negative_control": "negcon", "positive_control": "poscon"}


@pytest.mark.parametrize("plate", ["HUVEC-01_1", "HUVEC-01_Plate1"])
def test_rxrx1_metadata(tmp_path, plate):
    path = write(tmp_path / "metadata.csv", *RXRX1)
    layout = read(path, plate, control_types=RXRX1_LABELS)
    assert {w: (c["perturbation"], c["control_type"]) for w, c in layout.items()} == {
        "B02": ("EMPTY", "negcon"),
        "B03": ("s20894", "treatment"),
    }
    assert read(path, "HUVEC-01_2", control_types=RXRX1_LABELS)["B03"]["control_type"] == "poscon"
    assert "unknown control type 'negative_control' (1 well)" in refused(path, plate)


def test_fields_of_a_well_that_disagree_are_a_problem(tmp_path):
    path = write(tmp_path / "metadata.csv", *RXRX1, RXRX1[1].replace("EMPTY", "s1").replace("02_1", "02_3"))
    assert "B02 stands twice" in refused(path, "HUVEC-01_1", control_types=RXRX1_LABELS)


def test_rxrx3_metadata(tmp_path):
    path = write(
        tmp_path / "metadata_rxrx3.csv",
        "well_id,experiment_name,plate,address,gene,treatment,SMILES,concentration,perturbation_type,cell_type",
        "gene-001_1_AA02,gene-001,1,AA02,TP53,TP53_guide_4,,,CRISPR,HUVEC",
        "gene-001_1_AA03,gene-001,1,AA03,EMPTY_control,EMPTY_control,,,CRISPR,HUVEC",
        "compound-001_9_B02,compound-001,9,B02,,Paclitaxel,CC1=C2,0.25,COMPOUND,HUVEC",
    )
    options = {
        "control_types": {"CRISPR": "treatment", "COMPOUND": "treatment"},
        "perturbations": {"EMPTY_control": "negcon"},
    }
    genes = read(path, "gene-001_1", **options)
    assert [genes["AA02"][k] for k in ("perturbation", "gene", "control_type")] == ["TP53_guide_4", "TP53", "treatment"]
    assert genes["AA03"]["control_type"] == "negcon"
    assert read(path, "compound-001_9", **options)["B02"]["concentration"] == "0.25"


# -- JUMP -------------------------------------------------------------------------------------------------------------


def jump(folder, barcodes="P1,M1\nP2,M1\n"):
    write(folder / "barcode_platemap.csv", "Assay_Plate_Barcode,Plate_Map_Name", barcodes.rstrip("\n"))
    write(folder / "platemap" / "M1.txt", "plate_map_name\twell_position\tbroad_sample", "M1\tA01\tB1", "M1\tA02\t")
    return folder


def test_plate_maps_are_joined_by_the_plates_id(tmp_path):
    options = LayoutOptions(control_types={"unlabelled": "treatment", "blank": "negcon"})
    layout = read_layout(jump(tmp_path), "P2", options)
    assert {w: (c["perturbation"], c["control_type"]) for w, c in layout.items()} == {
        "A01": ("B1", "treatment"),
        "A02": ("", "negcon"),
    }
    both = open_layouts(options)
    both.add(tmp_path, ["P1", "P2"])
    assert both.of_plate["P1"] == both.of_plate["P2"] == layout
    assert both.labeller.labels == {"unlabelled": 1, "blank": 1}  # one plate map, read once


@pytest.mark.parametrize(
    ("barcodes", "word"),
    [
        ("P2,M1\n", "no plate map is for plate P1; there are some for P2"),
        ("P1,M1\nP1,M2\n", "P1 has two plate maps, M1 and M2"),
        ("P1,M9\n", "a layout is missing|a table is missing"),
        ("P1,../../secret\n", "no name of a plate map"),
        ("P1,/etc/passwd\n", "no name of a plate map"),
        ("P1,\n", "'' is no name of a plate map"),
        ("P1,..\\secret\n", "no name of a plate map"),
        (f"P1,{'M' * 400}\n", "a table is missing"),
    ],
)
def test_barcodes_that_lead_nowhere_or_out(tmp_path, barcodes, word):
    write(tmp_path / "secret.txt", "well,perturbation", "A1,g")
    with pytest.raises(ConfigError, match=word):
        read_layout(jump(tmp_path / "maps", barcodes), "P1", TREATED)


def test_a_plate_map_behind_a_link_out_of_the_folder_is_refused(tmp_path):
    folder = jump(tmp_path / "maps")
    outside = write(tmp_path / "outside.txt", "well,perturbation", "A1,g")
    (folder / "platemap" / "M1.txt").unlink()
    (folder / "platemap" / "M1.txt").symlink_to(outside)
    assert "no name of a plate map" in refused(folder)


# -- Harmony ----------------------------------------------------------------------------------------------------------

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


# -- labels and metadata ----------------------------------------------------------------------------------------------


def test_metadata_tells_genes_and_labels_and_the_layout_overrules_it(tmp_path):
    path = write(tmp_path / "l.tsv", "well\tbroad_sample\tgene", "A1\tB1\t", "A2\tB2\tOWN", "A3\t\t")
    write(
        tmp_path / "one.csv", "broad_sample,gene,pert_type,control_type", "B1,TP53,trt,NA", "B2,MYC,control,poscon_cp"
    )
    write(tmp_path / "two.csv", "broad_sample,pert_iname,control_type", ",DMSO,negcon", "B1,no,treatment")
    metadata = (tmp_path / "one.csv", tmp_path / "two.csv")
    layout = read(path, metadata=metadata, control_types={"trt": "treatment", "poscon_cp": "poscon"})
    assert [layout["A01"][k] for k in ("gene", "compound", "control_type")] == ["TP53", "no", "treatment"]
    assert [layout["A02"][k] for k in ("gene", "control_type")] == ["OWN", "poscon"]
    assert [layout["A03"][k] for k in ("perturbation", "compound", "control_type")] == ["DMSO", "DMSO", "negcon"]


def test_metadata_that_lacks_or_contradicts_itself(tmp_path):
    path = write(
        tmp_path / "l.csv", "well,perturbation,control_type", "A1,g1,treatment", "A2,g2,treatment", "A3,n,negcon"
    )
    found = write(tmp_path / "m.csv", "perturbation,gene", "g1,TP53", "g1,TP53")
    message = refused(path, metadata=(found,), perturbations={"n": "negcon"})
    assert "the metadata lacks 1 perturbations: 'g2' (1 well)" in message
    write(found, "perturbation,gene", "g1,TP53", "g1,MYC")
    assert "says two things of 'g1'" in refused(path, metadata=(found,))
    write(found, "name,gene", "g1,TP53")
    assert "no column of perturbations" in refused(path, metadata=(found,))
    assert "a table is missing" in refused(path, metadata=(tmp_path / "none.csv",))


def test_a_control_type_of_our_own_may_be_mapped_too(tmp_path):
    path = write(tmp_path / "l.csv", "well,perturbation,control_type", "A1,g,poscon", "A2,n,empty")
    layout = read(path, control_types={"empty": "negcon"})
    assert [w["control_type"] for w in layout.values()] == ["poscon", "negcon"]


# -- real files -------------------------------------------------------------------------------------------------------

LABELS = {"trt": "treatment", "poscon_cp": "poscon", "poscon_diverse": "poscon", "poscon_orf": "poscon"}


@pytest.mark.parametrize("library", ["1_crispr", "1_orf", "1_compound", "2_compound"])
def test_jump_target_plates_hold_what_the_tables_say(shared_data, library):
    import pandas as pd

    folder = shared_data / "jump-metadata" / "JUMP-Target"
    plate_map, known = folder / f"JUMP-Target-{library}_platemap.tsv", folder / f"JUMP-Target-{library}_metadata.tsv"
    layout = read(plate_map, metadata=(known,), control_types=LABELS | {"blank": "empty"})
    wells = pd.read_csv(plate_map, sep="\t").merge(pd.read_csv(known, sep="\t").drop_duplicates("broad_sample"), "left")
    assert len(wells) == len(layout) == 384
    for well in wells.itertuples():
        kind = str(well.control_type).split("_")[0] if well.pert_type == "control" else "treatment"
        ours = layout[well.well_position]
        assert ours["control_type"] == (kind if isinstance(well.pert_type, str) else "empty")
        for column in {"gene", "pert_iname"} & set(wells.columns):
            theirs = getattr(well, column)
            assert ours["gene" if column == "gene" else "compound"] == (theirs if isinstance(theirs, str) else "")
    assert sum(w["control_type"] == "negcon" for w in layout.values()) in (60, 64)


def test_a_jump_folder_and_its_dmso_wells(shared_data):
    folder = shared_data / "jump-metadata"
    known = folder / "JUMP-Target" / "JUMP-Target-1_compound_metadata.tsv"
    maps = folder / "cpjump1-fov" / "2020_11_04_CPJUMP1_1a"
    layout = read(maps, "BR00117019", metadata=(known,), control_types=LABELS)
    assert sum(w["control_type"] == "negcon" and w["compound"] == "DMSO" for w in layout.values()) == 64
    assert [layout["A03"][k] for k in ("perturbation", "compound", "concentration")] == [
        "BRD-A22032524-074-09-9",
        "amlodipine",
        "5.0",
    ]
    assert "'trt' (260 wells)" in refused(maps, "BR00117019", metadata=(known,))


def test_jcp2022_ids_become_symbols_and_controls(shared_data, tmp_path):
    folder = shared_data / "jump-metadata" / "cpg0016"
    ids = {"A01": "JCP2022_800001", "A02": "JCP2022_800002", "A03": "JCP2022_805264", "A04": "JCP2022_800003"}
    path = write(tmp_path / "l.csv", "Metadata_Well,Metadata_JCP2022", *(f"{w},{i}" for w, i in ids.items()))
    metadata = (folder / "crispr.csv.gz", folder / "perturbation_control.csv")
    layout = read(path, metadata=metadata, control_types={"unlabelled": "treatment"})
    assert [(w["gene"], w["control_type"]) for w in layout.values()] == [
        ("no-guide", "negcon"),
        ("non-targeting", "negcon"),
        ("PLK1", "poscon"),
        ("A2M", "treatment"),
    ]


def test_the_layouts_of_an_operetta_plate(shared_data):
    folder = shared_data / "vendor-operetta-harmony"
    drugs = read(folder / "drug_layout.csv", perturbations={"DMSO": "negcon"})
    assert drugs == {
        "C03": {
            "perturbation": "DMSO",
            "gene": "",
            "compound": "DMSO",
            "concentration": "0.125",
            "control_type": "negcon",
        }
    }
    layout = folder / "operetta_plate" / "Assaylayout" / "Unnamed.xml"
    assert "96 wells not filled in ('blank')" in refused(layout)
    wells = read(layout, control_types={"blank": "empty"})
    assert list(wells) == [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 25)]
