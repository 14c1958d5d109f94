"""Files as others write them."""

import pytest

from platemae.annotations.normalise import normalise
from platemae.errors import InputError


@pytest.mark.parametrize(
    "text",
    [
        "entity1,entity2\nB,A\nA,B\nA,A\n,C\n",
        "\ufeffGene A\tGene B\tscore\nB\tA\t9\nA\tB\t8\nA\tA\t7\n\tC\t1\n",
        '"ENTITYA";"ENTITYB"\nB;A\nA;B\nA;A\nNA;C\n',
        "#a comment\nprotein1 protein2 combined_score\nB A 900\nA B 900\nA A 1\n- C 5\n",
    ],
)
def test_usual_headers_and_marks_make_one_table(text):
    made, counts = normalise(text.encode(), "pairs", "f")
    assert made == "entity1,entity2\nA,B\n"
    assert counts == {"rows": 4, "renamed": 0, "blank": 1, "self_pairs": 1, "duplicates": 1, "pairs": 1}


def test_strength_stays_with_its_pair():
    made, _ = normalise(b"entity1,entity2,strength\nB,A,0.5\nC,A,1\n", "pairs", "f")
    assert made == "entity1,entity2,strength\nA,B,0.5\nA,C,1\n"


@pytest.mark.parametrize(
    "text",
    [
        "one\tA B\ntwo\tB C B\n",
        "one\thttp://x\tA\tB\ntwo\tdescribed\tB\tC\tB\n",
        "cluster,gene\none,A\none,B\ntwo,B\ntwo,C\ntwo,B\n",
    ],
)
def test_clusters_of_three_forms_make_one_table(text):
    made, counts = normalise(text.encode(), "clusters", "f")
    assert made == "cluster,gene\none,A\none,B\ntwo,B\ntwo,C\n"
    assert (counts["clusters"], counts["duplicates"]) == (2, 1)


@pytest.mark.parametrize(
    ("data", "form", "words"),
    [
        (b"", "pairs", "empty"),
        (b"\xff\xfe\x00", "pairs", "not a text file"),
        (b"a,b\nA,B\n", "pairs", r"not found \(columns: a, b\)"),
        (b"entity1,entity2\nA,A\n", "pairs", "not a single entry"),
        (b"entity1,entity2\nA,B,C,D\nA,B,C\n", "pairs", "not a table"),
        (b"one A B\n", "clusters", "not a table of clusters"),
    ],
)
def test_bad_files_are_refused(data, form, words):
    with pytest.raises(InputError, match=words):
        normalise(data, form, "f")


@pytest.mark.parametrize(
    "text",
    ["cluster\tgene\nPCNA complex, nuclear\tPCNA\nPCNA complex, nuclear\tRFC1\n",
     'cluster,gene\n"PCNA complex, nuclear",PCNA\n"PCNA complex, nuclear",RFC1\n'],
)  # fmt: skip
def test_marks_within_the_name_of_a_cluster_part_no_columns(text):
    made, counts = normalise(text.encode(), "clusters", "f")
    assert made == 'cluster,gene\n"PCNA complex, nuclear",PCNA\n"PCNA complex, nuclear",RFC1\n'
    assert counts["clusters"] == 1
    assert normalise(made.encode(), "clusters", "f")[0] == made


def test_a_pair_with_two_strengths_is_refused_before_a_benchmark_does():
    with pytest.raises(InputError, match="A and B have two strengths"):
        normalise(b"entity1,entity2,strength\nA,B,1\nB,A,2\n", "pairs", "f")
