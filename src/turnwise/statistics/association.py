"""How far two series of numbers go together: Pearson, Spearman, Kendall. One number each; None where undefined.

`turnwise.statistics.correlation` has Spearman's rho with exact p-values for few points; here are the plain
coefficients, fast enough to be drawn a thousand times.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from turnwise.statistics.ranking import Numbers, average_ranks


def pearson(x: Numbers, y: Numbers) -> float | None:
    """Pearson's correlation; None with fewer than two points, or where x or y is constant.

    Args:
        x: (N,) numbers.
        y: (N,) numbers.

    Raises:
        ValueError: Lengths differ, or a value is not a number.
    """
    a, b = _checked(x, y)
    if len(a) < 2:
        return None
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float(a @ a) * float(b @ b))
    if spread == 0 or _is_constant(x) or _is_constant(y):
        return None
    return max(-1.0, min(1.0, float(a @ b) / spread))


def spearman_rho(x: Numbers, y: Numbers) -> float | None:
    """Spearman's rho: Pearson's correlation of the average ranks (Spearman, 1904). As `pearson` otherwise."""
    a, b = _checked(x, y)
    return pearson(average_ranks(a), average_ranks(b))


def kendall_tau_b(x: Numbers, y: Numbers) -> float | None:
    """Kendall's tau-b: (concordant - discordant) / sqrt((P - Tx) (P - Ty)) over the P = N (N - 1) / 2 pairs.

    Tx and Ty are the pairs tied in x and in y (Kendall, 1945). Discordant pairs are counted as inversions (Knight,
    1966), so N log N steps suffice.

    Args:
        x: (N,) numbers.
        y: (N,) numbers.

    Returns:
        From -1 to 1; None with fewer than two points, or where x or y is constant.

    Raises:
        ValueError: Lengths differ, or a value is not a number.
    """
    a, b = _checked(x, y)
    _, ranks_x = np.unique(a, return_inverse=True)
    _, ranks_y = np.unique(b, return_inverse=True)
    pairs = len(a) * (len(a) - 1) // 2
    tied_x, tied_y = _tied(ranks_x), _tied(ranks_y)
    if tied_x == pairs or tied_y == pairs:
        return None
    tied_both = _tied(ranks_x.astype(np.int64) * (int(ranks_y.max()) + 1) + ranks_y)
    # Sorted by x, then y: pairs tied in x are in order of y and make no inversion.
    discordant = _inversions(ranks_y[np.lexsort((ranks_y, ranks_x))])
    difference = pairs - tied_x - tied_y + tied_both - 2 * discordant
    return difference / math.sqrt((pairs - tied_x) * (pairs - tied_y))


def _checked(x: Numbers, y: Numbers) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if len(x) != len(y):
        raise ValueError(f"expected one y per x, found {len(x)} and {len(y)}")
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("expected finite numbers; leave out other points first")
    return a, b


def _is_constant(values: Numbers) -> bool:
    return len(set(map(float, values))) < 2


def _tied(codes: npt.NDArray[np.int64]) -> int:
    """Pairs of equal codes."""
    _, counts = np.unique(codes, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def _inversions(ranks: npt.NDArray[np.int64]) -> int:
    """Pairs i < j with ranks[i] > ranks[j], bit by bit.

    Two ranks differ first at some bit: there the earlier one has a 1 and the later one a 0, and all higher bits agree.
    """
    total = 0
    for bit in range(int(ranks.max(initial=0)).bit_length()):
        order = np.argsort(ranks >> (bit + 1), kind="stable")  # groups of equal higher bits, each in its own order
        groups, bits = (ranks >> (bit + 1))[order], (ranks >> bit & 1)[order]
        ones = np.cumsum(bits)
        starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
        before = np.r_[0, ones][starts]  # ones in earlier groups
        within = ones - np.repeat(before, np.diff(np.r_[starts, len(groups)]))
        total += int(within[bits == 0].sum())
    return total
