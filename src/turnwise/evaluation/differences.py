"""Two models on the same items: differences of their scores, paired, with intervals over whole dialogues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean, median

from turnwise.evaluation.benchmark import ScoreRow
from turnwise.evaluation.tables import DRAWS, Key, Unit, repeated_scores, unit_of
from turnwise.judging.records import Judgment
from turnwise.statistics.resampling import paired_bootstrap_interval


def difference_rows(
    first: Iterable[Judgment],
    second: Iterable[Judgment],
    key: Key,
    *,
    order: Sequence[str] | None = None,
    total: str | None = "all",
) -> list[ScoreRow]:
    """Mean differences of scores by group, first model minus second.

    Answers are paired by item, turn, criterion, judge and prompt; repeats give their median, as in `score_rows`. An
    answer that only one of the two has a score for is counted and left out of both.

    Args:
        first: One model's judgments.
        second: The other's, by the same judge and prompts.
        key: The group of a judgment; None leaves it to the total row alone.
        order: Groups that come first, in this order.
        total: Name of the first row; None for no such row.

    Returns:
        One row per group: `mean` is the mean difference over the `n` pairs, `low` and `high` its 95 % interval by
        paired bootstrap of 2,000 draws of items (None with fewer than two items), `counts` how often the first is
        `higher`, `equal` or `lower`, and `unscored["one model only"]` the answers without a counterpart.
    """
    sides = [_scores(first, key), _scores(second, key)]
    names = dict.fromkeys(order or ())
    names |= dict.fromkeys(group for side in sides for _, group in side.values() if group is not None)
    rows = [] if total is None else [_row(total, None, *sides)]
    return rows + [row for name in names if (row := _row(name, name, *sides)).n or row.unscored]


_Scores = dict[Unit, tuple[float, str | None]]


def _scores(judgments: Iterable[Judgment], key: Key) -> _Scores:
    """The score and the group of every answer, by what is the same for both models."""
    # Without the model's name the units of both models are the same.
    nameless = [replace(one, model="") for one in judgments if one.baseline is None]
    groups = {unit_of(one): key(one) for one in nameless}
    return {unit: (float(median(scores)), groups[unit]) for unit, scores in repeated_scores(nameless).items()}


def _row(name: str, group: str | None, first: _Scores, second: _Scores) -> ScoreRow:
    one, other = (
        {unit: score for unit, (score, of) in side.items() if group is None or of == group} for side in (first, second)
    )
    both = [unit for unit in one if unit in other]
    alone = len(one) + len(other) - 2 * len(both)
    unscored = {"one model only": alone} if alone else {}
    if not both:
        return ScoreRow(name, None, 0, unscored=unscored)
    firsts, seconds = [one[unit] for unit in both], [other[unit] for unit in both]
    differences = [a - b for a, b in zip(firsts, seconds, strict=True)]
    items = [unit[0] for unit in both]
    interval = paired_bootstrap_interval(firsts, seconds, items, n=DRAWS) if len(set(items)) > 1 else None
    low, high = interval or (None, None)
    counts = {
        "higher": sum(value > 0 for value in differences),
        "equal": sum(value == 0 for value in differences),
        "lower": sum(value < 0 for value in differences),
    }
    return ScoreRow(name, fmean(differences), len(both), low, high, unscored, counts)
