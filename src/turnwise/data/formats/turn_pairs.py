"""`turn-pairs`: a list of objects that each hold both sides of a turn (XTuner, MT-Bench-101, MT-Eval)."""

from __future__ import annotations

from collections.abc import Iterator

from turnwise.data.formats.common import (
    Format,
    Options,
    Record,
    as_content,
    as_objects,
    build_dialogue,
    build_message,
    list_under,
    without,
)
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import DataError

_LISTS = ("conversation", "conversations", "history", "conv", "dialogue", "turns")
_PAIRS = (("input", "output"), ("user", "bot"), ("user", "sys"), ("user", "assistant"), ("human", "assistant"))


def matches(record: Record) -> bool:
    """A list of objects with one of the known pairs of keys."""
    found = list_under(record, _LISTS, lambda turn: _keys(turn) is not None)
    return found is not None and found[1] != []


def dialogues(record: Record, options: Options) -> Iterator[Dialogue]:
    """One dialogue per record. A `system` of a turn becomes a message before it; its other keys go to the reply."""
    found = list_under(record, _LISTS, lambda turn: _keys(turn) is not None)
    if found is None:
        raise DataError(f"expected {FORMAT.expects}")
    key, turns = found
    messages: list[Message] = []
    for number, turn in enumerate(as_objects(turns, key)):
        pair = _keys(turn)
        if pair is None:
            raise DataError(f"expected {key}[{number}] to hold both sides of a turn, found keys {list(turn)[:8]}")
        system = turn.get("system")
        if system:
            messages.append(Message("system", as_content(system, f"'system' of {key}[{number}]")))
        question, answer = pair
        messages.append(Message("user", as_content(turn[question], f"'{question}' of {key}[{number}]")))
        rest = without(turn, question, answer, "system")
        messages.append(build_message("assistant", as_content(turn[answer], f"'{answer}' of {key}[{number}]"), rest))
    yield build_dialogue(messages, record, [key])


def _keys(turn: Record) -> tuple[str, str] | None:
    return next((pair for pair in _PAIRS if pair[0] in turn and pair[1] in turn), None)


FORMAT = Format(
    name="turn-pairs",
    expects="an object with a list of turns, each with input/output, user/bot, user/sys or human/assistant",
    matches=matches,
    dialogues=dialogues,
)
