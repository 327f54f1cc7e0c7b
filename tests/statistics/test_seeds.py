"""Intervals over seeds, paired differences, damage undone, and verdicts on trends, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.statistics.seeds import paired_difference, share_recovered, t_interval, trend

T2 = 4.302652729749462  # t of 95 % with 2 degrees of freedom


def test_the_interval_of_three_seeds_by_hand():
    """Mean 2, s = 1, so 2 +- 4.3027 / sqrt(3)."""
    found = t_interval([1.0, 2.0, 3.0])
    assert (found.mean, found.n) == (2.0, 3)
    assert found.low == pytest.approx(2 - T2 / math.sqrt(3))
    assert found.high == pytest.approx(2 + T2 / math.sqrt(3))
    assert found.sign == 0
    assert t_interval([9.0, 10.0, 11.0]).sign == 1
    assert t_interval([-9.0, -10.0, -11.0]).sign == -1


def test_one_seed_has_no_interval_and_none_has_no_mean():
    one, none = t_interval([2.5]), t_interval([])
    assert (one.mean, one.low, one.high, one.n, one.sign) == (2.5, None, None, 1, 0)
    assert (none.mean, none.n) == (None, 0)
    with pytest.raises(ValueError, match="finite"):
        t_interval([1.0, math.nan])


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8), st.integers(-9, 9), st.integers(1, 9))
def test_the_interval_moves_and_stretches_with_the_values(values, shift, factor):
    plain, moved = t_interval([float(value) for value in values]), t_interval([factor * v + shift for v in values])
    assert moved.low == pytest.approx(factor * plain.low + shift, abs=1e-9)
    assert moved.high == pytest.approx(factor * plain.high + shift, abs=1e-9)


def test_differences_are_of_pairs_and_seeds_of_one_side_do_not_count():
    """Pairs 1 and 2: 0.5 - 1 = -0.5 and 1.5 - 3 = -1.5. Unpaired, the means would be 4 and 2."""
    found = paired_difference({1: 0.5, 2: 1.5, 3: 10.0}, {1: 1.0, 2: 3.0, 4: 2.0})
    assert (found.estimate.mean, found.estimate.n) == (-1.0, 2)
    assert (found.above, found.below) == (0, 2)


def test_a_common_shift_is_found_however_far_seeds_lie_apart():
    """Differences -0.25, -0.26, -0.24, between seeds as far apart as 1, 5 and 9."""
    found = paired_difference({1: 0.75, 2: 4.74, 3: 8.76}, {1: 1.0, 2: 5.0, 3: 9.0})
    assert found.estimate.mean == pytest.approx(-0.25)
    assert found.estimate.sign == -1


def test_seeds_that_agree_to_the_last_digit_are_not_clear_evidence():
    found = paired_difference({1: 0.75, 2: 4.75}, {1: 1.0, 2: 5.0})
    assert (found.estimate.low, found.estimate.high, found.estimate.sign) == (-0.25, -0.25, 0)


def test_the_share_recovered_by_hand():
    """Loss, gaps 1.0, 1.0, 1.2: shares 0.5, 0.6, 0.7; mean 0.6, s = 0.1."""
    found = share_recovered({1: 3.0, 2: 3.0, 3: 3.2}, {1: 2.5, 2: 2.4, 3: 2.36}, {1: 2.0, 2: 2.0, 3: 2.0}, **LOSS)
    assert found.reason is None
    assert found.share.mean == pytest.approx(0.6)
    assert found.share.low == pytest.approx(0.6 - T2 * 0.1 / math.sqrt(3))
    assert found.gap.mean == pytest.approx(3.2 / 3)


LOSS, ACCURACY = {"higher_is_better": False}, {"higher_is_better": True}


def test_for_accuracy_the_gap_is_negative_and_the_share_the_same():
    """Gaps -0.20 and -0.22, of which 0.10 and 0.11 are undone."""
    found = share_recovered({1: 0.50, 2: 0.52}, {1: 0.60, 2: 0.63}, {1: 0.70, 2: 0.74}, **ACCURACY)
    assert found.share.mean == pytest.approx(0.5)
    assert found.gap.mean == pytest.approx(-0.21)


def test_worse_than_plain_is_a_negative_share_and_better_than_the_oracle_over_one():
    """Gaps 1.0 and 1.1."""
    plain, oracle = {1: 3.0, 2: 3.1}, {1: 2.0, 2: 2.0}
    assert share_recovered(plain, {1: 4.0, 2: 4.2}, oracle, **LOSS).share.mean == pytest.approx(-1)
    assert share_recovered(plain, {1: 1.0, 2: 0.9}, oracle, **LOSS).share.mean == pytest.approx(2)


@pytest.mark.parametrize(
    ("plain", "oracle", "reason"),
    [
        ({1: 3.0}, {1: 2.0}, "1 seed: the gap to the oracle has no interval"),
        ({1: 3.0}, {2: 2.0}, "0 seeds: the gap to the oracle has no interval"),
        ({1: 3.0, 2: 3.0}, {1: 2.0, 2: 3.5}, "nothing to recover: plain and oracle do not clearly differ"),
        ({1: 3.0, 2: 3.1}, {1: 4.0, 2: 4.11}, "nothing to recover: plain is better than the oracle"),
    ],
)
def test_without_a_clear_gap_there_is_no_share(plain, oracle, reason):
    found = share_recovered(plain, plain, oracle, **LOSS)
    assert found.share is None
    assert found.reason == reason


def test_a_single_seed_without_a_gap_is_enough_for_no_share():
    """Gaps 10, ..., 10 and 0: the interval is clear of 0, but one ratio would divide by 0."""
    plain = dict.fromkeys(range(9), 10.0)
    oracle = dict.fromkeys(range(8), 0.0) | {8: 10.0}
    found = share_recovered(plain, plain, oracle, **LOSS)
    assert found.gap.sign == 1
    assert found.reason == "nothing to recover with one of the seeds"


COMPLEXITY = {"h": 1.0, "h+n": 2.0, "h+n+l": 3.0}


def rising(*starts):
    """Per seed three values, each 1 above the one before, give or take a little."""
    return {seed: {"h": s, "h+n": s + 1, "h+n+l": s + 2 + 0.1 * seed} for seed, s in enumerate(starts)}


def test_rising_loss_degrades_and_rising_accuracy_improves():
    """Three seeds of three points, all rising: p = 2 / 6^3, changes 2.0, 2.1, 2.2."""
    worse, better = (
        trend(COMPLEXITY, rising(1.0, 5.0, 3.0), higher_is_better=higher_is_better)
        for higher_is_better in (False, True)
    )
    assert (worse.verdict, better.verdict) == ("degrades", "improves")
    assert (worse.correlation.rho, better.correlation.rho) == (pytest.approx(-1), pytest.approx(1))
    assert worse.correlation.p == pytest.approx(2 / 216)
    assert worse.change.estimate.mean == pytest.approx(2.1)
    assert (worse.change.above, worse.change.below) == (3, 0)


def test_falling_loss_improves():
    falling = {seed: {name: -value for name, value in one.items()} for seed, one in rising(1.0, 5.0, 3.0).items()}
    assert trend(COMPLEXITY, falling, higher_is_better=False).verdict == "improves"


def test_one_seed_of_three_mixtures_cannot_be_clear_and_says_so():
    found = trend(COMPLEXITY, rising(1.0), higher_is_better=False)
    assert found.verdict == "no clear change"
    assert found.reason == "too few points: p could not be below 0.33 whatever the values"


def test_order_without_a_clear_change_is_no_verdict():
    """All three seeds rise, but by 0.1, 0.1 and 10: the interval of the change holds 0."""
    values = {seed: {"h": 0.0, "h+n": reach / 2, "h+n+l": reach} for seed, reach in enumerate((0.1, 0.1, 10.0))}
    found = trend(COMPLEXITY, values, higher_is_better=False)
    assert found.correlation.p < 0.05
    assert found.change.estimate.sign == 0
    assert (found.verdict, found.reason) == ("no clear change", None)


def test_a_change_without_order_is_no_verdict():
    """Up, then back to just above the start: the change is clear, the order 1 3 2 of rho 0.5 in every seed is not."""
    values = {seed: {"h": 0.0, "h+n": 9.0, "h+n+l": 1.0 + 0.01 * seed} for seed in range(2)}
    found = trend(COMPLEXITY, values, higher_is_better=False)
    assert found.change.estimate.sign == 1
    assert found.correlation.p > 0.05
    assert found.verdict == "no clear change"


def test_missing_cells_leave_what_is_there():
    """Seed 1 lacks the last mixture: its two points still rank, and the change is of the two other seeds."""
    values = rising(1.0, 5.0, 3.0)
    del values[1]["h+n+l"]
    found = trend(COMPLEXITY, values, higher_is_better=False)
    assert found.correlation.n == 8
    assert found.correlation.p == pytest.approx(2 / (6 * 2 * 6))
    assert found.change.estimate.n == 2


def test_equal_values_have_no_correlation_and_a_reason():
    found = trend(COMPLEXITY, {0: dict.fromkeys(COMPLEXITY, 1.0)}, higher_is_better=False)
    assert (found.verdict, found.reason) == ("no clear change", "all values of y are equal")
