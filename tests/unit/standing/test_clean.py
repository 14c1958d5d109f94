"""What the configuration asks for no more is named by its reason, and goes only where it was named."""

import json
import os
import shutil

import pytest
import yaml

from platemae.cli import main
from platemae.contracts import Manifest
from platemae.holding.note import Note, Run, identity, this_host, write_note
from platemae.layout import OUTPUTS, Results
from platemae.standing.verify import verify


def finish(results, stage, **wildcards):
    """Leave what a job leaves, as far as names go."""
    for pattern in OUTPUTS[stage]:
        path = results.root / pattern.format(**wildcards)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 1000)
    Manifest(stage, "0").write(results.manifest(stage, **wildcards))


@pytest.fixture
def screen(tmp_path):
    """Two plates on file, a third from before; a correction from before; returns the configuration."""
    results = Results(tmp_path / "results")
    (tmp_path / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\tx\tnegcon\n")
    rows = [f"{p}\tB1\tsynthetic\traw\tlayout.tsv" for p in ("P1", "P2")]
    (tmp_path / "plates.tsv").write_text("\n".join(["plate\tbatch\treader\tpath\tlayout", *rows]) + "\n")
    config = {
        "results": str(results.root),
        "plates": str(tmp_path / "plates.tsv"),
        "models": [{"name": "means", "kind": "profiles", "source": "intensity_means"}],
        "corrections": [{"name": "tvn", "kind": "tvn"}],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    for plate in ("P1", "P2", "P3"):
        finish(results, "ingest_plate", plate=plate)
        (results.store(plate) / "A").mkdir(parents=True)
        (results.store(plate) / "A" / "0").write_text("y" * 500)
        finish(results, "correct_plate", model="means", correction="tvn", plate=plate)
    finish(results, "score_map", model="means", correction="old")
    return tmp_path / "config.yaml"


def clean(screen, capsys, *arguments):
    assert main(["clean", "--json", "--configfile", str(screen), *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_listed_has_a_reason_and_a_size(screen, capsys):
    found = clean(screen, capsys)["leftovers"]
    listed = {(each["group"], each["what"]): each["where"] for each in found}
    assert listed == {
        ("plates", "plate P3 is not in plates.tsv"): [
            "plates/P3.manifest.json",
            "plates/P3.fields.parquet",
            "plates/P3.zarr",
        ],
        ("results", "plate P3 is not in plates.tsv"): [
            "corrected/means/tvn/P3.manifest.json",
            "corrected/means/tvn/P3.h5ad",
        ],
        ("results", "correction old is not in the configuration"): [
            "scores/means/old.manifest.json",
            "scores/means/old.parquet",
        ],
    }
    manifest = (screen.parent / "results/plates/P3.manifest.json").stat().st_size
    assert {each["bytes"] for each in found if each["group"] == "plates"} == {1500 + manifest}
    assert main(["clean", "--configfile", str(screen)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "to remove: platemae clean --remove results plates"


def test_only_what_is_named_goes(screen, capsys):
    root = screen.parent / "results"
    before = {path for path in root.rglob("*") if path.is_file()}
    assert clean(screen, capsys, "--remove", "results")["removed"] == ["results"]
    went = before - {path for path in root.rglob("*") if path.is_file()}
    assert {path.name for path in went} == {"P3.h5ad", "P3.manifest.json", "old.parquet", "old.manifest.json"}
    assert (root / "plates/P3.manifest.json").exists()
    assert not (root / "scores").exists(), "an empty folder says nothing"
    clean(screen, capsys, "--remove", "plates")
    assert clean(screen, capsys)["leftovers"] == []
    assert sorted(path.name for path in (root / "plates").glob("*.zarr")) == ["P1.zarr", "P2.zarr"]


def test_what_a_removal_that_was_cut_short_left_is_found_again(screen, capsys):
    half = screen.parent / "results/models/.state/.abc.tmp-removed"
    half.mkdir(parents=True)
    (found,) = [each for each in clean(screen, capsys)["leftovers"] if each["group"] == "trainings"]
    assert found["where"] == ["models/.state/.abc.tmp-removed"]
    clean(screen, capsys, "--remove", "trainings")
    assert not half.exists()


def test_a_store_whose_removal_was_killed_is_found_again(screen, capsys, monkeypatch):
    """The manifest is gone, so nothing but the name of the half tells of it."""
    root = screen.parent / "results"

    def killed(path):
        (path / "A/0").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        assert main(["clean", "--configfile", str(screen), "--remove", "plates"]) == 130
    capsys.readouterr()
    (found,) = [each for each in clean(screen, capsys)["leftovers"] if each["group"] == "plates"]
    assert found["where"] == ["plates/.P3.zarr.tmp-removed"]
    told = {finding.where: finding.remedy for finding in verify(root, quick=True).findings}
    assert "platemae clean --remove plates" in told["plates/.P3.zarr.tmp-removed"]
    clean(screen, capsys, "--remove", "plates")
    assert sorted(path.name for path in (root / "plates").glob("*.zarr*")) == ["P1.zarr", "P2.zarr"]
    assert list((root / "plates").glob(".*")) == []


def test_the_only_store_of_a_plate_is_left_to_its_ingest(screen, capsys):
    """A swap that was killed between its two renames has the old store in the folder of the new one."""
    plates = screen.parent / "results/plates"
    for name in (".P1.zarr.tmp-ab", ".P2.zarr.tmp-cd", ".P3.zarr.tmp-ef"):
        (plates / name / "old").mkdir(parents=True)
    shutil.rmtree(plates / "P1.zarr")
    listed = [path for each in clean(screen, capsys)["leftovers"] for path in each["where"] if ".tmp-" in path]
    assert listed == ["plates/.P2.zarr.tmp-cd", "plates/.P3.zarr.tmp-ef"]


def test_nothing_is_judged_by_a_training_set_that_is_not_made(screen, capsys):
    values = yaml.safe_load(screen.read_text())
    values["models"].append({"name": "mae", "kind": "mae", "preset": "vit_s16", "dataset": "d", "intensity": "i"})
    values |= {"datasets": [{"name": "d"}], "intensity": [{"name": "i"}]}
    screen.write_text(yaml.safe_dump(values))
    state = screen.parent / "results/models/.state/abc"
    state.mkdir(parents=True)
    said = clean(screen, capsys, "--remove", "trainings")
    assert state.exists()
    assert "trainings are not judged: what mae learns from is not made yet" in said["notes"][0]


def test_a_link_goes_without_what_it_leads_to(screen, capsys, tmp_path):
    root = screen.parent / "results"
    shared = tmp_path / "shared"
    (root / "plates/P3.zarr").rename(shared)
    (root / "plates/P3.zarr").symlink_to(shared)
    clean(screen, capsys, "--remove", "plates")
    assert not (root / "plates/P3.zarr").is_symlink()
    assert (shared / "A" / "0").read_text() == "y" * 500


def test_nothing_goes_while_a_run_works_there(screen, capsys):
    results = Results(screen.parent / "results")
    write_note(results, Note(Run("r1", this_host(), submits=False, job="", user=""), [identity(os.getppid())], []))
    assert main(["clean", "--remove", "plates", "--configfile", str(screen)]) == 2
    assert "a run works in this folder" in capsys.readouterr().err
    assert results.store("P3").exists()
