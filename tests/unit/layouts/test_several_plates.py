"""Layouts of several plates: one table, or JUMP's folder of plate maps."""

import pytest

from platemae.errors import ConfigError
from platemae.layouts.options import LayoutOptions
from platemae.layouts.read import open_layouts, read_layout
from tests.unit.layouts.reading import TREATED, read, refused, write


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
