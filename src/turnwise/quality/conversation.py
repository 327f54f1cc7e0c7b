"""A dialogue as the judge reads it: the paper's JSON list of `human` and `assistant` (ReSURE, appendix A)."""

from __future__ import annotations

import json
from typing import Any

from turnwise.dialogue import Dialogue, Message
from turnwise.quality.words import words

Exchange = dict[str, str]
"""One turn: `human` and `assistant`."""


def exchanges(dialogue: Dialogue) -> list[Exchange]:
    """The turns of a dialogue, one entry per assistant reply.

    Several messages of a user in a row are one request; assistant messages in a row, with tool calls and results
    between them, are one reply, calls and results in brackets. Parts that are no text stand as `[image]` and the like.
    A reply without a request has an empty `human`. What the form has no place for is left out: system messages, and a
    last request without a reply.
    """
    turns: list[tuple[list[str], list[str]]] = []
    waiting: list[str] = []
    for message in dialogue.messages:
        if message.role == "user":
            waiting.append(_said(message))
        elif message.role in ("assistant", "tool"):
            if waiting or not turns:
                turns.append((waiting, []))
                waiting = []
            text = _said(message)
            turns[-1][1].append(f"[tool result: {text}]" if message.role == "tool" else text)
    return [{"human": "\n".join(asked), "assistant": "\n".join(filter(None, told))} for asked, told in turns]


def as_json(turns: list[Exchange]) -> str:
    """The list as JSON text, one turn per line, other scripts as they are."""
    lines = ",\n ".join(json.dumps(turn, ensure_ascii=False) for turn in turns)
    return f"[{lines}]"


def num_words(turns: list[Exchange]) -> int:
    """Words of requests and replies, as `turnwise.quality.words.words` counts them; the JSON's keys do not count."""
    return sum(len(words(text)) for turn in turns for text in turn.values())


def _said(message: Message) -> str:
    parts: list[dict[str, Any]] = message.content if isinstance(message.content, list) else []
    others = [f"[{part.get('type', 'part')}]" for part in parts if "text" not in part and "value" not in part]
    calls = [f"[tool call: {json.dumps(call, ensure_ascii=False)}]" for call in message.tool_calls or []]
    return " ".join(filter(None, [message.text, *others, *calls]))
