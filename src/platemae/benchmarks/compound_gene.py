"""Compounds and their genes: how early the known targets of a compound come among genes, by |cosine|.

Protocol of RxRx3-core (EFAAR ``compound_gene_benchmark``, 2024-11): a gene is a target if a measurement of the compound
says <= ``active_nm``; genes with one between that and ``inactive_nm`` are left out; max(2 targets, ``min_negatives``)
negatives are drawn from the other genes of the truth table. AP and AUROC of each compound at each dose, and with the
largest |cosine| over its doses; means over compounds. There negatives come from the order of a Python set, so that its
numbers depend on PYTHONHASHSEED; here from the sorted genes, with a seed of the compound's name. A compound with fewer
genes left than negatives wanted is dropped, as there.

Chance of AP is the expectation of random rankings, of AUROC 0.5; rows ``.._shuffled`` measure random scores on the same
draws. Values are means over ``n_seeds`` draws; intervals resample compounds. AP and AUROC are scikit-learn's, ties
included.

Shapes: C compounds, G genes of the truth table in the map, J compounds at a dose, K candidates of a compound, S seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.bootstrap import FloatArray, IntArray, check_at_least, interval_facts, share_interval
from platemae.benchmarks.compound_targets import check_overlap, draw_candidates, read_truth
from platemae.benchmarks.cosine import GRID, unit_rows
from platemae.benchmarks.plates import PlateInterval, map_plate_interval
from platemae.benchmarks.profiles import names_of
from platemae.benchmarks.ranking_metrics import rank_metrics
from platemae.benchmarks.ranking_null import expected_precision
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.errors import ConfigError, ContractError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "compound_gene"
METRICS = ("average_precision", "auroc")
MAX_DOSE = "max over doses"


@dataclass(frozen=True)
class CompoundGeneSettings:
    """Settings of :class:`CompoundGene`.

    Parameters
    ----------
    truth
        Path of a CSV with compound, gene, nM.
    active_nm, inactive_nm, min_negatives
        See the module.
    n_seeds
        Draws of the negatives.
    n_bootstrap, n_plate_bootstrap
        Resamples of the compounds and of the plates, for the intervals.
    seed
        Of draws and resamples.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("truth",)

    truth: str = ""
    active_nm: float = 1000.0
    inactive_nm: float = 10000.0
    min_negatives: int = 20
    n_seeds: int = 10
    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("n_seeds", "n_bootstrap", "min_negatives"):
            check_at_least(getattr(self, key), 1, key)
        for key in ("n_plate_bootstrap", "seed"):
            check_at_least(getattr(self, key), 0, key)
        if not 0 < self.active_nm <= self.inactive_nm:
            what = f"active_nm is {self.active_nm:g}, inactive_nm {self.inactive_nm:g}"
            raise ConfigError(what, "benchmarks: active_nm", "use 0 < active_nm <= inactive_nm")


class CompoundGene:
    """The benchmark as the registry offers it."""

    Settings: ClassVar[type[CompoundGeneSettings]] = CompoundGeneSettings

    @staticmethod
    def score(scored: Scored, settings: CompoundGeneSettings) -> pd.DataFrame:
        """Score a map of genes and of compounds, with doses apart or together.

        Raises
        ------
        ContractError
            If the map does not tell genes and compounds.
        InputError
            If the table is wrong, or shares no compound or gene with the map.
        """
        task = _Task.of(scored.gene_map.obs, scored.gene_map.X, settings)
        sources, values_MC, random_MC = task.measure(np.asarray(scored.gene_map.X))
        plates = map_plate_interval(scored, lambda x: task.means(x), settings.n_plate_bootstrap, settings.seed)
        return score_table(_rows(task, sources, values_MC, random_MC, settings, plates))


@dataclass(frozen=True, eq=False)
class _Task:
    """Candidates of every compound, and where their rows lie in the map.

    ``pick`` (C, S, K) are positions in ``gene_row``, -1 beyond a compound's candidates; the first ``n_positive`` (C,)
    are its targets. ``row``, ``owner`` and ``dose`` (J,) are the map's rows of compounds.
    """

    compounds: list[str]
    gene_row: IntArray
    pick: IntArray
    n_positive: IntArray
    row: IntArray
    owner: IntArray
    dose: FloatArray
    notes: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @classmethod
    def of(cls, obs: pd.DataFrame, x: Any, settings: CompoundGeneSettings) -> _Task:
        """Lay the table onto the map.

        Raises
        ------
        ContractError, InputError
            See :meth:`CompoundGene.score`.
        """
        lost = [name for name in ("entity_kind", "gene", "compound") if name not in obs.columns]
        if lost:
            remedy = "build the map with map.entity: gene_and_compound"
            raise ContractError(f"no column {', '.join(lost)}", "perturbation map, obs", remedy)
        kind_N, usable_N = names_of(obs, "entity_kind"), unit_rows(np.asarray(x))[1]
        genes = _positions(names_of(obs, "gene"), (kind_N == "gene") & usable_N)
        compound_N = names_of(obs, "compound")
        compound_rows = np.flatnonzero((kind_N == "compound") & usable_N)
        truth = read_truth(Path(settings.truth))
        check_overlap("gene", set(truth["gene"]), set(genes), settings.truth)
        check_overlap("compound", set(truth["compound"]), set(compound_N[compound_rows]), settings.truth)
        pool = sorted(set(truth["gene"]) & set(genes))
        known = sorted(set(truth["compound"]) & set(compound_N[compound_rows]))
        drawn = draw_candidates(truth, pool, known, settings)
        position = {name: index for index, name in enumerate(drawn.compounds)}
        row = np.array([index for index in compound_rows if compound_N[index] in position], dtype=np.int64)
        owner = np.array([position[compound_N[index]] for index in row], dtype=np.int64)
        dose_N = pd.to_numeric(obs["concentration"], errors="coerce") if "concentration" in obs else None
        dose = np.full(len(row), np.nan) if dose_N is None else dose_N.to_numpy(np.float64)[row]
        notes = {
            "n_genes_pool": len(pool),
            "n_compounds_truth_outside_map": truth["compound"].nunique() - len(known),
            "n_rows_without_direction": int((~usable_N).sum()),
            **drawn.notes,
        }
        gene_row = np.array([genes[name] for name in pool], dtype=np.int64)
        return cls(drawn.compounds, gene_row, drawn.pick, drawn.n_positive, row, owner, dose, notes, settings.seed)

    def measure(self, x: npt.NDArray[Any]) -> tuple[list[str], FloatArray, FloatArray]:
        """Return sources, AP and AUROC (2 sources, C, S), and those of random scores; NaN for a compound without a row.

        The metrics of a source follow each other.
        """
        u_ND, usable_N = unit_rows(x)
        cosine_JG = np.rint(np.abs(u_ND[self.row] @ u_ND[self.gene_row].T) * GRID)
        cosine_JG[~usable_N[self.row]] = np.nan
        cosine_JG[:, ~usable_N[self.gene_row]] = np.nan
        doses = np.unique(self.dose[np.isfinite(self.dose)])
        sources, values, random = [MAX_DOSE], [self._over(cosine_JG, None)], [self._random()]
        for dose in doses.tolist():
            sources.append(f"dose {dose:.10g}")
            at_dose = self._over(cosine_JG, self.dose == dose)
            values.append(at_dose)
            random.append(np.where(np.isfinite(at_dose), random[0], np.nan))
        return sources, np.concatenate(values), np.concatenate(random)

    def means(self, x: npt.NDArray[Any]) -> FloatArray:
        """Return the mean over compounds of every metric of every source; NaN for none."""
        values_MCS = self.measure(x)[1]
        counts_M = np.isfinite(values_MCS).sum(axis=(1, 2))
        return np.where(counts_M > 0, np.nansum(values_MCS, axis=(1, 2)) / np.maximum(counts_M, 1), np.nan)

    def _over(self, cosine_JG: FloatArray, of_J: npt.NDArray[np.bool_] | None) -> FloatArray:
        """Return (2, C, S) with the largest score over the chosen rows of each compound."""
        chosen = np.arange(len(self.row)) if of_J is None else np.flatnonzero(of_J)
        chosen = chosen[np.argsort(self.owner[chosen], kind="stable")]
        owners, starts = np.unique(self.owner[chosen], return_index=True)
        best_CG = np.full((len(self.compounds), len(self.gene_row)), np.nan)
        if len(chosen):
            best_CG[owners] = np.fmax.reduceat(cosine_JG[chosen], starts, axis=0)
        score_CSK = np.take_along_axis(best_CG[:, None, :], np.maximum(self.pick, 0), axis=2)
        return self._rank(score_CSK)

    def _random(self) -> FloatArray:
        """Return (2, C, S) of random scores."""
        return self._rank(np.random.default_rng([self.seed, len(self.compounds)]).random(self.pick.shape))

    def _rank(self, score_CSK: FloatArray) -> FloatArray:
        count, seeds, width = self.pick.shape
        valid_CSK = (self.pick >= 0) & np.isfinite(score_CSK)
        positive_CSK = np.broadcast_to(np.arange(width) < self.n_positive[:, None, None], valid_CSK.shape)
        shape = (count * seeds, width)
        found = rank_metrics(score_CSK.reshape(shape), positive_CSK.reshape(shape), valid_CSK.reshape(shape))
        return np.stack(found).reshape(2, count, seeds)


def _positions(names: npt.NDArray[np.object_], chosen: npt.NDArray[np.bool_]) -> dict[str, int]:
    return {str(names[index]): int(index) for index in np.flatnonzero(chosen)}


def _rows(
    task: _Task,
    sources: list[str],
    values_MCS: FloatArray,
    random_MCS: FloatArray,
    settings: CompoundGeneSettings,
    plates: PlateInterval,
) -> Iterator[ScoreRow]:
    n_total_C = (task.pick[:, 0] >= 0).sum(axis=1) if len(task.compounds) else np.zeros(0, dtype=np.int64)
    expected_C = expected_precision(task.n_positive, n_total_C)
    for index, (source, metric) in enumerate((source, metric) for source in sources for metric in METRICS):
        for suffix, all_values in (("", values_MCS), ("_shuffled", random_MCS)):
            measured_C = np.isfinite(all_values[index]).any(axis=1)
            values_CS = all_values[index][measured_C]
            row = ScoreRow(BENCHMARK, source, metric + suffix, n=len(values_CS), detail=dict(task.notes))
            if not len(values_CS):
                yield _with(row, reason="no compound can be scored")
                continue
            yield _filled(row, values_CS, expected_C[measured_C], settings, plates, index)


def _with(row: ScoreRow, **facts: Any) -> ScoreRow:
    return ScoreRow(**{**vars(row), "detail": {**row.detail, **facts}})


def _filled(
    row: ScoreRow,
    values_CS: FloatArray,
    expected_C: FloatArray,
    settings: CompoundGeneSettings,
    plates: PlateInterval,
    index: int,
) -> ScoreRow:
    """Return a row with value, interval and chance."""
    shuffled, mean_C = row.metric.endswith("_shuffled"), np.nanmean(values_CS, axis=1)
    per_seed_S = np.nanmean(values_CS, axis=0)
    low, high = share_interval(mean_C, settings.n_bootstrap, settings.seed)
    chance = float(expected_C.mean()) if row.metric.startswith(METRICS[0]) else 0.5
    facts = {
        "n_seeds": settings.n_seeds,
        "sd_over_seeds": float(per_seed_S.std(ddof=1)) if len(per_seed_S) > 1 else None,
        "quartiles_over_compounds": np.quantile(mean_C, [0.25, 0.5, 0.75]).tolist(),
        **interval_facts(len(mean_C)),
    }
    value = {"value": float(mean_C.mean()), "ci_low": low, "ci_high": high, "chance": chance}
    made = _with(ScoreRow(**{**vars(row), **value}), **facts)
    return made if shuffled else plates.into(made, index)
