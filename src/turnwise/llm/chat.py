"""What a chat model is to turnwise: a request goes in, a reply comes out, and a failure is a reply too.

Everything that generates text (an endpoint, a local model, a script for tests) is a `ChatModel`, so a benchmark, a
judge or a synthesis stage is written once. Replies are awaited, so that one event loop keeps many requests in flight;
`turnwise.llm.drive.run_all` is the way in from ordinary code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

FailureKind = Literal[
    "refused",  # the server's content filter, or a refusal in the reply's own field
    "empty",  # no text came back
    "truncated",  # finish_reason "length": the text ends where the token limit was
    "schema",  # a schema was asked for and the text does not follow it, after all repairs
    "rate_limit",  # still rate-limited after the last try
    "server",  # 5xx, broken connection, torn stream, time-out: after the last try
    "request",  # 4xx other than 429: the request itself is wrong; not tried again
    "limit",  # a limit of the user's own (cost, requests) was reached; never cached
]
"""Why a reply is no answer."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is drawn. None leaves a setting to the model's own default.

    Attributes:
        temperature: 0 is greedy.
        top_p: Nucleus sampling.
        max_tokens: Most tokens of the reply.
        stop: Texts that end the reply; not part of it.
        seed: Seed of the draw, where the model honours one.
        extra: Further fields for the endpoint's request body, passed on unchanged (local models refuse them).
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The settings that are set, by name."""
        named = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "stop": list(self.stop) or None,
            "seed": self.seed,
        }
        return {**{key: value for key, value in named.items() if value is not None}, **self.extra}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One reply that is wanted.

    Attributes:
        messages: The conversation so far, in the OpenAI form (`role`, `content`, perhaps typed parts).
        sampling: How the reply is drawn.
        schema: A JSON schema that the reply must follow, or None for free text. Whoever answers checks it.
        sample: Number of the draw, from 0; the same request with another number is another request.
    """

    messages: Sequence[Mapping[str, Any]]
    sampling: Sampling = field(default_factory=Sampling)
    schema: Mapping[str, Any] | None = None
    sample: int = 0

    def key(self, model: str) -> str:
        """What makes this request to this model the same request tomorrow: SHA-256 in hexadecimal digits.

        Over messages, model, sampling parameters, schema and sample number; never over who parses the reply, nor over
        keys, time-outs, retries or prices.
        """
        content = {
            "messages": [dict(message) for message in self.messages],
            "model": model,
            "sampling": self.sampling.to_dict(),
            "schema": self.schema,
            "sample": self.sample,
        }
        text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What came back. Check `failure` before using `text`.

    Attributes:
        text: The reply's text; also of a failed reply, where some text came (a truncated one keeps its beginning).
        failure: None for an answer, or why it is none.
        detail: One sentence about the failure, without secrets.
        finish_reason: As the model said it: `stop`, `length`, `content_filter`, ...
        model: The model's name as the server gave it back (a snapshot, perhaps), where it did.
        prompt_tokens: Tokens of the request, where known.
        completion_tokens: Tokens of the reply, where known.
        cost: What the reply cost, in the currency of the configured prices; None without prices. 0 from the cache.
        cached: Whether it came from the cache.
        attempts: How many requests were sent for it; 0 from the cache.
        seconds: From the first request sent to the reply, waiting for permission not counted; 0 from the cache.
        thinking: What a reasoning model thought before the text, where it shows it; never part of the text.
        rejected: Texts that came before this one and were asked for again because they did not follow the schema.
    """

    text: str
    failure: FailureKind | None = None
    detail: str = ""
    finish_reason: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    cached: bool = False
    attempts: int = 1
    seconds: float = 0.0
    thinking: str = ""
    rejected: tuple[str, ...] = ()


class ChatModel(Protocol):
    """Anything that answers."""

    @property
    def name(self) -> str:
        """What the model is called in records, caches and tables; never holds a key.

        The same name means the same answers: a local model's name holds a digest of its weights, an endpoint's its
        address.
        """
        ...

    async def reply(self, request: ChatRequest) -> ChatReply:
        """Answer one request. Never raises for what a retry, a limit or the reply's content is about.

        Raises:
            TurnwiseError: Nothing that is asked could be answered: a wrong key, an unknown model, no such address.
        """
        ...

    async def close(self) -> None:
        """Give back connections, threads, files. The model answers no more."""
        ...
