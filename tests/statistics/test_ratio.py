"""Intervals from sums and sizes of clusters are those of the values in them."""

from __future__ import annotations

import pytest

from turnwise.statistics.ratio import ratio_interval
from turnwise.statistics.resampling import bootstrap_interval


def test_sums_and_sizes_of_clusters_give_the_interval_of_their_values():
    """Clusters of 3, 1 and 2 values: sums 6, 5, 1."""
    values, clusters = [1.0, 2.0, 3.0, 5.0, 0.0, 1.0], list("aaabcc")
    expected = bootstrap_interval(values, clusters, seed=4)
    assert ratio_interval([6.0, 5.0, 1.0], [3, 1, 2], seed=4) == pytest.approx(expected)
    assert expected[0] < 2.0 < expected[1]


def test_nothing_has_no_interval_and_one_cluster_one_without_width():
    assert ratio_interval([], []) is None
    assert ratio_interval([6.0], [4]) == (1.5, 1.5)


@pytest.mark.parametrize("given", [([1.0, 2.0], [1, 0]), ([1.0], [1, 2]), ([float("nan")], [1])])
def test_what_has_no_mean_is_refused(given):
    with pytest.raises(ValueError, match=r"one size of at least 1 per sum|NaN"):
        ratio_interval(*given)
