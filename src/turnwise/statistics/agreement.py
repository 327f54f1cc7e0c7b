"""How far raters agree: shares, Cohen's kappa, Krippendorff's alpha, and intervals that draw whole items."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Level = Literal["nominal", "ordinal", "interval"]
Weights = Literal["unweighted", "linear", "quadratic"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A statistic with its interval.

    Attributes:
        value: None where the statistic is undefined (no data, raters that never vary).
        low: Lower end of the 95 % interval; None where fewer than two items, or fewer than half of the draws, give one.
        high: Its upper end.
        n: How many rows (pairs of ratings, comparisons) it is computed from.
        items: How many items those rows are about: what was drawn.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    items: int

    def to_dict(self) -> dict[str, float | int | None]:
        """The figure as JSON-ready keys."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "items": self.items}


def with_interval(
    statistic: Callable[[list[Any]], float | None],
    rows: Sequence[Any],
    items: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
    level: float = 0.95,
) -> Figure:
    """A statistic of rows with a percentile bootstrap interval (Efron and Tibshirani, 1993, chapter 13).

    Ratings of one item are not independent, so whole items are drawn with replacement. Draws in which the statistic is
    undefined are left out; where that is more than half of them, there is no interval.

    Args:
        statistic: From rows to a number, or None where undefined.
        rows: (N,) whatever the statistic takes.
        items: (N,) the item of each row; None makes every row an item.
        seed: Seed of the draws.
        draws: How many.
        level: Coverage.

    Raises:
        ValueError: Lengths differ, or `draws` or `level` is out of range.
    """
    if draws < 1 or not 0 < level < 1:
        raise ValueError(f"expected draws of at least 1 and a level between 0 and 1, found {draws} and {level}")
    if items is not None and len(items) != len(rows):
        raise ValueError(f"expected one item per row, found {len(items)} and {len(rows)}")
    members: dict[Hashable, list[Any]] = {}
    for place, row in enumerate(rows):
        members.setdefault(place if items is None else items[place], []).append(row)
    groups = list(members.values())
    value = statistic(list(rows))
    if value is None or len(groups) < 2:
        return Figure(value, None, None, len(rows), len(groups))
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        chosen = generator.integers(0, len(groups), size=len(groups))
        drawn = statistic([row for place in chosen for row in groups[place]])
        if drawn is not None:
            found.append(drawn)
    if 2 * len(found) < draws:
        return Figure(value, None, None, len(rows), len(groups))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Figure(value, float(low), float(high), len(rows), len(groups))


def share_agreeing(pairs: Sequence[tuple[Hashable, Hashable]], *, without: Hashable | None = None) -> float | None:
    """Share of pairs of verdicts that are equal.

    With `without="tie"` this is FastChat's second setting (Zheng et al., 2023, section 4.2): a pair in which either
    verdict is a tie is left out.

    Args:
        pairs: The two raters' verdicts.
        without: A verdict that leaves its pair out.

    Returns:
        From 0 to 1; None where no pair is left.
    """
    kept = [(a, b) for a, b in pairs if without is None or without not in (a, b)]
    return sum(a == b for a, b in kept) / len(kept) if kept else None


def cohen_kappa(pairs: Sequence[tuple[Any, Any]], weights: Weights = "unweighted") -> float | None:
    """Cohen's kappa: 1 - observed disagreement / the disagreement expected of independent raters.

    Unweighted, two verdicts disagree or not (Cohen, 1960). Weighted, the disagreement of two numbers is their distance
    (`linear`) or its square (`quadratic`; Cohen, 1968). The distance is that of the values, not of their places among
    the values in use: 1 and 3 are two apart also where nobody gave a 2.

    Args:
        pairs: The two raters' verdicts; numbers where weighted.
        weights: See above.

    Returns:
        At most 1; 0 for chance. None without pairs, or where both raters always say the same one thing (no
        disagreement is then expected).
    """
    if not pairs:
        return None
    values = list(dict.fromkeys(value for pair in pairs for value in pair))
    index = {value: place for place, value in enumerate(values)}
    table = np.zeros((len(values), len(values)))
    for a, b in pairs:
        table[index[a], index[b]] += 1
    if weights == "unweighted":
        distance: npt.NDArray[np.float64] = 1 - np.eye(len(values))
    else:
        numbers = np.array([float(value) for value in values])
        distance = np.abs(numbers[:, None] - numbers[None, :]) ** (1 if weights == "linear" else 2)
    observed = float((table * distance).sum()) / len(pairs)
    expected = float((np.outer(table.sum(1), table.sum(0)) * distance).sum()) / len(pairs) ** 2
    return 1 - observed / expected if expected > 0 else None


def krippendorff_alpha(units: Sequence[Sequence[Any]], level: Level = "nominal") -> float | None:
    """Krippendorff's alpha: 1 - observed disagreement / expected disagreement, for any number of raters.

    By coincidences of values within units ("Computing Krippendorff's Alpha-Reliability", 2011):
    alpha = 1 - (n - 1) * sum_{c<k} o_ck d_ck / sum_{c<k} n_c n_k d_ck, where a unit of m ratings adds 1 / (m - 1) to
    o_ck for each of its ordered pairs (c, k). d is 1 (nominal), (c - k)^2 (interval), or the square of the number of
    ratings from c to k, those of c and k counting half (ordinal).

    Args:
        units: Per unit its ratings, in any order; None for a missing one. Units of fewer than two ratings say nothing
            and are left out. Numbers, except for `nominal`.
        level: What the differences of values mean.

    Returns:
        At most 1; 0 for chance. None where fewer than two different values are left.
    """
    pairable = [kept for unit in units if len(kept := [value for value in unit if value is not None]) >= 2]
    found = {value for unit in pairable for value in unit}
    values = list(found) if level == "nominal" else sorted(found)
    if len(values) < 2:
        return None
    index = {value: place for place, value in enumerate(values)}
    sizes = np.array([len(unit) for unit in pairable])
    cells = np.repeat(np.arange(len(pairable)), sizes) * len(values) + [index[one] for unit in pairable for one in unit]
    counts = np.bincount(cells, minlength=len(pairable) * len(values)).reshape(len(pairable), len(values))
    shares = counts / (sizes - 1)[:, None]
    coincidences = shares.T @ counts - np.diag(shares.sum(0))
    totals = coincidences.sum(1)
    distance = _squared_distance(values, totals, level)
    expected = float((np.outer(totals, totals) * distance).sum())
    return 1 - (float(totals.sum()) - 1) * float((coincidences * distance).sum()) / expected


def rating_pairs(units: Sequence[Sequence[Any]]) -> list[tuple[Any, Any]]:
    """Every pair of ratings of one unit, each pair once; missing ratings (None) make none."""
    return [pair for unit in units for pair in combinations([value for value in unit if value is not None], 2)]


def _squared_distance(values: Sequence[Any], totals: npt.NDArray[np.float64], level: Level) -> npt.NDArray[np.float64]:
    if level == "nominal":
        return 1 - np.eye(len(values))
    # Interval: the values themselves. Ordinal: the midpoint of each value's ranks, whose distance is what is wanted.
    places = np.cumsum(totals) - totals / 2 if level == "ordinal" else np.array([float(value) for value in values])
    squared: npt.NDArray[np.float64] = (places[:, None] - places[None, :]) ** 2
    return squared
