"""Dialogues as a chat template reads them: plain `role`/`content` messages, OpenAI tool calls, and a list of tools.

What a text model cannot use (images, audio) is a per-dialogue failure with a reason, never a silent loss.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from turnwise.dialogue import Dialogue, Message

# Keys that steer turnwise and must not reach a template (some templates print every key they are given).
_OWN_KEYS = frozenset({"train", "weight"})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_REASONING_PARTS = frozenset({"reasoning", "thinking"})


class EncodingFailure(Exception):
    """One dialogue that cannot be encoded. It is skipped and counted under its reason; the run goes on.

    Args:
        reason: A short text that groups: equal causes have equal reasons.
        detail: What is special about this dialogue, for a log line.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def template_messages(dialogue: Dialogue | Sequence[Message | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages as a text chat template reads them.

    Typed parts become text (joined without separator); a `reasoning` part becomes `reasoning_content`; a `tool_call`
    part becomes an entry of `tool_calls`. Arguments that are JSON text are parsed, since templates print them with
    `tojson`. Keys whose value is None are dropped (Arrow fills missing keys of message records with None); `content`
    is an empty text where there is none, and absent where there is none and a tool is called. turnwise's own keys
    `train` and `weight` are dropped.

    Args:
        dialogue: A dialogue, its messages, or message records (as a data set's `messages` column holds them).

    Returns:
        New message records; the input is not changed.

    Raises:
        EncodingFailure: A part is no text (image, audio, ...), or a tool call cannot be understood.
    """
    messages = dialogue.messages if isinstance(dialogue, Dialogue) else dialogue
    return [_template_message(message.to_dict() if isinstance(message, Message) else message) for message in messages]


def template_tools(tools: Any) -> list[dict[str, Any]] | None:
    """The tool schemas as a list; None or an empty list mean none.

    Args:
        tools: A list of schemas, the JSON text of one, or None.

    Raises:
        EncodingFailure: The text is no JSON list of objects.
    """
    if isinstance(tools, str):
        try:
            tools = json.loads(tools) if tools.strip() else None
        except ValueError as error:
            raise EncodingFailure("its tools are not JSON", str(error)) from None
    else:
        tools = _without_none(tools)
    if not tools:
        return None
    if isinstance(tools, Mapping):
        tools = [tools]
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise EncodingFailure("its tools are no list of objects")
    return [dict(tool) for tool in tools]


def _template_message(record: Mapping[str, Any]) -> dict[str, Any]:
    message = {key: value for key, value in record.items() if value is not None and key not in _OWN_KEYS}
    calls = [_tool_call(call) for call in message.pop("tool_calls", None) or []]
    content = message.pop("content", None)
    if content is not None and not isinstance(content, str):
        content, reasoning, part_calls = _join_parts(content)
        calls += part_calls
        if reasoning and "reasoning_content" not in message:
            message["reasoning_content"] = reasoning
        # Parts that hold only calls say "no content"; an empty text would say "an empty reply".
        content = content or (None if calls else "")
    role = message.pop("role")
    if calls:
        message["tool_calls"] = calls
        # Without content the key stays away, as transformers drops None before it renders.
        return {"role": role, **({} if content is None else {"content": content}), **message}
    return {"role": role, "content": content or "", **message}


def _join_parts(parts: Iterable[Mapping[str, Any]]) -> tuple[str, str, list[dict[str, Any]]]:
    texts: list[str] = []
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in parts:
        kind = part.get("type") or "text"
        if kind in _TEXT_PARTS:
            texts.append(_part_text(part))
        elif kind in _REASONING_PARTS:
            reasoning.append(_part_text(part))
        elif kind == "tool_call":
            calls.append(_tool_call(part))
        else:
            raise EncodingFailure(f"has {_plain_kind(str(kind))} parts; text training cannot use them")
    return "".join(texts), "".join(reasoning), calls


def _part_text(part: Mapping[str, Any]) -> str:
    for key in ("text", "value", "reasoning", "thinking"):
        if isinstance(part.get(key), str):
            return str(part[key])
    return ""


def _plain_kind(kind: str) -> str:
    """`image_url`, `input_audio` ... as the word a reader expects."""
    return next((word for word in ("image", "audio", "video") if word in kind), kind)


def _tool_call(call: Any) -> dict[str, Any]:
    """A tool call in the OpenAI form, with its arguments parsed.

    Understands the OpenAI form, a bare `{"name", "arguments"}`, and LLaMA-Factory's part whose `value` is JSON text.
    """
    if isinstance(call, Mapping) and "value" in call and "function" not in call:
        call = _parse(call["value"])
    if not isinstance(call, Mapping):
        raise EncodingFailure("has a tool call that is no object")
    outer = {key: value for key, value in call.items() if value is not None}
    function = outer.pop("function", None)
    if not isinstance(function, Mapping):
        function = {key: outer.pop(key) for key in ("name", "arguments", "parameters") if key in outer}
    name = function.get("name")
    if not isinstance(name, str):
        raise EncodingFailure("has a tool call without a name")
    arguments = function.get("arguments", function.get("parameters"))
    if isinstance(arguments, str):
        # Text that is no JSON stays text: a template prints it as it is, and so did the tool's caller.
        parsed = _parse(arguments)
        arguments = arguments if parsed is None else parsed
    else:
        arguments = _without_none(arguments if arguments is not None else {})
    outer.pop("type", None)
    return {**outer, "type": "function", "function": {"name": name, "arguments": arguments}}


def _parse(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return None


def _without_none(value: Any) -> Any:
    """Drop the None that Arrow writes into records whose neighbours have other keys."""
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
