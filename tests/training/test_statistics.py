"""Running statistics: Welford's results in any batch split, and the correction of the cut."""

from __future__ import annotations

import math
import statistics as reference

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.training.statistics import GroupStatistics, center_and_spread, pool_with_neighbours

losses = st.lists(st.floats(0.0, 50.0), min_size=2, max_size=60)


def filled(values, *, cut=False, half_life=None):
    group = GroupStatistics()
    group.merge(values, cut=cut, half_life=half_life)
    return group


def test_merging_one_by_one_follows_the_papers_equations():
    """Losses 1, 2, 4 by Eq. 2 and 3.

    mu: 1; 1 + (2-1)/2 = 1.5; 1.5 + (4-1.5)/3 = 7/3.
    SSD: 0; 0 + (2-1)(2-1.5) = 0.5; 0.5 + (4-1.5)(4-7/3) = 0.5 + 2.5 * 5/3 = 14/3.
    Eq. 4: sigma^2 = (14/3) / 2 = 7/3.
    """
    group = GroupStatistics()
    for loss in (1.0, 2.0, 4.0):
        group.merge([loss], cut=False)
    assert group.count == 3
    assert group.mean == pytest.approx(7 / 3, rel=1e-15)
    assert group.ssd == pytest.approx(14 / 3, rel=1e-15)
    assert group.variance == pytest.approx(7 / 3, rel=1e-15)


@given(losses, st.data())
def test_any_split_into_batches_gives_the_two_pass_moments(values, data):
    group = GroupStatistics()
    rest = values
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        group.merge(rest[:size], cut=False)
        rest = rest[size:]
    assert group.mean == pytest.approx(reference.fmean(values), abs=1e-9)
    assert group.variance == pytest.approx(reference.variance(values), abs=1e-8)


@given(losses, st.randoms(use_true_random=False))
def test_the_order_inside_a_batch_changes_nothing_at_all(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert filled(values) == filled(shuffled)


def test_fewer_than_two_losses_have_no_variance():
    assert GroupStatistics().variance is None
    assert filled([3.0]).variance is None


def test_forgetting_halves_the_weight_of_older_losses():
    """half_life 2: after a batch of 2 newer losses the older ones weigh 1/2.

    Losses (1, 1) then (4, 4): mean = (2 * 0.5 * 1 + 2 * 4) / 3 = 3; V1 = 1 + 2 = 3; V2 = 2 * 0.25 + 2 = 2.5;
    ssd = 1 * (1-3)^2 + 2 * (4-3)^2 = 6; variance = 6 / (3 - 2.5/3) = 36/13.
    """
    group = filled([1.0, 1.0], half_life=2)
    group.merge([4.0, 4.0], cut=False, half_life=2)
    assert group.mean == pytest.approx(3.0)
    assert group.count == pytest.approx(3.0)
    assert group.variance == pytest.approx(36 / 13)


def test_state_survives_json_exactly():
    group = filled([0.1, 0.2, 0.30000000000000004], cut=True, half_life=7)
    assert GroupStatistics.from_dict(group.to_dict()) == group


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("cut_share", [0.0, 0.5, 1.0])
def test_corrected_statistics_recover_the_normal_distribution_behind_the_cut(alpha, cut_share):
    """400,000 draws of N(2, 0.5), a share of which is kept only below mu + alpha sigma: mu and sigma come back."""
    draws = np.random.default_rng(0).normal(2.0, 0.5, 400_000)
    edge = round(len(draws) * (1 - cut_share))
    whole, screened = draws[:edge], draws[edge:]
    group = GroupStatistics()
    group.merge(whole.tolist(), cut=False)
    group.merge(screened[screened <= 2.0 + alpha * 0.5].tolist(), cut=True)
    center = center_and_spread(group, "corrected", alpha)
    assert center.mu == pytest.approx(2.0, abs=0.005)
    assert center.sigma == pytest.approx(0.5, abs=0.005)


def test_published_statistics_are_the_plain_moments():
    group = filled([1.0, 2.0, 4.0], cut=True)
    assert center_and_spread(group, "welford", 1.0) == (group.mean, math.sqrt(7 / 3))


def test_groups_of_equal_losses_cannot_be_judged():
    assert center_and_spread(filled([2.0, 2.0, 2.0]), "welford", 1.0) is None
    assert center_and_spread(filled([2.0]), "corrected", 1.0) is None


def test_small_groups_borrow_from_their_nearest_neighbours():
    """Group 3 has 1 loss and needs 4: its neighbours 2 (2 losses) and 4 (2 losses) join, 2 first; 9 stays out."""
    groups = {2: filled([1.0, 1.0]), 3: filled([2.0]), 4: filled([4.0, 4.0]), 9: filled([99.0] * 50)}
    pooled = pool_with_neighbours(groups, 3, 4)
    assert pooled.count == 5
    assert pooled.mean == pytest.approx((1 + 1 + 2 + 4 + 4) / 5)
    assert pool_with_neighbours(groups, 3, 3).count == 3
    assert pool_with_neighbours(groups, 3, None) is groups[3]
    assert pool_with_neighbours({3: filled([2.0])}, 3, 4) is None
    assert groups[3].count == 1, "judging must not change the group's own statistics"
