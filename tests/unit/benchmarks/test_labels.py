"""Tables of labels laid onto wells."""

import pandas as pd
import pytest

from platemae.benchmarks.labels import labels_of, read_labels
from platemae.errors import ContractError, InputError, MissingError

WELLS = pd.DataFrame(
    {"Metadata_Compound": ["taxol", "taxol", "DMSO", None], "Metadata_Concentration": [1.0, 0.3, 0, 1]}
)


def table(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_labels_of_compounds_at_concentrations_whatever_their_spelling(tmp_path):
    path = table(tmp_path, "compound,concentration,label\ntaxol,1,microtubule\n taxol ,0.30,none such\nDMSO,0,NA\n")
    assert labels_of(read_labels(path), WELLS).tolist() == ["microtubule", "none such", "", ""]
    text = WELLS.assign(Metadata_Concentration=["1.0", "0.3", "0", ""]).astype("category")
    assert labels_of(read_labels(path), text).tolist() == ["microtubule", "none such", "", ""]


def test_tabs_and_further_columns(tmp_path):
    path = table(tmp_path, "note\tlabel\tcompound\nx\ta\ttaxol\ny\ta\ttaxol\n", "labels.tsv")
    assert labels_of(read_labels(path), WELLS).tolist() == ["a", "a", "", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("compound,moa\ntaxol,a\n", "no column label"),
        ("drug,label\ntaxol,a\n", "says what is labelled"),
        ("compound,label\ntaxol,a\ntaxol,b\n", "taxol has the labels a, b"),
        ("compound,label\ntaxol,\n", "no row has a label"),
        ("compound,label\n", "no row"),
        ("", "not a table of labels"),
    ],
)
def test_wrong_tables_name_what_is_wrong(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_labels(table(tmp_path, text))


def test_a_table_that_fits_nothing_says_so(tmp_path):
    with pytest.raises(MissingError, match="not there"):
        read_labels(tmp_path / "gone.csv")
    labels = read_labels(table(tmp_path, "compound,label\nTAXOL,a\n"))
    with pytest.raises(InputError, match="no well has a label") as caught:
        labels_of(labels, WELLS)
    assert "upper and lower case" in caught.value.remedy
    with pytest.raises(ContractError, match="Metadata_Compound"):
        labels_of(labels, WELLS[["Metadata_Concentration"]])


@pytest.mark.parametrize("ours", [["10", "1"], ["10.0", "1.0"], [10, 1], [10.0, 1.0]])
@pytest.mark.parametrize("theirs", ["10", "10.0", "1e1"])
def test_whole_numbers_are_the_same_concentration_with_and_without_a_point(tmp_path, ours, theirs):
    wells = pd.DataFrame({"Metadata_Compound": ["taxol", "taxol"], "Metadata_Concentration": ours})
    labels = read_labels(table(tmp_path, f"compound,concentration,label\ntaxol,{theirs},a\n"))
    assert labels_of(labels, wells).tolist() == ["a", ""]


def test_other_concentrations_of_the_same_compounds_are_said_to_be_the_reason(tmp_path):
    labels = read_labels(table(tmp_path, "compound,concentration,label\ntaxol,300,a\n"))
    with pytest.raises(InputError, match="no well has a label") as caught:
        labels_of(labels, WELLS)
    assert "differ in the concentration" in caught.value.remedy
