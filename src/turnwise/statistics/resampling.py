"""Bootstrap intervals. Arrays in, numbers out: no files, no models."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from turnwise.statistics.ranking import Numbers


def bootstrap_interval(
    values: Numbers,
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    n: int = 1000,
    level: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of a mean (Efron and Tibshirani, 1993, chapter 13).

    Turns of one dialogue are not independent, so whole clusters (dialogues) are drawn with replacement; the mean of a
    draw is over all values in it, so a long dialogue counts as often as it has turns.

    Args:
        values: (N,) numbers.
        clusters: (N,) the cluster of each value; None makes every value its own cluster.
        seed: Seed of the draws.
        n: How many draws.
        level: Coverage, for example 0.95.

    Returns:
        (low, high), or None without values. One cluster alone gives an interval of width 0: it says nothing.

    Raises:
        ValueError: Lengths differ, a value is NaN, or `n` or `level` is out of range.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if clusters is not None and len(clusters) != len(numbers):
        raise ValueError(f"expected one cluster per value, found {len(clusters)} and {len(numbers)}")
    if clusters is None:
        members = np.arange(len(numbers))
    else:
        index: dict[Hashable, int] = {}
        members = np.array([index.setdefault(cluster, len(index)) for cluster in clusters], dtype=np.int64)
    sums = np.bincount(members, weights=numbers).astype(np.float64)
    sizes = np.bincount(members).astype(np.float64)
    return ratio_interval(sums, sizes, seed=seed, n=n, level=level)


def ratio_interval(
    sums: Numbers, sizes: Numbers, *, seed: int = 0, n: int = 1000, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of a mean over everything in some clusters, from each cluster's sum and size.

    The same as `bootstrap_interval` of the single values, where those are too many to list (tokens of a dialogue).

    Args:
        sums: (C,) sum of the values of each cluster.
        sizes: (C,) how many values each cluster has, at least 1.
        seed: Seed of the draws.
        n: How many draws.
        level: Coverage, for example 0.95.

    Returns:
        (low, high), or None without clusters. One cluster alone gives an interval of width 0: it says nothing.

    Raises:
        ValueError: Lengths differ, a sum is NaN, a size is below 1, or `n` or `level` is out of range.
    """
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"expected n of at least 1 and a level between 0 and 1, found {n} and {level}")
    totals, counts = np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if len(totals) != len(counts) or (counts < 1).any():
        raise ValueError(f"expected one size of at least 1 per sum, found {len(totals)} sums and sizes {counts}")
    if np.isnan(totals).any():
        raise ValueError("the mean of NaN is undefined; leave such items out first")
    if len(totals) == 0:
        return None
    draw = np.random.default_rng(seed)
    # One draw at a time: n draws at once would need n x clusters numbers.
    means = np.empty(n)
    for number in range(n):
        chosen = draw.integers(0, len(totals), size=len(totals))
        means[number] = totals[chosen].sum() / counts[chosen].sum()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
