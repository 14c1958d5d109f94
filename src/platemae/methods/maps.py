"""Methods: batch correction, maps and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from platemae.errors import number_of
from platemae.methods.numbers import Quoted

CORRECTIONS = {
    "none": "leaves embeddings as they are",
    "center": "subtracts the mean of the controls",
    "centerscale": "z-scores by the controls",
    "pca_cs": "rotates to the principal components of the controls, then z-scores by them",
    "tvn": "is typical variation normalization [@ando2017], in the form of [@celik2024]",
    "sphere": "whitens by all controls together [@kessy2018]",
    "harmony": "is Harmony [@korsunsky2019], a joint alignment of all wells",
}
"""What a kind of correction does, in words."""

BENCHMARKS = {
    "known_relations": "recall of known relations in the tails of all pairs [@celik2024]",
    "replicate_consistency": "agreement of replicates against a null of wells [@celik2024]",
    "magnitude": "energy distance of a perturbation's wells from controls [@celik2024]",
    "control_axis": "separation of positive and negative controls",
    "nearest_neighbor": "retrieval of a well's perturbation by its nearest neighbour",
    "replicability": "mean average precision of replicates against controls [@kalinin2025]",
    "matching": "mean average precision of perturbations with one annotation [@kalinin2025]",
    "compound_gene": "retrieval of a compound's target genes [@chandrasekaran2024]",
    "clusters": "agreement of clusters with known ones",
    "linear_probe": "linear classification of perturbations",
    "feature_regression": "linear prediction of classical features",
    "batch_mixing": "mixing of batches, and what biology is left",
    "plate_stability": "agreement of maps of disjoint plates",
}
"""What a kind of benchmark measures, in words."""

LEFT_OUT = {"n_not_treated": "not treated", "n_without_gene": "without gene", "n_not_finite": "without vector"}
"""Counts of build_map: wells that are in no row."""

SOURCES = {
    "corum": "tsitsiridis2023",
    "humap": "drew2021",
    "reactome": "gillespie2022",
    "signor": "licata2020",
    "string": "szklarczyk2021",
}
"""Known biology that is cited where a benchmark's file or the name of its source says so."""


def map_paragraphs(quoted: Quoted, cfg: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is said of corrections, maps and benchmarks: `methods_text` has the parameters."""
    models = [model["name"] for model in cfg["models"]]
    row = quoted.value(f"embeddings/{models[0]}/{cfg['map_plates'][0]}.manifest.json", "counts.rows") or "well"
    corrections = " ".join(_correction(quoted, entry, models, row) for entry in cfg["corrections"])
    benchmarks = " ".join(_benchmark(quoted, entry) for entry in cfg["benchmarks"])
    named = [entry["name"] for entry in cfg["corrections"]]
    found = [("Batch correction", corrections), ("Maps", _maps(quoted, models, named, cfg.get("map", {})))]
    return [*found, ("Benchmarks", benchmarks)] if benchmarks else found


def _correction(quoted: Quoted, entry: Mapping[str, Any], models: Sequence[str], row: str) -> str:
    """Say what a correction is and what it was fitted on; ``row`` is what a row of the embeddings is."""
    start = f"Correction {quoted.words(entry['name'])} {CORRECTIONS[entry['kind']]}"
    if entry["kind"] == "none":
        return f"{start}."
    files = [f"corrections/{model}/{entry['name']}.manifest.json" for model in models]
    counts = quoted.value(files[0], "counts") or {}
    fitted_on = {"negcon": f"negative control {row}", "all": row}.get(entry["fit_on"], f"chosen {row}")
    text = f"{start}; units are {'plates' if entry['batch_unit'] == 'plate' else 'batches'}."
    if entry.get("basis"):
        return f"{text} Its basis was taken from elsewhere."
    if counts.get("n_controls"):
        text += f" It was fitted on {quoted.counted(files[0], 'counts.n_controls', fitted_on)}"
        text += f" of {quoted.counted(files[0], 'counts.n_plates', 'plate')}" if counts.get("n_plates") else ""
        text += "."
    if counts.get("steps"):
        text += f" Steps: {'; '.join(quoted.words(step, files[0], 'counts.steps') for step in counts['steps'])}."
    kept = [
        f"{quoted.words(model)} {quoted.number(file, 'counts.components')}"
        for model, file in zip(models, files, strict=True)
        if quoted.value(file, "counts.components")
    ]
    return text + (f" Components: {', '.join(kept)}." if kept else "")


def _maps(quoted: Quoted, models: Sequence[str], corrections: Sequence[str], section: Mapping[str, Any]) -> str:
    file = f"maps/{models[0]}/{corrections[0]}.manifest.json"
    count = quoted.of(len(models) * len(corrections), (), "models x corrections")
    text = (
        f"{number_of(count, 'map')}, one of each model and correction. "
        f"A row is a {quoted.value(file, 'counts.entity')}; "
        f"that of {quoted.words(models[0])} and {quoted.words(corrections[0])} has "
        f"{quoted.counted(file, 'counts.rows', 'row')}, of "
    )
    if cells := quoted.value(file, "counts.n_cells"):
        pairs = quoted.number(file, "counts.n_wells")
        text += f"{quoted.counted(file, 'counts.n_cells', 'cell')} in {pairs} pairs of guide and well"
    else:
        text += quoted.counted(file, "counts.n_wells", "well")
    left = [
        f"{quoted.number(file, f'counts.{key}')} {words}"
        for key, words in LEFT_OUT.items()
        if quoted.value(file, f"counts.{key}")
    ]
    text += f" less those left out: {', '.join(left)}." if left else "."
    how = section.get("aggregate")
    first = "Cells of a guide in one well become a replicate, replicates" if cells else "Wells"
    text += f" {first} become guides and guides rows by {how}." if how else ""
    if section.get("proximity_bias") == "chromosome_arm":
        text += " The mean of unexpressed genes on a gene's chromosome arm was subtracted [@lazar2024]."
    return text


def _benchmark(quoted: Quoted, entry: Mapping[str, Any]) -> str:
    name = entry["name"]
    text = f"{quoted.words(name)}: {BENCHMARKS[entry['kind']]}"
    if entry.get("thresholds"):
        tails = [
            " and ".join(quoted.of(share, (), f"benchmarks.{name}.thresholds") for share in pair)
            for pair in entry["thresholds"]
        ]
        text += f", tails {'; '.join(tails)}"
    known = [quoted.words(name) + "".join(f" [@{key}]" for key in keys) for name, keys in _sources(entry).items()]
    text += f", against {', '.join(known)}" if known else ""
    for key, words in (("n_bootstrap", "bootstrap resamplings"), ("n_shuffles", "label shuffles for chance")):
        if entry.get(key):
            text += f", {quoted.of(entry[key], (), f'benchmarks.{name}.{key}')} {words}"
    return f"{text}."


def _sources(entry: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the sources of known biology that an entry names, with what to cite for each."""
    found = {}
    for value in entry.values():
        named = value if isinstance(value, dict) else {"": value}
        for name, path in named.items():
            if isinstance(path, str) and path.endswith((".csv", ".tsv", ".txt")):
                source = str(name) or PurePath(path).stem
                plain = source.lower().replace(".", "").replace("_", "")
                found[source] = [key for word, key in SOURCES.items() if word in plain]
    return found
