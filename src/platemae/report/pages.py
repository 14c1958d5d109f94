"""The pages of the report and what stands on each, in order; a section has ``build(source) -> Section``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from platemae.report.blocks import Page, Section
from platemae.report.sections import (
    corrections,
    embeddings,
    intensity,
    maps,
    overview,
    plates,
    provenance,
    reconstructions,
    scaling,
    scores,
    training,
)
from platemae.report.source import Source

Build = Callable[[Source], Section]


@dataclass(frozen=True)
class Plan:
    """One page: its anchor, the word on its tab, and the builders of its sections."""

    key: str
    title: str
    builds: tuple[Build, ...]


PAGES = (
    Plan("overview", "Overview", (overview.build,)),
    Plan("plates", "Plates", (plates.build, intensity.build)),
    Plan("models", "Models", (training.build, reconstructions.build)),
    Plan("embeddings", "Embeddings", (embeddings.build,)),
    Plan("maps", "Maps", (maps.build,)),
    Plan("corrections", "Corrections", (corrections.build,)),
    Plan("benchmarks", "Benchmarks", (scores.build, scaling.build)),
    Plan("provenance", "Provenance", (provenance.build,)),
)


def build_pages(source: Source) -> list[Page]:
    """Return all pages of a results folder."""
    return [Page(plan.key, plan.title, [build(source) for build in plan.builds]) for plan in PAGES]
