"""Ranking measures. Arrays in, numbers out: no files, no models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = Sequence[float] | npt.NDArray[np.floating]
Flags = Sequence[bool] | Sequence[int] | npt.NDArray[np.bool_] | npt.NDArray[np.integer]


def average_ranks(values: Numbers) -> npt.NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of the ranks they take together.

    Args:
        values: (N,) numbers.

    Returns:
        (N,) ranks in the order of the input.

    Raises:
        ValueError: A value is not a number (NaN has no rank).
    """
    numbers = np.asarray(values, dtype=np.float64)
    if np.isnan(numbers).any():
        raise ValueError("NaN has no rank; leave such items out first")
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return ranks


def auroc(scores: Numbers, labels: Flags) -> float | None:
    """Area under the ROC curve: the chance that a positive item scores higher than a negative one, ties counting half.

    Computed from average ranks as the Mann-Whitney statistic (Hanley and McNeil, 1982):
    (sum of the ranks of positives - P (P + 1) / 2) / (P N).

    Args:
        scores: (N,) numbers, higher meaning "more likely positive".
        labels: (N,) True for positive.

    Returns:
        A number from 0 to 1, or None when there is no positive or no negative item.

    Raises:
        ValueError: Lengths differ, or a score is NaN.
    """
    positive = _flags(labels)
    _same_length(len(scores), len(positive))
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    if num_positive == 0 or num_negative == 0:
        return None
    rank_sum = float(average_ranks(scores)[positive].sum())
    return (rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative)


def precision_at(scores: Numbers, labels: Flags, share: float) -> float | None:
    """Among the highest-scoring share of the items, how many are positive.

    The cut takes round(share N) items, at least one. Items that tie at the cut count with the mean of their labels,
    so the result does not depend on the order of the input.

    Args:
        scores: (N,) numbers, higher meaning "more likely positive".
        labels: (N,) True for positive.
        share: Part of the items to look at, over 0 and at most 1.

    Returns:
        A number from 0 to 1, or None when there are no items.

    Raises:
        ValueError: Lengths differ, a score is NaN, or the share is out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"expected a share over 0 and at most 1, found {share}")
    positive = _flags(labels)
    _same_length(len(scores), len(positive))
    if len(positive) == 0:
        return None
    numbers = np.asarray(scores, dtype=np.float64)
    if np.isnan(numbers).any():
        raise ValueError("NaN has no rank; leave such items out first")
    size = max(1, round(share * len(numbers)))
    cut = np.sort(numbers)[-size]
    above, tied = numbers > cut, numbers == cut
    hits = float(positive[above].sum()) + (size - int(above.sum())) * float(positive[tied].mean())
    return hits / size


def _flags(labels: Flags) -> npt.NDArray[np.bool_]:
    return np.asarray(labels, dtype=bool)


def _same_length(first: int, second: int) -> None:
    if first != second:
        raise ValueError(f"expected one entry per item, found {first} and {second}")
