"""How a chat model is asked: keys, limits, prices, retries, and the batches of a local model."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from turnwise.config import StrictModel

_SECRET_HEADER = re.compile(r"auth|key|token|secret|passw|cookie|credential", re.IGNORECASE)

_DECIDES = ("sampling", "keep_thinking")  # what comes out, not only how it is asked for
_NUMBERS: dict[str, Any] = {"temperature": int | float, "top_p": int | float, "max_tokens": int, "seed": int}


class ClientConfig(StrictModel):
    """Settings of a chat model. Of these, `sampling` alone is part of a cache key."""

    api_key_env: str | None = Field(
        "OPENAI_API_KEY", description="environment variable that holds the key; null for an endpoint without keys"
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="further headers; secrets only as `${NAME}`, read when the model is opened"
    )
    timeout_s: float = Field(300.0, gt=0, description="most seconds from sending a request to the end of its reply")
    max_concurrency: int = Field(64, ge=1, description="most requests in flight; how many are is found out")
    requests_per_minute: float | None = Field(None, gt=0, description="most requests sent in a minute, evenly spaced")
    max_tries: int = Field(8, ge=1, description="tries of a request where the server fails (5xx, torn, time-out)")
    backoff_s: float = Field(0.5, gt=0, description="wait after a first failed try, doubled after each, up to 30 s")
    max_wait_s: float = Field(
        900.0,
        ge=0,
        description="how long rate limits may hold up one request; the longest Retry-After obeyed",
    )
    max_requests: int | None = Field(None, ge=0, description="most requests sent to endpoints, tries included")
    max_cost: float | None = Field(None, ge=0, description="most that replies may cost; needs the prices")
    price_prompt: float | None = Field(None, ge=0, description="price of a million tokens of requests")
    price_completion: float | None = Field(None, ge=0, description="price of a million tokens of replies")
    structured: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="how a schema is sent: for servers that refuse it, `json_object` or `none`"
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        None, description="what the endpoint calls the token limit; null: the newer name for api.openai.com alone"
    )
    sampling: dict[str, Any] = Field(
        default_factory=dict,
        description="`temperature`, `top_p`, `max_tokens`, `stop`, `seed` in place of what is asked for (null leaves "
        "one out), and further fields of the request, such as `reasoning_effort`",
    )
    keep_thinking: bool = Field(False, description="leave what a model thinks (`<think>`) in the text of its replies")
    repairs: int = Field(2, ge=0, description="how often a reply that breaks its schema is asked for again")
    batch_size: int = Field(8, ge=1, description="local models: requests generated together")
    device: str | None = Field(None, description="local models: `cpu`, `cuda:1`, ...; null: a GPU where there is one")
    dtype: str | None = Field(None, description="local models: `float32`, `bfloat16`, ...; null: as stored")
    max_length: int | None = Field(None, ge=1, description="local models: most tokens of request and reply together")
    constrained: bool = Field(
        False, description="local models: replies to a schema are drawn to follow it (extra `constrained`)"
    )
    close_replies: bool = Field(
        False, description="with `constrained`: a reply is led to its end before it reaches its token limit"
    )

    @field_validator("sampling")
    @classmethod
    def _sampling_is_sampling(cls, sampling: dict[str, Any]) -> dict[str, Any]:
        for name, value in sampling.items():
            if name in ("model", "messages", "n", "stream", "response_format"):
                raise ValueError(f"{name} cannot be set here")
            if (
                value is not None
                and name in _NUMBERS
                and (isinstance(value, bool) or not isinstance(value, _NUMBERS[name]))
            ):
                raise ValueError(f"expected {name} to be a number or null, found {value!r}")
            texts = [value] if isinstance(value, str) else value
            if (
                name == "stop"
                and texts is not None
                and not (isinstance(texts, list) and all(isinstance(one, str) for one in texts))
            ):
                raise ValueError(f"expected stop to be texts or null, found {value!r}")
        return sampling

    @field_validator("headers")
    @classmethod
    def _no_secrets_in_files(cls, headers: dict[str, str]) -> dict[str, str]:
        """A resolved configuration is written to the run folder, so a secret may not stand in it."""
        for name, value in headers.items():
            if _SECRET_HEADER.search(name) and "${" not in value:
                raise ValueError(f"the header {name} holds a secret: write it as ${{NAME}}, an environment variable")
        return headers


def may_change(name: str) -> tuple[str, ...]:
    """Dotted keys of a `ClientConfig` called `name` that a resumed run may set otherwise.

    They decide how a model is asked; `sampling` and `keep_thinking`, which decide what comes out, are not among them.
    """
    harmless = [field for field in ClientConfig.model_fields if field not in _DECIDES]
    return (name, *(f"{name}.{field}{below}" for field in harmless for below in ("", ".*")))
