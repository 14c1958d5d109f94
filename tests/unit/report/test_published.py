import numpy as np
import pandas as pd
import pytest

from platemae.contracts import SCORE_COLUMNS
from platemae.errors import ContractError, InputError, MissingError
from platemae.report.papers import MeasuredFacts, paper_tables, shown
from platemae.report.published import PUBLISHED, PUBLISHED_COLUMNS, beside_measured, read_published


def measured(source: str, correction: str = "tvn", threshold: float = 0.05, metric: str = "recall") -> list[object]:
    return [
        "mine",
        correction,
        "my_benchmark",
        source,
        metric,
        threshold,
        0.5,
        0.4,
        0.6,
        np.nan,
        np.nan,
        90,
        0.1,
        "",
        "",
    ]


def table(*rows: list[object]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def test_the_package_and_the_workflow_share_one_file() -> None:
    assert PUBLISHED.resolve().parts[-3:] == ("workflow", "resources", "published.csv")


def test_every_published_number_has_a_paper_a_number_and_a_known_provenance() -> None:
    published = read_published()
    assert len(published) > 50
    assert np.isfinite(published["value"]).all()
    assert (
        (published[["table", "row", "column", "printed", "paper", "metric", "provenance", "reliability"]] != "")
        .all()
        .all()
    )
    codes = {code for text in published["provenance"] for code in text.split("; ")}
    assert codes <= {"A", "E", "I", "N1", "N2", "S"}
    assert not published.duplicated(["table", "row", "column"]).any()
    secondary = ~published["provenance"].str.contains(r"\b[AEI]\b")
    assert (published.loc[secondary, "reliability"] == "secondary").all()
    assert (published.loc[~secondary, "reliability"] == "primary").all()


def test_a_value_is_what_is_printed() -> None:
    published = read_published()
    text = published["printed"].str.replace(",", "").str.replace(r"/\d+$", "", regex=True)
    percent = text.str.contains("%") | published["column"].str.contains("%")
    numbers = text.str.strip("+>%").astype(float) / np.where(percent, 100, 1)
    np.testing.assert_allclose(published["value"], numbers)


def test_a_source_is_found_whatever_its_spelling() -> None:
    joined = beside_measured(read_published(), table(measured("humap")))
    hit = joined[joined["measured"].notna()]
    assert hit["source"].unique().tolist() == ["hu.MAP"]
    best = hit[hit["row"].str.startswith("MAE ViT-L/8+")].iloc[0]
    assert best["measured_model"] == "mine"
    assert best["difference"] == pytest.approx(0.5 - 0.44)


def test_correction_and_threshold_must_agree_where_the_paper_states_them() -> None:
    published = read_published()
    rows = published[published["table"] == "batch_correction"]
    joined = beside_measured(rows, table(measured("CORUM", "none"), measured("CORUM", "tvn", threshold=0.1)))
    assert joined.loc[joined["correction"] == "none", "difference"].tolist() == [pytest.approx(0.5 - 0.124)]
    assert joined.loc[joined["correction"] == "tvn", "measured"].isna().all()


def test_a_correction_is_known_by_its_kind() -> None:
    rows = read_published().query("table == 'batch_correction' and correction == 'tvn'")
    scores = table(measured("CORUM", "recolored"), measured("CORUM", "tvn"), measured("CORUM", "own"))
    joined = beside_measured(rows, scores, {"recolored": "tvn", "tvn": "sphere"})
    assert joined["measured_correction"].tolist() == ["recolored"]


def test_what_a_source_is_of_does_not_matter() -> None:
    rows = [
        measured("category:Intensity", metric="median_r2"),
        measured("compartment:Nuclei", metric="median_r2"),
        measured("Metadata_Perturbation", metric="fraction_retrieved"),
    ]
    joined = beside_measured(read_published(), table(*rows))
    hit = joined[joined["measured"].notna()]
    assert sorted(hit["column"]) == ["intensity", "intensity", "perturbation retrieval"]


def test_without_partner_the_cells_stay_empty_and_no_row_is_lost() -> None:
    published = read_published()
    joined = beside_measured(published, table(measured("planted"), measured("", metric="recall")))
    assert len(joined) == len(published)
    assert joined[["measured_model", "measured", "difference"]].isna().all().all()


def test_a_table_without_a_column_is_refused(tmp_path) -> None:
    path = tmp_path / "published.csv"
    path.write_text(",".join(PUBLISHED_COLUMNS[:-1]) + "\n")
    with pytest.raises(ContractError, match="note"):
        read_published(path)


OWN = "table,row,column,value,source,metric,threshold\n"


def test_cells_of_ones_own_go_before_ours_and_may_leave_columns_out(tmp_path) -> None:
    path = tmp_path / "mine.csv"
    ours = read_published()
    cell = ours[(ours["table"] == "rxrx3_recall") & (ours["column"] == "CORUM")].iloc[0]
    path.write_text(OWN + f"rxrx3_recall,{cell['row']},CORUM,.7,CORUM,recall,0.05\nmine,a row,a column,1,,recall,\n")
    merged = read_published(own=path)
    assert len(merged) == len(ours) + 1
    assert merged[(merged["row"] == cell["row"]) & (merged["column"] == "CORUM")]["value"].tolist() == [0.7]
    assert merged.iloc[-1][["table", "provenance", "note"]].tolist() == ["mine", "", ""]


def test_all_wrong_cells_of_ones_own_are_named(tmp_path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        OWN
        + "a b,r,c,1,,recall,\nt,r,c,unknown,,recall,\nt,r,d,1,,recall,\nt,r,d,2,,recall,\n"
        + '"t\n",r,e,1,,recall,\n'
    )
    with pytest.raises(InputError, match="4 problems") as caught:
        read_published(own=path)
    said = str(caught.value)
    for words in ("called 'a b'", r"called 't\n'", "'unknown' is no number", "the cell is there twice", "line 5"):
        assert words in said
    with pytest.raises(MissingError):
        read_published(own=tmp_path / "none.csv")
    path.write_text("table,row\nt,r\n")
    with pytest.raises(ContractError, match="columns are missing: column, metric, source, value"):
        read_published(own=path)


def test_counts_of_millions_are_shown_whole() -> None:
    rows = read_published().query("table == 'batch_correction' and correction == 'tvn'")
    row = measured("CORUM")
    row[SCORE_COLUMNS.index("n")] = 1_234_567
    for scores, expected in ((table(row), "1,234,567"), (table(), "")):
        (paper,) = paper_tables(beside_measured(rows, scores), MeasuredFacts({}, {})).values()
        assert shown(paper)["n"].iloc[0] == expected
