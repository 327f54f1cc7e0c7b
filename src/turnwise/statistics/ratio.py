"""Bootstrap interval of a mean over clusters too large to list: only their sums and sizes are needed."""

from __future__ import annotations

import numpy as np

from turnwise.statistics.ranking import Numbers

_AT_ONCE = 200_000
"""Numbers drawn together: some megabytes."""


def ratio_interval(
    sums: Numbers, sizes: Numbers, *, seed: int = 0, n: int = 1000, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean over everything in some clusters (Efron and Tibshirani, 1993, ch. 13).

    Whole clusters are drawn with replacement. `turnwise.statistics.resampling.bootstrap_interval` adds up single values
    and draws here too.

    Args:
        sums: (C,) sum of the values of each cluster, for example nats of a dialogue's tokens.
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
    # Some draws at a time: all at once would need n x clusters numbers. The draws are the same however they are split.
    means = np.empty(n)
    together = max(1, _AT_ONCE // len(totals))
    for start in range(0, n, together):
        chosen = draw.integers(0, len(totals), size=(min(together, n - start), len(totals)))
        means[start : start + together] = totals[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
