"""From judgments to table rows: means, win rates and flip rates, each with n, an interval and its unscored count.

All benchmarks build their tables here, so a mean is never shown without its n, and what has no score is counted by
reason and never part of a mean. Intervals are bootstrap intervals over whole dialogues (`Judgment.item`), because the
turns of one dialogue are not independent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from turnwise.evaluation.benchmark import ScoreRow
from turnwise.judging.records import Judgment
from turnwise.statistics.resampling import bootstrap_interval

Key = Callable[[Judgment], str | None]
Outcome = Literal["win", "tie", "loss"]

DRAWS = 2000
VALUES: dict[Outcome, float] = {"win": 1.0, "tie": 0.5, "loss": 0.0}
"""What an outcome adds to a win rate."""


def score_rows(
    judgments: Iterable[Judgment],
    key: Key,
    *,
    order: Sequence[str] | None = None,
    total: str | None = "all",
    repeats: Literal["median", "each"] = "median",
) -> list[ScoreRow]:
    """Mean scores by group.

    Judgments of one answer that differ only in `sample` are repeats: their median is one score. A repeat without a
    score is counted as unscored and leaves the median to the others. Comparisons are no scores and are left out.

    Args:
        judgments: Of one model.
        key: The group of a judgment; None leaves it to the total row alone.
        order: Groups that come first, in this order; the others follow as they occur. A name that does not occur
            gives no row.
        total: Name of the first row, over all judgments; None for no such row.
        repeats: `median` as above; `each` makes every scored judgment a score of its own (FastChat's rule for rows
            that occur twice).

    Returns:
        One row per group. `n` counts scores (answers by criterion), `unscored` counts judgments. `low` and `high` are
        a 95 % percentile interval of 2,000 draws of whole items; None with fewer than two items, which say nothing
        about their spread.
    """
    kept = [one for one in judgments if one.winner is None and one.baseline is None]
    return [_score_row(name, group, repeats) for name, group in _groups(kept, key, order, total)]


def spread_rows(
    judgments: Iterable[Judgment], key: Key, *, order: Sequence[str] | None = None, total: str | None = "all"
) -> list[ScoreRow]:
    """How far repeated judgments of the same answer lie apart: mean of highest minus lowest score.

    Args:
        judgments: Of one model.
        key: The group of a judgment; None leaves it to the total row alone.
        order: As in `score_rows`.
        total: As in `score_rows`.

    Returns:
        One row per group over the answers with at least two scored repeats (`n`); `counts["moved"]` is how many of
        them have more than one score. No rows where nothing was repeated.
    """
    every = list(judgments)
    units = repeated_scores(every)
    repeated = [one for one in every if len(units.get(unit_of(one), ())) > 1]
    if not repeated:
        return []
    rows = []
    for name, group in _groups(repeated, key, order, total):
        scores = repeated_scores(group)
        ranges = [max(values) - min(values) for values in scores.values()]
        low, high = _interval(ranges, [unit[0] for unit in scores])
        moved = sum(value > 0 for value in ranges)
        rows.append(ScoreRow(name, fmean(ranges), len(ranges), low, high, counts={"moved": moved}))
    return rows


def win_rate_rows(
    judgments: Iterable[Judgment], key: Key, *, order: Sequence[str] | None = None, total: str | None = "all"
) -> list[ScoreRow]:
    """Win rates by group, by FastChat's rule (`show_result.py`): ties count half.

    Both orders of one answer must agree, else it is a tie; a pair with an unscored order is dropped from `n` and
    counted. Repeats (`sample`) of one answer are averaged first, so they do not raise `n`.

    Args:
        judgments: Comparisons of one model with one baseline.
        key: The group of a judgment; None leaves it to the total row alone.
        order: As in `score_rows`.
        total: As in `score_rows`.

    Returns:
        One row per group: `mean` is (wins + ties / 2) / n, `n` counts answers, `counts` has `win`, `tie` and `loss`
        (of all repeats), `unscored` counts pairs by reason (`one order` where the other one is missing). Intervals as
        in `score_rows`.
    """
    rows = []
    for name, group in _groups(judgments, key, order, total):
        pairs = pairs_of(group)
        values: dict[Unit, list[float]] = defaultdict(list)
        for pair in pairs:
            if pair.outcome is not None:
                values[pair.unit].append(VALUES[pair.outcome])
        counts = Counter(pair.outcome for pair in pairs)
        means = [fmean(of_unit) for of_unit in values.values()]
        low, high = _interval(means, [unit[0] for unit in values])
        rows.append(
            ScoreRow(
                name,
                fmean(means) if means else None,
                len(means),
                low,
                high,
                unscored=dict(sorted(Counter(pair.unscored for pair in pairs if pair.unscored).items())),
                counts={outcome: counts[outcome] for outcome in VALUES},
            )
        )
    return rows


def flip_rate(judgments: Iterable[Judgment], *, name: str = "all") -> ScoreRow:
    """How often the verdict changes when the two answers change places.

    Args:
        judgments: Comparisons in both orders.
        name: Name of the row.

    Returns:
        `mean` is the share of pairs whose two orders differ, over pairs with both verdicts (`n`). `counts` says how:
        `agree`; `first` and `second` (both orders chose the answer shown there: position bias); `half` (one order is
        a tie). Intervals as in `score_rows`; `unscored` as in `win_rate_rows`.
    """
    pairs = pairs_of(judgments)
    counts = dict.fromkeys(("agree", "first", "second", "half"), 0)
    flips, items = [], []
    for pair in pairs:
        if pair.outcome is None:
            continue
        counts[pair.change] += 1
        flips.append(float(pair.change != "agree"))
        items.append(pair.unit[0])
    low, high = _interval(flips, items)
    unscored = dict(sorted(Counter(pair.unscored for pair in pairs if pair.unscored).items()))
    return ScoreRow(name, fmean(flips) if flips else None, len(flips), low, high, unscored, counts)


Unit = tuple[str, int | None, str, str, str, str | None, str]
"""One judged answer by one criterion: item, turn, criterion, model, judge, baseline, prompt."""


def unit_of(judgment: Judgment) -> Unit:
    """What is the same in all repeats and both orders of a judgment."""
    one = judgment
    return one.item, one.turn, one.criterion, one.model, one.judge, one.baseline, one.prompt


def repeated_scores(judgments: Iterable[Judgment]) -> dict[Unit, list[float]]:
    """The scores of each judged answer, one per repeat, in order of occurrence; unscored ones are left out."""
    units: dict[Unit, list[float]] = defaultdict(list)
    for one in judgments:
        if one.score is not None:
            units[unit_of(one)].append(one.score)
    return dict(units)


@dataclass(frozen=True, slots=True)
class Pair:
    """The two orders of one comparison.

    Attributes:
        unit: Which answer, by which criterion.
        first: The judgment with the model's answer shown first, or None.
        second: The one with it shown second, or None.
    """

    unit: Unit
    first: Judgment | None
    second: Judgment | None

    @property
    def unscored(self) -> str | None:
        """Why the pair has no outcome, or None."""
        if self.first is None or self.second is None:
            return "one order"
        return self.first.unscored or self.second.unscored

    @property
    def outcome(self) -> Outcome | None:
        """Of the model: both orders must agree, else it is a tie; None where an order has no verdict."""
        if self.first is None or self.second is None or self.unscored:
            return None
        if self.first.winner != self.second.winner or self.first.winner == "tie":
            return "tie"
        return "win" if self.first.winner == "model" else "loss"

    @property
    def change(self) -> str:
        """What the change of places did: `agree`, `first`, `second` or `half` (see `flip_rate`).

        Raises:
            ValueError: The pair has no outcome.
        """
        if self.first is None or self.second is None or self.unscored:
            raise ValueError("a pair without two verdicts has no change")
        winners = (self.first.winner, self.second.winner)
        if winners[0] == winners[1]:
            return "agree"
        if "tie" in winners:
            return "half"
        return "first" if winners[0] == "model" else "second"


def pairs_of(judgments: Iterable[Judgment]) -> list[Pair]:
    """Put the two orders of every comparison together, in order of occurrence.

    A comparison that occurs twice (same answer, order and sample) makes a second pair; nothing is overwritten.
    Judgments without a `position` are no comparisons in two orders and are left out.
    """
    orders: dict[tuple[Unit, int, int], dict[str, Judgment]] = {}
    seen: Counter[tuple[Unit, int, str]] = Counter()
    for one in judgments:
        if one.position is None:
            continue
        place = (unit_of(one), one.sample, one.position)
        orders.setdefault((unit_of(one), one.sample, seen[place]), {})[one.position] = one
        seen[place] += 1
    return [Pair(unit, both.get("first"), both.get("second")) for (unit, _, _), both in orders.items()]


def _score_row(name: str, judgments: Sequence[Judgment], repeats: str) -> ScoreRow:
    units = repeated_scores(judgments)
    if repeats == "median":
        scored = [(unit[0], float(median(scores))) for unit, scores in units.items()]
    else:
        scored = [(unit[0], score) for unit, scores in units.items() for score in scores]
    scores = [score for _, score in scored]
    low, high = _interval(scores, [item for item, _ in scored])
    unscored = Counter(one.unscored for one in judgments if one.unscored is not None)
    return ScoreRow(name, fmean(scores) if scores else None, len(scores), low, high, dict(sorted(unscored.items())))


def _groups(
    judgments: Iterable[Judgment], key: Key, order: Sequence[str] | None, total: str | None
) -> list[tuple[str, list[Judgment]]]:
    """The judgments of each row; the total row (also of no judgments at all) first."""
    every = list(judgments)
    groups: dict[str, list[Judgment]] = {name: [] for name in order or ()}
    for one in every:
        name = key(one)
        if name is not None:
            groups.setdefault(name, []).append(one)
    named = [(name, group) for name, group in groups.items() if group]
    return named if total is None else [(total, every), *named]


def _interval(values: Sequence[float], items: Sequence[Hashable]) -> tuple[float | None, float | None]:
    if len(set(items)) < 2:
        return None, None
    return bootstrap_interval(values, items, n=DRAWS) or (None, None)
