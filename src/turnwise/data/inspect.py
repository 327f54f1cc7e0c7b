"""Looking at dialogue data: what is there, and what may be wrong with it."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from turnwise.data.dedup import DuplicateCounter
from turnwise.data.formats.common import Side, TreePaths
from turnwise.data.length import ESTIMATE, LengthMeasure
from turnwise.data.read import Failure, OnError, ReadReport, iterate, make_options
from turnwise.dialogue import Dialogue, Message

_ROLES = ("system", "user", "assistant", "tool")
_ASCII_LETTERS = re.compile("[A-Za-z]+")
_SCRIPTS = {
    "Latin": re.compile("[A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]+"),
    "Han (Chinese, Japanese)": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"),
    "Kana (Japanese)": re.compile("[\u3041-\u3096\u30a1-\u30fa\u31f0-\u31ff]+"),
    "Hangul (Korean)": re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]+"),
    "Cyrillic": re.compile("[\u0400-\u052f]+"),
    "Greek": re.compile("[\u0370-\u0373\u0376-\u03ff]+"),
    "Arabic": re.compile("[\u0620-\u064a\u066e-\u06d3]+"),
    "Hebrew": re.compile("[\u05d0-\u05ea]+"),
    "Devanagari": re.compile("[\u0904-\u0939\u0958-\u0961]+"),
    "Thai": re.compile("[\u0e01-\u0e30]+"),
}


@dataclass(slots=True)
class Problem:
    """A kind of problem, how many dialogues have it, and where the first ones are.

    Attributes:
        kind: What is wrong.
        count: Dialogues that have it.
        places: `path:line` of the first ones.
    """

    kind: str
    count: int = 0
    places: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Inspection:
    """What one input holds.

    Attributes:
        path: The input as it was given.
        formats: Format to number of files.
        dialogues: Dialogues read.
        messages: Messages in them.
        characters: Characters of readable text.
        turns: Number of assistant replies to number of dialogues.
        roles: Role to number of messages.
        scripts: Letters by script.
        problems: By kind, most frequent first.
        duplicates: Exact duplicates within the input.
        lengths: Tokens of every dialogue, as `length_measure` counts or estimates them.
        length_measure: The name of the measure.
        is_estimate: Whether `lengths` are estimates.
        failures: What could not be read (with `on_error="skip"`).
        passed_over: Files of a folder that are no data by their suffix.
    """

    path: str
    length_measure: str = ESTIMATE.name
    is_estimate: bool = True
    formats: dict[str, int] = field(default_factory=dict)
    dialogues: int = 0
    messages: int = 0
    characters: int = 0
    turns: Counter[int] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)
    problems: dict[str, Problem] = field(default_factory=dict)
    duplicates: DuplicateCounter = field(default_factory=DuplicateCounter)
    lengths: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    def add(self, dialogue: Dialogue, place: str, max_places: int) -> None:
        """Count one dialogue, except for its length."""
        self.dialogues += 1
        self.messages += len(dialogue.messages)
        self.characters += dialogue.num_characters
        self.turns[dialogue.num_turns] += 1
        self.duplicates.add(dialogue)
        for message in dialogue.messages:
            self.roles[message.role] += 1
        # Once for the whole dialogue: ten small scans of a message each cost more than the text does.
        self.scripts.update(letters_by_script("\n".join(message.text for message in dialogue.messages)))
        for kind in find_problems(dialogue):
            problem = self.problems.setdefault(kind, Problem(kind))
            problem.count += 1
            if len(problem.places) < max_places:
                problem.places.append(place)

    @property
    def ordered_problems(self) -> list[Problem]:
        """Problems, most frequent first."""
        return sorted(self.problems.values(), key=lambda problem: (-problem.count, problem.kind))

    @property
    def script_shares(self) -> dict[str, float]:
        """Share of each script in the letters of known scripts, largest first."""
        letters = sum(self.scripts.values())
        return {script: count / letters for script, count in self.scripts.most_common()} if letters else {}

    def share_that_fits(self, max_length: int) -> float:
        """Share of dialogues of at most `max_length` tokens."""
        return sum(length <= max_length for length in self.lengths) / len(self.lengths) if self.lengths else 0.0

    def to_dict(self, max_length: int | None = None) -> dict[str, Any]:
        """The inspection as JSON-ready keys."""
        lengths: dict[str, Any] = {"measure": self.length_measure, "is_estimate": self.is_estimate}
        if self.lengths:
            lengths.update(median=statistics.median(self.lengths), max=max(self.lengths), total=sum(self.lengths))
        if max_length is not None:
            lengths.update(max_length=max_length, share_that_fits=self.share_that_fits(max_length))
        return {
            "path": self.path,
            "formats": self.formats,
            "dialogues": self.dialogues,
            "messages": self.messages,
            "characters": self.characters,
            "turns": {str(turns): self.turns[turns] for turns in sorted(self.turns)},
            "roles": dict(self.roles.most_common()),
            "scripts": self.script_shares,
            "duplicates": {"copies": self.duplicates.copies, "groups": self.duplicates.groups},
            "tokens": lengths,
            "problems": [
                {"kind": problem.kind, "count": problem.count, "places": problem.places}
                for problem in self.ordered_problems
            ],
            "skipped": [failure.to_dict() for failure in self.failures],
            "passed_over": self.passed_over,
        }


def inspect_input(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    roles: Mapping[str, str] | None = None,
    on_error: OnError = "stop",
    limit: int | None = None,
    split: str = "train",
    side: Side = "chosen",
    tree_paths: TreePaths = "all",
    length: LengthMeasure = ESTIMATE,
    max_places: int = 5,
    overall: DuplicateCounter | None = None,
) -> Inspection:
    """Read one input (a file, a folder or a hub name) once and describe it.

    Speakers without a known role are reported under their own names instead of being refused.

    Args:
        path: The input.
        format: As in `read_dialogues`.
        roles: As in `read_dialogues`.
        on_error: As in `read_dialogues`; skipped records are listed in `Inspection.failures`.
        limit: Read at most this many dialogues.
        split: Split of a hub data set.
        side: As in `read_dialogues`.
        tree_paths: As in `read_dialogues`.
        length: How to measure lengths.
        max_places: How many places to keep per problem.
        overall: Counts duplicates over several inputs.

    Raises:
        DataError: As `read_dialogues`.
    """
    found = Inspection(str(path), length.name, length.is_estimate)
    report = ReadReport()
    options = make_options(roles, side, tree_paths, keep_speakers=True)
    located = iterate(
        "dialogues", path, options, format=format, on_error=on_error, limit=limit, split=split, report=report
    )
    for item in located:
        found.add(item.item, f"{item.path}:{item.line}", max_places)
        found.lengths.append(length.measure(item.item))
        if overall is not None:
            overall.add(item.item)
    found.formats = dict(Counter(file.format for file in report.files if file.format is not None).most_common())
    found.failures, found.passed_over = report.failures, report.passed_over
    return found


def find_problems(dialogue: Dialogue) -> list[str]:
    """The kinds of problems of one dialogue, each once.

    An assistant message with tool calls may be followed by another, and may have no text.
    """
    return list(dict.fromkeys(_problems(dialogue.messages)))


def _problems(messages: list[Message]) -> Iterator[str]:
    spoken = [message for message in messages if message.role != "system"]
    for message in messages:
        if _is_empty(message):
            yield f"empty {message.role} message"
        if message.role not in _ROLES:
            yield f"role not known: {message.role}"
    if not any(message.role == "assistant" for message in messages):
        yield "no assistant reply"
    if any(message.role == "system" for message in messages[1:]):
        yield "system message after the start"
    if not spoken:
        return
    if spoken[0].role == "assistant":
        yield "starts with assistant"
    if spoken[-1].role == "user":
        yield "ends with user (no reply to the last message)"
    for before, after in pairwise(spoken):
        if before.role == after.role and before.role in ("user", "assistant") and not before.tool_calls:
            yield f"two {before.role} messages in a row"


def _is_empty(message: Message) -> bool:
    if message.tool_calls:
        return False
    if isinstance(message.content, list):
        # A part that carries no text (an image) is content all the same.
        return not message.text.strip() and all("text" in part or "value" in part for part in message.content)
    return not message.text.strip()


def letters_by_script(text: str) -> dict[str, int]:
    """How many letters of each known script a text has; digits, punctuation and other scripts do not count."""
    if text.isascii():
        letters = sum(map(len, _ASCII_LETTERS.findall(text)))
        return {"Latin": letters} if letters else {}
    counts = {script: sum(map(len, pattern.findall(text))) for script, pattern in _SCRIPTS.items()}
    return {script: count for script, count in counts.items() if count}
