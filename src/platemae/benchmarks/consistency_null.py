"""What the consistency of a perturbation is compared with: random sets of wells, or perturbations that do nothing.

Shapes: N wells, P perturbations, S null values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from platemae.benchmarks.bootstrap import FloatArray, IntArray
from platemae.benchmarks.cosine import unit_rows
from platemae.benchmarks.replicate_sets import MOST_WELLS, Group, Measure, Sets, by_size, groups, member_wells, p_values
from platemae.benchmarks.replicates import Replicates
from platemae.errors import InputError

_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Null:
    """Perturbations and their null; :meth:`table` measures them with any weights of the wells.

    Parameters
    ----------
    place
        (N,) positions of the wells in ``scored.wells``.
    groups
        Perturbations with random sets.
    own, controls
        Perturbations by number of wells, and for each number the null perturbations, where the null is made of these.
    names
        Of all perturbations; those in none of the sets have no value.
    chance
        Mean agreement under the null.
    facts
        Counts for ``detail``.
    reason
        Why no p can be trusted, if so.
    """

    place: IntArray
    groups: list[Group] = field(default_factory=list)
    own: list[tuple[list[str], Sets]] = field(default_factory=list)
    controls: list[list[tuple[list[str], Sets]]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    chance: float = np.nan
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    def table(self, weight_N: IntArray) -> pd.DataFrame:
        """Return agreement and p by perturbation, NaN where there is none.

        Parameters
        ----------
        weight_N
            (N,) how often each row of ``scored.wells`` counts.
        """
        weight_N = weight_N[self.place]
        parts = []
        for group in self.groups:
            own_P, p_P = group.p_values(weight_N)
            parts.append(pd.DataFrame({"agreement": own_P, "p": p_P}, index=group.names))
        for (names, sets), controls in zip(self.own, self.controls, strict=True):
            null_S = np.concatenate([[], *(null.weighted(weight_N[null.wells]) for _, null in controls)])
            own_P = sets.weighted(weight_N[sets.wells])
            parts.append(pd.DataFrame({"agreement": own_P, "p": p_values(null_S, own_P)}, index=names))
        empty = pd.DataFrame({"agreement": [], "p": []}, dtype=np.float64)
        return (pd.concat(parts) if parts else empty).reindex(self.names)


def sets_needed(alpha: float) -> int:
    """Return how many null values p <= ``alpha`` needs: the smallest p is 1 / (1 + n)."""
    return int(np.ceil(1 / alpha - 1e-9)) - 1


def random_null(
    wells: Replicates, names: list[str] | None, matched: bool, measure: Measure, n_null: int, seed: int
) -> Null:
    """Compare with sets of wells drawn from all treated ones.

    Parameters
    ----------
    wells
        Of all plates.
    names
        Perturbations to measure; None for all.
    matched
        Draw as many wells of each batch as the perturbation has.
    measure, n_null, seed
        See :func:`groups`.
    """
    u_ND, usable_N = unit_rows(wells.x)
    labels = sorted(set(wells.label[wells.label != ""].astype(str))) if names is None else names
    found = member_wells(wells.label, usable_N)
    members, crowded = _sized({name: found[name] for name in labels if name in found})
    pool = np.flatnonzero(usable_N & (wells.label != "")).astype(np.int64)
    batch_N = wells.batch if matched else None
    made = list(groups(u_ND, members, pool, batch_N, measure, n_null, seed))
    facts = {"n_null": n_null, **crowded, "n_batches": len(np.unique(wells.batch.astype(str)))}
    chance = np.concatenate([[], *(group.null.agreement() for group in made)])
    mean = float(chance.mean()) if len(chance) else np.nan
    return Null(wells.place, groups=made, names=labels, chance=mean, facts=facts)


def control_null(wells: Replicates, null_names: Sequence[str], measure: Measure, alpha: float, seed: int) -> Null:
    """Compare with perturbations that do nothing.

    The mean over few pairs spreads wider than that over many: of a null perturbation with more wells than the one that
    is compared with it, as many are drawn. With fewer it is taken whole, which errs to the careful side.

    Parameters
    ----------
    wells
        Of all plates.
    null_names
        Rows of the map that do nothing; none: the perturbations of the negative controls.
    measure
        Agreement.
    alpha
        Where fewer null perturbations are left than p <= alpha needs, the null says why.
    seed
        Of the wells drawn.

    Raises
    ------
    InputError
        If a null perturbation is not there.
    """
    u_ND, usable_N = unit_rows(wells.x)
    labels = sorted(set(wells.label[wells.label != ""].astype(str)))
    lost = sorted(set(null_names) - set(labels))
    if lost:
        what = f"{len(lost)} null perturbations are not among the treated wells: {', '.join(lost[:_SHOWN])}"
        raise InputError(what, "benchmarks: null_perturbations", "name rows of the map, in its spelling")
    known = list(null_names) or sorted(set(wells.control[wells.control != ""].astype(str)))
    of_null = member_wells(wells.label if len(null_names) else wells.control, usable_N)
    nulls = _cut({name: of_null[name] for name in sorted(set(known)) if name in of_null}, MOST_WELLS, seed)
    scored = [name for name in labels if name not in set(null_names)]
    found = member_wells(wells.label, usable_N)
    members, crowded = _sized({name: found[name] for name in scored if name in found})
    own = by_size(u_ND, members, measure)
    controls = [by_size(u_ND, _cut(nulls, sets.wells.shape[1], seed), measure) for _, sets in own]
    values: FloatArray = np.concatenate([[], *(sets.agreement() for _, sets in by_size(u_ND, nulls, measure))])
    facts = {"n_null": len(nulls), "n_null_dropped": len(set(known)) - len(nulls), **crowded}
    needed = sets_needed(alpha)
    few = f"{len(nulls)} null perturbations with two replicates, {needed} are needed for p <= {alpha:g}"
    reason = few if len(nulls) < needed else ""
    mean = float(values.mean()) if len(values) else np.nan
    return Null(wells.place, own=own, controls=controls, names=scored, chance=mean, facts=facts, reason=reason)


def _cut(members: dict[str, IntArray], size: int, seed: int) -> dict[str, IntArray]:
    """Draw ``size`` wells of each perturbation that has more."""
    rng = np.random.default_rng([seed, size])
    drawn = {name: np.sort(rng.choice(own, size, replace=False)) for name, own in members.items() if len(own) > size}
    return {name: drawn.get(name, own) for name, own in members.items()}


def _sized(members: dict[str, IntArray]) -> tuple[dict[str, IntArray], dict[str, Any]]:
    """Leave out perturbations with too many wells for pairs to be weighed, and tell which."""
    crowded = [name for name, wells in members.items() if len(wells) > MOST_WELLS]
    kept = {name: wells for name, wells in members.items() if name not in set(crowded)}
    return kept, {"more_than_128_wells": crowded[:_SHOWN]} if crowded else {}
