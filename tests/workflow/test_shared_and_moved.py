"""Two projects with one shared folder, results that move, and what is said of the runs."""

import json
import re

import pytest
import yaml

from platemae.layout import MANIFESTS, Results
from platemae.provenance.crate import READS
from platemae.provenance.run_record import run_records
from platemae.sharing.root import SHARED
from platemae.standing.record import made_with
from platemae.standing.verify import manifests, verify
from tests.workflow.conftest import make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The shared folder, in the environment of all runs of this file."""
    folder = tmp_path_factory.mktemp("group") / "shared"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SHARED, str(folder))
        yield folder


@pytest.fixture(scope="module")
def one(tmp_path_factory, project, tiny_screen, shared):
    """A project that ran to the end."""
    made = make_project(tmp_path_factory.mktemp("one") / "project", project, tiny_screen)
    made.run()
    return made


def results_of(made, name="results"):
    return Results(made.root / name)


def configure(made, **sections):
    path = made.root / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections, sort_keys=False))


def jobs_of_last_run(made, name="results"):
    last = run_records(results_of(made, name))[-1]
    assert last["exit_code"] == 0
    return {stage: found["jobs"] for stage, found in last["stages"].items()}


def test_a_second_project_takes_plates_and_training(one, shared, tmp_path, project, tiny_screen):
    two = make_project(tmp_path / "project", project, tiny_screen)
    configure(two, plates=str(one.root / "screen/plates.tsv"))
    done = two.run("--target", "models_all")
    told = done.stdout + done.stderr
    assert len(re.findall(r"plate P\d is taken from", told)) == 2
    assert "step 1" not in (two.root / "results/logs/train_model/mae.log").read_text()
    for path in ("plates/P1.manifest.json", "plates/P2.manifest.json", "models/mae/manifest.json"):
        assert (two.root / "results" / path).read_bytes() == (one.root / "results" / path).read_bytes()
    assert (two.root / "results/plates/P1.zarr").resolve().is_relative_to(shared)
    assert verify(two.root / "results").findings == []
    assert two.stale("--target", "models_all") == {}


def test_the_record_of_a_run_counts_its_jobs(one):
    stages = jobs_of_last_run(one)
    assert stages["ingest_plate"] == 2
    assert stages["train_model"] == 1
    assert stages["correct_plate"] == 8
    (record,) = run_records(results_of(one))
    for stage, found in record["stages"].items():
        files = (one.root / "results/provenance" / stage).glob("*.json")
        jobs = [json.loads(path.read_text()) for path in files if ".inventory." not in path.name]
        assert found["seconds"] == pytest.approx(sum(job["seconds"] for job in jobs))


def test_what_a_stage_reads_in_the_crate_is_what_its_rule_reads(one):
    writes = {re.sub(r"{\w+}", "[^/]+", pattern): stage for stage, pattern in MANIFESTS.items()}
    for stage, wildcards, path in manifests(results_of(one)):
        real = json.loads(path.read_text())["stage"] if stage == "embed_plate" else stage
        for read in made_with(results_of(one), real, wildcards).inputs or ():
            found = {by for pattern, by in writes.items() if re.fullmatch(pattern, read)}
            assert not found or found & set(READS[real]), (real, read)


def test_results_that_move_hold_and_rerun_nothing(one):
    """With stores that lie in the shared folder, after `platemae crate`."""
    one.call("-m", "platemae.cli", "crate")
    cited = one.call("-m", "platemae.cli", "cite").stdout
    target = one.root.parent / "elsewhere"
    (one.root / "results").rename(target)
    configure(one, results=str(target))
    try:
        assert verify(target).findings == []
        assert one.stale() == {}
        assert "nothing is stale" in one.call("-m", "platemae.cli", "explain").stdout
        assert one.call("-m", "platemae.cli", "cite").stdout == cited
        one.run()
        assert jobs_of_last_run(one, str(target)) == {}
    finally:
        target.rename(one.root / "results")
        configure(one, results="results")


def cleaned(made, *arguments):
    return json.loads(made.call("-m", "platemae.cli", "clean", "--json", *arguments).stdout)


def listed(made, *arguments):
    """Return group and reason -> paths."""
    found = cleaned(made, *arguments)["leftovers"]
    return {(each["group"], each["what"].split(" of settings")[0]): each["where"] for each in found}


def test_what_is_asked_for_no_more_is_listed_and_removed_by_name(one, shared):
    """The last test of this file: it changes the project."""
    assert cleaned(one) == {"command": "clean", "form": 1, "leftovers": [], "notes": [], "removed": []}
    values = yaml.safe_load((one.root / "config.yaml").read_text())
    assert [entry["name"] for entry in values["corrections"]] == ["none", "tvn"]
    of_p1 = {"fit_plates": ["P1"]}
    configure(
        one,
        train=values["train"] | {"lr": 0.5},
        intensity=[values["intensity"][0] | of_p1],
        datasets=[values["datasets"][0] | {"plates": ["P1"]}],
        corrections=[values["corrections"][1] | of_p1],
    )
    table = one.root / "screen/plates.tsv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if not line.startswith("P2\t")))
    (state,) = (one.root / "results/models/.state").iterdir()
    stores = sorted((shared / "plates").iterdir())

    found = listed(one)
    training = ("trainings", "finished training of kind mae, 4 steps,")
    gone = "plate P2 is not in plates.tsv"
    none = ("results", "correction none is not in the configuration")
    assert set(found) == {("plates", gone), ("results", gone), none, training}
    assert found[training] == [f"models/.state/{state.name}"]
    assert found["plates", gone] == ["plates/P2.manifest.json", "plates/P2.fields.parquet", "plates/P2.zarr"]

    listed(one, "--remove", "results", "trainings")
    assert not state.is_symlink()
    one.call("-m", "platemae.cli", "crate")  # the earlier one describes what went
    assert verify(one.root / "results").findings == []
    assert {path.name for path in (one.root / "results/corrected/means").iterdir()} == {"tvn"}
    assert (one.root / "results/plates/P2.zarr").exists(), "plates were not named"
    listed(one, "--remove", "plates")
    assert not (one.root / "results/plates/P2.zarr").is_symlink()
    assert sorted((shared / "plates").iterdir()) == stores, "they are others', too"
    assert cleaned(one)["leftovers"] == []
