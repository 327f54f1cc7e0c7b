"""The body of a chat completion as a reply, and what the server did not do as it was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from turnwise.dialogue import content_text
from turnwise.llm.adapted import ONLY_THINKING
from turnwise.llm.chat import ChatReply, ChatRequest, FailureKind
from turnwise.llm.throttle import TryAgainError


def read_completion(body: Mapping[str, Any], request: ChatRequest) -> tuple[ChatReply, list[str]]:
    """Read a completion.

    Returns:
        The reply, without cost; and which of `n`, `stop` and `schema` the server did not honour.

    Raises:
        TryAgainError: It is no completion, or one without a choice.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise TryAgainError("the server's reply holds no choice")
    ignored = ["n"] if len(choices) > 1 else []
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise TryAgainError("the server's reply holds no message")
    text = _text(message.get("content"))
    finish = choice.get("finish_reason")
    if finish in ("error", "abort"):
        raise TryAgainError(f"the server gave up in the middle of its reply (finish_reason {finish!r})")
    cut = _cut(text, request.sampling.stop)
    if cut is not None:
        text, finish = cut, "stop"
        ignored.append("stop")
    failure, detail = _failure(text, finish, message.get("refusal"))
    if failure is None and request.schema is not None and not _is_json(text):
        ignored.append("schema")
    thinking = _thinking(message)
    if failure == "empty" and thinking:
        detail = ONLY_THINKING
    usage = body.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    reply = ChatReply(
        text,
        failure=failure,
        detail=detail,
        finish_reason=finish if isinstance(finish, str) else None,
        model=body["model"] if isinstance(body.get("model"), str) else None,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        thinking=thinking,
    )
    return reply, ignored


def _text(content: Any) -> str:
    """Text of a reply's content, which some servers send as a list of typed parts."""
    try:
        return content_text(content)
    except (TypeError, ValueError, AttributeError, KeyError):
        raise TryAgainError("the server's reply holds a message that cannot be read") from None


def _thinking(message: Mapping[str, Any]) -> str:
    """What servers that part thinking from answers put into a field of its own; they do not agree on its name."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str):
            return str(message[name]).strip()
    return ""


def _failure(text: str, finish: Any, refusal: Any) -> tuple[FailureKind | None, str]:
    if finish == "content_filter":
        return "refused", "stopped by the server's content filter"
    if isinstance(refusal, str) and refusal.strip():
        return "refused", refusal.strip()
    if finish == "length":
        return "truncated", "the reply ends at its token limit" + ("" if text.strip() else ", before any text")
    if not text.strip():
        return "empty", f"no text came (finish_reason {finish!r})"
    return None, ""


def _cut(text: str, stops: tuple[str, ...]) -> str | None:
    """The text before the first stop text, or None where it holds none."""
    places = [place for place in (text.find(stop) for stop in stops if stop) if place >= 0]
    return text[: min(places)] if places else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
