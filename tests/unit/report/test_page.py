from platemae.report.blocks import Fold, Items, Section, Table, Text, grid, stable
from platemae.report.page import page_digest, render


def test_every_text_is_escaped() -> None:
    hostile = '"><img src=x onerror=alert(1)>'
    blocks = [Text(hostile), Items([hostile]), grid([[hostile]], [hostile], hostile), Fold(hostile, [Text(hostile)])]
    page = render(hostile, [Section("a", hostile, blocks)])
    assert "<img" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") == 12


def test_volatile_blocks_are_shown_but_not_digested() -> None:
    def sections(text: str) -> list[Section]:
        seconds = Table(("fact", "value"), [("seconds", text)], volatile=True)
        return [Section("a", "A", [Text("stays"), Fold("more", [seconds, Text("inner")])])]

    assert "17 s" in render("t", sections("17 s"))
    assert page_digest("t", sections("17 s")) == page_digest("t", sections("18 s"))
    kept = stable(sections("")[0].blocks)
    assert [block.type for block in kept] == ["text", "fold"]
    assert kept[1].blocks == [Text("inner")]


def test_what_stays_is_digested() -> None:
    first = page_digest("t", [Section("a", "A", [Text("x")])])
    assert first != page_digest("t", [Section("a", "A", [Text("y")])])
    assert first != page_digest("other title", [Section("a", "A", [Text("x")])])


def test_numeric_columns_and_faint_cells_are_marked() -> None:
    table = Table(("model", "recall"), [("a", "0.1"), ("b", "0.9")], "", frozenset({1}), frozenset({(0, 1)}))
    page = render("t", [Section("a", "A", [table])])
    assert '<td class="number faint" title="at chance">0.1</td>' in page
    assert '<td class="number">0.9</td>' in page
