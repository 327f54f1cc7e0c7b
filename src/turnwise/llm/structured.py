"""Replies that follow a JSON schema, whatever model answers: checked here, and asked for again where they do not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from turnwise.errors import ConfigError, MissingExtraError
from turnwise.llm.chat import ChatModel, ChatReply, ChatRequest
from turnwise.llm.json_reply import find_json

_LONGEST = 300
"""Most characters of a problem that are told: a validator's message quotes the value."""


class Structured:
    """A chat model whose replies to requests with a `schema` are JSON that follows it, or failures.

    The model is asked with the schema (an endpoint may enforce it), and its reply is checked all the same, because
    servers ignore what they do not know. A reply that does not follow is put back to the model with what is wrong with
    it; every such repair is a request of its own, so a cache below this keeps each. A reply that was cut off is
    `truncated`, at once where it reached the token limit, and never completed. Requests without a schema pass through.

    Args:
        model: Who answers.
        repairs: How often a reply is asked for again.

    Raises:
        ConfigError: `repairs` is negative.
        MissingExtraError: jsonschema or json_repair is not installed.
    """

    def __init__(self, model: ChatModel, *, repairs: int = 2) -> None:
        if repairs < 0:
            raise ConfigError(f"expected repairs of at least 0, found {repairs}")
        _require("jsonschema", "json_repair")
        self._model = model
        self._repairs = repairs
        self._validators: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The model's own: whether a reply is checked does not change who gave it."""
        return self._model.name

    @property
    def lockstep(self) -> bool:
        """Whether the model's batches repeat only where items are begun together."""
        return bool(getattr(self._model, "lockstep", False))

    async def reply(self, request: ChatRequest) -> ChatReply:
        """Answer one request; `text` of a success is canonical JSON (sorted keys, no spaces).

        Counts (attempts, tokens, cost, seconds) are sums over all repairs; `cached` means that all came from the
        cache; `rejected` holds the texts that were asked for again.

        Raises:
            ConfigError: The schema is none.
        """
        if request.schema is None:
            return await self._model.reply(request)
        validator = self._validator(request.schema)
        replies: list[ChatReply] = []
        messages = list(request.messages)
        while True:
            last = await self._model.reply(replace(request, messages=messages))
            replies.append(last)
            if last.failure is not None:
                return _summed(last, replies)
            found = find_json(last.text, request.schema)
            problem = found.problem or _violation(validator, found.value)
            if problem is None:
                return _summed(replace(last, text=canonical(found.value)), replies)
            given_up = len(replies) > self._repairs
            if found.unclosed and (given_up or _reached_limit(last, request)):
                return _failed("truncated", "the reply ends in the middle of its JSON", replies)
            if given_up:
                return _failed("schema", f"after {len(replies)} replies: {problem[:_LONGEST]}", replies)
            messages = [*messages, {"role": "assistant", "content": last.text}, _correction(problem, request.schema)]

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()

    def _validator(self, schema: Mapping[str, Any]) -> Any:
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry

        key = json.dumps(schema, sort_keys=True, default=str)
        if key not in self._validators:
            kind = validator_for(schema, default=Draft202012Validator)
            try:
                kind.check_schema(schema)
            except SchemaError as error:
                where = "/".join(map(str, error.absolute_path)) or "top level"
                raise ConfigError(f"expected a JSON schema; at {where}: {error.message[:_LONGEST]}") from None
            # An empty registry: a $ref to an address is an error and never fetched.
            self._validators[key] = kind(schema, registry=Registry())
        return self._validators[key]


def canonical(value: Any) -> str:
    """The one JSON text of a value: keys sorted, no spaces, all characters as they are."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _require(*packages: str) -> None:
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="llm", purpose="checking replies against a JSON schema")


def _reached_limit(reply: ChatReply, request: ChatRequest) -> bool:
    """Whether a reply is as long as it was allowed to be, though the server did not say that it was cut."""
    if reply.finish_reason == "length":
        return True
    most = request.sampling.max_tokens
    return most is not None and reply.completion_tokens is not None and reply.completion_tokens >= most


def _violation(validator: Any, value: Any) -> str | None:
    """What of the value does not follow the schema; None where all does."""
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        error = best_match(validator.iter_errors(value))
    except Unresolvable as unresolvable:
        raise ConfigError(f"the JSON schema refers to what it does not hold ({unresolvable})") from None
    except RecursionError:
        return "the JSON is nested too deeply"
    if error is None:
        return None
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    return f"at ${where}: {error.message}"


def _correction(problem: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    text = (
        f"This reply cannot be used: {problem[:_LONGEST]}\n"
        "Give the whole reply again, corrected, as one JSON value that follows this JSON schema, without any other "
        f"text:\n{json.dumps(schema, ensure_ascii=False)}"
    )
    return {"role": "user", "content": text}


def _failed(kind: Any, detail: str, replies: list[ChatReply]) -> ChatReply:
    return _summed(replace(replies[-1], failure=kind, detail=detail), replies)


def _summed(last: ChatReply, replies: list[ChatReply]) -> ChatReply:
    """The last reply with the counts of all."""
    return replace(
        last,
        prompt_tokens=_sum(reply.prompt_tokens for reply in replies),
        completion_tokens=_sum(reply.completion_tokens for reply in replies),
        cost=_sum(reply.cost for reply in replies),
        cached=all(reply.cached for reply in replies),
        attempts=sum(reply.attempts for reply in replies),
        seconds=sum(reply.seconds for reply in replies),
        rejected=tuple(reply.text for reply in replies[:-1]),
    )


def _sum(values: Iterable[Any]) -> Any:
    """The sum of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
