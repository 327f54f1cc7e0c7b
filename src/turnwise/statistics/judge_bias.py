"""What makes a judge's verdicts doubtful: the order of answers, their length, and chance from one draw to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev


def flip_rate(verdicts: Sequence[tuple[str, str]]) -> float | None:
    """Share of comparisons whose winner changes when the answers change places.

    Args:
        verdicts: Per comparison the winner in one order and in the other, both as the same names (`model`, `baseline`,
            `tie`). A win that becomes a tie has changed.

    Returns:
        From 0 to 1; None without comparisons.
    """
    return sum(first != second for first, second in verdicts) / len(verdicts) if verdicts else None


def first_place_share(verdicts: Sequence[tuple[str, str]], ours: str = "model") -> float | None:
    """Among decided verdicts, the share that favours the answer shown first; 0.5 for a judge without such a bias.

    Args:
        verdicts: As in `flip_rate`; in the first of the two orders, `ours` stood first.
        ours: The name of the answer that stood first in the first order.
    """
    decided = [
        (winner == ours) == (place == 0) for pair in verdicts for place, winner in enumerate(pair) if winner != "tie"
    ]
    return sum(decided) / len(decided) if decided else None


def longer_wins_share(comparisons: Sequence[tuple[str, float, float]]) -> float | None:
    """Among decided comparisons of answers of different length, how often the longer one wins.

    Args:
        comparisons: Winner (`model`, `baseline`, `tie`), length of the model's answer, length of the baseline's.
    """
    decided = [
        (winner == "model") == (ours > theirs)
        for winner, ours, theirs in comparisons
        if winner != "tie" and ours != theirs
    ]
    return sum(decided) / len(decided) if decided else None


@dataclass(frozen=True, slots=True)
class Spread:
    """How far repeated judgments of the same answer differ.

    Attributes:
        median: Median of the scores.
        deviation: Their standard deviation (of the draws themselves, divisor N).
        range: Highest minus lowest.
        n: How many scores.
    """

    median: float
    deviation: float
    range: float
    n: int


def spread(scores: Sequence[float]) -> Spread:
    """Median and spread of repeated scores of one answer.

    Raises:
        ValueError: There are none.
    """
    if not scores:
        raise ValueError("expected at least one score")
    return Spread(float(median(scores)), pstdev(scores), max(scores) - min(scores), len(scores))


def mean_deviation(units: Sequence[Sequence[float]]) -> float | None:
    """Mean standard deviation of repeated scores over the answers that have at least two."""
    found = [spread(scores).deviation for scores in units if len(scores) > 1]
    return fmean(found) if found else None


def all_equal_share(units: Sequence[Sequence[float]]) -> float | None:
    """Among answers with at least two scores, the share whose scores are all equal."""
    found = [len(set(scores)) == 1 for scores in units if len(scores) > 1]
    return sum(found) / len(found) if found else None
