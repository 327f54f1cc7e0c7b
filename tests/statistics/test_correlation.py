"""Spearman's rho with ties and exact p-values: by hand, by brute force, and against the paper's Table 4."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.statistics.correlation import EXACT_UP_TO, spearman, stratified_spearman
from turnwise.statistics.ranking import average_ranks

series = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=6)


def brute_force(x, y):
    """Rho as numpy's Pearson correlation of ranks, and p as the share of all orders of y that lie as far from 0."""
    ranks_x, ranks_y = average_ranks(x), average_ranks(y)
    rho = np.corrcoef(ranks_x, ranks_y)[0, 1]
    others = [np.corrcoef(ranks_x, order)[0, 1] for order in itertools.permutations(ranks_y)]
    return rho, np.mean([abs(other) >= abs(rho) - 1e-9 for other in others])


@settings(max_examples=40, deadline=None)
@given(series)
def test_rho_and_p_are_those_of_every_permutation_also_with_ties(points):
    x, y = ([float(point[side]) for point in points] for side in (0, 1))
    found = spearman(x, y)
    if len(set(x)) < 2 or len(set(y)) < 2:
        assert found.rho is None
        assert found.p is None
        assert found.reason in ("all values of x are equal", "all values of y are equal")
        return
    rho, p = brute_force(x, y)
    assert found.rho == pytest.approx(rho)
    assert found.p == pytest.approx(p)
    assert found.exact


@pytest.mark.parametrize(
    ("y", "rho", "p"),
    [
        ([1, 2, 3], 1.0, 2 / 6),
        ([3, 2, 1], -1.0, 2 / 6),
        ([1, 3, 2], 0.5, 1.0),
        ([1, 2, 3, 4], 1.0, 2 / 24),
        ([1, 2, 4, 3], 0.8, 8 / 24),
        ([1, 4, 2, 3], 0.4, 18 / 24),
        ([2, 4, 1, 3], 0.0, 1.0),
    ],
)
def test_three_and_four_distinct_points_by_hand(y, rho, p):
    """rho = 1 - 6 sum d^2 / (n (n^2 - 1)).

    n = 3: the 6 orders have rho 1, 0.5, 0.5, -0.5, -0.5, -1; so p is 2/6 for |rho| = 1, else 1.
    n = 4: the 24 orders have |rho| 1 (2 orders), 0.8 (6), 0.6 (2), 0.4 (8), 0.2 (4), 0 (2), so p is 2/24 at 1,
    8/24 at 0.8, 18/24 at 0.4, 24/24 at 0. For example 1 4 2 3: d = 0, 2, -1, -1, sum 6, rho = 1 - 36/60 = 0.4.
    """
    found = spearman(list(range(1, len(y) + 1)), y)
    assert found.rho == pytest.approx(rho)
    assert found.p == pytest.approx(p)


def test_the_smallest_p_of_three_and_four_mixtures_is_above_five_percent():
    """2 of 6 and 2 of 24 orders are the two extremes: no series of one seed can be significant."""
    assert spearman([1, 2, 3], [5, 9, 7]).smallest_p == pytest.approx(1 / 3)
    assert spearman([1, 2, 3, 4], [5, 9, 7, 8]).smallest_p == pytest.approx(1 / 12)
    assert spearman([1, 2, 3, 4, 5], [5, 9, 7, 8, 1]).smallest_p == pytest.approx(2 / 120)


TABLE_4 = {
    "VT, In-Domain-Test": (-1.000, [8.20, 7.99, 7.90, 7.80]),
    "VT, MT-Bench": (-1.000, [7.13, 6.97, 6.60, 6.38]),
    "VT, MT-Bench-Ext": (-1.000, [6.64, 5.99, 5.90, 5.74]),
    "Baize, MT-Bench": (0.000, [7.13, 7.20, 7.10, 7.15]),
    "Baize, MT-Bench-Ext": (-0.400, [6.64, 6.50, 6.40, 6.60]),
    "ChatGLM3, MT-Bench": (0.211, [7.13, 7.20, 7.10, 7.20]),
    "ChatGLM3, MT-Bench-Ext": (-0.800, [6.64, 6.50, 6.30, 6.40]),
    "ReSURE, In-Domain-Test": (0.211, [8.20, 8.26, 8.15, 8.26]),
    "ReSURE, MT-Bench": (1.000, [7.13, 7.29, 7.35, 7.40]),
    "ReSURE, MT-Bench-Ext": (0.800, [6.64, 6.76, 6.80, 6.77]),
}


@pytest.mark.parametrize(("printed", "y"), TABLE_4.values(), ids=TABLE_4)
def test_table_4_of_the_paper_is_spearman_of_four_points_with_average_ranks(printed, y):
    """The paper prints the correlations, not the scores behind them: the series are ours.

    They begin with the base model's score, end where the text says an end, and have the peak it names (8.26).
    Derivation of 0.211, by hand: complexity 1 2 3 4 centred is -1.5 -0.5 0.5 1.5, its sum of squares 5. Scores
    8.20 8.26 8.15 8.26 have ranks 2 3.5 1 3.5, centred -0.5 1 -1.5 1, sum of squares 0.25 + 1 + 2.25 + 1 = 4.5, sum of
    products 0.75 - 0.5 - 0.75 + 1.5 = 1. Rho = 1 / sqrt(5 * 4.5) = 1 / sqrt(22.5) = 0.2108.
    """
    assert round(spearman([1, 2, 3, 4], y).rho, 3) == printed


def test_the_papers_values_need_four_points_and_0211_needs_exactly_one_tie():
    """All orders with all ties of three and of four scores: 0.8, -0.4 and 0.211 are no correlation of three points.

    Three points give 0, 0.5, 0.866 or 1. Of four points, 0.211 = 1 / sqrt(22.5) comes of one tied pair alone.
    """
    possible = {}
    for n in (3, 4):
        possible[n] = {}
        for y in itertools.product(range(n), repeat=n):
            rho = spearman(list(range(n)), y).rho
            if rho is not None:
                possible[n].setdefault(round(abs(rho), 3), set()).add(tuple(sorted(map(y.count, set(y)))))
    assert set(possible[3]) == {0.0, 0.5, 0.866, 1.0}
    assert {1.0, 0.8, 0.4, 0.211, 0.0} <= set(possible[4])
    assert possible[4][0.211] == {(1, 1, 2)}


@given(series)
def test_rho_is_symmetric_and_sees_only_the_order(points):
    """x -> x**3 + x is strictly increasing, and exact on small integers."""
    x, y = ([float(point[side]) for point in points] for side in (0, 1))
    found = spearman(x, y)
    bent = spearman([value**3 + value for value in x], [7 * value - 2 for value in y])
    turned = spearman(y, x)
    assert (bent.rho, bent.p, bent.smallest_p) == (found.rho, found.p, found.smallest_p)
    assert (turned.rho, turned.p, turned.smallest_p) == (found.rho, found.p, found.smallest_p)
    against = spearman(x, [-value for value in y])
    assert against.rho == (None if found.rho is None else -found.rho)
    assert against.p == found.p
    if found.p is not None:
        assert found.smallest_p <= found.p <= 1
        assert -1 <= found.rho <= 1


def test_longer_series_use_the_t_approximation_and_say_so():
    """n = 11, one swap of neighbours: d^2 = 2, rho = 1 - 12 / 1320; t = rho sqrt(9 / (1 - rho^2)) = 22.18.

    scipy 1.17 spearmanr gives p = 3.76257e-09.
    """
    n = EXACT_UP_TO + 1
    y = [2, 1, *range(3, n + 1)]
    found = spearman(list(range(n)), y)
    assert found.rho == pytest.approx(1 - 12 / 1320)
    assert found.p == pytest.approx(3.76257e-09, rel=1e-5)
    assert not found.exact
    assert found.smallest_p is None
    assert spearman(range(n), range(n)).p == 0


def test_the_longest_exact_series_counts_all_permutations():
    """Of 10! orders, 2 are the extremes."""
    n = EXACT_UP_TO
    assert spearman(range(n), range(n)).p == 2 / math.factorial(n)


def test_what_has_no_correlation_says_why():
    assert spearman([], []).reason == "fewer than two points"
    assert spearman([1.0], [2.0]).reason == "fewer than two points"
    assert spearman([1, 2, 3], [4, 4, 4]).reason == "all values of y are equal"
    assert spearman([2, 2], [1, 4]).reason == "all values of x are equal"
    assert spearman([1, 2], [1, math.nan]).reason == "a value is not a number"
    assert stratified_spearman([]).reason == "fewer than two points"
    with pytest.raises(ValueError, match="one y per x"):
        spearman([1, 2], [1])


def test_seeds_add_up_and_their_levels_do_not_matter():
    """Two seeds of three rising points, one seed far above the other: rho 1, and 2 of 6 * 6 orders are as extreme."""
    found = stratified_spearman([([1, 2, 3], [10, 11, 12]), ([1, 2, 3], [1, 2, 3])])
    assert found.rho == pytest.approx(1)
    assert found.p == pytest.approx(2 / 36)
    assert found.n == 6


def test_opposite_seeds_cancel():
    found = stratified_spearman([([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [3, 2, 1])])
    assert found.rho == 0
    assert found.p == 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=3))
def test_permutations_within_seeds_are_all_counted(rows):
    found = stratified_spearman([([1, 2, 3], [float(value) for value in row]) for row in rows])
    centred = [average_ranks(row) - 2 for row in rows]
    observed = sum(float(row @ [-1, 0, 1]) for row in centred)
    orders = itertools.product(*(list(itertools.permutations(row)) for row in centred))
    sums = [abs(sum(float(np.dot(row, [-1, 0, 1])) for row in order)) for order in orders]
    if found.rho is None:
        assert all(len(set(row)) == 1 for row in rows)
    else:
        assert found.p == pytest.approx(np.mean([value >= abs(observed) - 1e-9 for value in sums]))


def test_scipy_agrees_where_it_is_installed():
    stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(0)
    for n in (12, 40):
        x, y = draw.integers(0, 8, n), draw.integers(0, 8, n)
        expected = stats.spearmanr(x, y)
        found = spearman(x, y)
        assert found.rho == pytest.approx(expected.statistic)
        assert found.p == pytest.approx(expected.pvalue)
