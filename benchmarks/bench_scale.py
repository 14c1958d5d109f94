"""Dry runs, plans and explanations of large screens against bare Snakemake with the same jobs, by simulation.

``python benchmarks/bench_scale.py --plates 200`` writes plates.tsv and stub manifests into a temporary folder, then
times in turn ``snakemake -n`` of ours and of a bare Snakefile with the same rules, inputs and outputs, ``platemae
explain``, and ``platemae plan`` beside what ingest left.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent
LONG = True
BATCH_PLATES = 20
FIELDS, WELLS = 2304, 384
PLAN_ARGUMENTS = ("--gpu", "A100", "--quota-gb", "1e9", "--json")
CORRECTIONS = ("none", "centerscale", "tvn")
STUB = {
    "channels": ["DNA", "ER", "RNA", "Actin", "Mito", "Membrane"],
    "dtype": "uint16",
    "fields": FIELDS,
    "wells": WELLS,
    "shape": [6, 1080, 1080],
    "pixel_size_um": 0.65,
    "pixel_bytes": FIELDS * 6 * 1080 * 1080 * 2,
}


def write_project(folder: Path, plates: int, models: int, corrections: int) -> Path:
    """Write plates.tsv, a layout and a configuration of so many plates, models and corrections; returns the latter."""
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "plate.json").write_text("{}")
    layout = ["well\tperturbation\tgene\tcontrol_type", "A01\tg1\tG1\tnegcon", "A02\tg2\tG2\ttreatment"]
    (folder / "layout.tsv").write_text("\n".join(layout) + "\n")
    (folder / "relations.csv").write_text("entity1,entity2\nG1,G2\n")
    rows = [f"P{i:05d}\tB{i // BATCH_PLATES:04d}\tsynthetic\traw\tlayout.tsv" for i in range(plates)]
    (folder / "plates.tsv").write_text("\n".join(["plate\tbatch\treader\tpath\tlayout", *rows]) + "\n")
    entry = {"kind": "mae", "dataset": "screen", "intensity": "controls", "preset": "vit_s16"}
    config = {
        "results": str(folder / "results"),
        "plates": str(folder / "plates.tsv"),
        "datasets": [{"name": "screen", "plates": [f"P{i:05d}" for i in range(min(plates, 100))]}],
        "models": [{"name": f"mae{i}", **entry, "train": {"seed": i}} for i in range(models)],
        "corrections": [
            {"name": k, "kind": k, "batch_unit": "batch"} for k in CORRECTIONS[len(CORRECTIONS) - corrections :]
        ],
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def write_stubs(folder: Path, plates: int) -> None:
    """Write what ingest leaves of each plate, so that a plan knows sizes without any image."""
    for i in range(plates):
        path = folder / "results" / "plates" / f"P{i:05d}.manifest.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"stage": "ingest_plate", "digest": "0", "counts": STUB, "schema_version": 1}))


BARE = """
P, M, C, T = {plates}, {models}, {corrections}, {training}
BATCH = {{p: p_batch for p, p_batch in zip(P, {batches})}}
OF = {{}}
for p, b in BATCH.items():
    OF.setdefault(b, []).append(p)
workdir: {results!r}
rule all:
    input: "report/manifest.json", "tables/manifest.json"
"""
BARE_RULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ingest_plate": (("{layout!r}", "{raw!r}"), ("plates/{plate}.manifest.json", "plates/{plate}.fields.parquet")),
    "qc_plate": (
        ('"plates/{plate}.manifest.json"', 'ancient("plates/{plate}.fields.parquet")'),
        ("qc/{plate}.manifest.json", "qc/{plate}.parquet"),
    ),
    "fit_intensity": (
        ('expand("plates/{plate}.manifest.json", plate=P)', 'expand("qc/{plate}.manifest.json", plate=P)'),
        ("intensity/{intensity}.manifest.json", "intensity/{intensity}.json"),
    ),
    "build_dataset": (
        ('expand("plates/{plate}.manifest.json", plate=T)', 'expand("qc/{plate}.manifest.json", plate=T)'),
        ("datasets/{dataset}.manifest.json", "datasets/{dataset}.parquet"),
    ),
    "train_model": (
        (
            '"datasets/screen.manifest.json"',
            'ancient("datasets/screen.parquet")',
            '"intensity/controls.manifest.json"',
            'ancient("intensity/controls.json")',
        ),
        tuple(f"models/{{model}}/{n}" for n in ("manifest.json", "model.safetensors", "model.json", "history.parquet")),
    ),
    "embed_plate": (
        (
            '"models/{model}/manifest.json"',
            'ancient("models/{model}/model.safetensors")',
            'ancient("models/{model}/model.json")',
            '"plates/{plate}.manifest.json"',
            'ancient("plates/{plate}.fields.parquet")',
            '"qc/{plate}.manifest.json"',
            'ancient("qc/{plate}.parquet")',
        ),
        ("embeddings/{model}/{plate}.manifest.json", "embeddings/{model}/{plate}.h5ad"),
    ),
    "summarize_controls": (
        ('"embeddings/{model}/{plate}.manifest.json"', 'ancient("embeddings/{model}/{plate}.h5ad")'),
        ("control_stats/{model}/negcon/{plate}.manifest.json", "control_stats/{model}/negcon/{plate}.npz"),
    ),
    "fit_correction": (
        ('expand("control_stats/{{model}}/negcon/{plate}.manifest.json", plate=P)',),
        ("corrections/{model}/{correction}.manifest.json", "corrections/{model}/{correction}.npz"),
    ),
    "correct_plate": (
        (
            '"corrections/{model}/{correction}.manifest.json"',
            'ancient("corrections/{model}/{correction}.npz")',
            '"embeddings/{model}/{plate}.manifest.json"',
            'ancient("embeddings/{model}/{plate}.h5ad")',
            'lambda w: [f"control_stats/{w.model}/negcon/{p}.manifest.json" for p in OF[BATCH[w.plate]]]',
        ),
        ("corrected/{model}/{correction}/{plate}.manifest.json", "corrected/{model}/{correction}/{plate}.h5ad"),
    ),
    "build_map": (
        ('expand("corrected/{{model}}/{{correction}}/{plate}.manifest.json", plate=P)',),
        ("maps/{model}/{correction}.manifest.json", "maps/{model}/{correction}.h5ad"),
    ),
    "score_map": (
        (
            '"maps/{model}/{correction}.manifest.json"',
            'expand("corrected/{{model}}/{{correction}}/{plate}.manifest.json", plate=P)',
            '"datasets/screen.manifest.json"',
        ),
        ("scores/{model}/{correction}.manifest.json", "scores/{model}/{correction}.parquet"),
    ),
    "compare_models": (
        (
            'expand("scores/{model}/{correction}.manifest.json", model=M, correction=C)',
            'expand("models/{model}/manifest.json", model=M)',
            'expand("maps/{model}/{correction}.manifest.json", model=M, correction=C)',
        ),
        ("tables/manifest.json", "tables/scores.csv"),
    ),
    "render_report": (
        (
            '"tables/manifest.json"',
            'expand("plates/{plate}.manifest.json", plate=P)',
            'expand("qc/{plate}.manifest.json", plate=P)',
            'expand("models/{model}/manifest.json", model=M)',
            'expand("corrected/{model}/{correction}/{plate}.manifest.json", model=M, correction=C, plate=P)',
        ),
        ("report/manifest.json", "report/index.html"),
    ),
}
"""Inputs and outputs of each rule as the real ones have them, without parameters, resources or functions."""


def write_bare(folder: Path, config: dict[str, Any]) -> Path:
    """Write a Snakefile of the same jobs that does nothing but name files."""
    rows = [line.split("\t") for line in (folder / "plates.tsv").read_text().splitlines()[1:]]
    text = BARE.format(
        plates=[row[0] for row in rows],
        batches=[row[1] for row in rows],
        models=[m["name"] for m in config["models"]],
        corrections=[c["name"] for c in config["corrections"]],
        training=config["datasets"][0]["plates"],
        results=str(folder / "bare"),
    )
    places = {"{layout!r}": repr(str(folder / "layout.tsv")), "{raw!r}": repr(str(folder / "raw" / "plate.json"))}
    for rule, (inputs, outputs) in BARE_RULES.items():
        wildcards = "/".join(f"{{{w}}}" for w in dict.fromkeys(re.findall(r"{(\w+)}", outputs[0]))) or "all"
        text += f"rule {rule}:\n    input:\n"
        text += "".join(f"        {places.get(each, each)},\n" for each in inputs)
        text += "    output:\n" + "".join(f"        {each!r},\n" for each in outputs)
        text += f'    log: "logs/{rule}/{wildcards}.log"\n    benchmark: "benchmarks/{rule}/{wildcards}.tsv"\n'
        text += '    shell: "touch {output}"\n'
    path = folder / "Snakefile"
    path.write_text(text)
    return path


def timed(command: Sequence[str | Path]) -> dict[str, Any]:
    """Run a command; returns seconds, seconds of processor time, its peak in MiB and what it printed.

    Raises
    ------
    RuntimeError
        With the end of its output, when it fails.
    """
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        out.seek(0)
        text = out.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {text[-3000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "cpu": cpu, "mib": usage.ru_maxrss / 1024, "text": text}


def jobs_of(text: str) -> int:
    """Return the total of a dry run's table of jobs, ``all`` left out."""
    found = re.search(r"^total\s+(\d+)", text, re.M)
    return int(found[1]) - 1 if found else 0


def simulate(plates: int, models: int, corrections: int, runs: int = 3) -> list[dict[str, Any]]:
    """Time ours, bare Snakemake, explain and plan in turn; returns a row each of dry run, memory, explain and plan.

    Raises
    ------
    AssertionError
        When the two dry runs, explain and plan have not equally many jobs.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "screen"
        path = write_project(folder, plates, models, corrections)
        bare = write_bare(folder, yaml.safe_load(path.read_text()))
        snakemake = [sys.executable, "-m", "snakemake", "-n", "-q", "rules", "--scheduler", "greedy", "--cores", "1"]
        platemae = [sys.executable, "-m", "platemae.cli"]
        ours, peer, explained, plans = [], [], [], []
        for _ in range(runs):
            ours.append(timed([*snakemake, "--snakefile", ROOT / "Snakefile", "--configfile", path]))
            peer.append(timed([*snakemake, "--snakefile", bare]))
            explained.append(timed([*platemae, "explain", "--configfile", path, "--json"]))
        n_ours, n_bare = jobs_of(ours[0]["text"]), jobs_of(peer[0]["text"])
        if n_ours != n_bare:
            raise AssertionError(f"{n_ours} jobs of ours, {n_bare} of the bare Snakefile")
        write_stubs(folder, plates)
        for _ in range(runs):
            plans.append(timed([*platemae, "plan", "--configfile", path, *PLAN_ARGUMENTS]))
    n_planned = json.loads(plans[0]["text"])["total"]["jobs"]
    n_explained = sum(json.loads(explained[0]["text"])["jobs"].values())
    if not n_planned == n_explained == n_ours:
        raise AssertionError(f"{n_ours} jobs of Snakemake, {n_planned} planned, {n_explained} explained")
    size = f"{plates:,} x {models} x {corrections}, {n_ours:,} jobs"
    ratios = sorted(o["cpu"] / p["cpu"] for o, p in zip(ours, peer, strict=True))
    spread = (
        f"medians of {runs}; ours / bare {ratios[0]:.2f} to {ratios[-1]:.2f}"
        if runs > 1
        else "one run of each; ratio: ours / bare"
    )
    middle = statistics.median
    rows = [
        {
            "task": f"dry run, {size}",
            "unit": "s of CPU",
            "ratio": middle(ratios),
            "note": f"{spread}; ratio: ours / bare",
        }
        | {"ours": middle(r["cpu"] for r in ours), "peer": middle(r["cpu"] for r in peer)},
        {"task": f"dry run, {size}: memory", "unit": "MiB", "note": "peak of the process"}
        | {"ours": middle(r["mib"] for r in ours), "peer": middle(r["mib"] for r in peer)},
        {"task": f"explain, {size}", "unit": "s of CPU", "note": f"peak {middle(r['mib'] for r in explained):.0f} MiB"}
        | {"ours": middle(r["cpu"] for r in explained)},
        {"task": f"plan, {size}", "unit": "s of CPU", "note": f"peak {middle(r['mib'] for r in plans):.0f} MiB"}
        | {"ours": middle(r["cpu"] for r in plans)},
    ]
    rows[1]["ratio"] = rows[1]["ours"] / rows[1]["peer"]
    return rows


SIZES = ((200, 1, 1, 3), (200, 8, 3, 1), (2000, 1, 1, 3), (2000, 8, 3, 1), (10_000, 1, 1, 1))
"""Plates, models, corrections and runs. Of 10,000 x 8 x 3, 420,000 jobs, a dry run takes more than 52 min and 14 GB."""


def measure(sizes: Sequence[tuple[int, int, int, int]] = SIZES) -> list[dict[str, Any]]:
    """Simulate screens of several sizes; an hour of processor time in all."""
    return [row for size in sizes for row in simulate(*size)]


def main() -> None:
    """Print the table for one size."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--plates", type=int, default=200)
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--corrections", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    sys.path.insert(0, str(HERE))
    from run import COLUMNS, table

    print(table(simulate(args.plates, args.models, args.corrections, args.runs), COLUMNS))


if __name__ == "__main__":
    main()
