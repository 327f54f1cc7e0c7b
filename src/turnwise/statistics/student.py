"""Student's t distribution for whole degrees of freedom: closed sums, no special functions."""

from __future__ import annotations

import math


def t_two_sided(t: float, freedom: int) -> float:
    """The chance that a t-distributed number is at least as far from 0 as `t`.

    Abramowitz and Stegun (1964), 26.7.3 and 26.7.4. Exact up to rounding: about 1e-15 is the smallest it can tell
    from 0.

    Raises:
        ValueError: `freedom` is below 1.
    """
    if freedom < 1:
        raise ValueError(f"expected at least 1 degree of freedom, found {freedom}")
    angle = math.atan2(abs(t), math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    # Within [-t, t] lies, for even degrees, sin * (1 + 1/2 cos^2 + 1*3/(2*4) cos^4 + ...), for odd ones
    # 2/pi * (angle + sin * (cos + 2/3 cos^3 + 2*4/(3*5) cos^5 + ...)), both up to cos^(freedom - 2).
    power = freedom % 2
    term = cosine**power
    series = 0.0
    while power <= freedom - 2:
        series += term
        term *= cosine * cosine * (power + 1) / (power + 2)
        power += 2
    inside = sine * series if freedom % 2 == 0 else 2 / math.pi * (angle + sine * series)
    return min(1.0, max(0.0, 1 - inside))


def t_quantile(level: float, freedom: int) -> float:
    """The t such that a share `level` of the distribution lies within [-t, t].

    Args:
        level: For example 0.95.
        freedom: Degrees of freedom, at least 1.

    Raises:
        ValueError: `level` is not between 0 and 1, or `freedom` is below 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1, found {level}")
    high = 1.0
    while t_two_sided(high, freedom) > 1 - level:
        high *= 2
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_two_sided(middle, freedom) > 1 - level else (low, middle)
    return high
