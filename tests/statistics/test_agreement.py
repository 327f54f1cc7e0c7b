"""Agreement of raters against worked examples, scipy, and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from turnwise.statistics.agreement import (
    cohen_kappa,
    krippendorff_alpha,
    rating_pairs,
    share_agreeing,
    with_interval,
)
from turnwise.statistics.association import kendall_tau_b, pearson, spearman_rho
from turnwise.statistics.judge_bias import (
    all_equal_share,
    first_place_share,
    flip_rate,
    longer_wins_share,
    mean_deviation,
    spread,
)

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability": four observers, twelve units, missing values.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
UNITS = list(zip(*OBSERVERS, strict=True))
series = st.integers(1, 6)
points = st.lists(st.tuples(series, series), min_size=2, max_size=40)


@pytest.mark.parametrize(
    ("level", "alpha"),
    [("nominal", 904 / 1216), ("ordinal", 1 - 39 * 945.5 / 199740), ("interval", 1 - 39 * (26 / 3) / 2240)],
)
def test_alpha_of_the_published_example(level, alpha):
    """Totals of the values 1 to 5 are 9, 13, 10, 5, 3 (the last unit has one rating and is left out), n = 40.

    Coincidences: o11 = 7, o22 = 10, o33 = 8, o44 = 4, o55 = 3 (32 in all), o12 = 4/3, o13 = 1/3, o14 = 1/3,
    o23 = 4/3, o24 = 1/3, o34 = 1/3. Nominal: (39 * 32 - 344) / (40 * 39 - 344) with 344 = 9*8 + 13*12 + 10*9 + 5*4 +
    3*2. Interval: sum of o d^2 = 4/3 + 4/3 + 3 + 4/3 + 4/3 + 1/3 = 26/3; sum of n n d^2 = 117 + 360 + 405 + 432 +
    130 + 260 + 351 + 50 + 120 + 15 = 2240. Ordinal: distances 11, 22.5, 30, 34, 11.5, 19, 23, 7.5, 11.5, 4 in the
    same order. The paper gives 0.743, 0.815 and 0.849.
    """
    found = krippendorff_alpha(UNITS, level)
    assert found == pytest.approx(alpha, abs=1e-12)
    assert round(found, 3) == {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}[level]


def test_alpha_is_one_for_agreement_and_undefined_without_variation():
    assert krippendorff_alpha([[1, 1], [2, 2, 2], [5, None]]) == 1
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None
    assert krippendorff_alpha([[1, None], [2]]) is None


def test_kappa_by_hand():
    """Two raters, 50 items: both yes 20, both no 15, yes/no 5, no/yes 10.

    Observed agreement 0.7; expected 25/50 * 30/50 + 25/50 * 20/50 = 0.5; kappa = 0.2 / 0.5 = 0.4.
    """
    pairs = [("y", "y")] * 20 + [("n", "n")] * 15 + [("y", "n")] * 5 + [("n", "y")] * 10
    assert cohen_kappa(pairs) == pytest.approx(0.4)


def test_weighted_kappa_by_hand():
    """Pairs (1,1), (2,2), (3,1): observed distance 2/3 linear, 4/3 quadratic. All nine combinations of {1,2,3} and
    {1,2,1}: distances 0 1 0, 1 0 1, 2 1 2 sum to 8; squares 0 1 0, 1 0 1, 4 1 4 to 12. So 1 - (2/3) / (8/9) = 1/4 and
    1 - (4/3) / (12/9) = 0.
    """
    pairs = [(1, 1), (2, 2), (3, 1)]
    assert cohen_kappa(pairs, "linear") == pytest.approx(1 / 4)
    assert cohen_kappa(pairs, "quadratic") == pytest.approx(0)
    assert cohen_kappa([]) is None
    assert cohen_kappa([(1, 1), (1, 1)]) is None


def test_agreement_with_and_without_ties_is_fastchats():
    """Four pairs: equal win, equal tie, win against tie, opposite wins. With ties 2/4; ties left out 1/2."""
    pairs = [("model", "model"), ("tie", "tie"), ("model", "tie"), ("model", "baseline")]
    assert share_agreeing(pairs) == 0.5
    assert share_agreeing(pairs, without="tie") == 0.5
    assert share_agreeing([("tie", "tie")], without="tie") is None
    assert share_agreeing([*pairs, ("tie", "model")], without="tie") == 0.5
    assert share_agreeing([*pairs, ("tie", "model")]) == 0.4


@settings(max_examples=60, deadline=None)
@given(points)
def test_correlations_are_those_of_scipy(rows):
    x, y = [float(a) for a, _ in rows], [float(b) for _, b in rows]
    if len(set(x)) < 2 or len(set(y)) < 2:
        assert pearson(x, y) is spearman_rho(x, y) is kendall_tau_b(x, y) is None
        return
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    assert spearman_rho(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    assert kendall_tau_b(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-9)


def test_kendall_of_many_untied_points_is_scipys():
    generator = np.random.default_rng(3)
    x = generator.normal(size=3000)
    y = x + generator.normal(size=3000)
    assert kendall_tau_b(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=2), min_size=2, max_size=30))
def test_two_raters_alpha_is_near_kappa_with_pooled_margins(units):
    """Nominal, two raters, no gaps: alpha = 1 - (n - 1) / n * Do / De, with De of pooled margins and n ratings."""
    found = krippendorff_alpha(units)
    values = [value for unit in units for value in unit]
    n = len(values)
    expected = 1 - sum((values.count(value) / n) ** 2 for value in set(values))
    if expected == 0:
        assert found is None
        return
    observed = sum(a != b for a, b in units) / len(units)
    assert found == pytest.approx(1 - (n - 1) / n * observed / expected)


def test_intervals_draw_whole_items():
    """Every item holds four equal rows, so the interval is that of 50 values, not of 200."""
    rows = [place % 2 for place in range(50) for _ in range(4)]
    items = [place for place in range(50) for _ in range(4)]

    def mean(values):
        return sum(values) / len(values)

    clustered, loose = with_interval(mean, rows, items), with_interval(mean, rows)
    assert (clustered.value, clustered.n, clustered.items, loose.items) == (0.5, 200, 50, 200)
    ratio = (clustered.high - clustered.low) / (loose.high - loose.low)
    assert ratio == pytest.approx(2, abs=0.3)


def test_there_is_no_interval_of_one_item_and_none_where_most_draws_are_undefined():
    one = with_interval(lambda rows: sum(rows) / len(rows), [1, 2], ["a", "a"])
    assert (one.value, one.low, one.high, one.items) == (1.5, None, None, 1)
    rare = with_interval(lambda rows: 1.0 if len(set(rows)) == 4 else None, [1, 2, 3, 4])
    assert (rare.value, rare.low) == (1.0, None)  # a draw of all four has a chance of 4!/4^4 = 9 %
    with pytest.raises(ValueError, match="one item per row"):
        with_interval(len, [1], [])


def test_flips_and_first_place_by_hand():
    """Four comparisons, model first, then second: stays, stays a tie, flips to whoever stands first, win becomes tie.

    Flips: 2 of 4. Decided verdicts: model (first), model (second: the second place won), model (first), baseline (in
    the second order the baseline stood first), model (first): 4 of 5 for the first place.
    """
    verdicts = [("model", "model"), ("tie", "tie"), ("model", "baseline"), ("model", "tie")]
    assert flip_rate(verdicts) == 0.5
    assert first_place_share(verdicts) == pytest.approx(4 / 5)
    assert flip_rate([]) is None
    assert first_place_share([("tie", "tie")]) is None


def test_the_longer_answer_by_hand():
    """Decided and of different length: model longer and wins, baseline longer and loses, baseline longer and wins."""
    rows = [("model", 9, 3), ("model", 3, 9), ("baseline", 3, 9), ("tie", 1, 9), ("model", 5, 5)]
    assert longer_wins_share(rows) == pytest.approx(2 / 3)
    assert longer_wins_share([]) is None


def test_spread_by_hand():
    """3, 2, 3: median 3, mean 8/3, variance (1/9 + 4/9 + 1/9) / 3 = 2/9, range 1."""
    found = spread([3, 2, 3])
    assert (found.median, found.range, found.n) == (3, 1, 3)
    assert found.deviation == pytest.approx((2 / 9) ** 0.5)
    assert mean_deviation([[3, 2, 3], [4, 4], [1]]) == pytest.approx((2 / 9) ** 0.5 / 2)
    assert all_equal_share([[3, 2, 3], [4, 4], [1]]) == 0.5
    with pytest.raises(ValueError, match="at least one"):
        spread([])


def test_pairs_of_ratings_leave_out_missing_ones():
    assert rating_pairs([[1, 2, None, 3], [4]]) == [(1, 2), (1, 3), (2, 3)]
