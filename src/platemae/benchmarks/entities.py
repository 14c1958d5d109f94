"""Which row of the map each well belongs to.

A row is a gene, a compound, or whatever a column of ``obs`` says. Compounds may have a row for each concentration, and
genes and compounds may share one map, as in RxRx3.

Shapes: N wells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.text_table import BLANK
from platemae.errors import ContractError, InputError, PlatemaeError, raise_all

if TYPE_CHECKING:
    from platemae.benchmarks.aggregate import AggregateSettings

TextArray = npt.NDArray[np.object_]

GENE, COMPOUND, DOSE = "Metadata_Gene", "Metadata_Compound", "Metadata_Concentration"
GENE_AND_COMPOUND = "gene_and_compound"
ENTITIES = {
    "gene": GENE,
    "compound": COMPOUND,
    "perturbation": "Metadata_Perturbation",
    GENE_AND_COMPOUND: GENE_AND_COMPOUND,
}
"""Columns of ``obs`` by what the configuration calls a row of the map."""
TREATMENT = "treatment"
_SHOWN = 20


@dataclass(frozen=True, eq=False)
class Entities:
    """Rows of the map that wells belong to.

    Parameters
    ----------
    name
        (N,) the row, empty for none: a gene, a compound, or ``compound@concentration``.
    kind
        (N,) ``gene``, ``compound`` or ``perturbation``; of a column of another name, its name.
    guide
        (N,) what is aggregated first, empty for none.
    compound, concentration
        (N,) of wells of compounds; empty and NaN elsewhere.
    """

    name: TextArray
    kind: TextArray
    guide: TextArray
    compound: TextArray
    concentration: npt.NDArray[np.float64]


def needed_columns(settings: AggregateSettings) -> list[str]:
    """Return the columns of ``obs`` that a map reads."""
    entity = [GENE, COMPOUND] if settings.entity == GENE_AND_COMPOUND else [settings.entity]
    doses = [DOSE] if settings.doses == "apart" and COMPOUND in entity else []
    return ["Metadata_Plate", "Metadata_Well", "Metadata_Control_Type", *entity, *doses, settings.guide]


def name_entities(obs: pd.DataFrame, settings: AggregateSettings) -> Entities:
    """Tell the row of every well, controls included.

    Parameters
    ----------
    obs
        Metadata of the wells.
    settings
        ``entity``, ``guide`` and ``doses``.

    Raises
    ------
    ContractError
        If a column is not there.
    InputError
        If treated wells name a gene and a compound where both have rows, a concentration is no number, a guide belongs
        to two entities, or a gene and a compound bear one name.
    """
    lost = [column for column in needed_columns(settings) if column not in obs.columns]
    if lost:
        raise ContractError(f"no column {', '.join(lost)}", "corrected wells, obs", "run correct_plate again")
    treated_N = (obs["Metadata_Control_Type"].astype(str) == TREATMENT).to_numpy()
    guide_N = names(obs, settings.guide)
    gene_N, compound_N = _owners(obs, settings)
    dose_N = np.full(len(obs), np.nan)
    problems: list[PlatemaeError] = []
    if settings.doses == "apart" and (compound_N != "").any():
        text_N = names(obs, DOSE)
        dose_N = np.where(compound_N != "", pd.to_numeric(pd.Series(text_N), errors="coerce"), np.nan)
        bad_N = treated_N & (compound_N != "") & (text_N != "") & ~np.isfinite(dose_N)
        problems += _wells(obs, bad_N, "have a concentration that is no number", f"column {DOSE}")
    both_N = treated_N & (gene_N != "") & (compound_N != "")
    problems += _wells(obs, both_N, "name a gene and a compound", f"columns {GENE}, {COMPOUND}")
    owner_N = np.where(gene_N != "", gene_N, compound_N).astype(object)
    problems += _torn(owner_N[treated_N], guide_N[treated_N], settings)
    shared = set(gene_N[treated_N]) & set(compound_N[treated_N]) - {""}
    problems += _shared_names(sorted(map(str, shared)))
    raise_all(problems)
    kind_N = np.where(compound_N != "", "compound", _kind(settings)).astype(object)
    return Entities(_with_doses(owner_N, dose_N), kind_N, guide_N, compound_N, dose_N)


def names(obs: pd.DataFrame, column: str) -> TextArray:
    """Return a column as text without blanks around; a missing value, as whatever it is written, is empty."""
    values = obs[column].astype(object)
    text = values.where(values.notna(), "").astype(str).str.strip()
    return text.where(~text.isin(BLANK), "").to_numpy(dtype=object)


def _owners(obs: pd.DataFrame, settings: AggregateSettings) -> tuple[TextArray, TextArray]:
    """Return names of rows that are no compounds, and of compounds."""
    none_N = np.full(len(obs), "", dtype=object)
    if settings.entity == GENE_AND_COMPOUND:
        return names(obs, GENE), names(obs, COMPOUND)
    if settings.entity == COMPOUND:
        return none_N, names(obs, COMPOUND)
    return names(obs, settings.entity), none_N


def _kind(settings: AggregateSettings) -> str:
    column = GENE if settings.entity == GENE_AND_COMPOUND else settings.entity
    return column.removeprefix("Metadata_").lower()


def _with_doses(owner_N: TextArray, dose_N: npt.NDArray[np.float64]) -> TextArray:
    found = [
        f"{owner}@{dose:.10g}" if np.isfinite(dose) else owner for owner, dose in zip(owner_N, dose_N, strict=True)
    ]
    return np.array(found, dtype=object)


def _wells(obs: pd.DataFrame, bad_N: npt.NDArray[np.bool_], what: str, where: str) -> Iterator[InputError]:
    if bad_N.any():
        bad = obs[bad_N]
        wells = (bad["Metadata_Plate"].astype(str) + ":" + bad["Metadata_Well"].astype(str)).tolist()
        more = f" and {len(wells) - _SHOWN} more" if len(wells) > _SHOWN else ""
        remedy = "correct the layouts, or let map.entity be gene or compound alone"
        yield InputError(f"{len(wells)} treated wells {what}: {', '.join(wells[:_SHOWN])}{more}", where, remedy)


def _torn(owner_N: TextArray, guide_N: TextArray, settings: AggregateSettings) -> Iterator[InputError]:
    named_N = owner_N != ""
    owners = pd.Series(owner_N[named_N]).groupby(guide_N[named_N]).nunique()
    torn = [guide for guide, count in owners.items() if count > 1 and guide != ""]
    if torn:
        word = "compound" if settings.entity == COMPOUND else "gene"
        what = f"{len(torn)} guides belong to more than one {word}: {', '.join(map(str, torn[:_SHOWN]))}"
        yield InputError(what, f"columns {settings.guide}, {settings.entity}", "correct the layouts")


def _shared_names(shared: list[str]) -> Iterator[InputError]:
    if shared:
        what = f"{len(shared)} names are of a gene and of a compound: {', '.join(shared[:_SHOWN])}"
        yield InputError(what, f"columns {GENE}, {COMPOUND}", "rename one of the two in the layouts")
