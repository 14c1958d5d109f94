"""Chromosome arms: a planted shift of each arm is taken away, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.proximity_bias import Arms, center_arms, read_arms
from platemae.errors import InputError, MissingError


def planted(seed: int = 0) -> tuple[np.ndarray, list[str], Arms]:
    """Return genes on three arms: 30 and 25 of them unexpressed on two, 20 on the third; shifts of 5."""
    rng = np.random.default_rng(seed)
    genes, arm, silent = [], {}, set()
    for name, count in (("1p", 30), ("1q", 25), ("2p", 20)):
        for i in range(count + 10):
            genes.append(f"{name}_{i}")
            arm[genes[-1]] = name
            silent |= {genes[-1]} if i < count else set()
    shift = {name: 5 * rng.normal(size=6) for name in ("1p", "1q", "2p")}
    x = rng.normal(size=(len(genes), 6)) + np.array([shift[arm[gene]] for gene in genes])
    return x, genes, Arms(arm, frozenset(silent))


def test_equals_a_loop_over_genes_and_leaves_arms_with_few_references():
    x, genes, arms = planted()
    found, notes = center_arms(x, genes, ["gene"] * len(genes), arms)
    for row, gene in enumerate(genes):
        same = [i for i, other in enumerate(genes) if arms.arm[other] == arms.arm[gene] and other in arms.unexpressed]
        expected = x[row] - np.mean([x[i] for i in same], axis=0) if len(same) > 20 else x[row]
        np.testing.assert_allclose(found[row], expected, atol=1e-12)
    assert notes["arms_left"] == ["2p (20 reference genes)"]
    assert (notes["n_genes_centered"], notes["n_arms_centered"], notes["arm_reference"]) == (75, 2, "unexpressed")


def test_cosines_within_an_arm_fall_to_those_between_arms():
    x, genes, arms = planted(1)
    found, _ = center_arms(x, genes, ["gene"] * len(genes), arms, more_than=5)
    arm = np.array([arms.arm[gene] for gene in genes])
    same = (arm[:, None] == arm) & ~np.eye(len(arm), dtype=bool)

    def within(rows):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return (unit @ unit.T)[same].mean()

    assert within(x) > 0.8
    assert abs(within(found)) < 0.1


def test_compounds_and_genes_without_an_arm_stay_as_they_are_and_are_named():
    x, genes, arms = planted()
    kinds = ["compound", *["gene"] * (len(genes) - 1)]
    names = [*genes[:-1], "lost"]
    found, notes = center_arms(x, names, kinds, arms)
    np.testing.assert_array_equal(found[[0, -1]], x[[0, -1]])
    assert (notes["n_without_arm"], notes["without_arm"]) == (1, ["lost"])
    assert notes["n_genes_centered"] == 40 - 1 + 35


def test_without_expression_all_genes_of_an_arm_are_its_reference(tmp_path: Path):
    x, genes, arms = planted()
    path = tmp_path / "arms.csv"
    path.write_text("gene,chromosome_arm\n" + "".join(f"{g},{a}\n" for g, a in arms.arm.items()))
    found, notes = center_arms(x, genes, ["gene"] * len(genes), read_arms(path))
    assert notes["arm_reference"] == "all genes"
    own = np.array([arms.arm[gene] == "2p" for gene in genes])
    np.testing.assert_allclose(found[own], x[own] - x[own].mean(axis=0), atol=1e-12)


def test_a_table_with_expression_is_read_and_a_gene_without_a_value_is_no_reference(tmp_path: Path):
    path = tmp_path / "arms.csv"
    path.write_text("gene,chromosome_arm,zfpkm\nA,1p,-3.5\n B , 1p ,-3\nC,1q,\nD,,-9\n")
    arms = read_arms(path)
    assert arms == Arms({"A": "1p", "B": "1p", "C": "1q"}, frozenset({"A"}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symbol,arm\nA,1p\n", "no column gene and chromosome_arm"),
        ("gene,chromosome_arm\nA,1p\nA,1q\n", "1 genes lie on two arms: A"),
        ("gene,chromosome_arm,zfpkm\nA,1p,low\n", "zfpkm is no number for A"),
        ("", "not a table"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, words: str):
    path = tmp_path / "arms.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_arms(path)
    with pytest.raises(MissingError, match="chromosome arms"):
        read_arms(tmp_path / "none.csv")


def test_a_map_is_corrected_after_aggregation_and_its_consistency_is_not(tmp_path: Path):
    from tests.unit.benchmarks.test_aggregate import screen

    x, obs = screen()
    path = tmp_path / "arms.csv"
    path.write_text("gene,chromosome_arm\nA,1p\nB,1p\nC,2q\n")
    plain = build_gene_map(x, obs, AggregateSettings())
    found = build_gene_map(x, obs, AggregateSettings(chromosome_arms=str(path), arm_genes=1))
    np.testing.assert_allclose(found.X[:2], plain.X[:2] - plain.X[:2].mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(found.X[2], plain.X[2])
    assert found.obs["consistency"].equals(plain.obs["consistency"])
    assert found.uns["notes"]["arms_left"] == ["2q (1 reference genes)"]
