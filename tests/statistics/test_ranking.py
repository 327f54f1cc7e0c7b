"""Ranking measures and bootstrap intervals against values derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from turnwise.statistics.ranking import auroc, average_ranks, precision_at
from turnwise.statistics.resampling import bootstrap_interval, paired_bootstrap_interval

items = st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=2, max_size=40)


def test_ties_share_the_mean_of_their_ranks():
    """Sorted 1 2 2 3: ranks 1, (2 + 3) / 2 twice, 4."""
    assert average_ranks([2, 1, 3, 2]).tolist() == [2.5, 1.0, 4.0, 2.5]


def test_auroc_counts_ordered_pairs_and_half_of_ties():
    """Positives 3, 2; negatives 2, 1. Pairs: 3>2, 3>1, 2=2 (half), 2>1: 3.5 of 4."""
    assert auroc([3, 2, 2, 1], [1, 1, 0, 0]) == 3.5 / 4


@pytest.mark.parametrize(
    ("scores", "expected"), [([1, 2, 8, 9], 1.0), ([9, 8, 2, 1], 0.0), ([5, 5, 5, 5], 0.5), ([1, 8, 2, 9], 0.75)]
)
def test_auroc_of_perfect_inverted_constant_and_mixed_scores(scores, expected):
    """Labels 0 0 1 1. Mixed: positives 2, 9 against 1, 8: 2>1, 9>1, 9>8 of 4 pairs."""
    assert auroc(scores, [0, 0, 1, 1]) == expected


def test_auroc_without_one_of_the_classes_is_none():
    assert auroc([1.0, 2.0], [True, True]) is None
    assert auroc([1.0, 2.0], [False, False]) is None
    assert auroc([], []) is None


@given(items)
def test_auroc_equals_the_count_over_all_pairs(rows):
    scores, labels = [float(s) for s, _ in rows], [label for _, label in rows]
    pairs = [(a > b) + 0.5 * (a == b) for a, x in rows for b, y in rows if x and not y]
    assume(pairs)
    assert auroc(scores, labels) == pytest.approx(sum(pairs) / len(pairs))


@given(items)
def test_auroc_of_the_opposite_is_the_complement(rows):
    scores, labels = [float(s) for s, _ in rows], [label for _, label in rows]
    value = auroc(scores, labels)
    assume(value is not None)
    assert auroc([-s for s in scores], labels) == pytest.approx(1 - value)
    assert auroc(scores, [not label for label in labels]) == pytest.approx(1 - value)


@given(items)
def test_auroc_and_precision_see_only_the_order(rows):
    """x -> x**3 + x is strictly increasing, and exact on small integers."""
    scores, labels = [float(s) for s, _ in rows], [label for _, label in rows]
    bent = [s**3 + s for s in scores]
    assert auroc(bent, labels) == auroc(scores, labels)
    assert precision_at(bent, labels, 0.3) == precision_at(scores, labels, 0.3)


def test_precision_at_a_share_looks_at_the_top():
    """Top half of four: scores 9 (positive) and 7 (negative): 1 of 2. A tiny share still looks at one item."""
    assert precision_at([9, 7, 3, 1], [1, 0, 1, 0], 0.5) == 0.5
    assert precision_at([9, 7, 3, 1], [1, 0, 1, 0], 0.01) == 1.0
    assert precision_at([9, 7, 3, 1], [1, 0, 1, 0], 1.0) == 0.5


def test_precision_shares_out_ties_at_the_cut():
    """Two of five: 9 is in; the second place is shared by three 5s of which one is positive: (1 + 1/3) / 2."""
    for labels in ([1, 1, 0, 0, 0], [1, 0, 0, 1, 0]):
        assert precision_at([9, 5, 5, 5, 1], labels, 0.4) == pytest.approx((1 + 1 / 3) / 2)


def test_precision_of_nothing_is_none():
    assert precision_at([], [], 0.5) is None


def test_bootstrap_of_one_value_repeated_has_no_width():
    assert bootstrap_interval([0.7] * 10) == pytest.approx((0.7, 0.7))


def test_bootstrap_of_nothing_is_none():
    assert bootstrap_interval([]) is None


def test_bootstrap_matches_the_binomial_for_a_share():
    """400 coin flips, half heads: the standard error is sqrt(0.25 / 400) = 0.025, so 95 % is 0.5 -+ 0.049."""
    low, high = bootstrap_interval([0.0, 1.0] * 200, seed=1, n=4000)
    assert low == pytest.approx(0.451, abs=0.008)
    assert high == pytest.approx(0.549, abs=0.008)


def test_clusters_widen_the_interval_by_the_root_of_their_size():
    """Ten equal values per dialogue hold the information of one: sqrt(10) times wider."""
    values = np.repeat([0.0, 1.0] * 20, 10)
    low, high = bootstrap_interval(values, seed=0, n=3000)
    clustered = bootstrap_interval(values, [f"d{number // 10}" for number in range(400)], seed=0, n=3000)
    assert (clustered[1] - clustered[0]) / (high - low) == pytest.approx(10**0.5, rel=0.1)


def test_bootstrap_is_seeded():
    values = [0.1, 0.5, 0.9, 0.3]
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20))
def test_an_interval_lies_within_the_values(values):
    low, high = bootstrap_interval(values, n=50)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


@pytest.mark.parametrize(
    "call",
    [
        lambda: auroc([1.0], [1, 0]),
        lambda: auroc([float("nan"), 1.0], [1, 0]),
        lambda: precision_at([1.0], [1], 0.0),
        lambda: precision_at([float("nan"), 1.0], [1, 0], 0.5),
        lambda: bootstrap_interval([float("nan")]),
        lambda: bootstrap_interval([1.0], ["a", "b"]),
        lambda: bootstrap_interval([1.0], n=0),
    ],
)
def test_inputs_without_a_meaning_are_refused(call):
    with pytest.raises(ValueError, match=r"\w"):
        call()


@pytest.mark.parametrize("at_once", [1, 7, 64])
def test_how_many_draws_are_made_together_changes_nothing(monkeypatch, at_once):
    values, clusters = [1.0, 5.0, 2.0, 8.0, 3.0, 4.0], list("aabbcd")
    expected = bootstrap_interval(values, clusters, seed=2, n=100)
    monkeypatch.setattr("turnwise.statistics.ratio._AT_ONCE", at_once)
    assert bootstrap_interval(values, clusters, seed=2, n=100) == expected


def test_paired_intervals_are_those_of_the_differences():
    """Items are hard and easy for both alike: the differences are all 1, so the interval is 1 to 1."""
    assert paired_bootstrap_interval([2, 6, 10], [1, 5, 9]) == (1, 1)
    first, second, clusters = [1.0, 5.0, 2.0, 8.0], [0.0, 7.0, 2.0, 3.0], ["a", "a", "b", "c"]
    assert paired_bootstrap_interval(first, second, clusters, seed=3, n=50) == bootstrap_interval(
        [1.0, -2.0, 0.0, 5.0], clusters, seed=3, n=50
    )
    assert paired_bootstrap_interval([], []) is None
    with pytest.raises(ValueError, match="expected as many first as second values, found 2 and 1"):
        paired_bootstrap_interval([1, 2], [1])
