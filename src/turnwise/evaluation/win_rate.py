"""Win rates against a baseline: from stored annotations in AlpacaEval's form, or from comparisons of our own.

AlpacaEval (Li et al. 2023; `alpaca_eval/metrics`): each annotation has a `preference` from 1 (`generator_1` is better)
to 2 (`generator_2` is better), fractions where the judge's probabilities are used, 1.5 or 0 for a draw. The win rate of
`generator_2` is the mean of preference - 1, its standard error that of a mean.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from turnwise.data.objects import read_objects
from turnwise.errors import DataError
from turnwise.evaluation.benchmark import ScoreRow
from turnwise.evaluation.tables import DRAWS, VALUES, pairs_of, win_rate_rows
from turnwise.judging.records import Judgment
from turnwise.statistics.resampling import bootstrap_interval


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often a model beats a baseline.

    Attributes:
        model: Whose wins.
        baseline: Against whom.
        row: Win rate from 0 to 1 with n, interval, `win`, `tie` and `loss`, and the unscored by reason.
        standard_error: Of the win rate; None with fewer than two comparisons.
        discrete: The win rate with every preference rounded to win, tie or loss; None without comparisons.
    """

    model: str
    baseline: str
    row: ScoreRow
    standard_error: float | None
    discrete: float | None


def annotated_win_rates(annotations: Iterable[Mapping[str, Any]]) -> list[WinRate]:
    """Win rates from AlpacaEval's annotations, one for each pair of `generator_2` and `generator_1`.

    Args:
        annotations: With `preference`, `generator_1` and `generator_2`. A preference that is missing, null or NaN is
            `unparsable`; one outside 1 to 2 (but for 0, a draw) is `out_of_scale`.

    Raises:
        DataError: An annotation has no generators.
    """
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    unscored: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for number, annotation in enumerate(annotations, start=1):
        try:
            models = str(annotation["generator_2"]), str(annotation["generator_1"])
        except KeyError as error:
            raise DataError(f"annotation {number}: expected the key {error}") from None
        value = _preference(annotation.get("preference"))
        unscored[models].update([value] if isinstance(value, str) else [])
        values[models].extend([] if isinstance(value, str) else [value - 1])
    return [_rate(*models, of_pair, unscored[models]) for models, of_pair in values.items()]


def read_annotations(path: str | Path) -> list[dict[str, Any]]:
    """Read a file of annotations (`annotations.json`).

    Raises:
        DataError: It cannot be read or holds no objects.
    """
    return [record for _, record in read_objects(path)]


def judged_win_rates(judgments: Iterable[Judgment]) -> list[WinRate]:
    """Win rates from comparisons in both orders, one for each model and baseline; ties by FastChat's rule."""
    groups: dict[tuple[str, str], list[Judgment]] = defaultdict(list)
    for one in judgments:
        if one.baseline is not None:
            groups[one.model, one.baseline].append(one)
    rates = []
    for (model, baseline), group in groups.items():
        (row,) = win_rate_rows(group, lambda _: None)
        units: dict[Any, list[float]] = defaultdict(list)
        for pair in pairs_of(group):
            if pair.outcome is not None:
                units[pair.unit].append(VALUES[pair.outcome])
        rates.append(WinRate(model, baseline, row, _standard_error([fmean(of) for of in units.values()]), row.mean))
    return rates


def _preference(value: Any) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return "unparsable"
    if value == 0:
        return 1.5
    return float(value) if 1 <= value <= 2 else "out_of_scale"


def _rate(model: str, baseline: str, values: list[float], unscored: Mapping[str, int]) -> WinRate:
    counts = {
        "win": sum(value > 0.5 for value in values),
        "tie": sum(value == 0.5 for value in values),
        "loss": sum(value < 0.5 for value in values),
    }
    low, high = (bootstrap_interval(values, n=DRAWS) if len(values) > 1 else None) or (None, None)
    mean = fmean(values) if values else None
    row = ScoreRow(model, mean, len(values), low, high, dict(sorted(unscored.items())), counts)
    discrete = (counts["win"] + counts["tie"] / 2) / len(values) if values else None
    return WinRate(model, baseline, row, _standard_error(values), discrete)


def _standard_error(values: list[float]) -> float | None:
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
