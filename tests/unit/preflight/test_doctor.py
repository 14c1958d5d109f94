"""Doctor and refresh: what is wrong or has changed is told before anything runs."""

import errno
import shutil
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import yaml

from platemae.cli import main
from platemae.contracts import Manifest
from platemae.errors import ConfigError, MissingError
from platemae.inputs import check_inputs
from platemae.layout import Results
from platemae.preflight.doctor import doctor, read_project
from platemae.preflight.refresh import refresh
from platemae.sharing.root import SHARED
from platemae.stages import ingest_plate

WELLS = ("A01", "A02", "B01")
LAYOUT = "well\tperturbation\tgene\tcontrol_type\nA01\t\t\tnegcon\nA02\tg1\tTP53\ttreatment\nB01\tg2\tMYC\ttreatment\n"


def write_plate(folder, channels=("dna", "er")):
    folder.mkdir(parents=True)
    for i, well in enumerate(WELLS):
        for channel in channels:
            tifffile.imwrite(folder / f"{well}_{channel}.tif", np.full((40, 48), 100 + i, np.uint16))


@pytest.fixture
def project(tmp_path):
    """Two plates of three wells and two channels; returns the configuration file."""
    stains = {"dna": "Hoechst", "er": "ConA"}
    channels = [{"source": c, "name": c.upper(), "stain": stains[c]} for c in stains]
    reader = {"name": "scope", "kind": "pattern", "pattern": r"(?P<well>[A-P]\d+)_(?P<channel>\w+)\.tif"}
    config = {
        "results": str(tmp_path / "results"),
        "plates": str(tmp_path / "plates.tsv"),
        "readers": [reader | {"channels": channels, "pixel_size_um": 0.5}],
        "corrections": [{"name": "none", "kind": "none"}],
        "benchmarks": [{"name": "replicates", "kind": "replicate_consistency"}],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "layout.tsv").write_text(LAYOUT)
    rows = [f"{p}\tb1\tscope\traw/{p}\tlayout.tsv" for p in ("P1", "P2")]
    (tmp_path / "plates.tsv").write_text("\n".join(["plate\tbatch\treader\tpath\tlayout", *rows]) + "\n")
    for plate in ("P1", "P2"):
        write_plate(tmp_path / "raw" / plate)
    return tmp_path / "config.yaml"


def test_a_sound_project_has_no_problem_and_says_what_it_holds(project, capsys):
    assert main(["doctor", "--configfile", str(project)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "P1: 3 wells, 3 fields, 2 channels, 40 x 48 uint16, 0.5 µm a pixel, 1 negcon, 2 treatment"
    )
    # 2 plates x 3 fields x 2 channels x 40 x 48 x 2 bytes; 3 files a field, one a well, a row and the plate
    assert "stores of 2 plates still to ingest: at most 0.00 GB" in lines[2]
    assert f"{2 * (3 * 3 + 3 + 2 + 1)} files and {2 * (5 * 3 + 3 + 2 + 1)} folders" in lines[2]
    assert lines[-1] == "no problem found"


def test_the_files_and_folders_that_are_foretold_are_those_that_are_written(project):
    config, plates, base, results = read_project(project)
    from platemae.config import stage_config
    from platemae.preflight.doctor import check_plates

    cfg = stage_config(config, plates, "ingest_plate", plate="P1")
    ingest_plate.run(results, cfg, plate="P1", base=base, threads=1)
    written = [results.store("P1"), *results.store("P1").rglob("*")]
    foretold = check_plates(config, plates[:1], base)[0]
    assert foretold.store_files == sum(path.is_file() for path in written)
    assert foretold.store_folders == sum(path.is_dir() for path in written)


def test_all_problems_of_all_plates_come_together(project, capsys):
    raw = project.parent / "raw"
    (raw / "P1" / "A02_er.tif").unlink()
    (raw / "P2" / "C05_dna.tif").write_bytes((raw / "P2" / "A01_dna.tif").read_bytes())
    assert main(["doctor", "--configfile", str(project)]) == 2
    out, err = capsys.readouterr()
    assert "no file for plate P1, well A02, field 0, channel ER" in err
    assert "1 wells of plate P2 are not in its layout: C05" in err
    assert out.splitlines()[-1].endswith("problems")


def test_a_disk_that_is_too_small_is_told(project, monkeypatch):
    import os

    class Full:
        f_bavail, f_frsize, f_favail = 1, 512, 3

    monkeypatch.setattr(os, "statvfs", lambda path: Full)
    problems = doctor(project).problems
    assert [p.what.split(":")[0] for p in problems] == ["the disk may be too small", "the disk may hold too few files"]


def test_a_shared_folder_that_takes_no_writing_is_told(project, tmp_path, monkeypatch):
    (tmp_path / "shared" / "models").mkdir(parents=True)
    monkeypatch.setenv(SHARED, str(tmp_path / "shared"))
    assert doctor(project).problems == ()
    assert [path.name for path in (tmp_path / "shared").rglob("*")] == ["models"]

    def anothers(dir):
        if dir.name == "models":
            raise PermissionError(errno.EACCES, "Permission denied")
        return tempfile.SpooledTemporaryFile()

    monkeypatch.setattr(tempfile, "TemporaryFile", anothers)
    (problem,) = doctor(project).problems
    assert problem.where == str(tmp_path / "shared/models")
    assert "umask 002" in problem.remedy


def test_plates_of_a_training_set_that_lack_a_stain_are_named(project):
    config = yaml.safe_load(project.read_text())
    one = config["readers"][0]
    other = one | {
        "name": "other",
        "channels": one["channels"][:1],
        "pattern": r"(?P<well>[A-P]\d+)_(?P<channel>dna)\.tif",
    }
    project.write_text(yaml.safe_dump(config | {"readers": [one, other]}))
    table = project.parent / "plates.tsv"
    table.write_text(table.read_text().replace("P2\tb1\tscope", "P2\tb1\tother"))
    problems = doctor(project).problems
    assert [p.what for p in problems] == ["plate P2 has no channel of ER, which others of the training set have"]


def ingest(project, plate="P1"):
    from platemae.config import stage_config

    config, plates, base, results = read_project(project)
    cfg = stage_config(config, plates, "ingest_plate", plate=plate)
    manifest = ingest_plate.run(results, cfg, plate=plate, base=base, threads=1)
    manifest.write(results.manifest("ingest_plate", plate=plate))
    return manifest


def test_refresh_has_a_changed_plate_ingested_again_and_leaves_others_alone(project):
    results = Results(project.parent / "results")
    assert refresh("P1", project) == ["plate P1 was not ingested yet; the next run ingests it"]
    first = ingest(project)
    assert refresh("P1", project) == ["plate P1 is as it was: 6 images; nothing to do"]
    assert Manifest.read(results.manifest("ingest_plate", plate="P1")).digest == first.digest
    tifffile.imwrite(project.parent / "raw/P1/A02_er.tif", np.full((40, 48), 9, np.uint16))
    lines = refresh("P1", project)
    assert lines[0] == "1 changed: A02_er.tif"
    assert not results.manifest("ingest_plate", plate="P1").exists()
    assert results.store("P1").is_dir()
    assert ingest(project).digest != first.digest


def test_refresh_changes_nothing_when_the_folder_does_not_fit(project):
    results = Results(project.parent / "results")
    ingest(project)
    shutil.rmtree(project.parent / "raw/P1")
    with pytest.raises(FileNotFoundError, match="folder of a plate is missing"):
        refresh("P1", project)
    assert results.manifest("ingest_plate", plate="P1").exists()
    with pytest.raises(ConfigError, match="there is no plate P9"):
        refresh("P9", project)


def test_a_plate_as_one_file_of_8_bits_needs_less(project):
    from platemae.preflight.doctor import check_plates

    config, plates, base, _ = read_project(project)
    small = config.ingest.model_copy(update={"form": "zip", "dtype": "uint8"})
    plain, less = (
        check_plates(config.model_copy(update={"ingest": ingest}), plates[:1], base)[0]
        for ingest in (config.ingest, small)
    )
    assert less.store_files == 1
    assert less.store_bytes * 2 == plain.store_bytes


def test_a_disk_without_enough_inodes_is_told_folders_counted(project, monkeypatch, capsys):
    """Each field has three files and five folders: quotas count both."""
    needed = 2 * (8 * 3 + 2 * (3 + 2 + 1))
    space = SimpleNamespace(f_bavail=10**9, f_frsize=4096, f_favail=needed)
    monkeypatch.setattr("platemae.preflight.doctor.os.statvfs", lambda _: space)
    assert main(["doctor", "--configfile", str(project)]) == 0
    space.f_favail -= 1
    assert main(["doctor", "--configfile", str(project)]) == 2
    assert f"{needed} inodes needed, {needed - 1} are free" in capsys.readouterr().err


def change(project, **sections):
    """Change sections of the configuration; return what the doctor then says: lines, and problems as text."""
    project.write_text(yaml.safe_dump(yaml.safe_load(project.read_text()) | sections))
    found = doctor(project)
    lines, problems = found.lines(), list(found.problems)
    return lines, [problem.what for problem in problems]


def test_controls_that_are_lacking_are_told_before_a_network_is_trained(project):
    lines, problems = change(project, corrections=[{"name": "tvn", "kind": "tvn"}])
    assert problems == ["fewer than 2 negative controls on plates P1 (1), P2 (1)"]
    assert lines[-1] == "1 problem"
    for settings in ({"batch_unit": "batch"}, {"few_controls": "pool"}):
        assert change(project, corrections=[{"name": "tvn", "kind": "tvn"} | settings])[1] == []
    one = {"name": "tvn", "kind": "tvn", "few_controls": "pool", "fit_plates": ["P1"]}
    assert change(project, corrections=[one])[1] == ["fewer than 2 negative controls on all fit plates"]
    layout = project.parent / "layout.tsv"
    layout.write_text(LAYOUT.replace("negcon", "empty") + "H12\tDMSO\t\tempty\n")
    found = doctor(project)
    lines, problems = found.lines(), list(found.problems)
    assert lines[0].endswith("1 empty, 2 treatment")  # H12 was not imaged
    assert [p.what for p in problems] == ["no imaged well of the whole run is a negative control"]


def one_well(project):
    """Reduce plate P1 to a well of the negative control, and the screen to P1."""
    for path in (project.parent / "raw/P1").glob("*.tif"):
        if not path.name.startswith("A01"):
            path.unlink()
    for name in ("plates.tsv", "layout.tsv"):
        path = project.parent / name
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))


def test_a_screen_of_one_control_well_is_told_that_it_trains_nothing_and_maps_nothing(project):
    one_well(project)
    means = [{"name": "means", "kind": "profiles", "source": "intensity_means"}]
    no_row = "no imaged well is a treatment and names a gene, so the map would have no row"
    assert change(project)[1] == ["the training set has 1 imaged well, and two are needed", no_row]
    assert change(project, models=means)[1] == [no_row], "a training set that no model uses is not made"


def test_treated_wells_that_name_no_row_of_the_map_are_told(project):
    no_row = "no imaged well is a treatment and names a {}, so the map would have no row"
    project.parent.joinpath("layout.tsv").write_text(LAYOUT.replace("TP53", "").replace("MYC", ""))
    for entity, name in (("gene", "gene"), ("gene_and_compound", "gene or a compound")):
        assert change(project, map={"entity": entity})[1] == [no_row.format(name)]
    assert change(project, map={"entity": "perturbation"})[1] == []


def test_wells_that_fit_on_selects_are_counted_before_a_network_is_trained(project):
    def told(**settings):
        return change(project, corrections=[{"name": "tvn", "kind": "tvn"} | settings])[1]

    assert told(fit_on="all") == []
    query = "Metadata_Perturbation in ['g1', 'g2']"
    assert told(fit_on=query) == []
    assert told(fit_on="Metadata_Plate == 'P1'") == [
        "fewer than 2 wells that fit_on selects (Metadata_Plate == 'P1') on plate P2 (0)"
    ]
    assert told(fit_on="Metadata_Plate == 'P1'", few_controls="skip") == []
    assert told(fit_on="Metadata_Gene == 'none'", few_controls="skip") == [
        "fewer than 2 wells that fit_on selects (Metadata_Gene == 'none') on all fit plates"
    ]
    assert told(fit_on="Metadata_Site == 'x'") == [], "no layout tells the fields: not judged"


def test_of_one_thing_the_doctor_speaks_in_the_singular(project):
    one_well(project)
    lines = change(project)[0]
    assert lines[0].startswith("P1: 1 well, 1 field, 2 channels")
    assert lines[1].startswith("store of 1 plate still to ingest: at most")
    ingest(project)
    assert change(project)[0][1] == "all plates are ingested"


def test_a_frozen_basis_that_is_not_there_is_told(project):
    frozen = {"name": "tvn", "kind": "tvn", "few_controls": "pool", "basis": "old/{model}.npz"}
    _, problems = change(project, corrections=[frozen])
    assert problems
    assert set(problems) == {"corrections.tvn.basis: there is no such file"}


def test_an_intensity_map_without_controls_on_its_plates_is_told(project):
    (project.parent / "bare.tsv").write_text(LAYOUT.replace("negcon", "empty"))
    table = project.parent / "plates.tsv"
    table.write_text(table.read_text().replace("raw/P2\tlayout.tsv", "raw/P2\tbare.tsv"))
    maps = [{"name": "controls", "fit_plates": ["P2"]}]
    assert change(project, intensity=maps)[1] == ["no well of the fit plates is a negative control"]
    assert change(project, intensity=[maps[0] | {"fit_on": "all"}])[1] == []


def test_a_plate_outside_the_training_set_needs_its_stains_too(project):
    config = yaml.safe_load(project.read_text())
    one = config["readers"][0]
    other = one | {
        "name": "other",
        "channels": one["channels"][:1],
        "pattern": r"(?P<well>[A-P]\d+)_(?P<channel>dna)\.tif",
    }
    table = project.parent / "plates.tsv"
    table.write_text(table.read_text().replace("P2\tb1\tscope", "P2\tb1\tother"))
    _, problems = change(project, readers=[one, other], datasets=[{"name": "screen", "plates": ["P1"]}])
    assert problems == ["plate P2 has no channel of ER, which these models look at: mae_tiny, untrained"]
    assert change(project, map={"plates": ["P1"]})[1] == []  # P2 is not embedded then


def test_what_a_run_refuses_at_its_start_the_doctor_tells_too(project):
    datasets = [{"name": "screen", "plates": ["P1", "P9"]}]
    _, problems = change(project, datasets=datasets, map={"plates": ["P8"]})
    assert problems == ["map.plates: no such plate: P8", "datasets.screen.plates: no such plate: P9"]
    config = yaml.safe_load(project.read_text())
    ingest = {"dtype": "uint8", "uint8_range": {"DNA": [0, 4095]}}
    project.write_text(yaml.safe_dump({k: v for k, v in config.items() if k not in ("datasets", "map")}))
    assert change(project, ingest=ingest)[1] == ["the 8-bit store has no range for ER"] * 2


def test_tables_that_are_not_there_are_told_at_the_start(project, tmp_path):
    benchmarks = [
        {"name": "pairs", "kind": "known_relations", "relations": "pairs.csv"},
        {"name": "cp", "kind": "feature_regression", "features": "{plate}_f.csv"},
    ]
    models = [{"name": "cp", "kind": "profiles", "source": "table", "table": "{plate}.csv"}]
    (tmp_path / "P1.csv").touch()
    (tmp_path / "P1_f.csv").touch()
    assert change(project, benchmarks=benchmarks, models=models)[1] == [
        "benchmarks.pairs.relations: there is no such file",
        "benchmarks.cp.features: there is no such file",
        "models.cp.table: there is no such file",
    ]
    (tmp_path / "pairs.csv").touch()
    (tmp_path / "P2_f.csv").touch()
    with pytest.raises(MissingError, match="no such file") as error:
        check_inputs(project, tmp_path)
    assert error.value.where == str(tmp_path / "P2.csv")


def test_missing_images_that_are_allowed_are_still_counted(project):
    (project.parent / "raw" / "P1" / "A02_er.tif").unlink()
    lines, problems = change(project, ingest={"allow_missing": True})
    assert problems == []
    assert lines[0].endswith("; 1 image missing")
