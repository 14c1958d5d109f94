"""Section embed: poolings that a kind lacks, and plates that list no cells, are told before anything runs."""

import pytest

from platemae.config import Config, load_config, stage_config
from platemae.config.checks import check_cells
from platemae.config.plates import Plate
from platemae.contracts import POOLINGS
from platemae.embedding.settings import EmbedSettings
from platemae.errors import ConfigError

DATA = {"dataset": "screen", "intensity": "controls"}
ARRAYED, POOLED = Plate("P1", "b1", "synthetic", "P1", "l.tsv"), Plate("P2", "b1", "synthetic", "P2", "l.tsv", "c.tsv")


def config(kind: str, own: dict | None = None, **embed) -> Config:
    more = {"file": "weights.safetensors"} if kind == "checkpoint" else {}
    entry = {"name": "m", "kind": kind, "embed": own or {}} | DATA | more
    return load_config({"models": [entry], "embed": embed})


@pytest.mark.parametrize("kind", POOLINGS)
def test_each_kind_takes_what_it_has_and_nothing_else(kind):
    for name in ("mean", "cls", "channelwise", "block3"):
        if name.rstrip("3") in POOLINGS[kind]:
            assert config(kind, pooling=name).embed.poolings == [name]
            assert config(kind, own={"pooling": [name]})
        else:
            for embed in ({"own": {"pooling": ["mean", name]}}, {"pooling": name}):
                with pytest.raises(
                    ConfigError, match=rf"models\.m\.embed\.pooling: kind {kind} has no {name}; it has mean"
                ):
                    config(kind, **embed)


def test_a_models_own_pooling_goes_before_that_of_all():
    assert config("wsl", own={"pooling": "mean"}, pooling="cls")
    assert config("checkpoint", pooling=["channelwise", "block40"]), "only the file knows"


@pytest.mark.parametrize("pooling", ["max", "block", "block0", [], ["mean", "mean"], ["mean", "median"]])
def test_names_that_are_none_are_refused(pooling):
    with pytest.raises(ConfigError, match="pooling"):
        config("mae", pooling=pooling)


@pytest.mark.parametrize("value", [{"pixel_size": 0}, {"pixel_size": "scale"}, {"rows": "cells"}, {"batch": 0}])
def test_wrong_values_are_refused(value):
    with pytest.raises(ConfigError, match=next(iter(value))):
        config("mae", **value)


def test_rows_of_cells_need_plates_with_cells():
    asking = config("mae", rows="cell")
    check_cells(asking, [POOLED])
    check_cells(config("mae"), [ARRAYED, POOLED])
    with pytest.raises(ConfigError, match=r"plates without a table of cells: P1; models with rows cell: m"):
        check_cells(asking, [ARRAYED, POOLED])
    profiles = load_config(
        {"models": [{"name": "t", "kind": "profiles", "source": "well_position"}], "embed": {"rows": "cell"}}
    )
    check_cells(profiles, [ARRAYED])


def test_the_job_reads_what_its_rows_need_and_the_stage_understands_it():
    cut = {}
    for rows in ("well", "cell"):
        for mask in (False, True):
            found = config("mae", rows=rows, mask_neighbours=mask, pooling=["cls", "mean"], pixel_size=0.65)
            cut[rows, mask] = stage_config(found, [POOLED], "embed_plate", model="m", plate="P2")["embed"]
    assert cut["well", False] == cut["well", True], "what only cells have moves no well"
    assert cut["cell", False] != cut["cell", True]
    assert "tiling" not in cut["cell", False], "cells are no tiles"
    asked = EmbedSettings(rows="cell", poolings=("cls", "mean"), pixel_size=0.65, mask_neighbours=True)
    assert EmbedSettings.from_config(cut["cell", True]) == asked
    plain = stage_config(config("mae"), [POOLED], "embed_plate", model="m", plate="P2")["embed"]
    assert EmbedSettings.from_config(plain) == EmbedSettings()
