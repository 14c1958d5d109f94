"""A configuration for each of the papers' tables: planned on made-up plates, files that are there and hold nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflow.conftest import Project, jobs_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAIRS = ("corum", "humap", "reactome", "signor", "stringdb")
TABLE = "plate\tbatch\treader\tpath\tlayout\n"
LAYOUT = "well\tperturbation\tgene\tcontrol_type\nA01\tg\tG\ttreatment\nA02\tc\t\tEMPTY_control\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def annotations(data: Path) -> None:
    for name in PAIRS:
        write(data / f"annotations/{name}.csv", "entity1,entity2\nA,B\n")


def rxrx3(root: Path, data: Path) -> None:
    """Two plates of RxRx3 in two experiments, features of CellProfiler, and weights."""
    annotations(data)
    write(data / "rxrx3/metadata.csv", "well_id,experiment_name,plate,address,gene\n")
    rows = []
    for experiment in ("HUVEC-1", "HUVEC-2"):
        (data / f"rxrx3/{experiment}/Plate1").mkdir(parents=True)
        plate = f"{experiment}_1"
        rows.append(f"{plate}\t{experiment}\trxrx3\t$PLATEMAE_DATA/rxrx3/{experiment}/Plate1\tlayout.tsv\n")
        write(data / f"cellprofiler/{plate}.csv.gz", "")
    write(data / "model/model.safetensors", "")
    write(root / "papers-screen/layout.tsv", LAYOUT)
    write(root / "papers-screen/plates.tsv", TABLE + "".join(rows))


def jump(root: Path, data: Path) -> None:
    """One plate of CPJUMP1 with its platemap folder and the tables of its perturbations."""
    folder = data / "cpg0000"
    maps = folder / "metadata/platemaps/week"
    write(maps / "barcode_platemap.csv", "Assay_Plate_Barcode,Plate_Map_Name\nBR1,map\n")
    write(maps / "platemap/map.txt", "well_position\tbroad_sample\tsolvent\nA01\tBRD-1\tDMSO\nA02\t\tDMSO\n")
    for kind in ("compound", "crispr", "orf"):
        own = f"broad_sample\tgene\tpert_type\tcontrol_type\nBRD-{kind}\tG\ttrt\t\n"
        if kind == "compound":
            own += "BRD-1\tG\ttrt\t\nNA\tNA\tcontrol\tnegcon\n"  # DMSO has no name there
        write(folder / f"metadata/external_metadata/JUMP-Target-1_{kind}_metadata.tsv", own)
    write(folder / "load_data_csv/BR1/load_data.csv.gz", "")
    (folder / "images/BR1").mkdir(parents=True)
    row = "BR1\tweek\tjump\t$PLATEMAE_DATA/cpg0000/images/BR1\t$PLATEMAE_DATA/cpg0000/metadata/platemaps/week\n"
    write(root / "jump-screen/plates.tsv", TABLE + row)


def rxrx3_core(root: Path, data: Path) -> None:
    """Profiles alone; plates.tsv and layout by the script beside the configuration."""
    annotations(data)
    write(data / "annotations/compound_gene.csv", "compound,gene,nM\nX,A,10\n")
    write(data / "rxrx3-core/OpenPhenom_rxrx3_core_embeddings.parquet", "")
    header = "well_id,experiment_name,plate,address,gene,treatment,SMILES,concentration,perturbation_type,cell_type\n"
    wells = [
        "gene-1_1_A01,gene-1,1,A01,A,A_guide_1,,,CRISPR,HUVEC",
        "gene-1_1_A02,gene-1,1,A02,EMPTY_control,EMPTY_control,,,CRISPR,HUVEC",
    ]
    wells += ["compound-1_2_A01,compound-1,2,A01,,X,CC,0.25,COMPOUND,HUVEC"]
    wells += ["compound-1_2_A02,compound-1,2,A02,EMPTY_control,EMPTY_control,,,COMPOUND,HUVEC"]
    metadata = data / "rxrx3-core/metadata_rxrx3_core.csv"
    write(metadata, header + "\n".join(wells) + "\n")
    script = root / "workflow/configs/rxrx3_core/plates.py"
    subprocess.run([sys.executable, str(script), str(metadata), str(root / "rxrx3-core-screen")], check=True)


def pooled(root: Path, data: Path) -> None:
    """Two pooled plates as `platemae synthesize-screen --pooled` lays them out."""
    rows = []
    for plate in ("P1", "P2"):
        write(root / f"pooled-screen/raw/{plate}/index.csv", "")
        write(root / f"pooled-screen/{plate}.tsv", "well\tperturbation\tcontrol_type\nA01\tpooled\ttreatment\n")
        write(root / f"pooled-screen/{plate}.cells.tsv", "well\tfield\tcell\ty\tx\tperturbation\tgene\tcontrol_type\n")
        rows.append(f"{plate}\tB\tsynthetic\traw/{plate}\t{plate}.tsv\t{plate}.cells.tsv\n")
    write(root / "pooled-screen/relations.csv", "entity1,entity2\nA,B\n")
    write(root / "pooled-screen/plates.tsv", TABLE.replace("\n", "\tcells\n") + "".join(rows))


@pytest.mark.parametrize(
    ("name", "make", "trained", "scored"),
    [
        ("rxrx3_recall", rxrx3, 11, 11),
        ("batch_correction", rxrx3, 1, 2 * 8),
        ("cellprofiler_regression", rxrx3, 3, 4),
        ("jump_cp", jump, 4, 5 * 3),
        ("pooled_crispr", pooled, 3, 3 * 3),
        ("rxrx3_core", rxrx3_core, 0, 2 * 3),
        ("scaling", None, 66, 66),
    ],
)
def test_the_configuration_of_a_papers_table_can_be_planned(
    fresh_project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[Path, Path], None] | None,
    trained: int,
    scored: int,
) -> None:
    monkeypatch.setenv("PLATEMAE_DATA", str(tmp_path / "data"))
    if make is None:  # the synthetic screen, where config.yaml expects it
        os.rename(fresh_project.root / "screen", fresh_project.root / "demo-screen")
    else:
        make(fresh_project.root, tmp_path / "data")
    done = fresh_project.run("--configfile", f"workflow/configs/{name}.yaml", "--dry-run")
    jobs = jobs_of(done.stdout + done.stderr)
    assert jobs.get("train_model", 0) == trained
    assert jobs["score_map"] == jobs["build_map"] == scored
    assert jobs["compare_models"] == jobs["render_report"] == 1
