"""What a job of each rule asks for: the rule's own words, and those of the profile above them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from platemae.errors import ConfigError
from platemae.layout import MANIFESTS
from platemae.planning.asked import HOLDS_MAP, HOLDS_PLATE, LEAST, READS_PIXELS
from platemae.planning.values import gpus_of_words, mapping, named_words, numbers, unquoted, whole
from platemae.preflight.cluster import count_gpus


@dataclass(frozen=True)
class Asked:
    """What one job of a rule asks for.

    Parameters
    ----------
    threads, memory_mb, runtime_minutes
        At the first attempt.
    gpus_per_node, nodes
        GPUs on each of so many nodes.
    partition, accounts
        SLURM's, where the profile names some; of several accounts, with commas between them, the first is used.
    gpu_model
        The site's word for the kind of GPU, where the profile says one (``gpu_model``, or in ``gres``).
    qos
        SLURM's quality of service, where the profile names one.
    memory_grows
        Whether each attempt asks for as much again, as the rules do where the profile names no memory.
    follows_data
        Resources, of ``mem_mb`` and ``runtime``, that the rule itself sets by what a job reads (`asked`): here stands
        the least of it.
    """

    threads: int = 1
    memory_mb: int = 2000
    runtime_minutes: int = 60
    gpus_per_node: int = 0
    nodes: int = 1
    partition: str = ""
    accounts: tuple[str, ...] = ()
    gpu_model: str = ""
    qos: str = ""
    memory_grows: bool = False
    follows_data: frozenset[str] = frozenset()

    def memory_at(self, retries: int) -> int:
        """Return the memory of the last attempt, MB, where the rule asks for more each time."""
        return self.memory_mb * (1 + retries) if self.memory_grows else self.memory_mb

    @property
    def gpus(self) -> int:
        """GPUs of the whole job."""
        return self.gpus_per_node * self.nodes


@dataclass(frozen=True)
class Profile:
    """A Snakemake profile, as far as a plan reads it.

    Parameters
    ----------
    asked
        Rule -> what its jobs ask for.
    executor
        ``slurm``, or empty for this machine.
    jobs
        Jobs in the queue at once; 0: no limit.
    retries
        Attempts after the first.
    training_retries
        Those of ``train_model``, which are slices of its walltime.
    groups
        Rule -> its group, and group -> jobs that are submitted as one.
    arrays
        Rule -> jobs of one array, which is one call of sbatch.
    """

    asked: dict[str, Asked]
    executor: str = ""
    jobs: int = 0
    retries: int = 0
    training_retries: int = 0
    groups: dict[str, str] = field(default_factory=dict)
    components: dict[str, int] = field(default_factory=dict)
    arrays: dict[str, int] = field(default_factory=dict)

    def with_gpus(self) -> Profile:
        """Return the profile with one GPU for each job that runs a network, where it asks for none itself."""
        given = {rule: replace(self.asked[rule], gpus_per_node=1) for rule in self.without_gpu()}
        return replace(self, asked=self.asked | given)

    @property
    def gpu_model(self) -> str:
        """The kind of GPU that trainings ask for, else embeddings."""
        return next((self.asked[rule].gpu_model for rule in GPU_RULES if self.asked[rule].gpu_model), "")

    def without_gpu(self) -> list[str]:
        """Return the rules that run a network and ask for no GPU."""
        return [rule for rule in GPU_RULES if not self.asked[rule].gpus]


GPU_RULES = ("train_model", "embed_plate")

RESOURCES = ("default-resources", "set-resources", "set-threads")
"""What a profile, or the command line in its place, says of the jobs of all rules and of one."""
ARRAY_LIMIT = 1000
"""Jobs of an array unless ``slurm-array-limit`` says otherwise (the plugin's default)."""


def read_profile(folder: Path, rules: Path, words: Sequence[str] = ()) -> Profile:
    """Return what jobs ask for under a profile; an expression of it (``500 * attempt``) counts as at the last attempt.

    Parameters
    ----------
    folder
        Folder of its ``config.yaml``.
    rules
        Folder of the ``.smk`` files.
    words
        Arguments of Snakemake beside it; resources that they set stand in place of all that the profile sets.

    Raises
    ------
    ConfigError
        When the profile is no YAML mapping, or a memory or walltime of it is none that Snakemake could read.
    """
    path = folder / "config.yaml"
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"the profile cannot be read: {error}", str(path), "local, slurm, or a folder") from None
    if not isinstance(values, dict):
        raise ConfigError("the profile is no mapping", str(path), "start from workflow/profiles/slurm")
    values |= {name: said for name in RESOURCES if (said := named_words(words, name))}
    if said := named_words(words, "jobs") + named_words(words, "j"):
        values["jobs"] = said[-1]
    general, own, threads = (mapping(values.get(name)) for name in RESOURCES)
    asked = {}
    for stage in MANIFESTS:
        least = {"mem_mb": LEAST[stage].memory_mb, "runtime": LEAST[stage].minutes}
        stated = _stated((rules / f"{stage}.smk").read_text())
        wished = mapping(own.get(stage))
        cores = whole(threads.get(stage), whole(wished.get("threads"), stated.get("threads", 1)))
        last = 1 + (_training_retries(values) if stage == "train_model" else whole(values.get("retries"), 0))
        named = numbers(wished, last, cores, f"{path}: set-resources.{stage}")
        asked[stage] = replace(
            _asked({**general, **least, **stated, **named}, cores),
            memory_grows="mem_mb" not in named and stage != "train_model",
            follows_data=_following(stage) - named.keys(),
        )
    groups, components = mapping(values.get("groups")), mapping(values.get("group-components"))
    return Profile(
        asked,
        str(values.get("executor") or ""),
        whole(values.get("jobs"), 0),
        whole(values.get("retries"), 0),
        _training_retries(values),
        {str(rule): str(group) for rule, group in groups.items()},
        {str(group): whole(count, 1) for group, count in components.items()},
        _arrays(values),
    )


def _following(stage: str) -> frozenset[str]:
    return frozenset(["runtime"] * (stage in READS_PIXELS) + ["mem_mb"] * (stage in (*HOLDS_MAP, *HOLDS_PLATE)))


def _stated(rule: str) -> dict[str, Any]:
    """Return threads and resources that a rule states as plain numbers."""
    patterns = {
        "threads": r"^    threads: (\d+)",
        "runtime": r"runtime=(\d+)",
        "gpu": r"\bgpu=(\d+)",
        "nodes": r"\bnodes=(\d+)",
    }
    found = {key: re.search(pattern, rule, re.M) for key, pattern in patterns.items()}
    return {key: int(match[1]) for key, match in found.items() if match}


def _asked(values: Mapping[str, Any], threads: int) -> Asked:
    nodes = whole(values.get("nodes"), 1)
    gres = unquoted(values.get("gres"))
    model = re.search(r"gpu:([A-Za-z][\w.-]*)", gres)
    extra = gpus_of_words(unquoted(values.get("slurm_extra")))
    per_node = whole(values.get("gpu"), 0) // nodes or count_gpus(gres) or extra
    return Asked(
        threads,
        values["mem_mb"],
        values["runtime"],
        per_node,
        nodes,
        unquoted(values.get("slurm_partition")),
        tuple(re.split(r"[,\s]+", account)) if (account := unquoted(values.get("slurm_account"))) else (),
        unquoted(values.get("gpu_model")) or (model[1] if model else ""),
        qos=unquoted(values.get("qos")),
    )


def _training_retries(values: Mapping[str, Any]) -> int:
    """Return how often a training goes on: as a preemptible rule it has retries of its own."""
    named = values.get("preemptible-rules")
    rules = named if isinstance(named, list) else str(named or "").replace(",", " ").split()
    return whole(values.get("preemptible-retries" if "train_model" in rules else "retries"), 0)


def _arrays(values: Mapping[str, Any]) -> dict[str, int]:
    """Return how many jobs of a rule go into one array."""
    named = values.get("slurm-array-jobs")
    rules = [rule.strip() for rule in str(named).split(",")] if named and not isinstance(named, list) else named or []
    limit = whole(values.get("slurm-array-limit"), ARRAY_LIMIT)
    return dict.fromkeys(MANIFESTS if "all" in rules else rules, limit)


def sbatch_calls(profile: Profile, pending: Mapping[str, int], sets: Mapping[str, int] | None = None) -> int:
    """Return how often sbatch is called for so many jobs a rule: single jobs, arrays, and groups as one.

    The members of a group that follow each other go together, so a group has as many jobs as its most frequent rule.

    Parameters
    ----------
    profile, pending
        What is submitted together, and the jobs of each rule.
    sets
        Rule -> models (times corrections), which a group with wildcards in its name, ``embed_{model}``, keeps apart.
    """
    if profile.executor != "slurm":
        return 0
    calls = 0
    grouped: dict[str, int] = {}
    apart: dict[str, int] = {}
    for rule, jobs in pending.items():
        if rule in profile.groups:
            group = profile.groups[rule]
            grouped[group] = max(grouped.get(group, 0), jobs)
            apart[group] = min((sets or {}).get(rule, 1), jobs) if "{" in group else 1
        else:
            calls += -(-jobs // profile.arrays.get(rule, 1))
    for group, jobs in grouped.items():
        kinds = max(apart[group], 1)
        calls += kinds * -(-jobs // (kinds * profile.components.get(group, 1)))
    return calls


def jobs_in_turn(profile: Profile, pending: Mapping[str, int], sets: Mapping[str, int]) -> dict[str, int]:
    """Return how many jobs of each rule with jobs to do one submission runs, one after another: the size of its groups.

    Parameters
    ----------
    profile, pending, sets
        As in `sbatch_calls`.
    """
    found = {}
    for rule, jobs in pending.items():
        group = profile.groups.get(rule, "")
        kinds = max(min(sets.get(rule, 1), jobs), 1) if "{" in group else 1
        if jobs:
            found[rule] = min(profile.components.get(group, 1), -(-jobs // kinds))
    return found


def minutes_in_turn(profile: Profile, together: Mapping[str, int]) -> dict[str, int]:
    """Return the walltime of the submission that holds a job of each rule: of all its jobs, also of other rules.

    Parameters
    ----------
    profile
        What jobs ask for, and the groups of the rules.
    together
        Rule -> jobs of one submission (`jobs_in_turn`).
    """
    own = {rule: jobs * profile.asked[rule].runtime_minutes for rule, jobs in together.items()}
    groups: dict[str, int] = {}
    for rule, minutes in own.items():
        if group := profile.groups.get(rule):
            groups[group] = groups.get(group, 0) + minutes
    return {rule: groups.get(profile.groups.get(rule, ""), minutes) for rule, minutes in own.items()}
