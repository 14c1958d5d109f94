"""The pooled form of the screen: the same cells, guides and optics, but every cell of a well carries its own guide."""

# Shape legend: K cells, P phenotype parameters, C channels, H W field

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platemae.synthetic.cells import form_cells, paint_field, scatter
from platemae.synthetic.design import Guide, Well, make_design, phenotype_of
from platemae.synthetic.effects import brightness_of, expose, plate_effect, well_effect
from platemae.synthetic.settings import PHENOTYPE, ScreenSettings

POOLED = "pooled"
"""Perturbation of every well."""


@dataclass(frozen=True)
class PooledSettings(ScreenSettings):
    """Parameters of a pooled screen: few wells of many cells; genes, guides and nuisances as in the arrayed one.

    Parameters
    ----------
    negcon_share, poscon_share
        Share of cells with a non-targeting guide, and with the positive control; the guides of genes share the others
        evenly. The control wells of the arrayed screen have no meaning here.

    Raises
    ------
    ConfigError
        When the parameters contradict each other (all problems at once).
    """

    rows: int = 2
    columns: int = 3
    fields_per_well: int = 12
    height: int = 320
    width: int = 320
    negcon_share: float = 0.15
    poscon_share: float = 0.05

    @property
    def wells_needed(self) -> int:
        """Number of wells that the guides need: one holds them all."""
        return 1

    def _problems(self) -> list[tuple[str, str]]:
        shares = (self.negcon_share, self.poscon_share, 1 - self.negcon_share - self.poscon_share)
        wrong = [("the shares of controls leave no cell for a gene", "let them be positive and below 1 together")]
        return super()._problems() + (wrong if min(shares) <= 0 else [])


def pooled_layout(settings: PooledSettings) -> list[Well]:
    """Return the wells of a plate in row-major order, all of them pooled."""
    places = [(row, column) for row in range(1, settings.rows + 1) for column in range(1, settings.columns + 1)]
    return [Well(row, column, POOLED, "", "treatment") for row, column in places]


def draw_pooled(settings: PooledSettings, plate: int, well: Well, field: int) -> NDArray[np.uint16]:
    """Return the camera counts of one field (index from 0) of a well, (C, H, W) uint16."""
    spot, rng = _stream(settings, plate, well, field)
    seen = well_effect(settings, plate, well.row, well.column)
    y_K, x_K = scatter(settings, seen.density, rng)
    guides = _guides(settings, plate, spot, field, len(y_K))
    effect_KP = np.array([guide.effect_P for guide in guides]).reshape(len(y_K), len(PHENOTYPE))
    _, state_P = phenotype_of(settings, plate, spot, "")
    cells = form_cells(settings, y_K, x_K, effect_KP, state_P, rng)
    gain_KC = np.array([brightness_of(settings, effect_P) for effect_P in effect_KP], np.float32)
    stain_CHW = paint_field(settings, cells, rng, gain_KC)
    return expose(settings, stain_CHW, plate_effect(settings, plate), seen, rng)


@lru_cache(maxsize=8)
def cell_table(settings: PooledSettings, plate: int) -> tuple[dict[str, Any], ...]:
    """Return one row a cell of a plate whose centre lies inside its field: where it is, and which guide it carries."""
    rows: list[dict[str, Any]] = []
    for well in pooled_layout(settings):
        for field in range(settings.fields_per_well):
            rows += _cells_of_field(settings, plate, well, field)
    return tuple(rows)


def _cells_of_field(settings: PooledSettings, plate: int, well: Well, field: int) -> list[dict[str, Any]]:
    spot, rng = _stream(settings, plate, well, field)
    y_K, x_K = scatter(settings, well_effect(settings, plate, well.row, well.column).density, rng)
    guides = _guides(settings, plate, spot, field, len(y_K))
    place = {"plate": settings.plates[plate], "well": well.name, "field": field + 1}
    rows: list[dict[str, Any]] = []
    for y, x, guide in zip(y_K.round(2), x_K.round(2), guides, strict=True):
        if 0 <= y < settings.height and 0 <= x < settings.width:
            label = {"perturbation": guide.name, "gene": guide.gene, "control_type": _control_type(guide)}
            rows.append(place | {"cell": len(rows) + 1, "y": f"{y:.2f}", "x": f"{x:.2f}"} | label)
    return rows


def _stream(settings: PooledSettings, plate: int, well: Well, field: int) -> tuple[int, np.random.Generator]:
    spot = (well.row - 1) * settings.columns + well.column - 1
    return spot, settings.rng("field", plate, spot, field)


def _guides(settings: PooledSettings, plate: int, spot: int, field: int, count: int) -> list[Guide]:
    """Deal a guide to each cell of a field, from a stream of their own."""
    every = list(make_design(settings).guides.values())
    kinds = np.array([_control_type(guide) for guide in every])
    share = {"negcon": settings.negcon_share, "poscon": settings.poscon_share}
    share["treatment"] = 1 - settings.negcon_share - settings.poscon_share
    chance = np.array([share[kind] / np.sum(kinds == kind) for kind in kinds])
    picked = settings.rng("cell guides", plate, spot, field).choice(len(every), count, p=chance / chance.sum())
    return [every[i] for i in picked]


def _control_type(guide: Guide) -> str:
    if guide.gene:
        return "treatment"
    return "poscon" if guide.name == "POS" else "negcon"
