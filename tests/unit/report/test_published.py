import numpy as np
import pandas as pd
import pytest

from platemae.contracts import SCORE_COLUMNS
from platemae.errors import ContractError
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
    assert (published[["paper", "model", "metric", "provenance"]] != "").all().all()
    codes = {code for text in published["provenance"] for code in text.split("; ")}
    assert codes <= {"A", "E", "I", "N1", "N2", "S"}
    assert not published.drop(columns=["value", "note"]).duplicated().any()


def test_a_source_is_found_whatever_its_spelling() -> None:
    joined = beside_measured(read_published(), table(measured("humap")))
    hit = joined[joined["measured"].notna()]
    assert hit["source"].unique().tolist() == ["hu.MAP"]
    best = hit[hit["model"].str.startswith("MAE ViT-L/8+")].iloc[0]
    assert best["measured_model"] == "mine"
    assert best["difference"] == pytest.approx(0.5 - 0.44)


def test_correction_and_threshold_must_agree_where_the_paper_states_them() -> None:
    published = read_published()
    rows = published[(published["source"] == "CORUM") & published["model"].str.startswith("MAE ViT-L/8+")]
    joined = beside_measured(rows, table(measured("CORUM", "none"), measured("CORUM", "tvn", threshold=0.1)))
    assert joined.loc[joined["correction"] == "none", "difference"].tolist() == [pytest.approx(0.5 - 0.124)]
    assert joined.loc[joined["correction"] == "tvn", "measured"].isna().all()


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
