"""A job whose configuration is longer than Linux allows one argument, as the names of some thousand plates are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS, Manifest
from platemae.layout import Results

ONE_ARGUMENT = 131_072
"""MAX_ARG_STRLEN of Linux, bytes."""
GENES = [f"it's {{gene}} {number:05d}" for number in range(10_000)]


@pytest.fixture
def screen(tmp_path):
    """A plate that is ingested and judged, with a well for each gene, all but two genes held out by name."""
    results = Results(tmp_path / "results")
    manifests = [results.manifest(stage, plate="P1") for stage in ("ingest_plate", "qc_plate")]
    for path in manifests:
        path.parent.mkdir(parents=True)
    wells = [f"A{number:05d}" for number in range(len(GENES))]
    pairs = list(zip(wells, GENES, strict=True))
    fields = [["P1", "B1", well, "1", "A", 1, f"A/{well}", "", "g", gene, "", "", "treatment"] for well, gene in pairs]
    qc = [["P1", well, "1", "DNA", *[0.0] * 9, "pass", ""] for well in wells]
    pd.DataFrame(fields, columns=list(FIELDS_COLUMNS)).to_parquet(results.fields("P1"))
    pd.DataFrame(qc, columns=list(QC_COLUMNS)).to_parquet(results.qc("P1"))
    Manifest("ingest_plate", "0", {"pixels": "0"}).write(manifests[0])
    Manifest("qc_plate", "0").write(manifests[1])
    (tmp_path / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\tNTC\tnegcon\n")
    (tmp_path / "plates.tsv").write_text("plate\tbatch\treader\tpath\tlayout\nP1\tB1\tsynthetic\t.\tlayout.tsv\n")
    entry = {"name": "screen", "plates": ["P1"], "hold_out": {"by": "gene", "values": GENES[2:]}}
    config = {"plates": str(tmp_path / "plates.tsv"), "results": str(results.root), "datasets": [entry]}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    return results


def test_a_job_gets_a_configuration_that_no_argument_holds(project, screen):
    folder = screen.root.parent
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(project / "Snakefile"), "--cores", "1"]
    command += ["--configfile", str(folder / "config.yaml"), "--allowed-rules", "build_dataset"]
    command += ["--rerun-triggers", "mtime", "--", "datasets/screen.manifest.json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    manifest = Manifest.read(screen.manifest("build_dataset", dataset="screen"))
    assert manifest.counts["hold_out"]["n_names"] == len(GENES) - 2
    parameters = json.loads(screen.provenance("build_dataset", "screen").read_text())["parameters"]
    assert parameters["dataset"]["hold_out"]["values"] == GENES[2:], "quotes and braces arrive as they were"
    assert len(json.dumps(parameters)) > 1.5 * ONE_ARGUMENT
