"""Make labelled noise: corrupt an exact share of dialogues or turns and write down which turns are no longer right.

Every dialogue of a corrupted set carries `metadata["noise"]`:

- `{"kind": "clean", "turns": []}` for an untouched one,
- `{"kind": KIND, "turns": [turn_index, ...]}` for a corrupted one,
- `{"kind": "mixed", "turns": [...], "kinds": [KIND, ...]}` where turns of one dialogue have several kinds.

Ids stay, inputs are not changed, and the label never reaches training: it is what a detector is measured against.
What is labelled already keeps its label and is not corrupted again, so kinds can be applied one after another.

This file is the engine: which turns are chosen, and what is written down. The kinds of noise are rules for it
(`noise`, `noise_text`, `noise_contradict`); a new kind is one more rule.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from turnwise.dialogue import Content, Dialogue
from turnwise.errors import ConfigError, DataError

Where = Literal["all", "one", "early", "late"]
Turns = Where | list[int]
"""Which replies of a chosen dialogue: every one, one drawn at random, those of its first half (turn_index below half
the number of its turns), those of its second half, or the listed turn_index."""

Per = Literal["dialogue", "turn"]
"""What the rate is a share of."""

Corrupter = Callable[[int, int, random.Random], Content]
"""(position of the dialogue, turn_index, random source) -> the new content of that reply."""

CLEAN = "clean"
MIXED = "mixed"


class Rule(NamedTuple):
    """What a kind of noise can do, and does.

    Attributes:
        can: (position of the dialogue, turn_index) -> whether this kind can change that reply.
        change: (copy of the dialogue, its position, chosen turns, random source) -> the turns that are noise now, by
            their turn_index after the change.
    """

    can: Callable[[int, int], bool]
    change: Callable[[Dialogue, int, list[int], random.Random], list[int]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What to corrupt.

    Attributes:
        kind: The label that is written.
        rate: Share of all dialogues (or turns) to corrupt: exactly round(rate * n).
        seed: Seed of the choice; each dialogue then has its own random source.
        turns: Which replies may be (of a chosen dialogue: are) corrupted.
        per: What the rate counts.

    Raises:
        ConfigError: A value is not allowed.
    """

    kind: str
    rate: float
    seed: int
    turns: Turns = "all"
    per: Per = "dialogue"

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ConfigError(f"expected a noise rate from 0 to 1, found {self.rate}")
        listed = isinstance(self.turns, list) and self.turns and all(turn >= 0 for turn in self.turns)
        if not listed and self.turns not in ("all", "one", "early", "late"):
            raise ConfigError(
                f"expected turns 'all', 'one', 'early', 'late' or a list of turn_index, found {self.turns!r}"
            )
        if self.per not in ("dialogue", "turn"):
            raise ConfigError(f"expected noise per 'dialogue' or 'turn', found {self.per!r}")
        if self.per == "turn" and self.turns == "one":
            raise ConfigError(
                "turns 'one' is one reply of each chosen dialogue; noise per turn chooses among all turns",
                hint="use per 'dialogue', or turns 'all', 'early', 'late' or a list",
            )


@dataclass(slots=True)
class NoiseReport:
    """Counts of one corruption.

    Attributes:
        dialogues: How many there are.
        turns: Their replies.
        eligible_dialogues: Those with at least one eligible reply.
        eligible_turns: Replies that could have been chosen.
        corrupted_dialogues: Dialogues corrupted now.
        corrupted_turns: Turns labelled as noise now.
        left_out: Replies that could not be chosen, by reason; with `eligible_turns` they make up `turns`.
    """

    dialogues: int = 0
    turns: int = 0
    eligible_dialogues: int = 0
    eligible_turns: int = 0
    corrupted_dialogues: int = 0
    corrupted_turns: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "left_out"} | {
            "left_out": dict(self.left_out)
        }


def corrupt(
    dialogues: Sequence[Dialogue],
    rate: float,
    seed: int,
    kind: str,
    corrupter: Corrupter,
    turns: Turns = "all",
    *,
    per: Per = "dialogue",
) -> list[Dialogue]:
    """Corrupt an exact share of dialogues with any function of your own, and label the result.

    Args:
        dialogues: The clean dialogues.
        rate: Share to corrupt: exactly round(rate * n) dialogues, drawn among those that have replies.
        seed: Seed of the choice; each dialogue then has its own random source.
        kind: The label written to `metadata["noise"]["kind"]`.
        corrupter: Gives the new content of a reply; a text for a reply of typed parts replaces its text alone.
        turns: Which replies of a chosen dialogue.
        per: What the rate is a share of.

    Raises:
        ConfigError: `rate`, `turns` or `per` is not allowed.
        DataError: Fewer dialogues (or turns) can be corrupted than must be.
    """
    rule = replies_rule(lambda position, turn: True, corrupter)
    return apply_rule(dialogues, Choice(kind, rate, seed, turns, per), rule)


def apply_rule(
    dialogues: Sequence[Dialogue], choice: Choice, rule: Rule, report: NoiseReport | None = None
) -> list[Dialogue]:
    """Choose turns, change them by a rule, and label the result: what every kind of noise is built on.

    Args:
        dialogues: The dialogues; those (per turn: the turns) that carry a label of noise already are left alone.
        choice: Which and how many.
        rule: What becomes of them.
        report: Filled with counts.

    Returns:
        As many dialogues in the same order, each with `metadata["noise"]`.

    Raises:
        DataError: Fewer dialogues (or turns) can be corrupted than must be, or a label cannot be read.
    """
    report = NoiseReport() if report is None else report
    eligible = _eligible(dialogues, choice, rule, report)
    chosen = _choose(eligible, choice, report)
    result: list[Dialogue] = []
    for position, dialogue in enumerate(dialogues):
        made = copy.deepcopy(dialogue)
        noise: list[int] = []
        if position in chosen:
            draw = seeded(choice.seed, choice.kind, position)
            turns = chosen[position]
            if choice.turns == "one":
                turns = [turns[draw.randrange(len(turns))]]
            noise = rule.change(made, position, turns, draw)
            report.corrupted_dialogues += 1
            report.corrupted_turns += len(noise)
        if noise or "noise" not in made.metadata:
            made.metadata["noise"] = make_label(noisy_turns(made) | dict.fromkeys(noise, choice.kind))
        result.append(made)
    return result


def replies_rule(can: Callable[[int, int], bool], corrupter: Corrupter) -> Rule:
    """A rule that changes replies one by one; `can` should be false for a reply that would stay what it is."""

    def change(made: Dialogue, position: int, turns: list[int], draw: random.Random) -> list[int]:
        set_replies(made, {turn: corrupter(position, turn, draw) for turn in turns})
        return turns

    return Rule(can, change)


def set_replies(dialogue: Dialogue, contents: dict[int, Content]) -> None:
    """Give replies new contents, by turn_index; text goes into the text parts of a reply of typed parts."""
    turn = 0
    for place, message in enumerate(dialogue.messages):
        if message.role == "assistant":
            if turn in contents:
                new = contents[turn]
                content = _with_text(message.content, new) if isinstance(new, str) else copy.deepcopy(new)
                dialogue.messages[place] = replace(message, content=content)
            turn += 1


def noisy_turns(dialogue: Dialogue) -> dict[int, str]:
    """The turns that are labelled as noise, with their kinds; empty for a clean or unlabelled dialogue.

    Raises:
        DataError: The label is none that turnwise writes.
    """
    label = dialogue.metadata.get("noise", {"kind": CLEAN, "turns": []})
    try:
        kind, turns = label["kind"], label["turns"]
        return {} if kind == CLEAN else dict(zip(turns, label.get("kinds") or [kind] * len(turns), strict=True))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(
            f"dialogue {dialogue.id!r}: expected metadata['noise'] with 'kind' and 'turns', found {label!r}"
        ) from None


def make_label(kinds: dict[int, str]) -> dict[str, Any]:
    """The label of a dialogue whose noisy turns have these kinds; clean where there are none."""
    turns = sorted(kinds)
    names = set(kinds.values())
    if len(names) > 1:
        return {"kind": MIXED, "turns": turns, "kinds": [kinds[turn] for turn in turns]}
    return {"kind": names.pop() if names else CLEAN, "turns": turns}


def seeded(*key: object) -> random.Random:
    """A random source that is the same in every process and on every machine."""
    # A text seeds through SHA-512, not through hash().
    return random.Random("turnwise/noise/" + "/".join(map(str, key)))


def _eligible(dialogues: Sequence[Dialogue], choice: Choice, rule: Rule, report: NoiseReport) -> list[list[int]]:
    """Of every dialogue, the turns that can be chosen."""
    eligible: list[list[int]] = []
    for position, dialogue in enumerate(dialogues):
        noisy = noisy_turns(dialogue)
        # A label may name a dialogue as noise without naming turns.
        spoiled = dialogue.metadata.get("noise", {}).get("kind", CLEAN) != CLEAN
        whole = spoiled and (choice.per == "dialogue" or not noisy)
        asked = _asked(choice.turns, dialogue.num_turns)
        mine: list[int] = []
        for turn in range(dialogue.num_turns):
            if whole or turn in noisy:
                report.left_out["corrupted before"] += 1
            elif turn not in asked:
                report.left_out["not among the turns asked for"] += 1
            elif not rule.can(position, turn):
                report.left_out["nothing that this kind can change"] += 1
            else:
                mine.append(turn)
        eligible.append(mine)
        report.dialogues += 1
        report.turns += dialogue.num_turns
        report.eligible_dialogues += bool(mine)
        report.eligible_turns += len(mine)
    return eligible


def _asked(turns: Turns, num_turns: int) -> set[int]:
    if isinstance(turns, list):
        return set(turns)
    half = (num_turns + 1) // 2
    return set({"early": range(half), "late": range(half, num_turns)}.get(turns, range(num_turns)))


def _choose(eligible: list[list[int]], choice: Choice, report: NoiseReport) -> dict[int, list[int]]:
    """Position of each chosen dialogue to its turns; for `one`, the turns to draw it from."""
    draw = seeded(choice.seed, choice.kind, "choice")
    if choice.per == "dialogue":
        positions = [position for position, turns in enumerate(eligible) if turns]
        size = _size(choice.rate, report.dialogues, len(positions), "dialogues", choice, report)
        return {position: eligible[position] for position in draw.sample(positions, size)}
    every = [(position, turn) for position, turns in enumerate(eligible) for turn in turns]
    size = _size(choice.rate, report.turns, len(every), "turns", choice, report)
    chosen: dict[int, list[int]] = {}
    for position, turn in sorted(draw.sample(every, size)):
        chosen.setdefault(position, []).append(turn)
    return chosen


def _size(rate: float, total: int, found: int, noun: str, choice: Choice, report: NoiseReport) -> int:
    size = round(rate * total)
    if size > found:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in report.left_out.most_common())
        raise DataError(
            f"expected at least {size:,} {noun} that noise of the kind {choice.kind!r} can change, found {found:,} "
            f"of {total:,} (turns left out: {reasons or 'none'})",
            hint="lower the rate, or leave out dialogues without such replies",
        )
    return size


def _with_text(content: Content, text: str) -> Content:
    """The content with another text: typed parts stay, except that the first text part holds all of the text."""
    if not isinstance(content, list):
        return text
    parts: list[dict[str, Any]] = []
    placed = False
    for part in copy.deepcopy(content):
        key = next((key for key in ("text", "value") if isinstance(part.get(key), str)), None)
        if key is None:
            parts.append(part)
        elif not placed:
            parts.append({**part, key: text})
            placed = True
    return parts if placed else [{"type": "text", "text": text}, *parts]
