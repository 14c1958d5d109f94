"""What a metric means, in one plain sentence each; docs/benchmarks.md has the protocols."""

from __future__ import annotations

import numpy as np

from platemae.report.scores import Group
from platemae.report.verdicts import SHUFFLED

MEANINGS = {
    "recall": "Of the known pairs, the share among the {alike} most alike or the {unlike} most unlike pairs of the "
    "map.",
    "recall_upper": "Of the known pairs, the share among the {chance} most alike pairs of the map.",
    "recall_min": "The lowest recall of known pairs among maps made without one of the plates.",
    "recall_max": "The highest recall of known pairs among maps made without one of the plates.",
    "share_consistent": "Of the perturbations, the share whose replicates agree more than random sets do (p at most "
    "{threshold}).",
    "share_consistent_bh": "The share of perturbations whose replicates agree, once it is allowed for how many were "
    "tested (false discovery rate {threshold}).",
    "mean_cosine": "How far the replicates of a perturbation point the same way: 1 the same way, 0 none.",
    "mean_angle": "The angle between replicates of a perturbation, in radians: 0 points the same way.",
    "share_active": "Of the perturbations, the share whose wells differ from the negative controls (p at most "
    "{threshold}).",
    "share_active_bh": "The share of perturbations that differ from the negative controls, once it is allowed for how "
    "many were tested (false discovery rate {threshold}).",
    "mean_energy_distance": "How far the wells of a perturbation lie from the negative controls, on average; models "
    "have different units.",
    "leave_one_out_accuracy": "Of the control wells, the share that lies nearer to its own kind of control than to the "
    "other.",
    "dose_spearman": "Whether higher doses lie further along the line from negative to positive controls: 1 always, 0 "
    "no relation.",
    "accuracy": "How often the most similar other profile carries the same label.",
    "mean_average_precision": "How early profiles that belong together come when all are ordered by likeness: 1 is "
    "first.",
    "mean_normalized_average_precision": "How early profiles that belong together come when all are ordered by "
    "likeness: 0 is a random order, 1 is first.",
    "fraction_retrieved": "The share of groups whose profiles find each other better than in random orders, once it is "
    "allowed for how many were tested.",
    "average_precision": "How early a compound's known targets come when genes are ordered by likeness to it: 1 is "
    "first.",
    "auroc": "How often a compound's known target is more like it than a gene that is none: 0.5 is a coin's toss.",
    "ks_median": "How different cosines within a known cluster of genes are from those to the rest of the map: 0 not "
    "at all, 1 wholly.",
    "share_significant": "The share of known clusters whose genes stand apart from the rest of the map (false "
    "discovery rate {threshold}).",
    "cosine_difference": "How much more alike genes of a known cluster are to each other than to the rest of the map.",
    "balanced_accuracy": "How often a simple classifier names the label of wells that it was not fitted on, each label "
    "counting the same.",
    "top1": "How often a simple classifier names the label of wells that it was not fitted on.",
    "median_r2": "How much of a hand-made feature can be read from the vectors, on plates that were not fitted on: 1 "
    "all, 0 nothing.",
    "same_batch_share": "Of a well's nearest neighbours, the share from its own plate or batch.",
    "batch_inverse_simpson": "How many plates or batches a well's neighbours come from: more is better mixed.",
    "batch_silhouette": "How far plates or batches lie apart: 0 mixed, 1 apart.",
    "batch_variance": "The share of the variance that lies between plates or batches.",
    "label_silhouette": "How far perturbations lie apart: higher is better.",
    "cosine_without_plate": "How much a map row keeps its direction when one plate is left out: 1 wholly.",
    "cosine_without_plate_q05": "The same for the 5 % of rows that keep it least.",
    "pair_rank_agreement": "Whether pairs of rows keep their order of likeness when one plate is left out: 1 wholly.",
}

WITHOUT_SHARES = {
    "recall": "Of the known pairs, the share among the most alike or the most unlike pairs of the map.",
    "recall_upper": "Of the known pairs, the share among the most alike pairs of the map.",
}
"""Said where a row has no chance or no threshold, as the least and the highest of several maps have none."""


def meaning(group: Group) -> str:
    """Return what the metric of some rows means; empty for a metric that nobody described here."""
    metric = group.metric.removesuffix(SHUFFLED)
    if metric not in MEANINGS:
        return ""
    if metric != group.metric:
        return f"A check: {metric.replace('_', ' ')} with shuffled labels, which knows nothing and must lie at chance."
    chance = float(group.rows["chance"].iloc[0])
    threshold = float(group.threshold) if group.threshold else np.nan
    shares = {"alike": chance - threshold, "unlike": threshold, "chance": chance}
    if metric in WITHOUT_SHARES and not np.isfinite(chance if metric == "recall_upper" else chance - threshold):
        return WITHOUT_SHARES[metric]
    said = {name: f"{100 * share:.3g} %" for name, share in shares.items()}
    return MEANINGS[metric].format(**said, threshold=group.threshold or "the limit")
