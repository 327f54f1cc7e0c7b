"""Running statistics of losses, one set per turn group.

Legend of shape suffixes: `_N` one entry per loss of the group in this batch.

Sources: ReSURE Eq. 2 to 4 (Welford's online mean and variance); Chan, Golub and LeVeque 1979 for merging a whole batch
at once, which makes the result independent of the order inside a batch. The truncation correction is ours: see
`center_and_spread`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

StatisticsKind = Literal["welford", "corrected"]

_NORMAL = NormalDist()


@dataclass(slots=True)
class GroupStatistics:
    """Mean and spread of the losses that a group has accepted.

    Attributes:
        count: Sum of the sample weights. Without forgetting this is the number of losses, `n`.
        count_sq: Sum of the squared sample weights (equals `count` without forgetting).
        cut: The part of `count` that was accepted from below a threshold; the rest was accepted unconditionally.
        mean: Mean loss in nats per token.
        ssd: Sum of squared deviations from the mean (the paper's SSD, written M2 in its Eq. 4).
    """

    count: float = 0.0
    count_sq: float = 0.0
    cut: float = 0.0
    mean: float = 0.0
    ssd: float = 0.0

    def merge(self, losses_N: Sequence[float], *, cut: bool, half_life: float | None = None) -> None:
        """Take in the accepted losses of one batch (Chan's parallel update).

        Args:
            losses_N: Finite losses, in any order: sums are exact (`math.fsum`), so the order cannot matter.
            cut: Whether these losses were accepted because they lay below a threshold.
            half_life: After this many newer losses a loss counts half; None never forgets.
        """
        size = len(losses_N)
        if size == 0:
            return
        if half_life is not None:
            self._age(0.5 ** (size / half_life))
        mean = math.fsum(losses_N) / size
        ssd = math.fsum((loss - mean) ** 2 for loss in losses_N)
        self._add(GroupStatistics(size, size, size if cut else 0.0, mean, ssd))

    def _age(self, factor: float) -> None:
        self.count *= factor
        self.count_sq *= factor * factor
        self.cut *= factor
        self.ssd *= factor

    def _add(self, other: GroupStatistics) -> None:
        total = self.count + other.count
        delta = other.mean - self.mean
        self.mean += delta * other.count / total
        self.ssd += other.ssd + delta * delta * self.count * other.count / total
        self.count = total
        self.count_sq += other.count_sq
        self.cut += other.cut

    @property
    def variance(self) -> float | None:
        """Unbiased variance, `ssd / (n - 1)` without forgetting (Eq. 4); None below two effective losses.

        With forgetting the divisor is `V1 - V2 / V1`, the unbiased one for reliability weights.
        """
        if self.count <= 0.0:
            return None
        divisor = self.count - self.count_sq / self.count
        # Forgetting leaves divisors like 1e-17 where only one loss is left; such a variance means nothing.
        return self.ssd / divisor if divisor > 1e-9 else None

    def to_dict(self) -> dict[str, float]:
        """JSON-ready; floats survive the round trip exactly."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> GroupStatistics:
        """Read what `to_dict` wrote."""
        return cls(**{key: float(record[key]) for key in ("count", "count_sq", "cut", "mean", "ssd")})


class Center(NamedTuple):
    """Centre and spread of a group's losses, in nats per token."""

    mu: float
    sigma: float


def center_and_spread(group: GroupStatistics, kind: StatisticsKind, alpha: float) -> Center | None:
    """Estimate a group's mean and standard deviation; None while the group cannot be judged.

    `welford` returns the moments of the accepted losses, as published. Since losses above `mu + alpha * sigma` are
    never accepted, those moments describe a normal distribution that was cut from above: both are too small, and the
    threshold creeps down. `corrected` undoes that. With `h = phi(alpha) / Phi(alpha)` a normal variable cut at alpha
    standard deviations keeps the mean `mu - sigma h` and the variance `sigma^2 (1 - alpha h - h^2)`. A share `p` of
    the accepted losses was cut and the rest (warm-up) was not, so the accepted losses are a mixture with ::

        mean     = mu - p sigma h
        variance = sigma^2 ((1 - p) + p (1 - alpha h - h^2) + p (1 - p) h^2)

    which is solved for mu and sigma. With p = 0 this is Welford's estimate.

    Args:
        group: The accepted losses.
        kind: Which estimate.
        alpha: Threshold in standard deviations.

    Returns:
        None where fewer than two effective losses are known or all of them are equal.
    """
    variance = group.variance
    if variance is None or variance <= 0.0:
        return None
    sigma = math.sqrt(variance)
    if kind == "welford" or group.cut <= 0.0:
        return Center(group.mean, sigma)
    share = min(1.0, group.cut / group.count)
    hazard = _NORMAL.pdf(alpha) / _NORMAL.cdf(alpha)
    kept = 1.0 - alpha * hazard - hazard * hazard
    mixed = (1.0 - share) + share * kept + share * (1.0 - share) * hazard * hazard
    sigma /= math.sqrt(mixed)
    return Center(group.mean + share * sigma * hazard, sigma)


def pool_with_neighbours(
    groups: Mapping[int, GroupStatistics], wanted: int, min_count: float | None
) -> GroupStatistics | None:
    """The statistics to judge group `wanted` by: its own, or pooled with its nearest groups while it is small.

    Args:
        groups: Statistics by turn group.
        wanted: The group to be judged; it need not have statistics yet.
        min_count: Pool until the pooled count reaches this; None never pools. Nearest groups first; of two equally
            near ones the one with fewer turns.

    Returns:
        None where there is nothing to judge by: no statistics, or all groups together stay below `min_count`.
    """
    own = groups.get(wanted)
    if min_count is None:
        return own
    pooled = GroupStatistics()
    for number in sorted(groups, key=lambda number: (abs(number - wanted), number)):
        if groups[number].count > 0.0:
            pooled._add(groups[number])
        if pooled.count >= min_count:
            return pooled
    return None
