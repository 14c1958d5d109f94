"""Every command once: its group by purpose, its help in one line, an example, and who adds its options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from platemae.console import people
from platemae.console.stages import STAGE_HELP, add_stage, stage_example
from platemae.layout import MANIFESTS
from platemae.planning.command import add_plan
from platemae.provenance.command import add_cite, add_crate
from platemae.standing.command import add_accept, add_clean, add_explain, add_verify


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes
    ----------
    name
        As it is typed.
    help
        What it does, in one line.
    example
        A call, for the end of its help.
    add
        Adds its options to a parser.
    """

    name: str
    help: str
    example: str
    add: Callable[[argparse.ArgumentParser], None]


GROUPS: dict[str, tuple[Command, ...]] = {
    "begin": (
        Command("new", "look at a folder of plates, write a project that runs",
                "platemae new /data/my-screen --out my-screen", people.add_new),
        Command("doctor", "check all plates, layouts and the disk; reads no pixels",
                "platemae doctor --configfile my-screen/config.yaml", people.add_doctor),
        Command("plan", "what a run will cost, and what cannot fit, beforehand",
                "platemae plan --configfile my-screen/config.yaml --profile slurm --gpu A100", add_plan),
        Command("synthesize-screen", "write a synthetic screen with planted truth",
                "platemae synthesize-screen demo-screen --seed 7", people.add_synthesize),
        Command("fetch-annotations", "download known relations and complexes, in one form",
                "platemae fetch-annotations reactome humap --out annotations", people.add_fetch_annotations),
        Command("list-models", "every network, its parameters, and the published counts beside",
                "platemae list-models --channels 5", people.add_list_models),
    ),
    "run": (
        Command("run", "run the whole pipeline, only what is stale",
                "platemae run --configfile my-screen/config.yaml --cores 8", people.add_run),
        Command("refresh", "look at a plate's folder again after it changed",
                "platemae refresh P1 --configfile my-screen/config.yaml", people.add_refresh),
    ),
    "look at results, and keep them": (
        Command("explain", "what is stale and why, in words; runs nothing",
                "platemae explain --configfile my-screen/config.yaml", add_explain),
        Command("accept", "keep a stage's results after a change judged harmless; recorded",
                "platemae accept embed_plate --model mae --why 'only a message changed'", add_accept),
        Command("verify", "hold every output against its manifest: foreign, torn, edited, gone",
                "platemae verify --results results --quick", add_verify),
        Command("clean", "what the configuration asks for no more, and its removal by name",
                "platemae clean --remove trainings", add_clean),
        Command("export-model", "write a model as a folder that a model hub takes",
                "platemae export-model mae exported/mae", people.add_export_model),
        Command("cite", "the methods section with the numbers really used, and what to cite",
                "platemae cite --out methods", add_cite),
        Command("crate", "describe the results folder as an RO-Crate",
                "platemae crate --licence https://creativecommons.org/licenses/by/4.0/", add_crate),
    ),
    "the tool itself": (
        Command("completion", "the script with which bash, zsh or fish completes commands and options",
                "source <(platemae completion bash)", people.add_completion),
        Command("write-config", "write config.yaml and its JSON schema from the defaults",
                "platemae write-config .", people.add_write_config),
    ),
    "stages, one a rule: what Snakemake calls, and anybody may": tuple(
        Command(stage.replace("_", "-"), STAGE_HELP[stage], stage_example(stage), partial(add_stage, stage=stage))
        for stage in MANIFESTS
    ),
}  # fmt: skip
