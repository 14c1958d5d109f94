"""The options of `platemae score-map` by hand; nothing heavy is imported before they are read."""

from __future__ import annotations

import argparse
from pathlib import Path

from platemae.answers import as_json
from platemae.errors import ConfigError

SCORED_ROLES = ("plate", "well", "batch", "perturbation", "gene", "compound", "concentration", "control_type")
"""Columns of files that are scored by hand, which may have any name there."""
_REMEDY = "give --model and --correction, or --map or --wells and --kind"


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """Add the options of scoring by hand to those of the stage."""
    parser.usage = (
        "platemae score-map --model MODEL --correction CORRECTION [options]\n"
        "       platemae score-map (--map FILE | --wells FILE) --kind KIND [--set KEY=VALUE ...] [options]"
    )
    hand = parser.add_argument_group("by hand", "one benchmark on AnnData files of your own, whoever made them")
    hand.add_argument("--map", type=Path, default=None, help="AnnData, a row a gene, compound or perturbation")
    hand.add_argument("--wells", type=Path, default=None, help="AnnData, a row a well; a map is made of it if need be")
    hand.add_argument("--kind", default=None, help="benchmark, such as known_relations; docs/benchmarks.md has them")
    hand.add_argument(
        "--set",
        dest="values",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of the benchmark, as in config.yaml, such as relations=pairs.csv or n_bootstrap=200",
    )
    hand.add_argument(
        "--entity",
        choices=("gene", "compound", "perturbation", "gene_and_compound"),
        default="gene",
        help="rows of a map that is made of wells",
    )
    hand.add_argument(
        "--doses", choices=("together", "apart"), default="together", help="rows of its compounds: one, or one a dose"
    )
    hand.add_argument("--obsm", default=None, help="key of obsm that holds the vectors (default: X)")
    for role in SCORED_ROLES:
        flag = "control" if role == "control_type" else role
        words = f"column of obs with the {role.replace('_', ' ')}; _index: names of the rows"
        words += "; of --map where one is given" if role == "gene" else ""
        hand.add_argument(f"--{flag}-column", dest=f"{role}_column", default=None, metavar="COLUMN", help=words)
    hand.add_argument(
        "--negcon", action="append", default=[], metavar="VALUE", help="value of the control column: negative control"
    )
    hand.add_argument("--out", type=Path, default=None, help="write the scores, .csv or .parquet")
    hand.add_argument("--json", action="store_true", help="print the scores as JSON")


def is_by_hand(arguments: argparse.Namespace) -> bool:
    """Tell whether files are to be scored, not a model and a correction of the pipeline.

    Raises
    ------
    ConfigError
        When neither is named.
    """
    if arguments.map is not None or arguments.wells is not None:
        return True
    if arguments.model is None or arguments.correction is None:
        raise ConfigError("there is nothing to score", "score-map", _REMEDY)
    return False


def score(arguments: argparse.Namespace) -> int:
    """Score files, print the scores, and write them where asked; return the exit code.

    Raises
    ------
    PlatemaeError
        When arguments contradict each other, or as `platemae.scoring.by_hand.score_by_hand`.
    """
    from platemae.scoring import by_hand
    from platemae.scoring.columns import Columns

    beside = [name for name in ("model", "correction", "cfg", "configfile") if getattr(arguments, name) is not None]
    if beside or not arguments.kind:
        what = f"--map and --wells do not go with --{beside[0]}" if beside else "no benchmark was named"
        raise ConfigError(what, "score-map", _REMEDY)
    if arguments.out is not None:
        by_hand.check_form(arguments.out)
    named = {role: getattr(arguments, f"{role}_column") for role in SCORED_ROLES}
    columns = Columns({k: v for k, v in named.items() if v is not None}, tuple(arguments.negcon), arguments.obsm)
    scores, notes = by_hand.score_by_hand(
        arguments.kind,
        by_hand.parse_values(arguments.values),
        map_path=arguments.map,
        wells_path=arguments.wells,
        columns=columns,
        entity=arguments.entity,
        doses=arguments.doses,
    )
    if arguments.out is not None:
        by_hand.write_scores(scores, arguments.out)
    if arguments.json:
        print(as_json("score-map", {"scores": by_hand.as_records(scores), "notes": notes}))
    else:
        print(by_hand.as_text(scores, notes))
    return 0
