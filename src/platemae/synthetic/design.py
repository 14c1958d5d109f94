"""The planted truth: genes in modules, guides, and the well that holds each of them."""

# Shape legend: P parameters of the phenotype

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platemae.synthetic.settings import PHENOTYPE, ScreenSettings

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Gene:
    """A targeted gene; ``module`` is 0 and ``strength`` 0 for an inactive one."""

    name: str
    module: int
    strength: float
    effect_P: Vector


@dataclass(frozen=True)
class Guide:
    """A guide, its efficacy (0 to 1) and the phenotype it gives, off-targets included."""

    name: str
    gene: str
    efficacy: float
    effect_P: Vector


@dataclass(frozen=True)
class Design:
    """Genes, and the guides of genes and controls by name."""

    genes: tuple[Gene, ...]
    guides: dict[str, Guide]


@dataclass(frozen=True)
class Well:
    """One row of a layout; ``row`` and ``column`` count from 1."""

    row: int
    column: int
    perturbation: str
    gene: str
    control_type: str

    @property
    def name(self) -> str:
        """Name such as ``A01``."""
        return f"{chr(ord('A') + self.row - 1)}{self.column:02d}"


@lru_cache(maxsize=4)
def make_design(settings: ScreenSettings) -> Design:
    """Draw genes and guides of a screen.

    A gene's effect is ``strength * effect_size`` along the unit vector of ``module direction + gene_deviation *
    own direction``. Symbols are dealt out at random, so that a name says nothing about its module.
    """
    genes = _make_genes(settings)
    guides: dict[str, Guide] = {}
    rng = settings.rng("guides")
    for gene in genes:
        for number in range(1, settings.guides_per_gene + 1):
            efficacy = _efficacy(settings, rng)
            effect_P = efficacy * gene.effect_P + _offtarget(settings, rng)
            guides[f"{gene.name}_g{number}"] = Guide(f"{gene.name}_g{number}", gene.name, efficacy, effect_P)
    for number in range(1, settings.ntc_guides + 1):
        guides[f"NTC_g{number}"] = Guide(f"NTC_g{number}", "", 0.0, _offtarget(settings, rng))
    strong_P = settings.poscon_strength * settings.effect_size * _unit(settings.rng("poscon"))
    guides["POS"] = Guide("POS", "", 1.0, strong_P)
    return Design(genes, guides)


def relations(settings: ScreenSettings) -> list[tuple[str, str, float]]:
    """Return every pair of genes of one module with the module's strength, sorted by name."""
    pairs: list[tuple[str, str, float]] = []
    for one, two in combinations(make_design(settings).genes, 2):
        if one.module and one.module == two.module:
            pairs.append((one.name, two.name, one.strength))
    return pairs


def make_layout(settings: ScreenSettings, plate: int) -> list[Well]:
    """Return the wells of a plate in row-major order.

    Each control sits at random in one of as many runs of neighbouring wells as there are controls, which spreads
    controls over the whole plate, border included; treatments are shuffled over the rest, anew on each plate.

    Parameters
    ----------
    settings
        The screen.
    plate
        Index of the plate, from 0.
    """
    rng = settings.rng("layout", plate)
    n_wells = settings.rows * settings.columns
    controls = _controls(settings)
    runs = np.array_split(np.arange(n_wells), len(controls))
    spots = [int(rng.choice(run)) for run in runs]
    taken = dict(zip(spots, (controls[i] for i in rng.permutation(len(controls))), strict=True))
    free = rng.permutation([spot for spot in range(n_wells) if spot not in taken])
    targeting = [(guide.name, guide.gene, "treatment") for guide in make_design(settings).guides.values() if guide.gene]
    taken.update(zip(free.tolist(), targeting, strict=False))
    rows = [(spot, taken.get(spot, ("", "", "empty"))) for spot in range(n_wells)]
    return [Well(spot // settings.columns + 1, spot % settings.columns + 1, *what) for spot, what in rows]


def phenotype_of(settings: ScreenSettings, plate: int, spot: int, perturbation: str) -> tuple[Vector, Vector]:
    """Return the effect of the perturbation and the state of the well that it meets, both of shape (P,).

    The state is nuisance: what the batch, the plate and the well (row-major index ``spot``) do to all cells.
    """
    names = list(dict.fromkeys(settings.batches))
    batch = names.index(settings.batches[plate])
    sources: list[tuple[str, float, tuple[int, ...]]] = [("batch state", settings.batch_sd, (batch,))]
    sources += [("plate state", settings.plate_sd, (plate,)), ("well state", settings.well_sd, (plate, spot))]
    state_P = np.zeros(len(PHENOTYPE))
    for stream, spread, index in sources:
        state_P += spread * settings.rng(stream, *index).standard_normal(len(PHENOTYPE))
    guides = make_design(settings).guides
    return (guides[perturbation].effect_P if perturbation in guides else np.zeros(len(PHENOTYPE))), state_P


def truth_table(settings: ScreenSettings) -> list[dict[str, Any]]:
    """Return one row a gene: gene, module, strength and the efficacy of each of its guides."""
    design = make_design(settings)
    table: list[dict[str, Any]] = []
    for gene in design.genes:
        row: dict[str, Any] = {"gene": gene.name, "module": gene.module or "", "strength": gene.strength}
        for number in range(1, settings.guides_per_gene + 1):
            row[f"efficacy_g{number}"] = round(design.guides[f"{gene.name}_g{number}"].efficacy, 4)
        table.append(row)
    return table


def _make_genes(settings: ScreenSettings) -> tuple[Gene, ...]:
    rng = settings.rng("genes")
    names = [f"G{number:03d}" for number in rng.permutation(settings.n_genes) + 1]
    block = settings.modules // len(settings.strengths)
    genes: list[Gene] = []
    for module in range(settings.modules):
        strength, shared_P = settings.strengths[module // block], _unit(rng)
        for _ in range(settings.genes_per_module):
            mixed_P = shared_P + settings.gene_deviation * _unit(rng)
            effect_P = strength * settings.effect_size * mixed_P / np.linalg.norm(mixed_P)
            genes.append(Gene(names[len(genes)], module + 1, strength, effect_P))
    genes += [Gene(name, 0, 0.0, np.zeros(len(PHENOTYPE))) for name in names[len(genes) :]]
    return tuple(sorted(genes, key=lambda gene: gene.name))


def _controls(settings: ScreenSettings) -> list[tuple[str, str, str]]:
    ntc = islice(cycle(range(1, settings.ntc_guides + 1)), settings.negcon_wells)
    return [(f"NTC_g{n}", "", "negcon") for n in ntc] + [("POS", "", "poscon")] * settings.poscon_wells


def _unit(rng: np.random.Generator) -> Vector:
    vector_P = rng.standard_normal(len(PHENOTYPE))
    return vector_P / np.linalg.norm(vector_P)


def _efficacy(settings: ScreenSettings, rng: np.random.Generator) -> float:
    full, inert = float(rng.uniform(*settings.efficacy_range)), bool(rng.random() < settings.inert_share)
    return settings.inert_efficacy if inert else full


def _offtarget(settings: ScreenSettings, rng: np.random.Generator) -> Vector:
    return settings.offtarget_sd * rng.standard_normal(len(PHENOTYPE))
