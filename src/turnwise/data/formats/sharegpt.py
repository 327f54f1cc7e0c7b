"""`sharegpt`: `conversations` of objects with `from` and `value`, with tool calls as `function_call`/`observation`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from turnwise.data.formats.common import (
    Format,
    Options,
    Record,
    as_content,
    as_objects,
    build_dialogue,
    build_message,
    list_under,
    speaker_roles,
    without,
)
from turnwise.dialogue import Content, Dialogue, Message

_KEYS = ("conversations", "conversation")


def has_from(message: Record) -> bool:
    """Whether an object looks like a ShareGPT message."""
    return "from" in message and "value" in message


def matches(record: Record) -> bool:
    """A list under `conversations` of objects with `from` and `value`."""
    return list_under(record, _KEYS, has_from) is not None


def parse_messages(values: object, options: Options, where: str = "conversations") -> list[Message]:
    """Messages from a list of objects with `from` and `value`.

    Raises:
        DataError: The list is empty, an item is no message, or its value is neither text, parts nor null.
    """
    items = as_objects(values, where)
    roles = speaker_roles(items, "from", options, where)
    return [
        _message(item, role, as_content(item.get("value"), f"'value' of {where}[{number}]"))
        for number, (item, role) in enumerate(zip(items, roles, strict=True))
    ]


def dialogues(record: Record, options: Options) -> Iterator[Dialogue]:
    """One dialogue per record."""
    found = list_under(record, _KEYS, has_from)
    key, values = found or ("conversations", record.get("conversations"))
    yield build_dialogue(parse_messages(values, options, key), record, [key])


def _message(item: Record, role: str, content: Content) -> Message:
    name, rest = item["from"], without(item, "from", "value")
    if name == "function_call" and role == name:
        calls = _tool_calls(content)
        if calls is not None and "tool_calls" not in rest:
            return build_message("assistant", None, {**rest, "tool_calls": calls}, name=name)
        # Not the JSON of a call: it stays readable text of the assistant.
        role = "assistant"
    return build_message(role, content, rest, name=name)


def _tool_calls(content: Content) -> list[dict[str, Any]] | None:
    """The calls in the text of a `function_call` message, in the OpenAI form; None where it is no such JSON."""
    if not isinstance(content, str):
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        return None
    return [{"type": "function", "function": call} for call in calls]


FORMAT = Format(
    name="sharegpt",
    expects="an object with 'conversations': a list of objects with 'from' and 'value'",
    matches=matches,
    dialogues=dialogues,
)
