"""A screen whose training is disturbed on a real cluster: set back before each fault, watched by files and sacct."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from platemae.contracts import Manifest
from platemae.holding.orphans import RUN_ID
from tests.slurm.cluster import SCRIPT, Cluster, Record
from tests.workflow.conftest import Project

MODEL, LONG = Path("models/mae/manifest.json"), Path("models/long/manifest.json")
FIRST_STEPS, SECONDS = 40, {"mae": 5, "long": 45}
"""A training that is timed, and how long the trainings are, roughly; half of a job of one minute trains."""
PATIENCE = 600.0
"""Seconds that an event may take on a busy machine."""


def until(happened: Callable[[], object], what: str, watched: subprocess.Popen | None = None) -> object:
    """Return what a call returns as soon as that is true; fail when a process ends first, or patience does."""
    end = time.monotonic() + PATIENCE
    while not (found := happened()):
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:.0f} s"
        assert watched is None or watched.poll() is None, f"{what}: the run ended before, {watched.args}"
        time.sleep(0.05)
    return found


class DisturbedScreen:
    """A project in one place, whose results are set back to the datasets before each fault.

    Parameters
    ----------
    made
        The project; its undisturbed training, on this machine alone, gives the expected digests.
    cluster
        Where its jobs run.
    """

    def __init__(self, made: Project, cluster: Cluster) -> None:
        self.made, self.cluster, self.since = made, cluster, 0.0
        self.results, self._kept = made.root / "results", made.root.parent / "kept"
        self._log = made.root.parent / "run.log"
        self._stopped: list[psutil.Process] = []
        self._write_profile("site", runtime=10)
        self._write_profile("minute", runtime=1)
        made.run("--target", "datasets_all")
        shutil.copytree(self.results, self._kept, symlinks=True)
        self._choose_lengths()
        made.run("--target", str(LONG))
        made.run("--target", str(MODEL))
        self.expected = {path: self.digest(path) for path in (MODEL, LONG)}

    def _write_profile(self, name: str, runtime: int) -> None:
        """Copy the profile as a site does; the devices that stand in for GPUs train nothing."""
        values = yaml.safe_load((self.made.root / "workflow/profiles/slurm/config.yaml").read_text())
        values |= {"slurm-init-seconds-before-status-checks": 2, "seconds-between-status-checks": 2}
        values["default-resources"] |= {"slurm_partition": "cpu", "runtime": 10}
        values["set-resources"] = {"train_model": {"gpu": 0, "mem_mb": 2000, "runtime": runtime}}
        folder = self.made.root / name
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(values))

    def _choose_lengths(self) -> None:
        """Give the trainings steps for some seconds, and for more than a job of one minute, on this machine now."""
        self.made.run("--target", str(MODEL))
        training = json.loads((self.results / MODEL).with_name("model.json").read_text())["training"]
        for name, seconds in SECONDS.items():
            steps = max(FIRST_STEPS, int(training["steps"] / training["seconds"] * seconds))
            entry = f"name: {name}, kind: mae, train: {{steps: "
            self.made.edit("config.yaml", f"{entry}{FIRST_STEPS}}}", f"{entry}{steps}}}")

    def digest(self, manifest: Path) -> str:
        """Return the content digest of a result."""
        return Manifest.read(self.results / manifest).digest

    def set_back(self) -> None:
        """Bring back the datasets, and a cluster without jobs."""
        self.cluster.ask("scancel", "--full", "--user=root")
        until(lambda: not self.cluster.queue(), "an empty queue")
        shutil.rmtree(self.results)
        shutil.copytree(self._kept, self.results, symlinks=True)
        time.sleep(1.1 - time.time() % 1)  # accounting knows whole seconds
        self.since = time.time()

    def start(self, *more: str, target: Path = MODEL, profile: str = "site") -> subprocess.Popen:
        """Start ``platemae run`` on the cluster."""
        command = [sys.executable, "-m", "platemae.cli", "run", "--profile", profile, "--target", str(target), *more]
        environment = self.cluster.environment | self.made.environment
        with self._log.open("a") as log:
            return subprocess.Popen(command, cwd=self.made.root, env=environment, stdout=log, stderr=log)

    def end(self, run: subprocess.Popen, code: int = 0) -> str:
        """Wait for the end of a run, which must be of that exit code, and return what all runs said."""
        assert run.wait(timeout=PATIENCE) == code, self.said()[-6000:]
        return self.said()

    def said(self) -> str:
        """Return what all runs of this screen said."""
        return self._log.read_text()

    def training(self, run: subprocess.Popen) -> str:
        """Return the number of the SLURM job that trains, stopped (SIGSTOP) once its first checkpoint is there.

        So it does not end before the fault. SLURM sends SIGCONT to what it ends.
        """
        until(lambda: any(self.results.glob("models/.state/*/step-*.pt")), "a checkpoint", run)
        job = self.cluster.queue()[0]
        self._stopped = [process for process in self.processes(job) if "train-model" in process.cmdline()]
        assert self._stopped
        for process in self._stopped:
            process.suspend()
        return job

    def go_on(self) -> None:
        """Let the training that was stopped go on."""
        for process in self._stopped:
            process.resume()

    def processes(self, job: str) -> list[psutil.Process]:
        """Return the processes that a job of the present run has."""
        mine = {"SLURM_JOB_ID": job, RUN_ID: self._note()["run"]["run_id"]}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if mine.items() <= process.environ().items():
                    found.append(process)
        return found

    def lose_node(self, job: str) -> None:
        """Kill a node's slurmd and all that a job has on it, and tell SLURM that it is down."""
        node, daemon = self.node_daemon(job)
        gone = self.processes(job)
        keepers = {up.pid for one in gone for up in one.parents() if up.name().startswith("slurmstepd")}
        for pid in (daemon, *keepers, *(one.pid for one in gone)):
            with suppress(ProcessLookupError):  # of what was killed before it
                os.kill(pid, signal.SIGKILL)
        self.cluster.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=it is lost")

    def jobs(self) -> list[Record]:
        """Return all runs of all trainings since the screen was set back, those that were requeued apart."""
        return [record for record in self.cluster.settled(self.since) if record.rule == "train_model"]

    def attempts(self, target: Path = MODEL) -> int:
        """Return how often the training was taken up."""
        facts = json.loads((self.results / target).with_name("model.json").read_text())
        return int(facts["training"]["attempts"])

    def kill(self, run: subprocess.Popen) -> None:
        """Kill a run and its Snakemake at once, as a crash of the login node does."""
        for one in self._note()["processes"]:
            os.kill(one["pid"], signal.SIGKILL)
        run.wait(timeout=PATIENCE)

    def node_daemon(self, job: str) -> tuple[str, int]:
        """Return the node that a job runs on, and the process of its slurmd."""
        node = self.cluster.ask("squeue", "--noheader", f"--jobs={job}", "--format=%N").strip()
        return node, int((self._daemons() / f"slurmd-{node}.pid").read_text())

    def controller(self) -> int:
        """Return the process of slurmctld."""
        return int((self._daemons() / "slurmctld.pid").read_text())

    def restart_daemons(self) -> None:
        """Start what was killed; what runs stays as it is."""
        environment = {**os.environ, **self.cluster.variables}
        done = subprocess.run(["bash", str(SCRIPT), "start"], env=environment, stdout=subprocess.DEVNULL, check=False)
        assert done.returncode == 0

    def _note(self) -> dict[str, Any]:
        """Return who holds the results folder."""
        held: dict[str, Any] = json.loads((self.results / ".snakemake/platemae-run.json").read_text())
        return held

    def _daemons(self) -> Path:
        return Path(self.cluster.variables["SLURM_CONF"]).parents[1] / "run"
