"""A chat request as the body that an OpenAI-compatible server reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnwise.errors import ConfigError
from turnwise.llm.chat import ChatRequest
from turnwise.llm.settings import ClientConfig

_OURS = ("model", "messages", "n", "stream", "response_format")


def request_body(model: str, request: ChatRequest, settings: ClientConfig, limit_field: str) -> dict[str, Any]:
    """The body: one choice, no stream. Of repeated samples with a seed, each gets a seed of its own.

    Args:
        model: The model's name as the server knows it.
        request: What is asked.
        settings: How a schema is sent.
        limit_field: What the endpoint calls the token limit.

    Raises:
        ConfigError: `Sampling.extra` sets a field that would change what is checked afterwards.
    """
    sampling = request.sampling
    taken = sorted(set(_OURS) & sampling.extra.keys())
    if taken:
        raise ConfigError(
            f"sampling.extra: {', '.join(taken)} cannot be set here",
            hint="a sample is a request of its own; a schema has a field of its own",
        )
    body: dict[str, Any] = {"model": model, "messages": [dict(message) for message in request.messages]}
    fields = sampling.to_dict()
    if sampling.max_tokens is not None:
        body[limit_field] = fields.pop("max_tokens")
    if sampling.seed is not None:
        fields["seed"] = sampling.seed + request.sample
    body.update(fields)
    if request.schema is not None and settings.structured == "json_schema":
        schema = {"name": "reply", "schema": request.schema, "strict": _is_strict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif request.schema is not None and settings.structured == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


def _is_strict(schema: Any) -> bool:
    """Whether a schema is of the kind that OpenAI enforces: objects with all keys required and no others allowed."""
    if isinstance(schema, list):
        return all(_is_strict(part) for part in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties is not None:
        closed = schema.get("additionalProperties") is False
        if not closed or set(properties or {}) != set(schema.get("required", [])):
            return False
    return all(_is_strict(part) for part in schema.values())
