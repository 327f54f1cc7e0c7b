"""What a status other than 200 means: the endpoint is closed to us, this request is wrong, or another try may help."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from turnwise.errors import EndpointError
from turnwise.llm.chat import ChatReply
from turnwise.llm.throttle import TryAgainError

_TRANSIENT = {408, 409, 425}


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date.

    Returns:
        Seconds, 0 or more; None where there is no such header or it cannot be read.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) / unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def read_refusal(
    status: int, headers: Mapping[str, str], error: Mapping[str, Any], said: str, *, proven: bool, where: str
) -> ChatReply:
    """What to make of a status other than 2xx.

    Args:
        status: The status.
        headers: Of the reply, with names in lower case.
        error: The error object of the body; empty where there is none.
        said: What the server said, for messages: redacted, one line.
        proven: Whether the endpoint has answered before.
        where: The model's name.

    Returns:
        A failed reply, where only this request is at fault.

    Raises:
        TryAgainError: Another try may help.
        EndpointError: Nothing that is asked can be answered.
    """
    code = str(error.get("code") or error.get("type") or "")
    said = f"status {status}: {said}" if said else f"status {status}"
    if status == 429:
        if code == "insufficient_quota":
            raise EndpointError(f"{where}: the account is used up ({said})", hint="waiting does not help; add credit")
        raise TryAgainError(said, rate_limited=True, retry_after_s=parse_retry_after(headers))
    if status >= 500 or status in _TRANSIENT:
        raise TryAgainError(said, retry_after_s=parse_retry_after(headers))
    if code == "content_filter" or (status == 403 and proven):
        return ChatReply("", failure="refused", detail=said)
    hint = _HINTS.get(status)
    if status == 400 and "response_format" in said:
        hint = "the server takes no JSON schema: set structured to json_object or none"
    if status in (400, 422) and _REFUSES_FIELD.search(said):
        hint = _hint_of_field(said) or hint
    if status < 400:
        hint = "the address leads elsewhere, and a key is not sent there: give the address that it leads to"
    if hint is not None:
        raise EndpointError(f"{where}: {said}", hint=hint)
    return ChatReply("", failure="request", detail=said)


_REFUSES_FIELD = re.compile(r"unsupported|n[o']t support|no longer support|deprecated|unrecognized", re.I)
_FIELD = re.compile(r"\b(temperature|top_p|stop|seed|max_tokens)\b")


def _hint_of_field(said: str) -> str | None:
    """What to set where a server refuses a field of the request, which it then refuses of every request."""
    if "max_completion_tokens" in said:
        return "set max_tokens_field to max_completion_tokens"
    field = _FIELD.search(said)
    return None if field is None else f"leave it to the model: set sampling.{field.group(1)} to null"


_HINTS = {
    401: "is the key right, and in the environment variable that api_key_env names?",
    402: "the account has no credit",
    403: "may this key use this model?",
    404: "is the model's name right, and does the address end where the API begins (often /v1)?",
    405: "does the address end where the API begins (often /v1)?",
}
"""Statuses that say that no request can be answered."""


def error_of(body: bytes) -> tuple[Mapping[str, Any], str]:
    """The error object of a body and its message; servers spell them in several ways."""
    text = body[:4000].decode("utf-8", "replace")
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}, text
    if not isinstance(parsed, Mapping):
        return {}, text
    error = parsed.get("error", parsed)
    if not isinstance(error, Mapping):
        return {}, str(error)
    return error, str(error.get("message") or error.get("detail") or text)
