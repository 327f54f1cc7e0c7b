"""The t distribution against closed forms and published quantiles."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.statistics.student import t_quantile, t_two_sided


def test_one_and_two_degrees_have_closed_forms():
    """One: P(|T| > t) = 1 - 2/pi atan t, so 0.5 at t = 1. Two: 1 - t / sqrt(2 + t^2), so 0.5 at sqrt(2/3)."""
    assert t_two_sided(1.0, 1) == pytest.approx(0.5)
    assert t_two_sided(math.sqrt(2 / 3), 2) == pytest.approx(0.5)
    assert t_two_sided(-math.sqrt(2 / 3), 2) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("freedom", "of_95", "of_99"),
    [
        (1, 12.706204736174694, 63.656741162871526),
        (2, 4.302652729749462, 9.924843200918287),
        (3, 3.1824463052837078, 5.840909309733355),
        (4, 2.7764451051977934, 4.604094871349992),
        (5, 2.5705818356363146, 4.032142983555228),
        (9, 2.262157162798205, 3.249835541592126),
        (30, 2.0422724563012378, 2.7499956535672254),
        (200, 1.9718962236339088, 2.600634436191558),
    ],
)
def test_quantiles_are_those_of_scipy(freedom, of_95, of_99):
    """scipy 1.17: stats.t.ppf(0.975, freedom) and stats.t.ppf(0.995, freedom)."""
    assert t_quantile(0.95, freedom) == pytest.approx(of_95, rel=1e-11)
    assert t_quantile(0.99, freedom) == pytest.approx(of_99, rel=1e-11)


@pytest.mark.parametrize(
    ("t", "freedom", "p"), [(2.5, 7, 0.04099221858575289), (0.3, 12, 0.7693104740882523), (6, 3, 0.009272714892284666)]
)
def test_tails_are_those_of_scipy(t, freedom, p):
    """scipy 1.17: 2 * stats.t.sf(t, freedom)."""
    assert t_two_sided(t, freedom) == pytest.approx(p, rel=1e-11)


@given(st.floats(0.01, 0.999), st.integers(1, 400))
def test_the_quantile_inverts_the_tail(level, freedom):
    assert t_two_sided(t_quantile(level, freedom), freedom) == pytest.approx(1 - level, abs=1e-10)


def test_impossible_arguments_are_errors():
    with pytest.raises(ValueError, match="degree of freedom"):
        t_two_sided(1.0, 0)
    with pytest.raises(ValueError, match="level"):
        t_quantile(1.0, 3)
