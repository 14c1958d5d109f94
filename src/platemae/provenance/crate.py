"""The results folder as an RO-Crate 1.1, with the profiles Process Run Crate and Workflow Run Crate 0.5.

Files of the whole study are described one by one, with size and SHA-256; those of single plates as folders, of which a
large study has tens of thousands of files. So are jobs: an action a stage, and the record of each job beside.
(https://www.researchobject.org/workflow-run-crate)
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from platemae import __version__
from platemae.contracts import write_text
from platemae.errors import MissingError
from platemae.layout import MANIFESTS, OUTPUTS, Results
from platemae.provenance.jobs import by_stage, job_records, span, versions
from platemae.provenance.run_record import keep_workflow, run_records
from platemae.standing.record import size_and_digest

Entity = dict[str, Any]

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
MAIN = "provenance/workflow/Snakefile"
UNSTATED = "Not stated: ask whoever holds the data."
READS: dict[str, tuple[str, ...]] = {
    "ingest_plate": (),
    "qc_plate": ("ingest_plate",),
    "measure_plate": ("ingest_plate", "qc_plate"),
    "fit_intensity": ("ingest_plate", "qc_plate"),
    "build_dataset": ("ingest_plate", "qc_plate"),
    "train_model": ("build_dataset", "fit_intensity", "ingest_plate"),
    "embed_plate": ("train_model", "ingest_plate", "qc_plate"),
    "import_profiles": ("ingest_plate", "measure_plate", "qc_plate"),
    "summarize_controls": ("embed_plate", "import_profiles"),
    "fit_correction": ("summarize_controls", "embed_plate", "import_profiles"),
    "correct_plate": ("fit_correction", "embed_plate", "import_profiles", "summarize_controls"),
    "build_map": ("correct_plate", "build_dataset"),
    "score_map": ("build_map", "correct_plate", "build_dataset"),
    "compare_models": ("score_map", "build_map", "train_model"),
    "render_report": ("compare_models", "correct_plate", "train_model", "qc_plate", "ingest_plate", "build_map"),
}
"""Stages whose results a stage may read; a test holds it beside the rules."""


def write_crate(results: Results, project: Path, title: str, licence: str = UNSTATED) -> Path:
    """Write ``ro-crate-metadata.json`` into the results folder; equal results give equal bytes.

    Parameters
    ----------
    results
        The results folder.
    project
        Folder of the Snakefile, for results that no `platemae run` made.
    title
        Name of the crate.
    licence
        Address or words of the licence of the results.

    Raises
    ------
    MissingError
        When no job has finished there.
    """
    records = list(job_records(results))
    if not records:
        raise MissingError("no job has finished here, so there is nothing to describe", str(results.root), "run first")
    if not (results.root / MAIN).is_file():
        keep_workflow(project, results)
    graph = list(_graph(results, records, title, licence))
    write_text(results.crate(), json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, sort_keys=True) + "\n")
    return results.crate()


def _graph(results: Results, records: Sequence[Mapping[str, Any]], title: str, licence: str) -> Iterator[Entity]:
    stages = by_stage(dict(record) for record in records)
    made = {stage: _data(results, stage, jobs) for stage, jobs in stages.items()}
    runs = run_records(results)
    beside = [_file(results, results.root / run["file"]) for run in runs]
    beside += [_file(results, path) for path in sorted(results.workflow().rglob("*.smk"))]
    parts = {entity["@id"]: entity for entity in [*(e for found in made.values() for e in found), *beside]}
    libraries = versions(records)
    actions = [_stage_action(stage, jobs, made) for stage, jobs in stages.items()]
    actions += [_run_action(run, made) for run in runs] or [_made_by_hand(records, made)]
    yield _descriptor()
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": title,
        "description": f"Perturbation maps and what they were made from, by platemae {libraries.get('platemae', '')}.",
        "datePublished": span(records)[1],
        "license": {"@id": licence} if licence.startswith("http") else licence,
        "conformsTo": [{"@id": profile} for profile in PROFILES],
        "mainEntity": {"@id": MAIN},
        "hasPart": [{"@id": MAIN}, *({"@id": name} for name in parts)],
        "mentions": [{"@id": action["@id"]} for action in actions],
    }
    yield from _workflow(results, libraries)
    yield from (
        {"@id": url, "@type": "CreativeWork", "name": name, "version": url.rsplit("/", 1)[1]}
        for url, name in PROFILES.items()
    )
    yield from parts.values()
    yield from actions
    yield from _people(runs)
    if licence.startswith("http"):
        yield {"@id": licence, "@type": "CreativeWork", "name": "Licence of the results"}


def _descriptor() -> Entity:
    about = {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}}
    named = ["https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"]
    return about | {"conformsTo": [{"@id": name} for name in named]}


def _workflow(results: Results, libraries: Mapping[str, str]) -> Iterator[Entity]:
    yield _file(results, results.root / MAIN) | {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "platemae",
        "version": libraries.get("platemae", __version__),
        "programmingLanguage": {"@id": "#snakemake-language"},
        "license": "https://spdx.org/licenses/BSD-3-Clause",
    }
    yield {
        "@id": "#snakemake-language",
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
        "url": {"@id": "https://snakemake.readthedocs.io"},
        "version": libraries.get("snakemake", ""),
    }
    for name, version in libraries.items():
        if version != "absent":
            yield {
                "@id": f"#software/{name}",
                "@type": "SoftwareApplication",
                "name": name,
                "softwareVersion": version,
            } | {"url": {"@id": f"https://pypi.org/project/{name}/" if name != "python" else "https://www.python.org/"}}


def _data(results: Results, stage: str, jobs: Sequence[Mapping[str, Any]]) -> list[Entity]:
    """Return what a stage left: files, or folders where it has a job a plate."""
    if "{plate}" not in MANIFESTS[stage]:
        names = sorted({name for job in jobs for name in job.get("outputs", {})})
        noted = {name: value for job in jobs for name, value in job.get("outputs", {}).items()}
        return [_file(results, results.root / name, noted[name]) for name in names if (results.root / name).is_file()]
    plates = sorted({job["wildcards"]["plate"] for job in jobs})
    folders = sorted({Path(pattern.format(**job["wildcards"])).parent for job in jobs for pattern in OUTPUTS[stage]})
    return [_folder(f"{folder.as_posix()}/", stage, len(plates)) for folder in folders]


def _folder(name: str, stage: str, n_plates: int) -> Entity:
    words = f"What {stage} left of {n_plates} plates; the digest of each is in its manifest.json"
    return {"@id": name, "@type": "Dataset", "name": name.rstrip("/"), "description": words}


def _file(results: Results, path: Path, noted: Sequence[Any] | None = None) -> Entity:
    size, digest = noted or size_and_digest(path)
    name = path.relative_to(results.root).as_posix()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return {"@id": name, "@type": "File", "name": path.name, "contentSize": str(size), "sha256": digest} | {
        "encodingFormat": kind
    }


_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".h5ad": "application/x-hdf5",
    ".npz": "application/zip",
    ".smk": "text/x-snakemake",
    ".md": "text/markdown",
    ".tex": "application/x-tex",
    "": "text/x-snakemake",
}


def _stage_action(stage: str, jobs: Sequence[Mapping[str, Any]], made: Mapping[str, Sequence[Entity]]) -> Entity:
    started, ended = span(jobs)
    read = [entity["@id"] for earlier in READS[stage] for entity in made.get(earlier, [])]
    seconds = sum(float(job["seconds"]) for job in jobs)
    hosts = ", ".join(sorted({str(job.get("host", "?")) for job in jobs}))
    return {
        "@id": f"#stage/{stage}",
        "@type": "CreateAction",
        "name": f"{stage}, {len(jobs)} jobs",
        "description": f"{seconds:.1f} s of jobs on {hosts}; a record a job in provenance/{stage}/",
        "instrument": {"@id": "#software/platemae"},
        "startTime": started,
        "endTime": ended,
        "actionStatus": "http://schema.org/CompletedActionStatus",
        "object": _refs(read),
        "result": _refs(entity["@id"] for entity in made[stage]),
    }


def _run_action(run: Mapping[str, Any], made: Mapping[str, Sequence[Entity]]) -> Entity:
    done = run.get("exit_code") == 0
    results = [entity["@id"] for stage in run.get("stages", {}) for entity in made.get(stage, [])]
    found: Entity = {
        "@id": f"#run/{run.get('run') or run['started']}",
        "@type": "CreateAction",
        "name": "platemae run",
        "description": " ".join(map(str, run.get("command", []))),
        "instrument": {"@id": MAIN},
        "agent": {"@id": _person(run)},
        "startTime": run["started"],
        "object": {"@id": run["file"]},
        "result": _refs(results),
        "actionStatus": f"http://schema.org/{'Completed' if done else 'Failed'}ActionStatus",
    }
    found |= {"endTime": run["ended"]} if run.get("ended") else {}
    return found if done else found | {"error": f"exit code {run.get('exit_code')}"}


def _made_by_hand(records: Sequence[Mapping[str, Any]], made: Mapping[str, Sequence[Entity]]) -> Entity:
    """Return the action of results that no `platemae run` made: plain Snakemake, or stages run by hand."""
    started, ended = span(records)
    return {
        "@id": "#run/snakemake",
        "@type": "CreateAction",
        "name": "Snakemake, or stages by hand",
        "instrument": {"@id": MAIN},
        "startTime": started,
        "endTime": ended,
        "actionStatus": "http://schema.org/CompletedActionStatus",
        "result": _refs(e["@id"] for found in made.values() for e in found),
    }


def _refs(names: Iterable[str]) -> Entity | list[Entity]:
    """Return references, each once; a single one is no list, as RO-Crate asks."""
    found = [{"@id": name} for name in dict.fromkeys(names)]
    return found[0] if len(found) == 1 else found


def _person(run: Mapping[str, Any]) -> str:
    return f"#person/{run.get('user', 'unknown')}"


def _people(runs: Sequence[Mapping[str, Any]]) -> Iterator[Entity]:
    for name in dict.fromkeys(map(_person, runs)):
        yield {"@id": name, "@type": "Person", "name": name.removeprefix("#person/")}
