"""Every family of models in its tiny preset, scored on the synthetic screen and on BBBC013: the table of RESULTS.md.

``python benchmarks/run.py families`` runs both configurations of workflow/configs, about an hour on one core (BBBC013
needs ``PLATEMAE_DATA``). ``python benchmarks/bench_families.py --results NAME=FOLDER ...`` writes the same section from
results folders that are finished, such as screens of several seeds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import run

from platemae.config import read_config
from platemae.report.scores import with_interval

PROJECT = Path(__file__).parents[1]
CONFIGS = {
    "synthetic screen": PROJECT / "workflow/configs/families.yaml",
    "BBBC013": PROJECT / "workflow/configs/families_bbbc013.yaml",
}
SCREENS = {"families-screen": 41, "demo-screen": 2024}
"""Folders of the synthetic screens that families.yaml names, and their seeds: the one that is scored, and the one of
development, whose labels alone the classifier ``wsl_other`` learned."""
METRICS = {
    "recall": "recall of planted pairs, 5 % tails",
    "dose_spearman": "dose, Spearman",
    "leave_one_out_accuracy": "controls told apart, leave one out",
}
CORRECTIONS = ("none", "centerscale", "tvn")
LONG = True
COLUMNS = ("data", "family", *CORRECTIONS, "chance", "validation", "crops", "parameters", "TFLOP", "note")
SEEN = {"labels": "trained on these labels", "images": "trained on these images", "none": ""}
NAMESAKES = {"wsl_other": "trained on labels of another screen"}
"""Rows whose overlap says labels for the names alone: two synthetic screens call different genes alike."""


def measure() -> list[dict[str, Any]]:
    """Run what is not finished, and return a row a family, data set and metric."""
    for folder, seed in SCREENS.items():
        if not (PROJECT / folder).exists():
            call("synthesize-screen", str(PROJECT / folder), "--seed", str(seed))
    rows: list[dict[str, Any]] = []
    for data, path in CONFIGS.items():
        call("run", "--configfile", str(path))
        rows += rows_of(data, PROJECT / read_config(path).results)
    return rows


def call(*arguments: str) -> None:
    """Call platemae in the project's folder; its own message says what is wrong."""
    subprocess.run([sys.executable, "-m", "platemae.cli", *arguments], cwd=PROJECT, check=True)


def rows_of(data: str, results: Path) -> list[dict[str, Any]]:
    """Return the rows of one finished results folder: metrics in the order of ``METRICS``, models as configured."""
    scores = pd.read_csv(results / "tables/scores.csv")
    rows = []
    for metric, title in METRICS.items():
        # A benchmark of relations has rows of every strength and both tails; the papers' number is one of them.
        chosen = scores[(scores["metric"] == metric) & ~(scores["threshold"] > 0.05)]
        chosen = chosen[~chosen["source"].str.contains("[", regex=False)]
        for model, found in chosen.groupby("model", sort=False):
            cells = found.set_index("correction")
            shown = {c: with_interval(*cells.loc[c, ["value", "ci_low", "ci_high"]]) for c in CORRECTIONS}
            first = found.iloc[0]
            facts = {"chance": f"{first['chance']:.2f}", "note": NAMESAKES.get(str(model), SEEN[first["overlap"]])}
            rows.append({"data": f"{data}: {title}", "family": model} | shown | facts | training(results, str(model)))
    return rows


def training(results: Path, model: str) -> dict[str, Any]:
    """Return what a model's own facts say of its training; nothing for a table of profiles."""
    path = results / "models" / model / "model.json"
    if not path.is_file():
        return {}
    described = json.loads(path.read_text())
    facts = described["training"]
    count = {"crops": f"{facts['crops']:,}", "parameters": f"{facts['parameters']:,}"}
    return count | {"TFLOP": f"{facts['flops'] / 1e12:.3g}", "validation": validation(facts, described["settings"])}


def validation(facts: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return the validation loss in words: squared error of hidden pixels, or a classifier's cross entropy."""
    if "val_mse" in facts:
        return f"MSE {facts['val_mse']:.3f}, {settings['mask_ratio']:.0%} hidden"
    if "val_loss" not in facts:
        return ""
    right = f", {facts['val_accuracy']:.1%} right" if "val_accuracy" in facts else ""
    return f"cross entropy {facts['val_loss']:.2f}{right}"


def main() -> int:
    """Write the section from finished folders."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--results", nargs="+", required=True, metavar="NAME=FOLDER", help="data set and its results")
    named = (text.split("=", 1) for text in parser.parse_args().results)
    rows = [row for name, folder in named for row in rows_of(name, Path(folder))]
    run.write_section("families", rows, COLUMNS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
