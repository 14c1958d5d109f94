"""What the configuration and plates.tsv must agree on before anything starts."""

from __future__ import annotations

from collections.abc import Sequence

from platemae.config.plates import Plate
from platemae.config.sections import Config
from platemae.contracts import TABLE_KINDS
from platemae.errors import ConfigError


def check_images(config: Config, plates: Sequence[Plate]) -> None:
    """Check that plates without images meet no model that needs some.

    Raises
    ------
    ConfigError
        Naming the plates and the models.
    """
    bare = sorted(p.plate for p in plates if config.entry("readers", p.reader).kind == "none")
    needy = [m.name for m in config.models if m.kind != "profiles" or m.source == "intensity_means"]
    if bare and needy:
        what = f"plates without images: {', '.join(bare[:8])}; models that need them: {', '.join(needy[:8])}"
        remedy = "give the plates a reader, or keep models of kind profiles alone (source: table or well_position)"
        raise ConfigError(what, "plates.tsv, column reader; models", remedy)


def needs_controls(config: Config) -> bool:
    """Return whether a map or a correction is fitted on negative controls."""
    maps = [config.entry("intensity", name) for name in config.used_intensity]
    of_maps = any(entry.kind == "quantile" and entry.fit_on == "negcon" for entry in maps)
    of_corrections = any(e.fit_on == "negcon" and e.kind != "none" and not e.basis for e in config.corrections)
    return of_maps or of_corrections


def check_cells(config: Config, plates: Sequence[Plate]) -> None:
    """Check that plates have a table of cells where a model's rows are cells.

    Raises
    ------
    ConfigError
        Naming the plates and the models.
    """
    arrayed = sorted(p.plate for p in plates if not p.cells)
    asking = [
        m.name
        for m in config.models
        if m.kind not in TABLE_KINDS and (config.embed.model_dump() | m.embed)["rows"] == "cell"
    ]
    if arrayed and asking:
        what = (
            f"plates without a table of cells: {', '.join(arrayed[:8])}; models with rows cell: {', '.join(asking[:8])}"
        )
        remedy = "name their cells in plates.tsv, or let embed.rows be well, field or crop"
        raise ConfigError(what, "plates.tsv, column cells; embed.rows", remedy)
