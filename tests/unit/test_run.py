"""``platemae run`` and the processes below it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import snakemake.cli
import yaml
from snakemake.settings.types import DeploymentMethod, RerunTrigger

from platemae import run
from platemae.config import Config, load_config
from platemae.contracts import write_text
from platemae.errors import ConfigError, MissingError
from platemae.inputs import check_raw_folders, find_config, plate_table
from platemae.run import AGAIN_SECONDS

BACKGROUND = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does before it starts something in the background
from platemae import run
from platemae.holding.hold import hold
from platemae.layout import Results
with hold(Results(Path(sys.argv[1]))) as held:
    sys.exit(run._snakemake([sys.executable, "-c", sys.argv[2]], Path(sys.argv[1]), held))
"""
SNAKEMAKE = """
import sys, time
from pathlib import Path
try:
    Path("started").touch()
    time.sleep(300)
except KeyboardInterrupt:
    sys.exit(7)
"""


def test_a_run_in_the_background_is_stopped_by_a_signal(tmp_path: Path) -> None:
    """Snakemake gets SIGINT, which a background shell lets its children ignore."""
    write_text(tmp_path / ".snakemake/note", "")
    run = subprocess.Popen([sys.executable, "-c", BACKGROUND, str(tmp_path), SNAKEMAKE])
    try:
        while not (tmp_path / "started").exists():
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        assert run.wait(timeout=60) == 7
    finally:
        run.kill()


ASKED = """
import signal, sys, time
from pathlib import Path
asked = []
def note(number, frame):
    asked.append(signal.Signals(number).name)
    Path("asked").write_text(" ".join(asked))
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, note)
Path("started").touch()
while not Path("enough").exists():
    time.sleep(0.02)
"""
"""A Snakemake that writes down each signal, and ends when it is told to."""


@contextmanager
def at_a_terminal(folder: Path) -> Iterator[subprocess.Popen]:
    """A run that leads the process group of a terminal, which gets its signals as a whole."""
    write_text(folder / ".snakemake/note", "")
    # The tests themselves may run below nohup, whose children ignore SIGHUP.
    own = "signal.default_int_handler); signal.signal(signal.SIGHUP, signal.SIG_DFL"
    code = BACKGROUND.replace("signal.SIG_IGN", own)
    run = subprocess.Popen([sys.executable, "-c", code, str(folder), ASKED], start_new_session=True)
    try:
        appears(folder / "started")
        yield run
        (folder / "enough").touch()
        run.wait(timeout=60)
    finally:
        (folder / "enough").touch()
        run.kill()


def appears(path: Path, text: str = "") -> None:
    end = time.monotonic() + 60
    while not path.exists() or path.read_text() != text:
        assert time.monotonic() < end, f"{path} is not {text!r}"
        time.sleep(0.02)


@pytest.mark.parametrize(("sent", "passed_on"), [("SIGINT", "SIGINT"), ("SIGTERM", "SIGINT"), ("SIGHUP", "SIGHUP")])
def test_a_signal_of_the_terminal_reaches_snakemake_once(tmp_path: Path, sent: str, passed_on: str) -> None:
    with at_a_terminal(tmp_path) as run:
        os.killpg(run.pid, signal.Signals[sent])
        appears(tmp_path / "asked", passed_on)
        os.kill(run.pid, signal.Signals[sent])  # as `timeout` does: to the process, then to its group
        time.sleep(0.3)
        assert (tmp_path / "asked").read_text() == passed_on


def test_a_second_ctrl_c_is_passed_on(tmp_path: Path) -> None:
    with at_a_terminal(tmp_path) as run:
        os.killpg(run.pid, signal.SIGINT)
        appears(tmp_path / "asked", "SIGINT")
        time.sleep(AGAIN_SECONDS + 0.1)
        os.killpg(run.pid, signal.SIGINT)
        appears(tmp_path / "asked", "SIGINT SIGINT")


def test_the_configuration_of_the_working_directory_comes_before_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, screen = tmp_path / "checkout", tmp_path / "screen"
    for folder in (checkout, screen):
        folder.mkdir()
        (folder / "config.yaml").touch()
    monkeypatch.chdir(screen)
    assert find_config(None, checkout) == screen / "config.yaml"
    assert find_config(Path("other.yaml"), checkout) == screen / "other.yaml"
    (screen / "config.yaml").unlink()
    assert find_config(None, checkout) == checkout / "config.yaml"


def test_a_default_screen_that_is_not_there_says_how_to_name_another(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="synthetic screen is not there yet") as told:
        plate_table(Config(), tmp_path)
    assert "--configfile FILE" in told.value.remedy


def test_folders_of_plates_to_ingest_are_missed_before_anything_runs(tmp_path: Path) -> None:
    header = "plate\tbatch\treader\tpath\tlayout\n"
    rows = [f"P{i}\tb\t{'bare' if i == 5 else 'scope'}\traw/P{i}\tlayout.tsv\n" for i in range(1, 6)]
    (tmp_path / "plates.tsv").write_text(header + "".join(rows))
    (tmp_path / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\t\tnegcon\n")
    (tmp_path / "raw/P1").mkdir(parents=True)
    readers = [{"name": "scope", "kind": "operetta"}, {"name": "bare", "kind": "none"}]
    config = load_config({"plates": "plates.tsv", "results": "results", "readers": readers})
    write_text(tmp_path / "results/plates/P2.manifest.json", "{}")  # ingested; its folder is gone since
    with pytest.raises(MissingError, match="2 problems") as told:
        check_raw_folders(config, tmp_path)
    assert re.findall(r"the folder of plate (\w+) is missing", told.value.what) == ["P3", "P4"]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Namespace]]:
    """Return a function that runs a project of one plate and tells how Snakemake reads each of its calls."""
    (tmp_path / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\t\tnegcon\nA02\tx\ttreatment\n")
    (tmp_path / "plates.tsv").write_text("plate\tbatch\treader\tpath\tlayout\nP1\tb\tbare\tgone\tlayout.tsv\n")
    table = tmp_path / "features.csv"
    table.write_text("")
    config = {
        "results": str(tmp_path / "results"),
        "plates": str(tmp_path / "plates.tsv"),
        "readers": [{"name": "bare", "kind": "none"}],
        "models": [{"name": "own", "kind": "profiles", "source": "table", "table": str(table)}],
        "benchmarks": [{"name": "repeats", "kind": "replicate_consistency"}],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    seen: list[list[str]] = []
    monkeypatch.setattr(run, "_snakemake", lambda command, *others: seen.append(command[3:]) or 0)

    def made(target: str = "all", *extra: str, dry_run: bool = False) -> list[Namespace]:
        seen.clear()
        assert run.run_pipeline(tmp_path / "config.yaml", "local", 1, dry_run, target, extra) == 0
        return [snakemake.cli.parse_args(words)[1] for words in seen]

    return made


def targets(calls: list[Namespace]) -> list[list[str]]:
    return [sorted(call.targets) for call in calls]


STAGED = [["ingest_all"], ["qc_all"], ["intensity_all"], ["datasets_all"]]


@pytest.mark.parametrize(
    ("target", "before"),
    [
        ("all", STAGED), ("embeddings_all", STAGED), ("models_all", STAGED), ("datasets_all", STAGED[:3]),
        ("intensity_all", STAGED[:2]), ("measure_all", STAGED[:2]), ("ingest_all", []), ("qc/P1.manifest.json", []),
    ],
)  # fmt: skip
def test_what_a_target_is_made_of_is_reached_in_calls_before_it(calls: Callable, target: str, before: list) -> None:
    assert targets(calls(target)) == [*before, [target]]
    assert targets(calls(target, dry_run=True)) == [[target]]


def test_every_target_of_the_snakefile_has_its_calls() -> None:
    text = (Path(run.__file__).parents[2] / "Snakefile").read_text()
    assert set(re.findall(r"^rule (\w+):", text, flags=re.M)) == set(run.BEFORE)


@pytest.mark.parametrize(
    ("extra", "name", "value"),
    [
        (["--sdm", "conda"], "software_deployment_method", {DeploymentMethod.CONDA}),
        (["--rerun-triggers", "mtime"], "rerun_triggers", {RerunTrigger.MTIME}),
        (["--set-resources", "train_model:mem_mb=1"], "set_resources", None),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_an_argument_of_snakemake_that_takes_many_values_does_not_take_the_target(
    calls: Callable, extra: list[str], name: str, value: object, dry_run: bool
) -> None:
    made = calls("qc_all", *extra, dry_run=dry_run)
    assert targets(made) == ([["qc_all"]] if dry_run else STAGED[:2])
    for call in made:
        assert getattr(call, name) == value if value else "train_model" in getattr(call, name)


@pytest.mark.parametrize("extra", [["--forcerun", "qc_plate"], ["-R", "qc_plate"], ["--forceall"]])
def test_what_is_forced_is_forced_once(calls: Callable, extra: list[str]) -> None:
    made = calls("all", *extra)
    assert targets(made) == [["all"]]
    assert made[0].forceall or made[0].forcerun == {"qc_plate"}
