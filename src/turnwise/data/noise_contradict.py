"""Contradictions: a later reply goes on to restate what an earlier reply of the dialogue said, with another value.

The reply itself stays; the sentence of the earlier reply stands behind it, changed in one place:

- in dialogues of a checkable world the fact that the earlier reply states becomes another value of its relation;
- elsewhere a number becomes another number of the same shape (`12:30` another time of day, `4` another digit), or
  capitalised words in the middle of a sentence become others, both from replies of the same data. Sentences that ask
  something state nothing and are left out. The rest of the sentence stays, so the two statements are about the same
  thing; that another name makes sense in its place is not certain.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from turnwise.data.noise_engine import Rule, noisy_turns, replies_rule
from turnwise.data.noise_text import followed_by, sentences
from turnwise.data.world import World
from turnwise.dialogue import Dialogue

_WORD = "[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]{2,}"
_NAME = rf"(?<=[\w,;] ){_WORD}(?: {_WORD})*\b"
# A word character directly before a number makes it part of a name (A4); Chinese and Japanese put no space there.
_NUMBER = r"(?:(?<![\w.,:])|(?<=[\u3040-\u30ff\u4e00-\u9fff]))\d+(?:[.,:]\d+)*(?![A-Za-z_\d])"
_VALUE = re.compile(f"{_NUMBER}|{_NAME}")
_ASKS = ("?", "？")


@dataclass(frozen=True, slots=True)
class _Statement:
    """A sentence and one value in it.

    Attributes:
        before: What stands before the value.
        value: The value.
        after: What stands behind it.
    """

    before: str
    value: str
    after: str

    def with_value(self, value: str) -> str:
        """The sentence with another value."""
        return self.before + value + self.after


def contradict_rule(dialogues: Sequence[Dialogue], world: World | None = None) -> Rule:
    """A reply goes on with an earlier statement of the dialogue, restated with another value.

    Args:
        dialogues: The dialogues; with a world they need `metadata["answers"]`.
        world: Where the facts come from; None takes numbers and names.
    """
    stated = [
        _world_statements(dialogue, world) if world is not None else _open_statements(dialogue)
        for dialogue in dialogues
    ]
    pools: dict[str, dict[str, None]] = {}  # keys alone: a set in order of first occurrence
    if world is None:
        for statement in (one for turns in stated for statements in turns for one in statements):
            pools.setdefault(_shape(statement.value), {})[statement.value] = None
    values = {shape: list(pool) for shape, pool in pools.items()}

    def others(value: str) -> Sequence[str]:
        if world is not None:
            return world.alternatives(value)
        return [other for other in values[_shape(value)] if other != value]

    def has_others(value: str) -> bool:
        return bool(world.alternatives(value)) if world is not None else len(values[_shape(value)]) > 1

    def earlier(position: int, turn: int) -> list[_Statement]:
        return [one for statements in stated[position][:turn] for one in statements if has_others(one.value)]

    def can(position: int, turn: int) -> bool:
        return bool(dialogues[position].replies[turn].text.strip()) and bool(earlier(position, turn))

    def contradict(position: int, turn: int, draw: random.Random) -> str:
        statement = draw.choice(earlier(position, turn))
        restated = statement.with_value(draw.choice(others(statement.value)))
        return followed_by(dialogues[position].replies[turn].text, restated)

    return replies_rule(can, contradict)


def _world_statements(dialogue: Dialogue, world: World) -> list[list[_Statement]]:
    """Per turn: the reply with its fact. Noisy turns state nothing: another value there might be the truth."""
    noisy = noisy_turns(dialogue)
    found: list[list[_Statement]] = []
    answers = dialogue.metadata.get("answers") or []
    for turn, reply in enumerate(dialogue.replies):
        answer = answers[turn] if turn < len(answers) else None
        if not isinstance(answer, str) or turn in noisy or not world.alternatives(answer):
            found.append([])
            continue
        match = re.search(rf"\b{re.escape(answer)}\b", reply.text)
        found.append([] if match is None else [_around(reply.text, match)])
    return found


def _open_statements(dialogue: Dialogue) -> list[list[_Statement]]:
    """Per turn: every number and name in a sentence that asks nothing."""
    noisy = noisy_turns(dialogue)
    return [
        [
            _around(sentence, match)
            for sentence in (sentences(reply.text) if turn not in noisy else [])
            if not sentence.endswith(_ASKS)
            for match in _VALUE.finditer(sentence)
        ]
        for turn, reply in enumerate(dialogue.replies)
    ]


def _around(text: str, match: re.Match[str]) -> _Statement:
    return _Statement(text[: match.start()], match[0], text[match.end() :])


def _shape(value: str) -> str:
    """`12:30` and `10:15` have one shape, `4` another; all names share one."""
    return re.sub(r"\d", "9", value) if value[0].isdigit() else "name"
