"""`speakers`: utterances with a speaker, or strictly alternating ones without (Topical-Chat, KdConv, Taskmaster, ...).

Consecutive utterances of one speaker stay separate messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from turnwise.data.formats.common import (
    Format,
    Options,
    Record,
    as_objects,
    as_text,
    build_dialogue,
    build_message,
    list_under,
    resolve_roles,
    without,
)
from turnwise.dialogue import Dialogue
from turnwise.errors import DataError

_LISTS = ("utterances", "content", "messages", "input", "dialogue", "dialog", "turns")
_TEXTS = ("message", "text", "utterance")
_SPEAKERS = ("speaker", "agent", "role")


def _has_text(utterance: Record) -> bool:
    return any(key in utterance for key in _TEXTS)


def matches(record: Record) -> bool:
    """A list of objects with `text`, `message` or `utterance`."""
    found = list_under(record, _LISTS, _has_text)
    return found is not None and found[1] != []


def dialogues(record: Record, options: Options) -> Iterator[Dialogue]:
    """One dialogue per record. `targets` after `input` (MT-RAG) holds the reply; its first item is taken.

    Raises:
        DataError: The role of a speaker is not known.
    """
    found = list_under(record, _LISTS, _has_text)
    if found is None:
        raise DataError(f"expected {FORMAT.expects}")
    key, values = found
    utterances = list(as_objects(values, key))
    used = [key]
    targets = record.get("targets")
    if key == "input" and isinstance(targets, list) and targets:
        utterances.append(as_objects(targets, "targets")[0])
        # Further targets are alternatives; they stay in the metadata.
        used += ["targets"] if len(targets) == 1 else []
    names = _names(utterances)
    roles = resolve_roles(names, options, strict=True)
    messages = []
    for number, (utterance, name, role) in enumerate(zip(utterances, names, roles, strict=True)):
        text_key = next((text for text in _TEXTS if text in utterance), None)
        if text_key is None:
            raise DataError(f"expected {key}[{number}] to have one of the keys {_TEXTS}, found {list(utterance)[:8]}")
        rest = without(utterance, text_key, *_SPEAKERS)
        content = as_text(utterance[text_key], f"'{text_key}' of {key}[{number}]")
        messages.append(build_message(role, content, rest, name=name if _speaker(utterance) is not None else None))
    yield build_dialogue(messages, record, used)


def _speaker(utterance: Record) -> Any:
    return next((utterance[key] for key in _SPEAKERS if key in utterance), None)


def _names(utterances: list[dict[str, Any]]) -> list[str]:
    """Speaker names; without any, the speakers are called `first` and `second` and take turns."""
    given = [_speaker(utterance) for utterance in utterances]
    if all(name is None for name in given):
        return ["first" if number % 2 == 0 else "second" for number in range(len(given))]
    names = [as_text(name, f"the speaker of utterance {number}") for number, name in enumerate(given)]
    if {name.casefold() for name in names} <= {"user", "system"}:
        # Task-oriented corpora call the assistant "SYSTEM"; nobody there writes a system prompt.
        return ["assistant" if name.casefold() == "system" else name for name in names]
    return names


FORMAT = Format(
    name="speakers",
    expects="an object with a list of utterances, each with 'text' or 'message' and an optional 'speaker' or 'agent'",
    matches=matches,
    dialogues=dialogues,
)
