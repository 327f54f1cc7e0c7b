"""MT-Eval's tables: the four groups and their average; where in a dialogue and at which tasks scores are lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, median

import numpy as np

from turnwise.evaluation.benchmark import ScoreRow, ScoreTable
from turnwise.evaluation.mt_eval_data import GROUPS
from turnwise.evaluation.tables import DRAWS, repeated_scores, score_rows
from turnwise.judging.records import Judgment


def mt_eval_tables(judgments: Sequence[Judgment]) -> list[ScoreTable]:
    """Groups with their average first; then each group by turn, recollection by kind, follow-up by category."""
    groups = score_rows(judgments, lambda one: one.metadata.get("group"), order=GROUPS, total=None)
    tables = [ScoreTable("MT-Eval", "group", [*groups, average_row(judgments)])]
    for group in GROUPS:
        inside = [one for one in judgments if one.metadata.get("group") == group]
        if not inside:
            continue
        turns = sorted({one.turn for one in inside if one.turn is not None})
        rows = score_rows(inside, _turn, order=[str(turn) for turn in turns], total=None)
        tables.append(ScoreTable(f"{group} by turn", "turn_index", rows))
        label = {"recollection": "kind", "refinement": "task", "expansion": "task"}.get(group, "category")
        tables.append(ScoreTable(f"{group} by {label}", label, score_rows(inside, _category, total=None)))
    return tables


def average_row(judgments: Sequence[Judgment]) -> ScoreRow:
    """The unweighted mean of the four groups' means; no mean unless all four have scores.

    The interval is a 95 % percentile interval of 2,000 bootstrap draws: in each, whole dialogues are drawn with
    replacement within every group. `n` counts scores, `counts` the groups that have some.
    """
    scores: dict[str, dict[str, list[float]]] = {group: defaultdict(list) for group in GROUPS}
    unscored: dict[str, int] = {}
    for group in GROUPS:
        inside = [one for one in judgments if one.metadata.get("group") == group]
        for unit, values in repeated_scores(inside).items():
            scores[group][unit[0]].append(median(values))
        for one in inside:
            if one.unscored is not None:
                unscored[one.unscored] = unscored.get(one.unscored, 0) + 1
    filled = [list(of_group.values()) for of_group in scores.values() if of_group]
    n = sum(len(values) for of_group in filled for values in of_group)
    counts = {"groups": len(filled)}
    unscored = dict(sorted(unscored.items()))
    if len(filled) < len(GROUPS):
        return ScoreRow("average", None, n, unscored=unscored, counts=counts)
    mean = fmean(fmean(value for values in of_group for value in values) for of_group in filled)
    low, high = _interval(filled)
    return ScoreRow("average", mean, n, low, high, unscored, counts)


def _interval(groups: list[list[list[float]]]) -> tuple[float | None, float | None]:
    if any(len(dialogues) < 2 for dialogues in groups):
        return None, None
    draw = np.random.default_rng(0)
    means = np.zeros(DRAWS)
    for dialogues in groups:
        sums = np.array([sum(values) for values in dialogues])
        sizes = np.array([len(values) for values in dialogues])
        chosen = draw.integers(0, len(dialogues), size=(DRAWS, len(dialogues)))
        means += sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1) / len(groups)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _turn(judgment: Judgment) -> str | None:
    return None if judgment.turn is None else str(judgment.turn)


def _category(judgment: Judgment) -> str | None:
    category = judgment.metadata.get("category")
    return None if category is None else str(category)
