"""`messages`: role and content, as in the OpenAI format. Also the canonical record that turnwise writes."""

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
    speaker_roles,
    without,
)
from turnwise.dialogue import Dialogue, Message

_KEYS = ("messages", "conversations", "conversation")


def has_role(message: Record) -> bool:
    """Whether an object looks like a message with `role`, and `content` or a call."""
    return "role" in message and ("content" in message or "tool_calls" in message)


def matches(record: Record) -> bool:
    """A list under `messages` (or `conversations`, as ChatGLM writes it) of objects with `role`."""
    return ("messages" in record and record["messages"] == []) or list_under(record, _KEYS, has_role) is not None


def parse_messages(values: object, options: Options, where: str = "messages") -> list[Message]:
    """Messages from a list of objects with `role` and `content`.

    Raises:
        DataError: The list is empty, an item is no message, or its content is neither text, parts nor null.
    """
    items = as_objects(values, where)
    roles = speaker_roles(items, "role", options, where)
    return [
        build_message(
            role,
            as_content(item.get("content"), f"'content' of {where}[{number}]"),
            without(item, "role", "content"),
            name=item["role"],
        )
        for number, (item, role) in enumerate(zip(items, roles, strict=True))
    ]


def dialogues(record: Record, options: Options) -> Iterator[Dialogue]:
    """One dialogue per record."""
    found = list_under(record, _KEYS, has_role)
    key, values = found or ("messages", record.get("messages"))
    yield build_dialogue(parse_messages(values, options, key), record, [key])


FORMAT = Format(
    name="messages",
    expects="an object with 'messages': a list of objects with 'role' and 'content'",
    matches=matches,
    dialogues=dialogues,
)
