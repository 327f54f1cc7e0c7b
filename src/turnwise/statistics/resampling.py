"""Bootstrap intervals. Arrays in, numbers out: no files, no models."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from turnwise.statistics.ranking import Numbers
from turnwise.statistics.ratio import ratio_interval


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
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"expected n of at least 1 and a level between 0 and 1, found {n} and {level}")
    numbers = np.asarray(values, dtype=np.float64)
    if np.isnan(numbers).any():
        raise ValueError("the mean of NaN is undefined; leave such items out first")
    if clusters is not None and len(clusters) != len(numbers):
        raise ValueError(f"expected one cluster per value, found {len(clusters)} and {len(numbers)}")
    if len(numbers) == 0:
        return None
    if clusters is None:
        members = np.arange(len(numbers))
    else:
        index: dict[Hashable, int] = {}
        members = np.array([index.setdefault(cluster, len(index)) for cluster in clusters])
    sums = np.bincount(members, weights=numbers).astype(np.float64)
    sizes = np.bincount(members).astype(np.float64)
    return ratio_interval(sums, sizes, seed=seed, n=n, level=level)


def paired_bootstrap_interval(
    first: Numbers,
    second: Numbers,
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    n: int = 1000,
    level: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of a mean difference, first minus second (Efron and Tibshirani, 1993, chapter 13).

    Both values of a pair are drawn together, so what makes an item hard for both does not widen the interval.

    Args:
        first: (N,) numbers, for example one model's scores.
        second: (N,) numbers of the same items in the same order.
        clusters: (N,) the cluster (dialogue) of each pair; None makes every pair its own cluster.
        seed: Seed of the draws.
        n: How many draws.
        level: Coverage, for example 0.95.

    Returns:
        (low, high), or None without pairs; see `bootstrap_interval`.

    Raises:
        ValueError: Lengths differ, a value is NaN, or `n` or `level` is out of range.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape:
        raise ValueError(f"expected as many first as second values, found {len(one)} and {len(other)}")
    return bootstrap_interval(one - other, clusters, seed=seed, n=n, level=level)
