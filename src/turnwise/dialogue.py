"""The one record that every stage reads and writes.

A *dialogue* is a list of *messages*; a *turn* is a user message and the assistant reply to it. `turn_index` counts
assistant replies from 0. Content is text or a list of typed parts (text, image, audio, tool calls) as in the OpenAI
format; a stage that does not use a part passes it through. Keys that turnwise does not know survive: of a message in
`Message.extra`, of a dialogue in `Dialogue.metadata`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from turnwise.errors import DataError

Content = str | list[dict[str, Any]] | None
"""Text, typed parts, or None (an assistant message that only calls tools)."""

MESSAGE_KEYS = ("role", "content", "train", "weight", "name", "tool_calls", "tool_call_id")
DIALOGUE_KEYS = ("id", "source", "tier", "messages", "tools", "evidence", "metadata")


def content_text(content: Content) -> str:
    """The readable text of a message's content; parts that carry no text (images, audio) contribute nothing.

    Understands both spellings of a text-like part: `{"type": "text", "text": ...}` (OpenAI) and
    `{"type": "text", "value": ...}` (LLaMA-Factory v1).
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts = (part.get("text", part.get("value")) for part in content)
    return "".join(text for text in texts if isinstance(text, str))


@dataclass(slots=True)
class Message:
    """One message of a dialogue.

    Attributes:
        role: `system`, `user`, `assistant` or `tool` after reading; other names pass through.
        content: Text, a list of typed parts, or None.
        train: False keeps an assistant message out of the loss; None means "as the method decides".
        weight: A static multiplier on this message's token losses; None means 1.
        name: The speaker's or tool's name, where the format has one.
        tool_calls: Calls made by an assistant message, in the OpenAI form.
        tool_call_id: Which call a tool message answers.
        extra: Keys of the input that turnwise does not know, unchanged.
    """

    role: str
    content: Content
    train: bool | None = None
    weight: float | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The readable text of the content."""
        return content_text(self.content)

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON-ready keys; optional keys appear only where set."""
        record: dict[str, Any] = {"role": self.role, "content": self.content}
        for key in MESSAGE_KEYS[2:]:
            value = getattr(self, key)
            if value is not None:
                record[key] = value
        record.update(self.extra)
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Message:
        """Read a message written by `to_dict` (or any OpenAI-style message).

        Raises:
            DataError: `role` is missing or not text, or `content` is neither text, a list of parts, nor null.
        """
        role = record.get("role")
        if not isinstance(role, str) or not role:
            raise DataError(f"expected a message with a text 'role', found {_shape(record)}")
        content = record.get("content")
        is_parts = isinstance(content, list) and all(isinstance(part, dict) for part in content)
        if content is not None and not isinstance(content, str) and not is_parts:
            raise DataError(
                f"expected 'content' of the {role} message to be text, a list of typed parts or null, "
                f"found {type(content).__name__}"
            )
        train, weight = record.get("train"), record.get("weight")
        if train is not None and not isinstance(train, bool):
            raise DataError(f"expected 'train' of the {role} message to be true or false, found {train!r}")
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if weight is not None and not (is_number and 0 <= weight < math.inf):
            expected = "a finite number of at least 0"
            raise DataError(f"expected 'weight' of the {role} message to be {expected}, found {weight!r}")
        return cls(
            role=role,
            content=content,
            train=train,
            weight=None if weight is None else float(weight),
            name=record.get("name"),
            tool_calls=record.get("tool_calls"),
            tool_call_id=record.get("tool_call_id"),
            extra={key: value for key, value in record.items() if key not in MESSAGE_KEYS},
        )


@dataclass(slots=True)
class Dialogue:
    """One training or evaluation sample.

    Attributes:
        messages: The messages in order.
        id: Stable through every stage. Empty on construction means "derive it from the content".
        source: Where it came from (a data set's name).
        tier: A quality label such as `high`, `normal`, `low`; never shown to training.
        tools: Tool schemas, in the OpenAI form or as the JSON text that the source held.
        evidence: Spans of documents that ground the dialogue.
        metadata: Everything else that the input held, and labels that stages add.
    """

    messages: list[Message]
    id: str = ""
    source: str | None = None
    tier: str | None = None
    tools: list[dict[str, Any]] | str | None = None
    evidence: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            self.id = content_id(self.messages)

    @property
    def replies(self) -> list[Message]:
        """The assistant messages; a reply's position here is its `turn_index`."""
        return [message for message in self.messages if message.role == "assistant"]

    @property
    def num_turns(self) -> int:
        """How many assistant replies the dialogue has."""
        return sum(message.role == "assistant" for message in self.messages)

    @property
    def num_characters(self) -> int:
        """Characters of readable text over all messages."""
        return sum(len(message.text) for message in self.messages)

    def to_dict(self) -> dict[str, Any]:
        """The canonical JSON record; optional keys appear only where set."""
        record: dict[str, Any] = {"id": self.id}
        if self.source is not None:
            record["source"] = self.source
        if self.tier is not None:
            record["tier"] = self.tier
        record["messages"] = [message.to_dict() for message in self.messages]
        if self.tools is not None:
            record["tools"] = self.tools
        if self.evidence:
            record["evidence"] = self.evidence
        if self.metadata:
            record["metadata"] = self.metadata
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Dialogue:
        """Read a canonical record; unknown keys move to `metadata`.

        Raises:
            DataError: `messages` is missing, empty, or holds something that is no message.
        """
        messages = record.get("messages")
        if not isinstance(messages, list) or not messages:
            raise DataError(f"expected a non-empty list 'messages', found {_shape(record)}")
        parsed: list[Message] = []
        for number, message in enumerate(messages):
            if not isinstance(message, dict):
                raise DataError(f"expected messages[{number}] to be an object, found {type(message).__name__}")
            parsed.append(Message.from_dict(message))
        for key, kind, expected in (("metadata", dict, "an object"), ("evidence", list, "a list")):
            if record.get(key) is not None and not isinstance(record[key], kind):
                raise DataError(f"expected {key!r} to be {expected}, found {type(record[key]).__name__}")
        given_id = record.get("id")
        metadata = dict(record.get("metadata") or {})
        metadata.update({key: value for key, value in record.items() if key not in DIALOGUE_KEYS})
        return cls(
            messages=parsed,
            id="" if given_id is None else str(given_id),
            source=record.get("source"),
            tier=record.get("tier"),
            tools=record.get("tools"),
            evidence=list(record.get("evidence") or []),
            metadata=metadata,
        )


@dataclass(slots=True)
class Document:
    """A text that dialogues can be grounded in.

    Attributes:
        id: Stable name, for example `squad2/Oxygen#3`.
        text: The whole text; evidence offsets count its characters.
        title: A human title, where there is one.
        metadata: Everything else that the input held.
    """

    id: str
    text: str
    title: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The canonical JSON record."""
        record: dict[str, Any] = {"id": self.id, "text": self.text}
        if self.title is not None:
            record["title"] = self.title
        if self.metadata:
            record["metadata"] = self.metadata
        return record


@dataclass(slots=True)
class PreferencePair:
    """A preferred and a rejected continuation, in TRL's form.

    Attributes:
        prompt: The shared messages before the two continuations (may be empty).
        chosen: The preferred messages that follow `prompt`.
        rejected: The worse messages that follow `prompt`.
        id: Stable name; empty on construction means "derive it from the content".
        source: Where it came from.
        metadata: Everything else that the input held.
    """

    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    id: str = ""
    source: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            self.id = content_id([*self.prompt, *self.chosen, *self.rejected])

    def to_dict(self) -> dict[str, Any]:
        """The canonical JSON record (`prompt`/`chosen`/`rejected` as messages)."""
        record: dict[str, Any] = {"id": self.id}
        if self.source is not None:
            record["source"] = self.source
        for key in ("prompt", "chosen", "rejected"):
            record[key] = [message.to_dict() for message in getattr(self, key)]
        if self.metadata:
            record["metadata"] = self.metadata
        return record


Named = TypeVar("Named", Dialogue, Document, PreferencePair)


def content_id(messages: list[Message]) -> str:
    """A 16-digit hexadecimal name derived from the messages alone (SHA-256 of their canonical JSON)."""
    canonical = json.dumps(
        [message.to_dict() for message in messages], ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
    # surrogatepass: text with a lone surrogate (it occurs in scraped data) still gets a stable name.
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def unique_ids(records: Iterable[Named]) -> Iterator[Named]:
    """Pass records on, renaming repeated ids to `id#2`, `id#3` ... so that every id names one record."""
    last: dict[str, int] = {}
    for record in records:
        name = record.id
        if name in last:
            number = last[name] + 1
            # The input may hold the name "id#2" itself.
            while f"{name}#{number}" in last:
                number += 1
            last[name] = number
            record.id = f"{name}#{number}"
        last[record.id] = 1
        yield record


def _shape(record: Mapping[str, Any]) -> str:
    keys = ", ".join(repr(key) for key in list(record)[:8])
    return f"an object with keys {keys}" if keys else "an empty object"
