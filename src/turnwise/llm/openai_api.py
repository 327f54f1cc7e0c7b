"""Chat completions of any OpenAI-compatible server, and a check of what the server made of the request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from turnwise.errors import EndpointError
from turnwise.llm.chat import ChatReply, ChatRequest
from turnwise.llm.completion import read_completion
from turnwise.llm.connections import Answer, BrokenError, Connections, UnreachableError
from turnwise.llm.endpoint import Endpoint
from turnwise.llm.refusals import error_of, read_refusal
from turnwise.llm.request_body import request_body
from turnwise.llm.settings import ClientConfig
from turnwise.llm.throttle import Throttle, TryAgainError
from turnwise.llm.usage import Usage


class OpenAIModel:
    """A model behind an endpoint that speaks the chat completions of OpenAI (vLLM, llama.cpp, TGI, gateways, ...).

    Args:
        model: The model's name as the server knows it.
        endpoint: Where it is, and what opens it.
        settings: How it is asked.
        usage: What counts the requests and knows the limits.
    """

    def __init__(self, model: str, endpoint: Endpoint, settings: ClientConfig, usage: Usage) -> None:
        self._model = model
        self._endpoint = endpoint
        self._settings = settings
        self._usage = usage
        self._proven = False  # whether it has ever answered
        self._connections = Connections(timeout_s=settings.timeout_s, use_proxy=not endpoint.is_local)
        self._throttle = Throttle(
            max_concurrency=settings.max_concurrency,
            requests_per_minute=settings.requests_per_minute,
            max_tries=settings.max_tries,
            backoff_s=settings.backoff_s,
            max_wait_s=settings.max_wait_s,
        )
        official = urlsplit(endpoint.url).hostname == "api.openai.com"
        self._limit_field = settings.max_tokens_field or ("max_completion_tokens" if official else "max_tokens")

    @property
    def name(self) -> str:
        """`MODEL@URL`, without user, password and query of the address."""
        return f"{self._model}@{self._endpoint.url}"

    async def reply(self, request: ChatRequest) -> ChatReply:
        """Ask the endpoint; tried again under the limits of the settings.

        Raises:
            ConfigError: `Sampling.extra` sets a field that is not the caller's to set.
            EndpointError: The endpoint can answer nothing that is asked.
        """
        body = json.dumps(request_body(self._model, request, self._settings, self._limit_field)).encode()
        clock = asyncio.get_running_loop().time
        tries, busy_s = 0, 0.0

        async def attempt(number: int) -> ChatReply:
            nonlocal tries, busy_s
            forbidden = self._usage.reserve(retry=number > 0)
            if forbidden is not None:
                return ChatReply("", failure="limit", detail=forbidden)
            tries, began = tries + 1, clock()
            try:
                return self._read(await self._post(body), request)
            finally:
                busy_s += clock() - began
                self._usage.settle()

        try:
            reply = await self._throttle.send(attempt)
        except UnreachableError as error:
            raise self._unreachable(error) from None
        except TryAgainError as error:
            if isinstance(error.__cause__, UnreachableError):
                raise self._unreachable(error.__cause__) from None
            detail = f"{error}; tried {tries} times"
            reply = ChatReply("", failure="rate_limit" if error.rate_limited else "server", detail=detail)
        return replace(reply, attempts=tries, seconds=busy_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def _post(self, body: bytes) -> Answer:
        """Send a body once; an endpoint that has answered before may come back, one that never has will not."""
        endpoint = self._endpoint
        try:
            return await self._connections.request(
                "POST", endpoint.address("/chat/completions"), endpoint.headers, body
            )
        except UnreachableError as error:
            if not self._proven:
                raise
            raise TryAgainError(endpoint.secrets.describe(str(error))) from error
        except BrokenError as error:
            raise TryAgainError(endpoint.secrets.describe(str(error))) from None

    def _read(self, answer: Answer, request: ChatRequest) -> ChatReply:
        """What came back as a reply, counted; no secret gets past this place."""
        secrets = self._endpoint.secrets
        if answer.status != 200:
            return self._refusal(answer.status, answer, *error_of(answer.body))
        try:
            body = json.loads(secrets.remove(answer.body.decode("utf-8")))
        except ValueError:
            if not self._proven and answer.body.lstrip()[:1] == b"<":
                raise EndpointError(
                    f"{self.name}: expected a chat completion, found a web page",
                    hint="does the address end where the API begins (often /v1)?",
                ) from None
            raise TryAgainError("the server's reply is not JSON") from None
        if not isinstance(body, Mapping):
            raise TryAgainError("the server's reply is not a JSON object")
        error = body.get("error")
        if not body.get("choices") and error:  # some gateways report failures with status 200
            status = error.get("code") if isinstance(error, Mapping) else None
            status = status if isinstance(status, int) and 400 <= status < 600 else 502
            return self._refusal(status, answer, *error_of(answer.body))
        reply, ignored = read_completion(body, request)
        self._proven = True
        self._usage.not_honoured.update(ignored)
        cost = self._cost(reply)
        self._usage.charge(reply.prompt_tokens, reply.completion_tokens, cost)
        # Once more: in the body a key may be spelled with escapes.
        text, detail = secrets.remove(reply.text), secrets.describe(reply.detail)
        thinking, model = secrets.remove(reply.thinking), reply.model and secrets.remove(reply.model)
        return replace(reply, text=text, detail=detail, thinking=thinking, model=model, cost=cost)

    def _refusal(self, status: int, answer: Answer, error: Mapping[str, Any], message: str) -> ChatReply:
        self._usage.rate_limited += status == 429
        said = self._endpoint.secrets.describe(message)
        return read_refusal(status, answer.headers, error, said, proven=self._proven, where=self.name)

    def _cost(self, reply: ChatReply) -> float | None:
        """In the currency of the prices; None without prices or without the server's count of tokens."""
        prompt, completion = self._settings.price_prompt, self._settings.price_completion
        if (prompt is None and completion is None) or reply.prompt_tokens is None or reply.completion_tokens is None:
            return None
        return (reply.prompt_tokens * (prompt or 0.0) + reply.completion_tokens * (completion or 0.0)) / 1e6

    def _unreachable(self, error: UnreachableError) -> EndpointError:
        said = self._endpoint.secrets.describe(str(error))
        return EndpointError(f"{self.name}: no connection ({said})", hint="is the server running, the address right?")

    def __repr__(self) -> str:
        return f"OpenAIModel({self.name!r})"
