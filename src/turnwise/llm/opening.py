"""From the name of a model, as a user writes it, to something that answers."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

from turnwise.errors import ConfigError, EndpointError, MissingExtraError
from turnwise.llm.adapted import Adapted
from turnwise.llm.cache import Cached, ReplyCache
from turnwise.llm.chat import ChatModel
from turnwise.llm.connections import Answer, BrokenError, Connections, UnreachableError
from turnwise.llm.drive import run_one
from turnwise.llm.endpoint import Endpoint
from turnwise.llm.openai_api import OpenAIModel
from turnwise.llm.refusals import error_of
from turnwise.llm.scripted import ScriptedModel
from turnwise.llm.settings import ClientConfig
from turnwise.llm.structured import Structured
from turnwise.llm.usage import Usage

_OFFICIAL = "https://api.openai.com/v1"
_SPELLINGS = (
    "MODEL@http://host:port/v1 (an endpoint), http://host:port/v1 (one that serves one model), openai:MODEL, "
    "local:PATH_OR_HUB_NAME, an existing folder, or scripted:FILE"
)


def open_model(
    spec: str,
    settings: ClientConfig | None = None,
    *,
    cache: str | Path | None = None,
    usage: Usage | None = None,
) -> ChatModel:
    """Open a chat model by name.

    Args:
        spec: `MODEL@http(s)://host/v1`; `http(s)://host/v1`, where it serves one model; `openai:MODEL` (at
            OPENAI_BASE_URL, or the official address); `local:PATH_OR_HUB_NAME` or an existing folder; `scripted:FILE`.
        settings: How it is asked; None for the defaults.
        cache: SQLite file that keeps replies; None keeps none. Several models and processes may share one. Scripted
            replies are not kept: their file may change tomorrow.
        usage: Counts what is asked, for all models that are given it; the limits of the settings are added to its own.

    Returns:
        The model. Close it where it was used: `run_one(model.close())`.

    Raises:
        ConfigError: The name has none of these forms, or the settings do not fit together.
        EndpointError: An endpoint was to be asked what it serves, and cannot be.
        RunError: The cache cannot be used.
    """
    settings = settings if settings is not None else ClientConfig()
    usage = usage if usage is not None else Usage()
    usage.limit(settings.max_requests, settings.max_cost)
    spec = spec.strip()
    if spec.startswith("scripted:"):
        return _structured(
            Cached(ScriptedModel.from_file(spec[len("scripted:") :]), None, usage, share=False), settings
        )
    model = _local(spec, settings)
    if model is None:
        model = _endpoint_model(spec, settings, usage)
    return _structured(Cached(model, ReplyCache(cache) if cache is not None else None, usage), settings)


def _local(spec: str, settings: ClientConfig) -> ChatModel | None:
    if spec.startswith("local:"):
        path = spec[len("local:") :]
    elif spec and "://" not in spec and Path(spec).is_dir():
        path = spec
    else:
        return None
    if not path:
        raise ConfigError("local: expected a folder or a hub name after it, found nothing")
    from turnwise.llm.local import LocalModel

    return LocalModel(
        path,
        batch_size=settings.batch_size,
        device=settings.device,
        dtype=settings.dtype,
        max_length=settings.max_length,
        constrained=settings.constrained,
        close_replies=settings.close_replies,
    )


def _endpoint_model(spec: str, settings: ClientConfig, usage: Usage) -> OpenAIModel:
    name, url = _endpoint_of(spec)
    try:
        importlib.import_module("aiohttp")  # here, not in the middle of the first request
    except ModuleNotFoundError:
        raise MissingExtraError("aiohttp", extra="llm", purpose="asking an endpoint") from None
    if settings.max_cost is not None and settings.price_prompt is None and settings.price_completion is None:
        raise ConfigError(
            "max_cost needs the prices of the model",
            hint="set price_prompt and price_completion (per million tokens)",
        )
    endpoint = Endpoint(url, settings)
    return OpenAIModel(name or _only_model(endpoint), endpoint, settings, usage)


def _endpoint_of(spec: str) -> tuple[str, str]:
    """Model (empty: ask the endpoint) and address."""
    if spec.startswith("openai:"):
        name, url = spec[len("openai:") :], os.environ.get("OPENAI_BASE_URL") or _OFFICIAL
        if not name:
            raise ConfigError("openai: expected a model's name after it, found nothing", hint="openai:MODEL")
        return name, url
    if spec.startswith(("http://", "https://")):
        return "", spec
    for scheme in ("@http://", "@https://"):
        name, found, rest = spec.partition(scheme)
        if found and name:
            return name, scheme[1:] + rest
    shown = spec if "://" not in spec else "an address in a place where none is expected"
    hint = f"expected {_SPELLINGS}"
    if "/" in spec and "://" not in spec:
        hint = f"no such folder; a model of the hub is local:{spec}\n  {hint}"
    raise ConfigError(f"{shown!r} names no model", hint=hint)


def _only_model(endpoint: Endpoint) -> str:
    """The one model that an endpoint serves."""
    connections = Connections(timeout_s=30, use_proxy=not endpoint.is_local)

    async def asked() -> Answer:
        try:
            return await connections.request("GET", endpoint.address("/models"), endpoint.headers)
        finally:
            await connections.close()

    hint = "is the address right? If the endpoint lists no models, name one: MODEL@" + endpoint.url
    try:
        answer = run_one(asked())
        served = sorted({str(entry["id"]) for entry in json.loads(answer.body)["data"]})
    except (UnreachableError, BrokenError) as error:
        said = endpoint.secrets.describe(str(error))
        raise EndpointError(f"{endpoint.url}: cannot be asked which models it serves ({said})", hint=hint) from None
    except (ValueError, KeyError, TypeError):
        said = endpoint.secrets.describe(error_of(answer.body)[1])
        raise EndpointError(f"{endpoint.url}/models: status {answer.status}: {said}", hint=hint) from None
    if len(served) != 1:
        shown = ", ".join(served[:10]) + (", ..." if len(served) > 10 else "")
        raise EndpointError(
            f"{endpoint.url}: expected one served model, found {len(served)}" + (f" ({shown})" if served else ""),
            hint="name the one you mean: MODEL@" + endpoint.url,
        )
    return served[0]


def _structured(model: ChatModel, settings: ClientConfig) -> ChatModel:
    """The outer layers: the settings' own sampling, no thinking in the text, schemas followed or said to be broken."""
    adapted = Adapted(model, sampling=settings.sampling, keep_thinking=settings.keep_thinking)
    return Structured(adapted, repairs=settings.repairs)
