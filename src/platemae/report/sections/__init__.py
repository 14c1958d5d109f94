"""The sections of the page, one module each with ``build(source) -> Section``, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable

from platemae.report.blocks import Section
from platemae.report.sections import (
    corrections,
    embeddings,
    intensity,
    overview,
    plates,
    provenance,
    reconstructions,
    scaling,
    scores,
    training,
)
from platemae.report.source import Source

SECTIONS: tuple[Callable[[Source], Section], ...] = (
    overview.build,
    plates.build,
    intensity.build,
    training.build,
    reconstructions.build,
    embeddings.build,
    corrections.build,
    scores.build,
    scaling.build,
    provenance.build,
)
