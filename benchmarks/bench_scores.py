"""Recall, consistency and energy distance against loops that do what the peer does: one run, seconds, memory, equality.

``python benchmarks/bench_scores.py`` prints a markdown table; :func:`measure` returns its rows. The peers are rewrites
of EFAAR_benchmarking's steps: a labelled cosine frame of all genes, its values sorted for every source; cosines of one
perturbation at a time; three distance matrices for every perturbation.
Shapes: G genes, N wells, D dimensions, P pairs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import anndata as ad
import numpy as np
import numpy.typing as npt
import pandas as pd
from child_memory import in_child
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity

from platemae.benchmarks.annotations import Relations
from platemae.benchmarks.consistency_null import control_null
from platemae.benchmarks.magnitude import MagnitudeSettings, _Wells
from platemae.benchmarks.recall import RecallSettings, score_recall
from platemae.benchmarks.replicates import Replicates
from platemae.benchmarks.scored import Scored

FloatArray = npt.NDArray[np.float64]
SEED = 0
THRESHOLDS = ((0.05, 0.95), (0.1, 0.9))
SOURCES = {"CORUM": 37_649, "HuMAP": 58_538, "Reactome": 18_565, "SIGNOR": 11_617, "StringDB": 58_059}
"""Pairs of the sources that the peer ships, at 17,000 genes; fewer genes take a proportional share."""


def make_map(n_genes: int, dims: int) -> tuple[FloatArray, list[str], dict[str, Relations]]:
    """Draw a map of genes in loose modules, and as many pairs as the shipped sources have, half of them in modules."""
    rng = np.random.default_rng(SEED)
    x_GD = (
        rng.standard_normal((n_genes, dims)) + rng.standard_normal((n_genes // 10 + 1, dims))[np.arange(n_genes) // 10]
    )
    genes = [f"GENE{place:05d}" for place in range(n_genes)]
    sources = {}
    for name, full in SOURCES.items():
        count = full * n_genes // 17_000
        left_P = rng.integers(0, n_genes, count)
        near_P = left_P // 10 * 10 + rng.integers(0, 10, count)
        right_P = np.where(rng.random(count) < 0.5, np.minimum(near_P, n_genes - 1), rng.integers(0, n_genes, count))
        pairs = np.unique(np.sort(np.column_stack([left_P, right_P])[left_P != right_P], axis=1), axis=0)
        table = pd.DataFrame({"entity1": np.array(genes)[pairs[:, 0]], "entity2": np.array(genes)[pairs[:, 1]]})
        sources[name] = Relations(table, {"pairs": len(table)})
    return x_GD, genes, sources


def our_recall(x_GD: FloatArray, genes: list[str], sources: dict[str, Relations]) -> list[float]:
    """Run the package: recall of all sources, without the intervals that the peer has not."""
    settings = RecallSettings(thresholds=THRESHOLDS, n_bootstrap=0, n_shuffles=0)
    table = score_recall(x_GD, genes, sources, settings)
    return list(table.loc[table["metric"] == "recall", "value"])


def labelled_recall(x_GD: FloatArray, genes: list[str], sources: dict[str, Relations]) -> list[float]:
    """Look pairs up in a labelled frame of all cosines, and rank them in the sorted null of each source."""
    frame = pd.DataFrame(cosine_similarity(x_GD), index=genes, columns=genes)
    null_P = frame.to_numpy()[np.triu_indices(len(genes), k=1)]
    found = []
    for relations in sources.values():
        pairs = relations.pairs[relations.pairs.isin(genes).all(axis=1)]
        query_P = np.array([frame.at[a, b] for a, b in pairs.itertuples(index=False)])
        sorted_P = np.sort(null_P)
        left_P = np.searchsorted(sorted_P, query_P, side="left") / len(sorted_P)
        right_P = np.searchsorted(sorted_P, query_P, side="right") / len(sorted_P)
        found += [float(((right_P <= lo) | (left_P >= hi)).mean()) for lo, hi in THRESHOLDS]
    return found


def cosine_floor(x_GD: FloatArray, genes: list[str], sources: dict[str, Relations]) -> None:
    """Multiply once, in blocks: no exact recall does without."""
    for start in range(0, len(x_GD), 512):
        _ = x_GD[start : start + 512] @ x_GD[start:].T


def make_wells(n_perturbations: int, replicates: int, dims: int, n_null: int) -> tuple[Replicates]:
    """Draw wells: perturbations with an effect each, and null perturbations of the negative controls."""
    rng = np.random.default_rng(SEED)
    effect = 0.3 * rng.standard_normal((n_perturbations, dims))
    total = n_perturbations + n_null
    name_N = np.repeat([f"p{i:05d}" for i in range(total)], replicates).astype(object)
    treated_N = np.arange(total * replicates) < n_perturbations * replicates
    x_ND = rng.standard_normal((total * replicates, dims))
    x_ND[treated_N] += effect.repeat(replicates, axis=0)
    batch_N = np.full(len(name_N), "b", dtype=object)
    label_N, control_N = np.where(treated_N, name_N, ""), np.where(treated_N, "", name_N)
    return (Replicates(x_ND, np.arange(len(name_N)), label_N, control_N, batch_N),)


def our_consistency(wells: Replicates) -> FloatArray:
    """Run the package against null perturbations: agreement and p of every perturbation."""
    null = control_null(wells, (), "cosine", 0.05, SEED)
    return null.table(np.ones(len(wells.x), dtype=np.int64)).to_numpy()


def looped_consistency(wells: Replicates) -> FloatArray:
    """Take the cosines of one perturbation at a time, then count the null above."""
    means = []
    for name_N in (wells.label, wells.control):
        groups = pd.Series(np.arange(len(name_N))).groupby(name_N).indices
        found = {}
        for name in sorted(set(groups) - {""}):
            cosine = cosine_similarity(wells.x[groups[name]])
            found[name] = cosine[np.triu_indices(len(cosine), k=1)].mean()
        means.append(np.array(list(found.values())))
    own_P, null_S = means[0], np.sort(means[1])
    above_P = np.array([len(null_S) - np.searchsorted(null_S, value) for value in own_P])
    return np.column_stack([own_P, (1 + above_P) / (1 + len(null_S))])


def make_scored(n_perturbations: int, replicates: int, dims: int, n_controls: int) -> tuple[Scored]:
    """Draw wells with controls for the energy distance."""
    rng = np.random.default_rng(SEED)
    x_ND = rng.standard_normal((n_perturbations * replicates + n_controls, dims))
    names = np.repeat([f"p{i:05d}" for i in range(n_perturbations)], replicates)
    kind = np.repeat(["treatment", "negcon"], [len(names), n_controls])
    name = np.append(names, np.repeat("", n_controls))
    obs = pd.DataFrame({"Metadata_Gene": name, "Metadata_Perturbation": name, "Metadata_Control_Type": kind})
    obs = obs.assign(Metadata_Plate="p", Metadata_Well=[f"{i:06d}" for i in range(len(obs))])
    x_ND[: len(names)] += 0.2 * rng.standard_normal((n_perturbations, dims)).repeat(replicates, axis=0)
    return (Scored(read_wells=lambda: ad.AnnData(x_ND, obs=obs.set_axis(obs["Metadata_Well"]))),)


def our_energy(scored: Scored) -> float:
    """Run the package: energy distances and p against 999 sets of controls; the mean with self pairs."""
    wells = _Wells.of(scored, MagnitudeSettings())
    return wells.with_self_pairs(wells.measure(np.ones(scored.wells.n_obs, dtype=np.int64)))


def looped_energy(scored: Scored) -> float:
    """Compute the three distance matrices of one perturbation at a time, as the peer's loss does; no p."""
    x_ND, gene_N = np.asarray(scored.wells.X), scored.wells.obs["Metadata_Gene"].to_numpy()
    controls = x_ND[gene_N == ""]
    found = []
    for name in sorted(set(gene_N) - {""}):
        own = x_ND[gene_N == name]
        found.append(2 * cdist(own, controls).mean() - cdist(own, own).mean() - cdist(controls, controls).mean())
    return float(np.mean(found))


def compare(
    task: str,
    prepare: Callable[..., tuple[Any, ...]],
    sizes: tuple[int, ...],
    work: dict[str, Callable[..., Any]],
    runs: int,
) -> dict[str, Any]:
    """Time ours, peer and, where there is one, the floor in turn, and compare what ours and the peer return."""
    inputs = prepare(*sizes)
    seconds: dict[str, list[float]] = {name: [] for name in work}
    results: dict[str, Any] = {}
    for _ in range(runs):
        for name, function in work.items():
            start = time.perf_counter()
            results[name] = function(*inputs)
            seconds[name].append(time.perf_counter() - start)
    ratios = [peer / ours for ours, peer in zip(seconds["ours"], seconds["peer"], strict=True)]
    worst = float(np.abs(np.asarray(results["ours"]) - np.asarray(results["peer"])).max())
    note = f"{runs} runs, ratio {min(ratios):.1f} to {max(ratios):.1f}; largest difference {worst:.1e}"
    note += f", {os.environ.get('OMP_NUM_THREADS', 'all')} BLAS threads"
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {"task": task, **medians, "unit": "s", "ratio": statistics.median(ratios), "note": note}


def memory(
    task: str, prepare: Callable[..., tuple[Any, ...]], sizes: tuple[int, ...], work: dict[str, Any]
) -> dict[str, Any]:
    """Compare peak memory beside the input, each in a process of its own."""
    ours, peer = (in_child(prepare, work[name], *sizes)["mib"] for name in ("ours", "peer"))
    row = {
        "ours": ours,
        "peer": peer,
        "unit": "MiB",
        "ratio": ours / peer,
        "note": "beside the input; ratio: ours / peer",
    }
    return {"task": f"{task}: extra memory", **row}


def measure(
    n_genes: int = 17_000, n_perturbations: int = 2_000, n_far: int = 200, runs: int = 3
) -> list[dict[str, Any]]:
    """Measure recall, consistency and energy distance.

    Parameters
    ----------
    n_genes
        Of the map for recall; the peer's memory grows with its square, 5.6 GB at 17,000.
    n_perturbations, n_far
        With eight wells each, for consistency and for energy distance (1,000 controls).
    runs
        Of each.
    """
    recall = {"ours": our_recall, "peer": labelled_recall}
    task = f"recall {n_genes:,} x 384, five sources"
    rows = [compare(task, make_map, (n_genes, 384), {**recall, "ceiling": cosine_floor}, runs)]
    rows.append(memory(task, make_map, (n_genes, 384), recall))
    for task, prepare, sizes, work in (
        (
            f"consistency {n_perturbations:,} x 8 x 384, 200 null perturbations",
            make_wells,
            (n_perturbations, 8, 384, 200),
            {"ours": our_consistency, "peer": looped_consistency},
        ),
        (
            f"energy distance {n_far:,} x 8 x 384, 1,000 controls (ours: p, too)",
            make_scored,
            (n_far, 8, 384, 1000),
            {"ours": our_energy, "peer": looped_energy},
        ),
    ):
        rows.append(compare(task, prepare, sizes, work, runs))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--genes", type=int, default=17_000)
    parser.add_argument("--perturbations", type=int, default=2_000)
    parser.add_argument("--far", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    rows = measure(args.genes, args.perturbations, args.far, args.runs)
    columns = ("task", "ours", "peer", "ceiling", "unit", "ratio", "note")
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
    for row in rows:
        cells = [row.get(column, "") for column in columns]
        print("| " + " | ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in cells) + " |")


if __name__ == "__main__":
    main()
