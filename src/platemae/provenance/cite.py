"""``platemae cite`` and ``platemae crate``: of the results that a configuration names."""

from __future__ import annotations

from pathlib import Path

from platemae.config import read_config, stage_config
from platemae.config.plates import read_plates
from platemae.contracts import write_text
from platemae.holding.hold import check_at_rest
from platemae.inputs import find_config, find_project
from platemae.layout import Results
from platemae.methods.text import Methods, methods_text
from platemae.provenance.crate import UNSTATED, write_crate
from platemae.provenance.jobs import job_records, versions


def cite(configfile: Path | None) -> Methods:
    """Return the methods section of the results of a configuration.

    Raises
    ------
    PlatemaeError
        When configuration or plates.tsv are wrong, or a job is not done.
    """
    project = find_project()
    config = read_config(find_config(configfile, project))
    plates = read_plates(project / config.plates, [reader.name for reader in config.readers])
    results = Results(project / config.results)
    return methods_text(results, stage_config(config, plates, "render_report"), versions(job_records(results)))


def write_methods(methods: Methods, folder: Path) -> list[Path]:
    """Write ``methods.md`` and ``references.bib``."""
    files = {"methods.md": methods.markdown(), "references.bib": methods.bibtex()}
    for name, text in files.items():
        write_text(folder / name, text)
    return [folder / name for name in files]


def crate(root: Path | None, configfile: Path | None, licence: str | None) -> Path:
    """Write the RO-Crate of a results folder, or of that of a configuration, in which no run works.

    Raises
    ------
    PlatemaeError
        When there is no finished job, or a run works there.
    """
    project = find_project()
    config = read_config(find_config(configfile, project))
    results = Results(root or project / config.results)
    check_at_rest(results)
    return write_crate(results, project, config.report.title, licence or UNSTATED)
