"""How a chat model is asked: keys, limits, prices, retries, and the batches of a local model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from turnwise.config import StrictModel

_SECRET_HEADERS = {"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"}


class ClientConfig(StrictModel):
    """Settings of a chat model. None of them is part of a cache key."""

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

    @field_validator("headers")
    @classmethod
    def _no_secrets_in_files(cls, headers: dict[str, str]) -> dict[str, str]:
        """A resolved configuration is written to the run folder, so a secret may not stand in it."""
        for name, value in headers.items():
            if name.lower() in _SECRET_HEADERS and "${" not in value:
                raise ValueError(f"the header {name} holds a secret: write it as ${{NAME}}, an environment variable")
        return headers
