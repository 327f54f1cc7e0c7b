"""Spearman's rank correlation for few points: average ranks, and p-values counted over every permutation.

A study has three or four mixtures and a few seeds. There the usual approximations of a p-value are far off, and all
permutations can be counted.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from turnwise.statistics.ranking import Numbers, average_ranks
from turnwise.statistics.student import t_two_sided

EXACT_UP_TO = 10
"""Most points of a series whose permutations are counted (10! = 3,628,800 of them)."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """A rank correlation, and how much it can say.

    Attributes:
        rho: From -1 to 1; None where it is undefined (`reason` says why).
        p: Two-sided p-value: the chance of a correlation at least as far from 0 if all orders were equally likely.
        smallest_p: The smallest p-value that these points could have given, whatever their order; None where `p` is
            approximate (it is then far below any limit).
        n: Number of points.
        exact: Whether `p` counts all permutations; otherwise it is the t approximation.
        reason: Why `rho` is None.
    """

    rho: float | None
    p: float | None
    smallest_p: float | None
    n: int
    exact: bool = True
    reason: str | None = None


def spearman(x: Numbers, y: Numbers) -> Correlation:
    """Spearman's rho: the Pearson correlation of average ranks, with a two-sided permutation p-value.

    With ties, the permutations are those of the tied ranks. Up to `EXACT_UP_TO` points every permutation counts;
    beyond, t = rho sqrt((n - 2) / (1 - rho^2)) with n - 2 degrees of freedom (Kendall and Stuart, 1973, section 31.19).

    Args:
        x: (N,) numbers.
        y: (N,) numbers.

    Raises:
        ValueError: Lengths differ.
    """
    return stratified_spearman([(x, y)])


def stratified_spearman(strata: Sequence[tuple[Numbers, Numbers]]) -> Correlation:
    """One rank correlation over several series (seeds) whose levels may differ.

    Ranks are taken and centred within each series: rho = sum of S / sqrt(sum of Sxx * sum of Syy), with S, Sxx and Syy
    the sums of products of a series. Permutations stay within a series. For series of equal length without ties, S is
    Page's trend statistic (Page, 1963). Series longer than `EXACT_UP_TO` use the t approximation with N - strata - 1
    degrees of freedom.

    Args:
        strata: Per series its x and its y, of equal length. A series that is constant in x or in y adds nothing to S.

    Raises:
        ValueError: Lengths differ.
    """
    for x, y in strata:
        if len(x) != len(y):
            raise ValueError(f"expected one y per x, found {len(x)} and {len(y)}")
    n = sum(len(x) for x, _ in strata)
    reason = _undefined(strata)
    if reason is not None:
        return Correlation(None, None, None, n, reason=reason)
    ranks = [(_centred(x), _centred(y)) for x, y in strata]
    observed = sum(_product(x, y) for x, y in ranks)
    spread = math.sqrt(sum(_product(x, x) for x, _ in ranks) * sum(_product(y, y) for _, y in ranks))
    rho = observed / spread
    if max(len(x) for x, _ in ranks) > EXACT_UP_TO:
        return Correlation(rho, _approximate_p(rho, n - len(ranks) - 1), None, n, exact=False)
    sums = Counter({0: 1})
    for x, y in ranks:
        sums = _convolved(sums, permutation_sums(tuple(sorted(x)), tuple(sorted(y))))
    total, furthest = sums.total(), max(map(abs, sums))
    p = sum(ways for value, ways in sums.items() if abs(value) >= abs(observed)) / total
    smallest = sum(ways for value, ways in sums.items() if abs(value) == furthest) / total
    return Correlation(rho, p, smallest, n)


@functools.lru_cache(maxsize=256)  # the seeds and methods of a study share most of their ranks
def permutation_sums(x: tuple[int, ...], y: tuple[int, ...]) -> Counter[int]:
    """How many of the N! ways to pair `x` with `y` give each sum of products.

    Built item by item over the sets of `y` that are already taken (2^N of them), so that N! is never walked through.
    The result is shared between calls: read it, do not change it.
    """
    ways: dict[int, Counter[int]] = {0: Counter({0: 1})}
    for a in x:
        following: dict[int, Counter[int]] = {}
        for taken, sums in ways.items():
            for place, b in enumerate(y):
                if not taken >> place & 1:
                    into = following.setdefault(taken | 1 << place, Counter())
                    for value, count in sums.items():
                        into[value + a * b] += count
        ways = following
    (sums,) = ways.values()
    return sums


def _undefined(strata: Sequence[tuple[Numbers, Numbers]]) -> str | None:
    if any(np.isnan(np.asarray(values, dtype=np.float64)).any() for pair in strata for values in pair):
        return "a value is not a number"
    if not strata or max(len(x) for x, _ in strata) < 2:
        return "fewer than two points"
    for name, side in (("x", 0), ("y", 1)):
        if all(len(set(map(float, pair[side]))) < 2 for pair in strata):
            return f"all values of {name} are equal"
    return None


def _centred(values: Numbers) -> list[int]:
    """Twice the average ranks minus their mean: whole numbers, so that equal sums compare equal."""
    doubled: npt.NDArray[np.float64] = 2 * average_ranks(values) - (len(values) + 1)
    return [int(value) for value in doubled]


def _product(x: Sequence[int], y: Sequence[int]) -> int:
    return sum(a * b for a, b in zip(x, y, strict=True))


def _convolved(first: Counter[int], second: Counter[int]) -> Counter[int]:
    sums: Counter[int] = Counter()
    for a, ways in first.items():
        for b, more in second.items():
            sums[a + b] += ways * more
    return sums


def _approximate_p(rho: float, freedom: int) -> float:
    return 0.0 if abs(rho) >= 1 else t_two_sided(rho * math.sqrt(freedom / (1 - rho * rho)), freedom)
