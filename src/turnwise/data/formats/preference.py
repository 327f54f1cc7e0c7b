"""`preference`: `chosen` and `rejected`, each a whole dialogue or the reply to a shared prompt.

Understands HH-RLHF strings, TRL pairs (explicit or implicit prompt), ShareGPT and Alpaca records with two replies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from turnwise.data.formats import alpaca, sharegpt, transcript
from turnwise.data.formats import messages as role_content
from turnwise.data.formats.common import Fields, Format, Options, Record, as_text, record_fields
from turnwise.dialogue import Dialogue, Message, PreferencePair
from turnwise.errors import DataError


def matches(record: Record) -> bool:
    """`chosen` and `rejected`."""
    return "chosen" in record and "rejected" in record


def pairs(record: Record, options: Options) -> Iterator[PreferencePair]:
    """One pair per record; the prompt is what both sides share."""
    prompt, chosen, rejected, fields = _read(record, options)
    for key in ("tier", "tools", "evidence"):
        value = getattr(fields, key)
        if value:
            fields.metadata[key] = value
    yield PreferencePair(prompt, chosen, rejected, id=fields.id, source=fields.source, metadata=fields.metadata)


def dialogues(record: Record, options: Options) -> Iterator[Dialogue]:
    """One dialogue per record: prompt and the wanted side. The other side stays in the metadata under its name."""
    prompt, chosen, rejected, fields = _read(record, options)
    wanted, other, name = (chosen, rejected, "rejected") if options.side == "chosen" else (rejected, chosen, "chosen")
    fields.metadata[name] = [message.to_dict() for message in other]
    yield Dialogue(
        messages=[*prompt, *wanted],
        id=fields.id,
        source=fields.source,
        tier=fields.tier,
        tools=fields.tools,
        evidence=fields.evidence,
        metadata=fields.metadata,
    )


def _read(record: Record, options: Options) -> tuple[list[Message], list[Message], list[Message], Fields]:
    chosen, rejected = (_side(record.get(key), key, options) for key in ("chosen", "rejected"))
    used = ["chosen", "rejected"]
    if _is_whole(chosen) and _is_whole(rejected) and not isinstance(record.get("prompt"), list):
        shared = _shared(chosen, rejected)
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    else:
        prompt, consumed = _prompt(record, options)
        used += consumed
    fields = record_fields(record, used)
    if fields.system and not (prompt and prompt[0].role == "system"):
        prompt = [Message("system", fields.system), *prompt]
    elif fields.system:
        fields.metadata["system"] = fields.system
    return prompt, chosen, rejected, fields


def _side(value: Any, key: str, options: Options) -> list[Message]:
    if isinstance(value, str):
        return transcript.parse(value) if transcript.is_transcript(value) else [Message("assistant", value)]
    items = [value] if isinstance(value, dict) else value
    if not isinstance(items, list) or not items:
        raise DataError(f"expected '{key}' to be text, a message or a non-empty list of messages, found {value!r:.60}")
    return _messages(items, key, options)


def _messages(items: list[Any], key: str, options: Options) -> list[Message]:
    if items and isinstance(items[0], dict) and sharegpt.has_from(items[0]):
        return sharegpt.parse_messages(items, options, key)
    return role_content.parse_messages(items, options, key)


def _prompt(record: Record, options: Options) -> tuple[list[Message], list[str]]:
    for key in ("prompt", "conversations", "messages"):
        value = record.get(key)
        if isinstance(value, list):
            return (_messages(value, key, options) if value else []), [key]
    if "instruction" in record:
        return alpaca.prompt_messages(record), ["instruction", "input", "history"]
    for key in ("prompt", "question"):
        if key in record:
            text = as_text(record[key], f"'{key}'")
            return (transcript.parse(text) if transcript.is_transcript(text) else [Message("user", text)]), [key]
    return [], []


def _is_whole(side: list[Message]) -> bool:
    return side[0].role != "assistant"


def _shared(chosen: list[Message], rejected: list[Message]) -> int:
    """How many leading messages both sides share, leaving at least one message to each."""
    limit = min(len(chosen), len(rejected)) - 1
    for count in range(limit):
        if (chosen[count].role, chosen[count].content) != (rejected[count].role, rejected[count].content):
            return count
    return limit


FORMAT = Format(
    name="preference",
    expects="an object with 'chosen' and 'rejected' (text, a message or a list of messages) and their prompt",
    matches=matches,
    dialogues=dialogues,
    pairs=pairs,
)
