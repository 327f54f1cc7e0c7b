"""How far judgments agree with people, with themselves, and with the length of answers.

Takes votes (`turnwise.judging.votes`), joins them, and hands them to the formulas of `turnwise.statistics`. Every
figure has its n and a bootstrap interval that draws whole items.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean, median
from typing import Any

from turnwise.errors import DataError
from turnwise.judging.votes import Vote
from turnwise.statistics.agreement import (
    Figure,
    cohen_kappa,
    krippendorff_alpha,
    rating_pairs,
    share_agreeing,
    with_interval,
)
from turnwise.statistics.association import kendall_tau_b, pearson, spearman_rho
from turnwise.statistics.judge_bias import (
    all_equal_share,
    first_place_share,
    flip_rate,
    longer_wins_share,
    mean_deviation,
)

Key = tuple[Any, ...]
Lengths = Mapping[tuple[str, str, int], float]
"""Length of an answer by item, model and turn."""

FEW_VALUES = 20
"""Most different scores for which kappa is computed: it compares scores for being equal."""


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """One statistic.

    Attributes:
        about: Which judge, or `raters` for people among themselves.
        statistic: Its name.
        figure: Value, interval, n.
    """

    about: str
    statistic: str
    figure: Figure

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON-ready keys."""
        return {"about": self.about, "statistic": self.statistic, **self.figure.to_dict()}


@dataclass(slots=True)
class Agreement:
    """The statistics, and what could not enter them.

    Attributes:
        rows: The statistics.
        joined_by: The columns that both files have.
        only_judged: Judged answers that no person rated.
        only_rated: Rated answers that no judge judged.
        unscored: Judgments and ratings without a verdict.
    """

    rows: list[AgreementRow] = field(default_factory=list)
    joined_by: tuple[str, ...] = ()
    only_judged: int = 0
    only_rated: int = 0
    unscored: int = 0

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-ready keys."""
        return {
            "statistics": [row.to_dict() for row in self.rows],
            "joined_by": list(self.joined_by),
            "only_judged": self.only_judged,
            "only_rated": self.only_rated,
            "unscored": self.unscored,
        }


class Agreements:
    """Computes agreement with one seed and number of draws for all intervals.

    Args:
        seed: Of the bootstrap.
        draws: How many.
    """

    def __init__(self, *, seed: int = 0, draws: int = 1000) -> None:
        self._interval = partial(with_interval, seed=seed, draws=draws)

    def with_people(self, judged: Sequence[Vote], rated: Sequence[Vote]) -> Agreement:
        """Judgments against ratings of people.

        They are joined by item and by those of turn, model, baseline and criterion that both files have. A judge's
        repeated scores of an answer enter as their median. Its comparisons in two orders enter by FastChat's rule:
        orders that disagree are a tie, and one without a verdict leaves the comparison out.

        Raises:
            DataError: One file has scores and the other comparisons, an answer has several criteria or models that the
                other file does not tell apart, or nothing matches.
        """
        names = _common(judged, rated)
        found = Agreement(joined_by=names, unscored=sum(vote.is_unscored for vote in (*judged, *rated)))
        judged, rated = _scored(judged), _scored(rated)
        if _compares(judged) != _compares(rated):
            raise DataError("expected scores in both files or comparisons in both, found one of each")
        _check_told_apart(judged, rated, names)
        people = _by_key(rated, names)
        by_judge = _grouped(judged, lambda vote: vote.rater)
        keys = {key for votes in by_judge.values() for key in _by_key(votes, names)}
        found.only_judged, found.only_rated = len(keys - people.keys()), len(people.keys() - keys)
        if not keys & people.keys():
            raise DataError(f"no judgment and rating match by {', '.join(names)}")
        for judge, votes in by_judge.items():
            own = {key: _verdict(group) for key, group in _by_key(votes, names).items() if key in people}
            units = {key: (verdict, people[key]) for key, verdict in own.items() if verdict is not None}
            rows = self._of_comparisons(units) if _compares(rated) else self._of_scores(units)
            found.rows += [AgreementRow(judge, name, figure) for name, figure in rows]
        found.rows += [AgreementRow("raters", name, figure) for name, figure in self._among(people)]
        return found

    def with_itself(self, judged: Sequence[Vote]) -> list[AgreementRow]:
        """What repeated judgments and both orders of comparisons say; no row where there are none."""
        rows = []
        for judge, votes in _grouped(_scored(judged), lambda vote: vote.rater).items():
            units = _by_key(votes, _ALL_NAMES)
            scores = {key: [vote.score for vote in group if vote.score is not None] for key, group in units.items()}
            repeated = {key: found for key, found in scores.items() if len(found) > 1}
            if repeated:
                statistics: list[tuple[str, Callable[[list[Any]], float | None]]] = [
                    ("repeats: share all equal", all_equal_share),
                    ("repeats: mean standard deviation", mean_deviation),
                    ("repeats: Krippendorff's alpha, ordinal", partial(krippendorff_alpha, level="ordinal")),
                    ("repeats: Krippendorff's alpha, interval", partial(krippendorff_alpha, level="interval")),
                ]
                rows += [AgreementRow(judge, name, self._over(one, repeated)) for name, one in statistics]
            orders = {key: both for key, group in units.items() for both in _orders(group)}
            if orders:
                rows.append(AgreementRow(judge, "position: flip rate", self._over(flip_rate, orders)))
                rows.append(AgreementRow(judge, "position: first place wins", self._over(first_place_share, orders)))
        return rows

    def with_length(self, judged: Sequence[Vote], lengths: Lengths) -> tuple[list[AgreementRow], int]:
        """Length bias: how scores, or wins, go with the length of answers; and how many judgments have no length."""
        rows, missing = [], 0
        for judge, votes in _grouped(_scored(judged), lambda vote: vote.rater).items():
            scored: dict[Key, tuple[float, float]] = {}
            compared: dict[Key, tuple[str, float, float]] = {}
            for key, group in _by_key(votes, _ALL_NAMES).items():
                verdict = _verdict(group)
                ours, theirs = (_length(group[0], name, lengths) for name in (group[0].model, group[0].baseline))
                if isinstance(verdict, str):
                    if ours is None or theirs is None:
                        missing += 1
                    else:
                        compared[key] = (verdict, ours, theirs)
                elif verdict is not None:
                    if ours is None:
                        missing += 1
                    else:
                        scored[key] = (verdict, ours)
            if scored:
                rows.append(AgreementRow(judge, "length: Spearman with score", self._over(_spearman, scored)))
                within = _within_items(scored)
                if within:
                    name = "length: Spearman with score, within a question"
                    rows.append(AgreementRow(judge, name, self._over(_spearman, within)))
            if compared:
                rows.append(AgreementRow(judge, "length: longer answer wins", self._over(longer_wins_share, compared)))
        return rows, missing

    def _of_scores(self, units: Mapping[Key, tuple[Any, Sequence[Vote]]]) -> list[tuple[str, Figure]]:
        means = {key: (verdict, fmean(_numbers(votes))) for key, (verdict, votes) in units.items()}
        pairs = {key: [(verdict, number) for number in _numbers(votes)] for key, (verdict, votes) in units.items()}
        every = {key: [verdict, *_numbers(votes)] for key, (verdict, votes) in units.items()}
        statistics: list[tuple[str, Callable[[list[Any]], float | None]]] = [
            ("Pearson", lambda rows: pearson(*_columns(rows))),
            ("Spearman", _spearman),
            ("Kendall's tau-b", lambda rows: kendall_tau_b(*_columns(rows))),
        ]
        rows = [(name, self._over(one, means)) for name, one in statistics]
        if len({value for group in pairs.values() for pair in group for value in pair}) <= FEW_VALUES:
            rows.append(("share equal", self._over(share_agreeing, pairs, flat=True)))
            rows += [
                (f"Cohen's kappa, {weights}", self._over(partial(cohen_kappa, weights=weights), pairs, flat=True))
                for weights in ("unweighted", "linear", "quadratic")
            ]
        rows += [
            (f"Krippendorff's alpha, {level}", self._over(partial(krippendorff_alpha, level=level), every))
            for level in ("ordinal", "interval")
        ]
        return rows

    def _of_comparisons(self, units: Mapping[Key, tuple[Any, Sequence[Vote]]]) -> list[tuple[str, Figure]]:
        pairs = {key: [(verdict, vote.winner) for vote in votes] for key, (verdict, votes) in units.items()}
        every = {key: [verdict, *(vote.winner for vote in votes)] for key, (verdict, votes) in units.items()}
        return [
            ("agreement, with ties", self._over(share_agreeing, pairs, flat=True)),
            ("agreement, without ties", self._over(partial(share_agreeing, without="tie"), pairs, flat=True)),
            ("Cohen's kappa", self._over(cohen_kappa, pairs, flat=True)),
            ("Krippendorff's alpha, nominal", self._over(krippendorff_alpha, every)),
        ]

    def _among(self, people: Mapping[Key, Sequence[Vote]]) -> list[tuple[str, Figure]]:
        """People among themselves, where several rated the same."""
        units = {
            key: [vote.winner if vote.score is None else vote.score for vote in votes]
            for key, votes in people.items()
            if len(votes) > 1
        }
        if not units:
            return []
        pairs = {key: rating_pairs([unit]) for key, unit in units.items()}
        if any(isinstance(value, str) for unit in units.values() for value in unit):
            return [
                ("agreement, with ties", self._over(share_agreeing, pairs, flat=True)),
                ("agreement, without ties", self._over(partial(share_agreeing, without="tie"), pairs, flat=True)),
                ("Krippendorff's alpha, nominal", self._over(krippendorff_alpha, units)),
            ]
        return [
            ("share equal", self._over(share_agreeing, pairs, flat=True)),
            ("Krippendorff's alpha, ordinal", self._over(partial(krippendorff_alpha, level="ordinal"), units)),
            ("Krippendorff's alpha, interval", self._over(partial(krippendorff_alpha, level="interval"), units)),
        ]

    def _over(
        self, statistic: Callable[[list[Any]], float | None], units: Mapping[Key, Any], *, flat: bool = False
    ) -> Figure:
        """A statistic with its interval: one row per unit, or (flat) all rows of each; items are the first of a key."""
        rows = [(key[0], row) for key, unit in units.items() for row in (unit if flat else [unit])]
        return self._interval(statistic, [row for _, row in rows], [item for item, _ in rows])


_ALL_NAMES = ("item", "turn", "model", "baseline", "criterion")


def _common(judged: Sequence[Vote], rated: Sequence[Vote]) -> tuple[str, ...]:
    def has(votes: Sequence[Vote], name: str) -> bool:
        return any(getattr(vote, name) is not None for vote in votes)

    return tuple(name for name in _ALL_NAMES if name == "item" or (has(judged, name) and has(rated, name)))


def _check_told_apart(judged: Sequence[Vote], rated: Sequence[Vote], names: Sequence[str]) -> None:
    """A column that only one file has must have one value per joined key, or answers would be mixed up."""
    for votes, place in ((judged, "judgments"), (rated, "ratings")):
        for name in (one for one in _ALL_NAMES if one not in names):
            for key, group in _by_key(votes, names).items():
                values = {str(getattr(vote, name)) for vote in group}
                if len(values) > 1:
                    raise DataError(
                        f"the {place} of {key[0]} are of several kinds of {name} ({', '.join(sorted(values)[:4])}), "
                        f"which the other file does not tell apart",
                        hint=f"add a column {name}, or choose one with --{name}" if name == "criterion" else None,
                    )


def _scored(votes: Iterable[Vote]) -> list[Vote]:
    return [vote for vote in votes if not vote.is_unscored]


def _compares(votes: Sequence[Vote]) -> bool:
    return any(vote.winner is not None for vote in votes)


def _by_key(votes: Iterable[Vote], names: Sequence[str]) -> dict[Key, list[Vote]]:
    return _grouped(votes, lambda vote: tuple(getattr(vote, name) for name in names))


def _grouped(votes: Iterable[Vote], key: Callable[[Vote], Any]) -> dict[Any, list[Vote]]:
    groups: dict[Any, list[Vote]] = defaultdict(list)
    for vote in votes:
        groups[key(vote)].append(vote)
    return dict(groups)


def _verdict(votes: Sequence[Vote]) -> float | str | None:
    """One judge's verdict on one answer: the median score, or the winner by FastChat's rule."""
    scores = [vote.score for vote in votes if vote.score is not None]
    if scores:
        return float(median(scores))
    winners: set[str | None]
    if all(vote.position is None for vote in votes):
        winners = {vote.winner for vote in votes}
    else:
        both = _orders(votes)
        if not both:
            return None  # one order only
        winners = {winner for pair in both for winner in pair}
    (winner,) = winners if len(winners) == 1 else ("tie",)
    return winner


def _orders(votes: Sequence[Vote]) -> list[tuple[str, str]]:
    """The winners of both orders, per repeat that has both."""
    by_sample: dict[int, dict[str, str]] = defaultdict(dict)
    for vote in votes:
        if vote.position is not None and vote.winner is not None:
            by_sample[vote.sample][vote.position] = vote.winner
    return [(found["first"], found["second"]) for found in by_sample.values() if len(found) == 2]


def _numbers(votes: Sequence[Vote]) -> list[float]:
    return [vote.score for vote in votes if vote.score is not None]


def _columns(rows: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [a for a, _ in rows], [b for _, b in rows]


def _spearman(rows: Sequence[tuple[float, float]]) -> float | None:
    return spearman_rho(*_columns(rows))


def _length(vote: Vote, model: str | None, lengths: Lengths) -> float | None:
    return None if model is None else lengths.get((vote.item, model, vote.turn or 0))


def _within_items(scored: Mapping[Key, tuple[float, float]]) -> dict[Key, tuple[float, float]]:
    """Score and length minus their means over the answers to the same question (item and turn)."""
    groups: dict[Key, list[Key]] = defaultdict(list)
    for key in scored:
        groups[key[0], key[1]].append(key)
    centred = {}
    for keys in groups.values():
        if len(keys) > 1:
            score, length = (fmean(scored[key][side] for key in keys) for side in (0, 1))
            centred.update({key: (scored[key][0] - score, scored[key][1] - length) for key in keys})
    return centred
