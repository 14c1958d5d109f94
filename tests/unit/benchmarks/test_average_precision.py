"""Average precision against scikit-learn, copairs and closed forms; p-values against listed and drawn rankings."""

import importlib.util
import json
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score

from platemae.benchmarks import average_precision as module
from platemae.benchmarks.average_precision import Pairs, average_precision
from platemae.benchmarks.cosine import unit_rows
from platemae.benchmarks.ranking_null import expected_precision, p_values, random_precision

DATA = Path(__file__).parent / "data"
ORACLE = json.loads((DATA / "copairs_oracle.json").read_text())


def codes(case: dict, columns: list[str]) -> list[np.ndarray]:
    return [pd.factorize(np.array(case["meta"][column], dtype=object))[0].astype(np.int64) for column in columns]


def ours(case: dict) -> tuple[module.Precision, np.ndarray]:
    u, _ = unit_rows(np.array(case["x"]))
    treated = np.array(case["meta"].get("role", ["treatment"] * len(u))) == "treatment"
    positive = Pairs(codes(case, case["pos_sameby"]), codes(case, case["pos_diffby"]), treated)
    negative = Pairs(codes(case, case["neg_sameby"]), codes(case, case["neg_diffby"]))
    return average_precision(u, positive, negative, treated), treated


def by_loop(u: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> list[float]:
    """scikit-learn on every row's own list; (N, N) masks."""
    cosine = np.rint(u @ u.T * 2.0**40)
    found = []
    for row in range(len(u)):
        own = np.arange(len(u)) != row
        score = np.concatenate([cosine[row][positive[row] & own], cosine[row][negative[row] & own]])
        n = int((positive[row] & own).sum())
        label = np.arange(len(score)) < n
        found.append(average_precision_score(label, score) if 0 < n < len(score) else np.nan)
    return found


@pytest.mark.parametrize("name", ORACLE)
def test_precision_counts_and_p_equal_copairs(name: str) -> None:
    check(ORACLE[name], ORACLE[name]["copairs"])


@pytest.mark.parametrize("name", ORACLE)
def test_precision_and_p_equal_a_run_of_copairs(name: str) -> None:
    pytest.importorskip("copairs")
    spec = importlib.util.spec_from_file_location("copairs_oracle", DATA / "copairs_oracle.py")
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    check(ORACLE[name], oracle.answer(oracle.cases()[name]))


def check(case: dict, theirs: dict) -> None:
    found, treated = ours(case)
    rows = np.array(theirs["index"])
    assert np.array_equal(np.flatnonzero(treated), rows)
    peer = np.array(theirs["average_precision"], dtype=float)
    assert found.value[rows] == pytest.approx(peer, abs=1e-6, nan_ok=True)
    assert found.n_positive[rows].tolist() == theirs["n_pos_pairs"]
    assert found.n_total[rows].tolist() == theirs["n_total_pairs"]
    expected = expected_precision(found.n_positive[rows], found.n_total[rows])
    normalized = (found.value[rows] - expected) / (1 - expected)
    assert normalized == pytest.approx(np.array(theirs["normalized_average_precision"], dtype=float), abs=1e-6)
    names = np.array(case["meta"][case["group"][0]], dtype=object)[rows]
    group, order = pd.factorize(names, sort=True)
    mean, p = p_values(found.value[rows], found.n_positive[rows], found.n_total[rows], group, 20_000, 0)
    for index, group_name in enumerate(order):
        other = theirs["groups"][group_name]
        assert mean[index] == pytest.approx(other["mean_average_precision"], abs=1e-6)
        error = 5 * np.sqrt(other["p_value"] * (1 - other["p_value"]) * 2 / 20_000) + 2 / 20_000
        assert abs(p[index] - other["p_value"]) <= error, group_name


@pytest.mark.parametrize("cells", [1 << 22, 64])
def test_precision_equals_scikit_learn_with_ties_and_every_kind_of_pair(cells: int, monkeypatch) -> None:
    """Half of the rows are copies of others, so many candidates tie; small blocks change nothing."""
    monkeypatch.setattr(module, "_CELLS", cells)
    rng = np.random.default_rng(0)
    u, _ = unit_rows(rng.integers(-2, 3, (70, 3)) + 0.5)
    match, plate, batch = rng.integers(0, 12, 70), rng.integers(0, 4, 70), rng.integers(0, 3, 70)
    candidate = rng.random(70) < 0.8
    positive = (match[:, None] == match) & (batch[:, None] != batch)
    negative = (plate[:, None] == plate) & (match[:, None] != match) & candidate
    found = average_precision(u, Pairs([match], [batch]), Pairs([plate], [match], candidate))
    assert found.value == pytest.approx(np.array(by_loop(u, positive, negative)), abs=1e-12, nan_ok=True)
    assert np.isfinite(found.value).sum() > 40
    np.fill_diagonal(positive, False)
    np.fill_diagonal(negative, False)
    assert found.n_positive.tolist() == positive.sum(axis=1).tolist()
    assert found.n_total.tolist() == (positive.sum(axis=1) + negative.sum(axis=1)).tolist()


def test_profiles_that_are_all_alike_reach_the_share_of_positives_and_no_more() -> None:
    """copairs keeps positives first among equals, and says 1."""
    match = np.arange(40) % 4
    found = average_precision(unit_rows(np.ones((40, 5)))[0], Pairs([match]), Pairs([], [match]))
    assert found.value == pytest.approx(np.full(40, 9 / 39))


def test_a_profile_without_positive_or_negative_has_no_precision() -> None:
    u, _ = unit_rows(np.random.default_rng(0).standard_normal((4, 3)))
    match = np.array([0, 0, 1, 2])
    found = average_precision(u, Pairs([match]), Pairs([], [match], np.array([True, True, True, False])))
    assert np.isfinite(found.value).tolist() == [True, True, False, False]
    alone = average_precision(u, Pairs([match]), Pairs([match], [match]))
    assert np.isnan(alone.value).all()
    none = average_precision(u, Pairs([match]), Pairs([], [match]), np.zeros(4, dtype=bool))
    assert none.n_total.tolist() == [0, 0, 0, 0]


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(np.float64, (18, 4), elements=st.floats(-4, 4, width=16)),
    st.permutations(range(18)),
    st.floats(1e-3, 1e3),
)
def test_row_order_and_scale_change_nothing(x: np.ndarray, order: list[int], scale: float) -> None:
    match, plate = np.arange(18) % 5, np.arange(18) // 6
    u, _ = unit_rows(x)
    one = average_precision(u, Pairs([match]), Pairs([plate], [match]))
    again = average_precision(
        unit_rows(x[order] * scale)[0], Pairs([match[order]]), Pairs([plate[order]], [match[order]])
    )
    assert again.value == pytest.approx(one.value[order], abs=1e-9, nan_ok=True)


def test_random_vectors_have_the_expected_precision() -> None:
    rng = np.random.default_rng(1)
    match = np.arange(600) % 150
    found = average_precision(unit_rows(rng.standard_normal((600, 32)))[0], Pairs([match]), Pairs([], [match]))
    expected = expected_precision(found.n_positive, found.n_total)
    assert found.value.mean() == pytest.approx(expected.mean(), abs=0.005)


@pytest.mark.parametrize(("n_positive", "n_total"), [(1, 7), (2, 9), (3, 8), (7, 8), (8, 8)])
def test_expectation_and_exact_null_are_those_of_all_rankings(n_positive: int, n_total: int) -> None:
    listed = []
    for places in combinations(range(n_total), n_positive):
        label = np.isin(np.arange(n_total), places)
        listed.append(average_precision_score(label, -np.arange(n_total)))
    null, exact = random_precision(n_positive, n_total, 10_000, 0)
    assert exact
    assert len(null) == comb(n_total, n_positive)
    assert null == pytest.approx(np.sort(listed))
    assert expected_precision(np.array([n_positive]), np.array([n_total]))[0] == pytest.approx(np.mean(listed))


@pytest.mark.parametrize(("n_positive", "n_total"), [(3, 60), (40, 90), (70, 90)])
def test_drawn_rankings_are_uniform(n_positive: int, n_total: int) -> None:
    """Their mean is the closed form, their spread that of permuted labels."""
    null, exact = random_precision(n_positive, n_total, 20_000, 3)
    assert not exact
    mean = expected_precision(np.array([n_positive]), np.array([n_total]))[0]
    assert null.mean() == pytest.approx(mean, abs=4 * null.std() / np.sqrt(20_000))
    rng = np.random.default_rng(0)
    label = np.arange(n_total) < n_positive
    slow = [average_precision_score(rng.permutation(label), -np.arange(n_total)) for _ in range(600)]
    assert null.std() == pytest.approx(np.std(slow), rel=0.15)
    assert np.quantile(null, 0.9) == pytest.approx(np.quantile(slow, 0.9), rel=0.1)


def test_p_of_one_configuration_is_the_exact_share_of_rankings() -> None:
    """Two of five: the best of ten placings has p 0.1, the worst p 1."""
    best, worst = 1.0, (1 / 4 + 2 / 5) / 2
    mean, p = p_values(np.array([best, worst]), np.array([2, 2]), np.array([5, 5]), np.array([0, 1]), 1000, 0)
    assert mean.tolist() == [best, worst]
    assert p.tolist() == [0.1, 1.0]


def test_p_does_not_depend_on_what_else_is_tested() -> None:
    value, positive, total = np.array([0.5, 0.4, 0.6, 0.3]), np.array([3, 3, 4, 9]), np.array([50, 50, 60, 80])
    group = np.array([0, 0, 1, 1])
    _, p = p_values(value, positive, total, group, 2000, 5)
    _, alone = p_values(value[2:], positive[2:], total[2:], group[2:] - 1, 2000, 5)
    assert p[1] == alone[0]
    order = np.array([3, 1, 2, 0])
    assert p_values(value[order], positive[order], total[order], group[order], 2000, 5)[1].tolist() == p.tolist()
    assert (p_values(value, positive, total, group, 2000, 6)[1] != p).any()
