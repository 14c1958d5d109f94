"""Symbols that a map has in another spelling are told, and none is renamed in silence."""

import json

import numpy as np
import pytest

from platemae.benchmarks.annotations import Relations, read_relations
from platemae.benchmarks.recall import RecallSettings, score_recall
from platemae.benchmarks.symbols import compare_symbols, read_aliases
from platemae.errors import InputError, MissingError


def test_each_symbol_is_of_one_sort():
    found = compare_symbols(
        ["A", "b", "OLD", "KIAA1", "nowhere"], ["A", "B", "NEW", "KIAA2"], {"OLD": "NEW", "KIAA2": "KIAA1"}
    )
    assert found == {
        "n_symbols_unknown": 1,
        "n_symbols_case": 1,
        "symbols_case": ["b (B)"],
        "n_symbols_outdated": 2,
        "symbols_outdated": ["KIAA1 (KIAA2)", "OLD (NEW)"],
    }


def test_aliases_that_tell_nothing_are_left_out(tmp_path):
    path = tmp_path / "aliases.csv"
    path.write_text("previous,current\nOLD,NEW\nTWO,X\nTWO,Y\nX,Z\nEMPTY,\nOLD,NEW\n")
    assert read_aliases(path) == {"OLD": "NEW"}, "TWO is of two genes, X is in use"
    path.write_text("hgnc_id\tsymbol\tname\tprev_symbol\n1\tNEW\tx\tOLD|OLDER\n2\tX\ty\t\n3\tY\tz\tX\n")
    assert read_aliases(path) == {"OLD": "NEW", "OLDER": "NEW"}
    path.write_text("symbol,alias\nA,B\n")
    with pytest.raises(InputError, match="no column previous and current"):
        read_aliases(path)
    with pytest.raises(MissingError):
        read_aliases(tmp_path / "none.csv")


def test_recall_tells_them_in_its_detail(tmp_path):
    genes = [f"G{i}" for i in range(30)]
    path = tmp_path / "pairs.csv"
    path.write_text("entity1,entity2\n" + "".join(f"G{i},G{i + 1}\n" for i in range(25)) + "g3,G4\nOLD,G5\nGONE,G6\n")
    (tmp_path / "aliases.csv").write_text("previous,current\nOLD,G7\n")
    relations: dict[str, Relations] = {"pairs": read_relations(path)}
    settings = RecallSettings(n_bootstrap=10, n_shuffles=10, aliases=str(tmp_path / "aliases.csv"))
    x = np.random.default_rng(0).normal(size=(30, 5))
    detail = json.loads(score_recall(x, genes, relations, settings)["detail"].iloc[0])
    assert (detail["n_symbols_unknown"], detail["symbols_case"], detail["symbols_outdated"]) == (
        1,
        ["g3 (G3)"],
        ["OLD (G7)"],
    )
