"""What a few seeds can say: means with t intervals, paired differences, damage undone, trends over mixtures.

Every figure carries the number of seeds behind it, and a figure that the seeds cannot support is None with a reason.
Series are mappings from a key that pairs them (a seed, or a seed and a mixture) to a value.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from turnwise.statistics.correlation import Correlation, stratified_spearman
from turnwise.statistics.student import t_quantile

Key = TypeVar("Key", bound=Hashable)
Verdict = Literal["degrades", "improves", "no clear change"]

LEVEL = 0.95
"""Coverage of intervals, and 1 minus the largest p-value that counts as clear."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds with its t interval.

    Attributes:
        mean: None without values.
        low: Lower end; None with fewer than two values, which say nothing of their spread.
        high: Upper end.
        n: Number of values.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies above or below 0; 0 where it does not, or where there is none.

        Also 0 where the interval has no width: seeds that agree to the last digit (two accuracies of a few answers)
        show that the measure is coarse, not that it has no spread.
        """
        if self.low is None or self.high is None:
            return 0
        if self.high - self.low <= 1e-9 * max(abs(self.low), abs(self.high)):
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True, slots=True)
class Difference:
    """Values of a method minus those of a reference, paired.

    Attributes:
        estimate: Mean difference.
        above: Pairs in which the method's value is higher.
        below: Pairs in which it is lower.
    """

    estimate: Estimate
    above: int
    below: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """How much of the damage that noise does to plain tuning a method undoes.

    Attributes:
        share: 0 is as plain tuning, 1 as tuning without the noise (the oracle); None where `reason` says why.
        gap: Plain minus oracle: the damage.
        reason: Why there is no share.
    """

    share: Estimate | None
    gap: Estimate
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Trend:
    """Whether a measure gets better or worse as mixtures grow more complex.

    Attributes:
        verdict: `degrades` or `improves` where correlation and difference agree and both are clear.
        correlation: Rank correlation of complexity and quality (a loss counts with its sign turned), permuted within
            seeds.
        change: Value at the most complex mixture minus value at the least complex one, as measured.
        reason: Why the verdict is no clearer, where the number of points is what limits it.
    """

    verdict: Verdict
    correlation: Correlation
    change: Difference
    reason: str | None = None


def t_interval(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean and t interval: mean +- t * s / sqrt(n), s with divisor n - 1.

    Args:
        values: One per seed; NaN is not a value and must be left out before.
        level: Coverage.

    Raises:
        ValueError: A value is NaN or infinite.
    """
    n = len(values)
    if not all(map(math.isfinite, values)):
        raise ValueError("expected finite values; leave others out first, and say so")
    if n == 0:
        return Estimate(None, None, None, 0)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, None, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    reach = t_quantile(level, n - 1) * math.sqrt(variance / n)
    return Estimate(mean, mean - reach, mean + reach, n)


def paired_difference(values: Mapping[Key, float], reference: Mapping[Key, float], level: float = LEVEL) -> Difference:
    """Mean of the differences over the keys that both have; a key of one alone is left out."""
    differences = [values[key] - reference[key] for key in values if key in reference]
    return Difference(
        t_interval(differences, level),
        above=sum(difference > 0 for difference in differences),
        below=sum(difference < 0 for difference in differences),
    )


def share_recovered(
    plain: Mapping[Key, float],
    method: Mapping[Key, float],
    oracle: Mapping[Key, float],
    *,
    higher_is_better: bool,
    level: float = LEVEL,
) -> Recovery:
    """(plain - method) / (plain - oracle) per key, as mean with interval.

    A ratio means something only where there is a gap: the interval of plain minus oracle must lie on the side that is
    damage, and so must the gap of every single key, as a denominator near 0 makes the mean of ratios meaningless.

    Args:
        plain: Values of tuning on the noisy data as they are.
        method: Values of the method on the same data.
        oracle: Values of tuning that knows and leaves out the noise.
        higher_is_better: True for accuracy, False for loss.
        level: Coverage.
    """
    keys = [key for key in plain if key in method and key in oracle]
    damage = -1 if higher_is_better else 1
    gaps = {key: plain[key] - oracle[key] for key in keys}
    gap = t_interval(list(gaps.values()), level)
    if gap.n < 2:
        return Recovery(None, gap, f"{gap.n} seed{'' if gap.n == 1 else 's'}: the gap to the oracle has no interval")
    if gap.sign == 0:
        return Recovery(None, gap, "nothing to recover: plain and oracle do not clearly differ")
    if gap.sign != damage:
        return Recovery(None, gap, "nothing to recover: plain is better than the oracle")
    if any(one * damage <= 0 for one in gaps.values()):
        return Recovery(None, gap, "nothing to recover with one of the seeds")
    return Recovery(t_interval([(plain[key] - method[key]) / gaps[key] for key in keys], level), gap)


def trend(
    complexity: Mapping[str, float],
    values: Mapping[Key, Mapping[str, float]],
    *,
    higher_is_better: bool,
    level: float = LEVEL,
) -> Trend:
    """Does the measure fall or rise as complexity grows? (Falling quality is "negative optimization".)

    The verdict is clear only where two things agree: the rank correlation, permuted within seeds, has p of at most
    1 - level; and the interval of the last minus the first mixture, paired by seed, excludes 0 on the same side.

    Args:
        complexity: Number of each mixture; the first and last mixture are those of the lowest and highest number.
        values: Per seed its value at each mixture. Absent ones are left out.
        higher_is_better: True for accuracy, False for loss.
        level: Coverage of the interval.
    """
    upward = 1 if higher_is_better else -1
    strata = []
    for by_mixture in values.values():
        places = [mixture for mixture in complexity if mixture in by_mixture]
        if len(places) > 1:
            strata.append(([complexity[place] for place in places], [upward * by_mixture[place] for place in places]))
    correlation = stratified_spearman(strata)
    first, last = min(complexity, key=complexity.__getitem__), max(complexity, key=complexity.__getitem__)
    change = paired_difference(
        {seed: one[last] for seed, one in values.items() if last in one},
        {seed: one[first] for seed, one in values.items() if first in one},
        level,
    )
    if correlation.rho is None or correlation.p is None:
        return Trend("no clear change", correlation, change, correlation.reason)
    if correlation.smallest_p is not None and correlation.smallest_p > 1 - level:
        reason = f"too few points: p could not be below {correlation.smallest_p:.2g} whatever the values"
        return Trend("no clear change", correlation, change, reason)
    if change.estimate.n < 2:
        return Trend("no clear change", correlation, change, "fewer than two seeds have the first and the last mixture")
    direction = 1 if correlation.rho > 0 else -1
    if correlation.p > 1 - level or upward * change.estimate.sign != direction:
        return Trend("no clear change", correlation, change)
    return Trend("improves" if direction > 0 else "degrades", correlation, change)
