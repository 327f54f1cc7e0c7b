"""What a teacher is asked to reply, as JSON schemas, and the way from such a reply to turns."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from turnwise.llm.chat import ChatReply
from turnwise.synthesis.chain import LOGIC_TYPES, ChainTurn, Logic, Span, Written, failed

_TEXT = {"type": "string", "minLength": 1}
_NOTE = {"type": "string"}
_PHRASES = {"type": "array", "items": {"type": "string"}}
_NOTHING = frozenset({"", "none", "null", "n/a", "na", "nothing", "not found", "无", "没有", "未找到", "空"})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Every key is needed and no other allowed: what endpoints that enforce schemas ask for."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": dict(properties),
    }


def _turns(turn: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": turn}


_PLAN = {"type": _TEXT, "progress": _NOTE, "flow": _NOTE, "purpose": _NOTE, "search": _PHRASES}

DIRECT_SCHEMA = _object({"turns": _turns(_object({"user": _TEXT, "assistant": _TEXT}))})
"""User and assistant alone."""
COT_SCHEMA = _object({"thinking": _NOTE, "turns": _turns(_object({"user": _TEXT, "assistant": _TEXT}))})
"""Thinking, then user and assistant."""
COD_SCHEMA = _object(
    {"turns": _turns(_object({"user": _TEXT, **_PLAN, "find": {"type": ["string", "null"]}, "assistant": _TEXT}))}
)
"""A dialogue with its chain; `find` is empty where the assistant answers from common knowledge."""
PLAN_SCHEMA = _object(_PLAN)
"""What the next turn is to be."""


def write_schema(sentences: int) -> dict[str, Any]:
    """One turn, and the number of the given sentence that it rests on (0 for none)."""
    used = {"type": "integer", "minimum": 0, "maximum": sentences}
    return _object({"user": _TEXT, "used": used, "assistant": _TEXT})


def logic_of(name: str) -> Logic | None:
    """The logic type that a teacher means: `Question-Answer`, `[question answer]` and the like; None for no such."""
    plain = "-".join(re.findall(r"[a-z]+", name.casefold()))
    return next((logic for logic in LOGIC_TYPES if logic == plain), None)


def read_turn(said: Mapping[str, Any], span: Span | None = None) -> ChainTurn:
    """A turn of a reply that follows its schema. A span that is known is what it claims; else it is not looked for."""
    find = (said.get("find") or "").strip()
    if find.casefold().strip(" .[]()。") in _NOTHING:
        find = ""
    return ChainTurn(
        user=said["user"].strip(),
        assistant=said["assistant"].strip(),
        logic=logic_of(said.get("type", "")),
        purpose=said.get("purpose", "").strip(),
        search=tuple(phrase.strip() for phrase in said.get("search", ()) if phrase.strip()),
        find=find if span is None else span.text,
        span=span,
        progress=said.get("progress", "").strip(),
        flow=said.get("flow", "").strip(),
    )


def is_silent(turn: ChainTurn) -> bool:
    """Whether one of the two says nothing."""
    return not (turn.user and turn.assistant)


def value_of(reply: ChatReply) -> dict[str, Any]:
    """The JSON object of a reply that follows its schema."""
    value = json.loads(reply.text)
    assert isinstance(value, dict)  # noqa: S101 - every schema here is an object's
    return value


def texts_of(reply: ChatReply) -> tuple[str, ...]:
    """Every text that came for a request, those that were asked for again included; without empty ones."""
    return tuple(text for text in (*reply.rejected, reply.text) if text)


def failure_of(reply: ChatReply, raw: tuple[str, ...], prompt: str, *, where: str = "") -> Written:
    """What a failed reply makes of a document; `schema` is called `malformed` here."""
    assert reply.failure is not None  # noqa: S101 - for the type checker
    reason = "malformed" if reply.failure == "schema" else reply.failure
    return failed(reason, f"{where}{reply.detail}", raw=raw, prompt=prompt)
