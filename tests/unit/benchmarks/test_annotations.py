"""Relation files: what is read, what is counted, what is refused."""

from pathlib import Path

import pytest

from platemae.benchmarks.annotations import read_relations
from platemae.errors import InputError, MissingError


def write(folder: Path, text: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_pairs_are_undirected_unique_and_counted(tmp_path: Path) -> None:
    text = "entity1,entity2,note\nB,A,x\nA, B,y\nA,A,z\n,C,\nnan,C,\nC,D,\nNA,NA,\n"
    pairs, notes = read_relations(write(tmp_path, text))
    assert pairs.to_numpy().tolist() == [["A", "B"], ["C", "D"]]
    assert pairs.columns.tolist() == ["entity1", "entity2"]
    assert notes == {"rows": 7, "blank": 3, "self_pairs": 1, "duplicates": 1, "pairs": 2}


def test_strength_is_kept_with_its_pair_and_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    text = "\ufeffentity1,entity2,strength\nA,A,9\nC,B,0.5\nA,B,1\nB,C,0.50\n"
    pairs, notes = read_relations(write(tmp_path, text))
    assert pairs.to_numpy().tolist() == [["B", "C", 0.5], ["A", "B", 1.0]]
    assert notes["duplicates"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gene_a,gene_b\nA,B\n", r"no column entity1 and entity2 \(found: gene_a, gene_b\)"),
        ("entity1;entity2\nA;B\n", "no column entity1 and entity2"),
        ("", "not a relation table"),
        ("entity1,entity2\nA,A\n", "not a single pair"),
        ("entity1,entity2\nA,B\nC,D,E\n", "not a relation table"),
        ("entity1,entity2\nA,B,C\nC,D,E\n", "more columns than the header"),
        ("entity1,entity2,strength\nA,B,strong\n", "strength 'strong' is not a number"),
        ("entity1,entity2,strength\nA,B,1\nB,A,2\n", "A and B have two strengths"),
        ("entity1,entity2,strength\n" + "".join(f"A,B{i},{i}\n" for i in range(30)), "30 different values"),
    ],
)
def test_bad_files_are_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_relations(path)
    assert str(path) in caught.value.where
    assert caught.value.remedy


def test_a_bad_strength_names_its_row(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_relations(write(tmp_path, "entity1,entity2,strength\nA,B,1\nA,C,\n"))
    assert caught.value.where.endswith("row 3")


def test_absent_file_and_binary_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        read_relations(tmp_path / "none.csv")
    (tmp_path / "pairs.csv").write_bytes(b"\xff\xfe\x00entity")
    with pytest.raises(InputError, match="not a relation table"):
        read_relations(tmp_path / "pairs.csv")
