"""Selections of wells: words, queries against pandas, and what is no query."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platemae.errors import ConfigError
from platemae.selection import check_selection, select_rows, selection_columns, selection_name

OBS = pd.DataFrame(
    {
        "Metadata_Control_Type": ["negcon", "poscon", "treatment", "empty", "negcon"],
        "Metadata_Compound": ["DMSO", "taxol", "it's", "", "DMSO"],
        "Metadata_Concentration": ["", "0.5", "10", "", "2e1"],
        "Metadata_Plate": pd.Categorical(["P1", "P1", "P2", "P2", "P3"]),
    }
)


def test_words() -> None:
    assert select_rows(OBS, "negcon").tolist() == [True, False, False, False, True]
    assert select_rows(OBS, "all").tolist() == [True, True, True, False, True]


@pytest.mark.parametrize(
    "query",
    [
        "Metadata_Compound == 'DMSO'",
        "Metadata_Compound != 'DMSO' and Metadata_Plate == 'P2'",
        "Metadata_Plate in ['P1', 'P3'] or Metadata_Compound == \"it's\"",
        "not (Metadata_Plate in ('P1',)) and Metadata_Control_Type not in ['empty']",
        "'P1' < Metadata_Plate <= 'P3'",
    ],
)
def test_queries_select_what_pandas_selects(query: str) -> None:
    np.testing.assert_array_equal(select_rows(OBS, query), OBS.astype(str).eval(query).to_numpy())


def test_numbers_are_compared_as_numbers() -> None:
    assert select_rows(OBS, "Metadata_Concentration >= 2").tolist() == [False, False, True, False, True]
    assert select_rows(OBS, "-1 < Metadata_Concentration < 1").tolist() == [False, True, False, False, False]
    assert select_rows(OBS, "Metadata_Concentration in [10, 20]").tolist() == [False, False, True, False, True]


def test_one_name_whatever_the_spelling() -> None:
    one = selection_name("Metadata_Compound=='DMSO' and (Metadata_Plate != \"P3\")")
    assert one == selection_name(" Metadata_Compound == 'DMSO'  and Metadata_Plate != 'P3'")
    assert one != selection_name("Metadata_Compound == 'DMSO' and Metadata_Plate != 'P4'")
    assert one.startswith("query-")
    assert [selection_name(word) for word in ("negcon", "all")] == ["negcon", "all"]


def test_columns_of_a_query() -> None:
    assert selection_columns("Metadata_B == 'x' or Metadata_A in [1]") == ["Metadata_A", "Metadata_B"]
    assert selection_columns("all") == ["Metadata_Control_Type"]


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "DMSO",
        "Metadata_Compound",
        "Metadata_Compound = 'DMSO'",
        "Metadata_Compound == DMSO",
        "Metadata_Compound == 'a' & Metadata_Plate == 'b'",
        "Metadata_Compound.str.contains('D')",
        "__import__('os').system('true')",
        "Metadata_Compound == __import__('os')",
        "[x for x in Metadata_Compound]",
        "Metadata_Compound == True",
        "'DMSO' in Metadata_Compound",
        "Metadata_Compound in 'DMSO'",
        "lambda: 1",
        "1 == 1",
        "Metadata_Compound is 'DMSO'",
        "Metadata_Concentration == --1",
        "Metadata_Concentration == -'1'",
        "Metadata_Concentration == -True",
        "(" * 500,
    ],
)
def test_anything_else_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="query") as caught:
        check_selection(bad)
    assert caught.value.where == "corrections: fit_on"


def test_an_unknown_column_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no column Metadata_Drug") as caught:
        select_rows(OBS, "Metadata_Drug == 'DMSO'")
    assert "Metadata_Compound" in caught.value.remedy


@given(st.text(max_size=60))
def test_no_text_does_more_than_raise_a_config_error(text: str) -> None:
    try:
        select_rows(OBS, text)
    except ConfigError:
        pass
