"""`prompt-response`: one question and its answer under two keys, with an optional `history` of pairs (ChatGLM)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from turnwise.data.formats import messages as role_content
from turnwise.data.formats.common import Format, Options, Record, as_content, build_dialogue, pair_history
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import DataError

_PAIRS = (
    ("prompt", "response"),
    ("prompt", "completion"),
    ("query", "response"),
    ("question", "answer"),
    ("user_query", "chatgpt_response"),
)


def matches(record: Record) -> bool:
    """One of the known pairs of keys."""
    return _keys(record) is not None


def dialogues(record: Record, options: Options) -> Iterator[Dialogue]:
    """One dialogue per record: history, question and answer. Either side may be a list of messages (TRL)."""
    keys = _keys(record)
    if keys is None:
        raise DataError(f"expected {FORMAT.expects}")
    question, answer = keys
    found = pair_history(record.get("history"))
    found += _side(record[question], "user", question, options)
    found += _side(record[answer], "assistant", answer, options)
    yield build_dialogue(found, record, [question, answer, "history"])


def _keys(record: Record) -> tuple[str, str] | None:
    return next((pair for pair in _PAIRS if pair[0] in record and pair[1] in record), None)


def _side(value: Any, role: str, key: str, options: Options) -> list[Message]:
    if isinstance(value, list) and value and isinstance(value[0], dict) and "role" in value[0]:
        return role_content.parse_messages(value, options, key)
    return [Message(role, as_content(value, f"'{key}'"))]


FORMAT = Format(
    name="prompt-response",
    expects="an object with " + ", ".join("/".join(pair) for pair in _PAIRS) + " and optional 'history' (pairs)",
    matches=matches,
    dialogues=dialogues,
)
