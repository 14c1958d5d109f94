import json
from pathlib import Path

import pandas as pd
import pytest

from platemae.report.blocks import (
    Block,
    Figure,
    Fold,
    Items,
    Page,
    Section,
    Statement,
    Statements,
    Table,
    Text,
    grid,
    lasting,
    stable,
)
from platemae.report.figures import curves
from platemae.report.origin import Cell, Origin
from platemae.report.page import files_of, page_digest, render
from platemae.report.takeaway import file_name


def one(*blocks: Block, key: str = "a") -> list[Page]:
    return [Page(key, "A", [Section(key, "A", blocks)])]


def test_every_text_is_escaped() -> None:
    hostile = '"><img src=x onerror=alert(1)></script>'
    blocks = [Text(hostile), Items([hostile]), grid([[hostile]], [hostile], hostile, name="t")]
    statement = Statement(hostile, Cell(hostile, Origin(hostile, hostile, hostile)), hostile, [hostile])
    blocks += [Statements([statement]), Fold(hostile, blocks[:1])]
    page = render(hostile, [Page("a", hostile, [Section("b", hostile, blocks)])])
    assert "<img" not in page
    assert page.count("</script>") == page.count("<script>") == 1
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 14


def test_volatile_blocks_are_shown_but_not_digested() -> None:
    def pages(text: str) -> list[Page]:
        seconds = Table(("fact", "value"), [("seconds", text)], volatile=True, name=f"seconds-{text}")
        return one(Text("stays"), Fold("more", [seconds, Text("inner")]))

    assert "17 s" in render("t", pages("17 s"))
    assert page_digest("t", pages("17 s")) == page_digest("t", pages("18 s"))
    kept = stable(pages("")[0].sections[0].blocks)
    assert [block.type for block in kept] == ["text", "fold"]
    assert kept[1].blocks == [Text("inner")]
    assert files_of(lasting(pages("17 s"))) == {}


def test_what_stays_is_digested() -> None:
    first = page_digest("t", one(Text("x")))
    assert first != page_digest("t", one(Text("y")))
    assert first != page_digest("other title", one(Text("x")))


def test_numeric_columns_and_cells_at_chance_are_marked() -> None:
    table = Table(("model", "recall"), [("a", "0.1"), ("b", "0.9")], "", frozenset({1}), frozenset({(0, 1)}))
    page = render("t", one(table))
    assert '<td class="number faint">0.1 <span class="tag">at chance</span></td>' in page
    assert '<td class="number">0.9</td>' in page


def test_a_number_tells_its_table_row_and_column() -> None:
    page = render("t", one(grid([["a", Cell("0.9", Origin("tables/scores.csv", "3", "value"))]], ["model", "recall"])))
    assert '<td data-table="tables/scores.csv" data-row="3" data-column="value">0.9</td>' in page


def test_headings_go_down_by_one() -> None:
    alone = render("t", [Page("a", "A", [Section("a", "A", [])])])
    parts = render("t", [Page("a", "A", [Section("b", "B", []), Section("c", "C", [])])])
    assert "<h3>" not in alone
    assert "<h3>B</h3>" in parts


def test_a_script_is_inlined_once_and_before_the_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Text, "scripts", ("jinja2:__init__.py",))
    page = render("t", one(Text("x"), Text("y")))
    assert page.count("<script>") == 2
    assert page.index("Jinja is a template engine") < page.index("Tabs over the pages")
    assert "<script" not in render("t", one(Text("x")), scripted=False)
    assert "script-src 'none'" in render("t", one(Text("x")), scripted=False)


def test_two_files_of_one_name_are_refused() -> None:
    tables = [grid([["1"]], ["a"], name="t"), grid([["2"]], ["a"], name="t")]
    assert set(files_of(one(tables[0], tables[0]))) == {"t.csv", "t.tex"}
    with pytest.raises(ValueError, match=r"called t\.csv"):
        files_of(one(*tables))


def test_what_is_taken_away_is_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["NA", "0.550 [0.510, 0.590]"], ["-", ""]]
    drawn = pd.DataFrame({"line": ["NA", "b"], "x": [1, 2], "y": [0.1, float("nan")]})
    figure = Figure(curves([("t", [("NA", [1], [0.1])])], "x").showing(drawn), "alt", "caption", name="curve")
    blocks = [grid(rows, ["gene", "recall"], name="table"), figure, Figure(figure.drawing, "alt", "c", name="plain")]
    (tmp_path / "files").mkdir()
    for name, content in files_of(one(*blocks)).items():
        (tmp_path / "files" / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    for block in blocks[:2]:
        exec(block.takeaway.snippet, found)
    assert found["table"].fillna("").to_numpy().tolist() == rows
    pd.testing.assert_frame_equal(found["drawn"], drawn)
    assert (tmp_path / "files" / "table.tex").read_text().startswith("\\begin{table}")
    assert (tmp_path / "files" / "curve.svg").read_text().startswith("<?xml")
    picture = Figure(curves([("t", [("a", [1], [0.1])])], "x"), "alt", "c", name="curve").takeaway
    exec(picture.snippet, found)
    assert found["picture"].size[0] > 300


def test_file_names_hold_no_path_and_stay_apart() -> None:
    assert file_name("recall", "mae_tiny") == "recall-mae_tiny"
    bad = [file_name("../../etc/passwd"), file_name("a/b"), file_name("a:b"), file_name("x" * 300), file_name("")]
    assert len(set(bad)) == len(bad)
    assert all("/" not in name and not name.startswith(".") and len(name) < 100 for name in bad)
    assert json.dumps(bad).isascii()
    joined = [file_name("map", "mae", "x-tvn"), file_name("map", "mae-x", "tvn"), file_name("map", "mae", "x", "tvn")]
    assert len(set(joined)) == 3
    assert joined[0].startswith("map-mae-x-tvn-")
    assert file_name("plate-shift", "mae") == "plate-shift-mae"
    assert file_name("a/b", "c") != file_name("a", "b/c") != file_name("a", "b", "c")
