"""The measures of a whole data set: tables by source or tier, the worst dialogues, duplicates, languages."""

from __future__ import annotations

import heapq
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from turnwise.data.dedup import DuplicateCounter
from turnwise.data.inspect import letters_by_script
from turnwise.data.near_duplicates import NearDuplicates
from turnwise.dialogue import Dialogue
from turnwise.quality.language import guess_language
from turnwise.quality.measures import BY_NAME, MEASURES, measure_dialogue, reason
from turnwise.statistics.resampling import bootstrap_interval

By = Literal["source", "tier"]

ALL = "all"
UNNAMED = "(none)"
SHOWN_COPIES = 20
_LANGUAGE_FROM = 2000  # characters; more say no more
_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of one group.

    Attributes:
        group: `all`, or a source or tier.
        measure: See `turnwise.quality.measures.MEASURES`.
        mean: Mean over dialogues; None without any.
        low: Lower end of the 95 % interval: bootstrap by dialogue, or normal above 10,000 dialogues; None with fewer
            than two.
        high: Its upper end.
        n: Dialogues in which the measure has a meaning.
    """

    group: str
    measure: str
    mean: float | None
    low: float | None
    high: float | None
    n: int

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON-ready keys."""
        return {
            "group": self.group,
            "measure": self.measure,
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
            "n": self.n,
        }


@dataclass(frozen=True, slots=True)
class Worst:
    """A dialogue that a measure puts among the worst."""

    id: str
    group: str
    measure: str
    value: float
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON-ready keys."""
        return {
            "id": self.id,
            "group": self.group,
            "measure": self.measure,
            "value": self.value,
            "reason": self.reason,
        }


@dataclass(slots=True)
class _Group:
    """What is kept of a group: one number per dialogue and measure, and counters."""

    dialogues: int = 0
    without_reply: int = 0
    copies: int = 0
    near_copies: int = 0
    values: dict[str, array[float]] = field(default_factory=lambda: {one.name: array("d") for one in MEASURES})
    letters: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)


class Summary:
    """Takes dialogues one at a time and keeps a few numbers of each.

    Memory: 120 bytes of measures per dialogue (15 numbers), 120 again where groups are asked for, and about 130 for
    the content digest of exact duplicates: under 500 bytes in all. Near duplicates, if asked for, hold the word
    5-grams of every dialogue: see `turnwise.data.near_duplicates`. Texts and ids are not kept, except the ids of the
    worst dialogues and of the first copies.

    Args:
        by: Group by source or tier, besides the group of all.
        worst: How many of the worst dialogues to keep per measure.
        near: Finds near duplicates; None does not look for them.
    """

    def __init__(self, by: By | None = None, *, worst: int = 5, near: NearDuplicates | None = None) -> None:
        self._by = by
        self._num_worst = worst
        self._near = near
        self._groups: dict[str, _Group] = {ALL: _Group()}
        self._exact = DuplicateCounter()
        self._worst: dict[str, list[tuple[float, int, str, str]]] = {}
        self._copies: list[dict[str, str]] = []

    @property
    def dialogues(self) -> int:
        """Dialogues taken so far."""
        return self._groups[ALL].dialogues

    def group_of(self, dialogue: Dialogue) -> str:
        """The group of a dialogue: its source or tier, `(none)` where it has none, `all` without grouping."""
        return group_of(dialogue, self._by)

    def add(self, dialogue: Dialogue) -> None:
        """Measure one dialogue."""
        values = measure_dialogue(dialogue)
        name = self.group_of(dialogue)
        copy = self._exact.add(dialogue)
        near = not copy and self._near is not None and self._near.add(dialogue)
        text = "\n".join(message.text for message in dialogue.messages)
        letters = letters_by_script(text)
        language = guess_language(text[:_LANGUAGE_FROM]) or "unknown"
        for group in {ALL, name}:
            kept = self._groups.setdefault(group, _Group())
            kept.dialogues += 1
            kept.without_reply += not dialogue.num_turns
            kept.copies += copy
            kept.near_copies += near
            kept.letters.update(letters)
            kept.languages[language] += 1
            for measure, value in values.items():
                if value is not None:
                    kept.values[measure].append(value)
        if (copy or near) and len(self._copies) < SHOWN_COPIES:
            self._copies.append({"id": dialogue.id, "group": name, "kind": "exact" if copy else "near"})
        for measure, value in values.items():
            limit = BY_NAME[measure].worst_from
            if value is not None and limit is not None and value >= limit:
                # The dialogue's number breaks ties: of equal ones, the first are kept.
                found = self._worst.setdefault(measure, [])
                heapq.heappush(found, (value, -self.dialogues, dialogue.id, name))
                if len(found) > self._num_worst:
                    heapq.heappop(found)

    def rows(self, *, seed: int = 0) -> Iterator[Row]:
        """One row per group and measure, all first, groups in order of their names."""
        for name in self._names():
            for measure in MEASURES:
                values = self._groups[name].values[measure.name]
                mean = math.fsum(values) / len(values) if len(values) else None
                low, high = _interval(np.array(values), seed)
                yield Row(name, measure.name, mean, low, high, len(values))

    def worst(self) -> list[Worst]:
        """The worst dialogues by each measure that can be bad, worst first."""
        return [
            Worst(dialogue, group, measure.name, value, reason(measure.name, value))
            for measure in MEASURES
            for value, _, dialogue, group in sorted(self._worst.get(measure.name, []), reverse=True)
        ]

    def groups(self) -> list[dict[str, Any]]:
        """Per group: dialogues, those without a reply, copies, scripts and languages as shares."""
        return [self._described(name) for name in self._names()]

    def to_dict(self, *, seed: int = 0) -> dict[str, Any]:
        """All of it as JSON-ready keys."""
        return {
            "groups": self.groups(),
            "measures": [row.to_dict() for row in self.rows(seed=seed)],
            "worst": [one.to_dict() for one in self.worst()],
            "copies": self._copies,
        }

    def _described(self, name: str) -> dict[str, Any]:
        group = self._groups[name]
        letters, dialogues = sum(group.letters.values()), max(1, group.dialogues)
        found: dict[str, Any] = {
            "group": name,
            "dialogues": group.dialogues,
            "without_reply": group.without_reply,
            "exact_copies": group.copies,
            "near_copies": None if self._near is None else group.near_copies,
            "scripts": {script: count / letters for script, count in group.letters.most_common()},
            "languages": {language: count / dialogues for language, count in group.languages.most_common()},
        }
        return found

    def _names(self) -> list[str]:
        return [ALL, *sorted(name for name in self._groups if name != ALL)]


def _interval(values: npt.NDArray[np.float64], seed: int) -> tuple[float | None, float | None]:
    """The bootstrap interval of a mean; of many values, the normal one, which it then equals and which is quick."""
    if len(values) < 2:
        return None, None
    if len(values) <= _MANY:
        return bootstrap_interval(values, seed=seed) or (None, None)
    half = 1.959964 * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half


def group_of(dialogue: Dialogue, by: By | None) -> str:
    """See `Summary.group_of`."""
    if by is None:
        return ALL
    value = dialogue.source if by == "source" else dialogue.tier
    return UNNAMED if value is None else str(value)


def summarize(dialogues: Iterable[Dialogue], by: By | None = None, *, worst: int = 5) -> Summary:
    """Measure every dialogue of a stream."""
    summary = Summary(by, worst=worst)
    for dialogue in dialogues:
        summary.add(dialogue)
    return summary
