"""What a run starts from: the project, its configuration and its tables, checked before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from platemae.config import Config, read_config
from platemae.config.checks import check_cells, check_images, needs_controls
from platemae.config.chosen_plates import map_plates
from platemae.config.plates import Plate, check_layouts, layout_options, read_plates, resolve
from platemae.config.sections import plate_lists
from platemae.config.slices import basis_path
from platemae.errors import ConfigError, MissingError, raise_all
from platemae.layout import Results
from platemae.sharing.root import shared_root


def find_project() -> Path:
    """Return the folder of the Snakefile: the working directory, or the checkout that this package lies in.

    Raises
    ------
    ConfigError
        When there is none.
    """
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (folder / "Snakefile").is_file() and (folder / "rules" / "common.smk").is_file():
            return folder
    raise ConfigError("there is no platemae Snakefile here", str(Path.cwd()), "run inside the project's folder")


def find_config(configfile: Path | None, project: Path) -> Path:
    """Return the configuration: the one named, else config.yaml of the working directory, else the checkout's."""
    here = Path("config.yaml")
    return (configfile or (here if here.is_file() else project / here)).resolve()


def check_inputs(configfile: Path, project: Path) -> Config:
    """Check the configuration, plates.tsv and all layouts before anything starts.

    Raises
    ------
    ConfigError
        With all problems of the first file that has any.
    """
    config = read_config(configfile)
    shared_root()
    table = plate_table(config, project)
    plates = read_plates(table, [reader.name for reader in config.readers])
    check_images(config, plates)
    check_cells(config, plates)
    raise_all(named_plate_problems(config, plates, str(configfile)))
    raise_all(missing_file_problems(config, plates, table.parent))
    options = layout_options(config.layouts.model_dump(mode="json"), table.parent)
    check_layouts(plates, table.parent, options, needs_controls=needs_controls(config))
    return config


def plate_table(config: Config, project: Path) -> Path:
    """Return the path of plates.tsv.

    Raises
    ------
    ConfigError
        When the default one is meant, and not there yet.
    """
    table = project / config.plates
    if not table.exists() and config.plates == Config().plates:
        remedy = f"platemae synthesize-screen {table.parent}; or, for a project of your own, give --configfile FILE"
        raise ConfigError("the synthetic screen is not there yet", str(table), remedy)
    return table


def check_raw_folders(config: Config, project: Path) -> None:
    """Check that the folders of the plates still to ingest are there; of a cluster only its nodes may see them.

    Raises
    ------
    MissingError
        With all that are not.
    """
    table, results = project / config.plates, Results(project / config.results)
    problems = []
    for plate in read_plates(table, [reader.name for reader in config.readers]):
        folder = resolve(plate.path, table.parent)
        bare = config.entry("readers", plate.reader).kind == "none"
        if not bare and not folder.exists() and not results.manifest("ingest_plate", plate=plate.plate).exists():
            remedy = f"correct column path of {table}, or PLATEMAE_DATA"
            problems.append(MissingError(f"the folder of plate {plate.plate} is missing", str(folder), remedy))
    raise_all(problems)


def named_plate_problems(config: Config, plates: Sequence[Plate], where: str) -> list[ConfigError]:
    """Return the entries of the configuration that name plates which plates.tsv lacks."""
    known = {plate.plate for plate in plates}
    problems = []
    for place, names in plate_lists(config):
        if unknown := sorted(set(names) - known):
            what = f"{place}: no such plate: {', '.join(unknown)}"
            problems.append(ConfigError(what, where, f"plates of plates.tsv: {', '.join(sorted(known))}"))
    return problems


def missing_file_problems(config: Config, plates: Sequence[Plate], base: Path) -> list[MissingError]:
    """Return the tables of profiles and relations that are not there; Snakemake would say so hours later."""
    scored = map_plates(config, plates)
    named = [(f"benchmarks.{b.name}.{key}", path) for b in config.benchmarks for key, path in b.files(scored)]
    single = {"map.chromosome_arms": config.map.chromosome_arms, "report.published": config.report.published}
    named += [(key, path) for key, path in single.items() if path]
    for model in config.models:
        if model.kind == "profiles" and model.source == "table" and model.table:
            tables = dict.fromkeys(model.table.replace("{plate}", plate.plate) for plate in plates)
            named += [(f"models.{model.name}.table", table) for table in tables]
    for entry in config.corrections:
        models = config.rows if entry.basis else []
        named += [(f"corrections.{entry.name}.basis", basis_path(config, entry.name, m.name)) for m in models]
    gone = [(key, path) for key, name in named if not (path := resolve(name, base)).exists()]
    remedy = "correct the path, which starts at the folder of plates.tsv unless it is absolute"
    return [MissingError(f"{key}: there is no such file", str(path), remedy) for key, path in gone]
