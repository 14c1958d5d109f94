"""Bad input: one clear error, exit code 2, nothing half-written."""

import shutil

import numpy as np
import pytest
import tifffile

from tests.workflow.conftest import make_project


@pytest.fixture(scope="module")
def ready(tmp_path_factory, project, tiny_screen):
    return make_project(tmp_path_factory.mktemp("bad") / "project", project, tiny_screen)


@pytest.fixture
def bad(ready):
    """The project with an untouched screen and configuration, and no results."""
    saved = ready.root.parent / "saved"
    if not saved.exists():
        shutil.copytree(ready.root / "screen", saved / "screen")
        shutil.copy2(ready.root / "config.yaml", saved / "config.yaml")
    yield ready
    shutil.rmtree(ready.root / "screen")
    shutil.copytree(saved / "screen", ready.root / "screen")
    shutil.copy2(saved / "config.yaml", ready.root / "config.yaml")
    shutil.rmtree(ready.root / "results", ignore_errors=True)


def refuses(project, *words, target="ingest_all"):
    """Check that the run ends with code 2, names the words, and leaves no finished output."""
    done = project.run("--target", target, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 2, text[-3000:]
    for word in words:
        assert word in done.stderr, (word, done.stderr[-3000:])
    assert "Traceback" not in done.stderr
    plates = project.root / "results/plates"
    left = [path.name for path in plates.iterdir()] if plates.exists() else []
    assert [name for name in left if name.startswith("P1")] == [], left
    assert [name for name in left if ".tmp" in name] == [], left


def image(project, well, channel, plate="P1"):
    row, column = "ABCDEFGH".index(well[0]) + 1, int(well[1:])
    return project.root / f"screen/plates/{plate}/Images/r{row:02d}c{column:02d}f01-ch{channel}.tiff"


def test_unknown_config_key(bad):
    bad.edit("config.yaml", "train: {steps", "train: {stepz: 1, steps")
    refuses(bad, "unknown key train.stepz; did you mean steps?", "config.yaml", "allowed in train")


def test_plate_without_layout(bad):
    (bad.root / "screen/layouts/P1.tsv").unlink()
    refuses(bad, "plate P1 has no layout", "row 2, column layout")


def test_duplicate_plate_id(bad):
    bad.edit("screen/plates.tsv", "P2\t", "P1\t")
    refuses(bad, "P1 stands in rows 2 and 3")


def test_no_negative_control_in_the_whole_run(bad):
    for path in (bad.root / "screen/layouts").iterdir():
        path.write_text(path.read_text().replace("negcon", "treatment"))
    refuses(bad, "negative control", "control_type")


def test_layout_naming_a_well_that_the_plate_lacks(bad):
    path = bad.root / "screen/layouts/P1.tsv"
    text = path.read_text().rstrip("\n")
    last = text.splitlines()[-1].split("\t")
    path.write_text(text + "\n" + "\t".join(["P24", *last[1:]]) + "\n")
    refuses(bad, "P24", "P1")


def test_missing_channel_file(bad):
    image(bad, "B02", 3).unlink()
    refuses(bad, "B02", "RNA")


def test_truncated_tiff(bad):
    path = image(bad, "C03", 2)
    path.write_bytes(path.read_bytes()[:300])
    refuses(bad, path.name)


def test_nan_image(bad):
    path = image(bad, "C03", 2)
    pixels = tifffile.imread(path).astype(np.float32)
    pixels[3, 4] = np.nan
    tifffile.imwrite(path, pixels)
    refuses(bad, path.name)
