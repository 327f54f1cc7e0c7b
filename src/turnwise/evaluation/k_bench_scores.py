"""K-BENCH's arithmetic (R2S paper, section 3.2): what is graded, on which scale, and how the average is made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median

import numpy as np
import numpy.typing as npt

from turnwise.evaluation.benchmark import ScoreRow, ScoreTable
from turnwise.evaluation.tables import DRAWS, repeated_scores
from turnwise.judging.judge import Verdict
from turnwise.judging.ratings import json_scores
from turnwise.judging.records import Judgment, Unscored

TURN_METRICS = ("informativeness", "understanding", "usefulness", "fidelity", "flexibility")
"""Graded in every turn, the first of the user's words, the others of the reply."""

DIALOGUE_METRICS = ("consistency", "cohesion", "interactivity")
"""Graded once per dialogue."""

JUDGED = (*TURN_METRICS, *DIALOGUE_METRICS)
COVERAGE = "coverage"
"""Criterion of the coverage rate, in percent; no judge is asked for it."""

LEXICAL = "lexical_coverage"
"""Criterion of its stand-in that counts words, in percent; never part of the average."""

MAY_NOT_APPLY = frozenset({"fidelity"})
"""Where a judge may answer "not applicable"; of any other metric that is no answer."""

LOW, HIGH, STEP = 1.0, 5.0, 0.5
PERCENT_PER_POINT = 20.0
"""A coverage rate of 100 % counts as 5 points in the average."""

_AT_ONCE = 2_000_000


def k_bench_average(metrics: Mapping[str, float], coverage_rate: float) -> float:
    """The paper's Avg. column: the mean of the eight judged metrics and of the coverage rate divided by 20.

    The paper does not print the formula; it is the one that its Tables 2 to 5 follow in nearly every row (the
    exceptions are listed in `docs/papers.md`).

    Args:
        metrics: Every name of `JUDGED` with its mean, 1 to 5.
        coverage_rate: In percent, 0 to 100.

    Raises:
        ValueError: A metric is missing or unknown.
    """
    if set(metrics) != set(JUDGED):
        wrong = ", ".join(sorted(set(metrics) ^ set(JUDGED)))
        raise ValueError(f"expected the eight judged metrics, found {wrong} missing or unknown")
    return fmean([*metrics.values(), coverage_rate / PERCENT_PER_POINT])


def metrics_verdict(criteria: Sequence[str]) -> Callable[[str], Verdict]:
    """The parser of a judge's reply: one number per metric, on whole and half points.

    `4.5` is 4.5. A number between the steps (4.3) is no grade on this scale: it is `out_of_scale` and noted under
    `off_step`, because rounding it would make up a grade that nobody gave. "Not applicable" is a verdict only for
    `MAY_NOT_APPLY`; elsewhere it is `unparsable`, so that a judge cannot leave out what it does not like.
    """
    read = json_scores(criteria)

    def parse(text: str) -> Verdict:
        verdict = read(text)
        off_step = {name: score for name, score in verdict.scores.items() if (score / STEP) % 1 != 0}
        reasons: dict[str, Unscored] = {
            name: "unparsable" if reason == "not_applicable" and name not in MAY_NOT_APPLY else reason
            for name, reason in verdict.unscored_criteria.items()
        }
        reasons.update(dict.fromkeys(off_step, "out_of_scale"))
        kept = {name: score for name, score in verdict.scores.items() if name not in off_step}
        notes = {**verdict.notes, **({"off_step": off_step} if off_step else {})}
        return replace(verdict, scores=kept, unscored_criteria=reasons, notes=notes)

    return parse


def k_bench_tables(judgments: Sequence[Judgment]) -> list[ScoreTable]:
    """The average and its nine parts; the coverage rate in percent; both by language where there are several.

    Every metric is first averaged over the turns of a dialogue and then over dialogues, as in the paper (section 3.2),
    so a dialogue counts once however long it is. `n` counts dialogues.
    """
    judged = [one for one in judgments if one.criterion in JUDGED]
    tables = [ScoreTable("K-BENCH, 1 to 5", "metric", metric_rows(judgments))] if judged else []
    for criterion, title in ((COVERAGE, "coverage rate, percent"), (LEXICAL, "coverage by words, percent")):
        covered = [one for one in judgments if one.criterion == criterion]
        if covered:
            groups = _by_language(covered)
            groups = {"all": covered} if len(groups) < 2 else {"all": covered, **groups}
            rows = [_row(name, {criterion: _by_dialogue(group)[criterion]}, group) for name, group in groups.items()]
            tables.append(ScoreTable(title, "language", rows, "percent"))
    by_language = _by_language(judged)
    if len(by_language) > 1:
        for language in sorted(by_language):
            inside = [one for one in judgments if str(one.metadata.get("language", "(none)")) == language]
            tables.append(ScoreTable(f"K-BENCH, {language}, 1 to 5", "metric", metric_rows(inside)))
    return tables


def metric_rows(judgments: Sequence[Judgment]) -> list[ScoreRow]:
    """The average first, then each metric, then `coverage / 20`; see `k_bench_tables`.

    The average is None unless all nine parts have scores. Its interval draws whole dialogues, with all that was said of
    each; `counts["parts"]` is how many of the nine have scores. Intervals are 95 % percentile intervals of 2,000 draws,
    None with fewer than two dialogues.
    """
    means = _by_dialogue(judgments)
    coverage = {item: rate / PERCENT_PER_POINT for item, rate in means.pop(COVERAGE, {}).items()}
    parts = {name: means.get(name, {}) for name in JUDGED} | {f"{COVERAGE} / 20": coverage}
    rows = [_row("average", parts, [one for one in judgments if one.criterion != LEXICAL], counts=True)]
    for name, of_dialogues in parts.items():
        criterion = name.split(" ")[0]
        about = [one for one in judgments if one.criterion == criterion]
        if about:
            rows.append(_row(name, {name: of_dialogues}, about))
    return rows


def _by_dialogue(judgments: Sequence[Judgment]) -> dict[str, dict[str, float]]:
    """By criterion and dialogue: the mean over its turns of the medians of repeated judgments."""
    turns: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (item, _, criterion, *_), scores in repeated_scores(judgments).items():
        turns[criterion][item].append(median(scores))
    return defaultdict(
        dict,
        {
            criterion: {item: fmean(values) for item, values in of_items.items()}
            for criterion, of_items in turns.items()
        },
    )


def _by_language(judgments: Sequence[Judgment]) -> dict[str, list[Judgment]]:
    groups: dict[str, list[Judgment]] = defaultdict(list)
    for one in judgments:
        groups[str(one.metadata.get("language", "(none)"))].append(one)
    return dict(sorted(groups.items()))


def _row(
    name: str, parts: Mapping[str, Mapping[str, float]], judgments: Sequence[Judgment], *, counts: bool = False
) -> ScoreRow:
    """The mean over parts of their means over dialogues."""
    items = sorted({item for of_dialogues in parts.values() for item in of_dialogues})
    scores = np.array([[part.get(item, np.nan) for part in parts.values()] for item in items]).reshape(-1, len(parts))
    filled = sum(bool(of_dialogues) for of_dialogues in parts.values())
    unscored = Counter(str(one.unscored) for one in judgments if one.unscored is not None)
    whole = filled == len(parts)
    low, high = _interval(scores) if whole else (None, None)
    return ScoreRow(
        name,
        float(np.nanmean(scores, axis=0).mean()) if whole else None,
        len(items) if whole else 0,
        low,
        high,
        dict(sorted(unscored.items())),
        {"parts": filled} if counts else {},
    )


def _interval(scores: npt.NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Of (dialogues, parts) scores with NaN where there is none; a draw in which a part has no score is drawn anew."""
    if len(scores) < 2:
        return None, None
    known = ~np.isnan(scores)
    values = np.where(known, scores, 0.0)
    draw = np.random.default_rng(0)
    means: list[npt.NDArray[np.float64]] = []
    found, tries = 0, 0
    together = max(1, _AT_ONCE // scores.size)
    while found < DRAWS and tries < 10 * DRAWS:
        number = min(together, DRAWS - found)
        tries += number
        chosen = draw.integers(0, len(scores), size=(number, len(scores)))
        sizes = known[chosen].sum(axis=1)
        full = (sizes > 0).all(axis=1)
        means.append((values[chosen].sum(axis=1)[full] / sizes[full]).mean(axis=1))
        found += int(full.sum())
    if not found:
        return None, None
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)
