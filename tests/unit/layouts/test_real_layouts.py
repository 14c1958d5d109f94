"""Layouts that others published: what their tables say comes out."""

import pytest

from tests.unit.layouts.reading import read, refused, write

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
