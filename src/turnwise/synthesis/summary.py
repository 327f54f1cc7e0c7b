"""What a synthesis comes to: figures by input set, what failed and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from turnwise.dialogue import Document
from turnwise.synthesis.chain import LOGIC_TYPES, ChainTurn, Span, Written
from turnwise.synthesis.filters import LEFT_OUT


@dataclass
class SetFigures:
    """Counts over the documents of one input set.

    Attributes:
        name: The set's name: a file or folder as it was given.
        documents: How many there were.
        dialogues: How many dialogues came of them.
        dropped: Documents without one, by reason.
        turns: Turns of the dialogues.
        cut: Turns that were cut off because evidence was not found.
        logic: Turns by logic type.
        claimed: Turns that claim evidence.
        found: Of these, those whose evidence stands in the document.
        common: Turns with a chain that answer from common knowledge.
        characters: Characters of the documents that became dialogues.
        used: Of these, those inside some evidence.
        covered: Sums over the dialogues of what was measured, by name (`lexical_coverage`, `coverage_rate`).
    """

    name: str
    documents: int = 0
    dialogues: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    turns: int = 0
    cut: int = 0
    logic: Counter[str] = field(default_factory=Counter)
    claimed: int = 0
    found: int = 0
    common: int = 0
    characters: int = 0
    used: int = 0
    covered: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Documents that failed; those that were left out as asked are none."""
        return sum(count for reason, count in self.dropped.items() if reason not in LEFT_OUT)

    def add(self, document: Document, written: Written, coverage: Mapping[str, float]) -> None:
        """Count one document and what became of it."""
        self.documents += 1
        if written.failure is not None:
            self.dropped[written.failure] += 1
            return
        self.dialogues += 1
        self.turns += len(written.turns)
        self.cut += int(written.checks.get("ungrounded_cut", 0))
        for turn in written.turns:
            if turn.logic is not None:
                self.logic[turn.logic] += 1
            self.claimed += bool(turn.find)
            self.found += turn.span is not None
            self.common += has_thought(turn) and not turn.find
        self.characters += len(document.text)
        self.used += used_characters([turn.span for turn in written.turns if turn.span is not None])
        self._cover(coverage)

    def not_read(self) -> None:
        """Count an input that could not be read."""
        self.documents += 1
        self.dropped["not_read"] += 1

    def _cover(self, sums: Mapping[str, float]) -> None:
        for name, value in sums.items():
            self.covered[name] = self.covered.get(name, 0.0) + value

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON; shares are from 0 to 1, and null where there is nothing to take a share of."""
        chained = self.logic.total()
        return {
            "set": self.name,
            "documents": self.documents,
            "dialogues": self.dialogues,
            "failed": self.failed,
            "dropped": dict(sorted(self.dropped.items())),
            "turns": self.turns,
            "turns_cut": self.cut,
            "turns_per_dialogue": _share(self.turns, self.dialogues),
            "grounded": _share(self.found, self.claimed),
            "common_knowledge": _share(self.common, self.claimed + self.common),
            "evidence_coverage": _share(self.used, self.characters),
            "lexical_coverage": self._mean_coverage("lexical_coverage"),
            "coverage_rate": self._mean_coverage("coverage_rate"),
            "logic": {name: self.logic[name] / chained for name in LOGIC_TYPES} if chained else {},
        }

    def _mean_coverage(self, name: str) -> float | None:
        return self.covered[name] / self.dialogues if name in self.covered else None


def all_of(sets: Sequence[SetFigures]) -> SetFigures:
    """The sets together, as one set named `all`."""
    total = SetFigures("all")
    for one in sets:
        for name in ("documents", "dialogues", "turns", "cut", "claimed", "found", "common", "characters", "used"):
            setattr(total, name, getattr(total, name) + getattr(one, name))
        total.dropped.update(one.dropped)
        total.logic.update(one.logic)
        total._cover(one.covered)
    return total


def has_thought(turn: ChainTurn) -> bool:
    """Whether the mode said anything of what the turn is (the modes without a chain do not)."""
    return bool(turn.logic or turn.purpose or turn.search or turn.find)


def used_characters(spans: Sequence[Span]) -> int:
    """How many characters of the document lie in at least one of the spans."""
    used, end = 0, 0
    for span in sorted(spans, key=lambda one: one.start):
        used += max(0, span.end - max(span.start, end))
        end = max(end, span.end)
    return used


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
