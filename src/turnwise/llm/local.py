"""A transformers model on this machine as a `ChatModel`: requests that wait at the same time share batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from turnwise.errors import ConfigError
from turnwise.llm.chat import ChatReply, ChatRequest, Sampling
from turnwise.llm.constrained import Constraint, Grammars, SchemaError
from turnwise.llm.generate import Drawing, Generated, generate_batch
from turnwise.llm.model_files import find_model
from turnwise.llm.pretrained import few_threads_for, load_tokenizer
from turnwise.llm.weights import (
    check_dtype,
    check_vocabulary,
    context_length,
    end_tokens,
    load_weights,
    require_libraries,
)

DEFAULT_MAX_TOKENS = 1024
"""Most tokens of a reply whose request does not say."""

_GREEDY_BELOW = 1e-5
"""Temperatures by which scores cannot be divided any more; the likeliest token is what they mean."""

_CALM = 20
"""Rounds of the event loop without a new request after which all that come together are taken to be there."""


class LocalModel:
    """A causal language model, or an adapter over one, that answers in batches.

    The tokenizer is loaded and the files are read (for the digest in `name`) at once; the weights when the first
    request needs them, so replaying cached answers needs no memory for them. Replies are the model's own text: what
    its `generation_config` says of temperature or penalties is not used, and a temperature that the request leaves
    open is 0. A draw's seed comes from the request (`sampling.seed` and `sample`, or else the request's key), never
    from the batch. Without `constrained` a JSON schema is left to `turnwise.llm.structured.Structured`.

    Args:
        path: A folder that `save_pretrained` wrote, the folder of a PEFT adapter (its configuration names the base
            model), or a name on the hub. Weights must be safetensors; no code that comes with a model is run.
        batch_size: Most prompts of one forward pass.
        device: As PyTorch names it, or `auto` to spread the layers over all GPUs; None takes a GPU where there is one.
        dtype: `float32`, `bfloat16`, `float16`, or `auto` as stored; None is `auto` on a GPU and `float32` on a CPU.
        max_length: Most tokens of prompt and reply together, never more than the model's configuration says.
        constrained: Draw the reply to a request with a schema only from what follows it: such a reply is JSON of the
            schema, or truncated (a stop text ends it all the same). Other requests are answered as without.
        close_replies: With `constrained`: lead such a reply to its end before its token limit, where there is room at
            all. It parses, its end is not what the model would have said, and `finish_reason` is `length`.

    Attributes:
        lockstep: Tells `turnwise.llm.drive.run_all` callers to begin items together, so that batches repeat.

    Raises:
        ModelError: No model is there, or its tokenizer has no chat template.
        ConfigError: An option is not what it should be.
        MissingExtraError: PyTorch or transformers is not installed, or llguidance with `constrained`.
    """

    lockstep = True

    def __init__(
        self,
        path: str | Path,
        *,
        batch_size: int = 8,
        device: str | None = None,
        dtype: str | None = None,
        max_length: int | None = None,
        constrained: bool = False,
        close_replies: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"expected a batch_size of at least 1, found {batch_size}")
        if max_length is not None and max_length < 2:
            raise ConfigError(f"expected a max_length of at least 2, found {max_length}")
        if close_replies and not constrained:
            raise ConfigError("close_replies needs constrained: free text has no end that could be known")
        check_dtype(dtype)
        require_libraries("torch", "transformers")
        self._files = find_model(str(path))
        self._batch_size, self._device, self._dtype, self._max_length = batch_size, device, dtype, max_length
        self._tokenizer = load_tokenizer(str(self._files.tokenizer))
        self._grammars = Grammars(self._tokenizer) if constrained else None
        self._free_name = self._files.record_name(dtype=dtype, max_length=max_length)
        self._close = close_replies
        self._name = self._files.record_name(
            dtype=dtype, max_length=max_length, constrained=constrained or None, close_replies=close_replies or None
        )
        limits = (max_length, context_length(self._files))
        self._most = min((one for one in limits if one is not None), default=None)
        self._model: Any = None
        self._end_tokens: frozenset[int] = frozenset()
        self._waiting: list[_Waiting] = []
        self._serving: asyncio.Task[None] | None = None
        # One thread: one batch at a time, and the event loop stays free for everything else.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="turnwise-local")

    @property
    def name(self) -> str:
        """`local:NAME#DIGEST`; the digest is that of weights, configuration, tokenizer and chat template."""
        return self._name

    async def reply(self, request: ChatRequest) -> ChatReply:
        """Answer one request together with the others that wait.

        Raises:
            ModelError: The weights cannot be loaded, or do not belong to the tokenizer.
        """
        try:
            prompt = self._encode(request.messages)
            drawing = self._drawing(request.sampling, len(prompt))
            self._constraint(request.schema)
        except _Unusable as error:
            return ChatReply("", failure="request", detail=str(error), attempts=0)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(prompt, drawing, self._seed(request), loop.create_future(), request.schema)
        self._waiting.append(waiting)
        if self._serving is None or self._serving.done():
            self._serving = loop.create_task(self._serve())
        return await waiting.reply

    async def close(self) -> None:
        """Give back the weights' memory."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._model = None

    async def _serve(self) -> None:
        """Answer until nobody waits."""
        while self._waiting:
            await self._all_there()
            together, self._waiting = self._waiting, []
            for batch in _batches(together, self._batch_size):
                await self._answer(batch)

    async def _all_there(self) -> None:
        """Let everything that can go on do so: items that were begun together ask before the first batch is made."""
        calm, seen = 0, 0
        while calm < _CALM:
            await asyncio.sleep(0)
            calm = calm + 1 if len(self._waiting) == seen else 0
            seen = len(self._waiting)

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        """Generate for those that still wait, and hand out replies or the error."""
        batch = [one for one in batch if not one.reply.done()]
        if not batch:
            return
        try:
            replies = await asyncio.get_running_loop().run_in_executor(self._thread, self._generate, batch)
        except asyncio.CancelledError:
            for one in batch:
                one.reply.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            for one in batch:
                if not one.reply.done():
                    one.reply.set_exception(error)
            return
        for one, reply in zip(batch, replies, strict=True):
            if not one.reply.done():
                one.reply.set_result(reply)

    def _generate(self, batch: Sequence[_Waiting]) -> list[ChatReply]:
        """In the model's thread; a batch that does not fit into memory is halved."""
        import torch

        model = self._loaded()
        started = time.monotonic()
        try:
            with few_threads_for(model):
                made = generate_batch(
                    model,
                    self._tokenizer,
                    [one.prompt for one in batch],
                    batch[0].drawing,
                    [one.seed for one in batch],
                    end_tokens=self._end_tokens,
                    abandoned=lambda: all(one.reply.cancelled() for one in batch),
                    constraints=self._constraints(batch),
                    close=self._close,
                )
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                tokens = f"{len(batch[0].prompt)} tokens and a reply of up to {batch[0].drawing.max_new_tokens}"
                return [ChatReply("", failure="request", detail=f"memory is too small for a prompt of {tokens}")]
            half = len(batch) // 2
            return self._generate(batch[:half]) + self._generate(batch[half:])
        seconds = time.monotonic() - started
        return [_reply(one, text, seconds) for one, text in zip(batch, made, strict=True)]

    def _encode(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Token ids of the rendered conversation.

        Raises:
            _Unusable: It cannot be rendered or tokenised.
        """
        plain = [{**message, "content": _text(message.get("content"))} for message in messages]
        if not plain:
            raise _Unusable("expected at least one message, found none")
        try:
            encoded = self._tokenizer.apply_chat_template(
                plain, add_generation_prompt=True, tokenize=True, return_dict=True
            )
        except Exception as error:
            raise _Unusable(f"the chat template does not take these messages ({error})") from error
        return list(encoded["input_ids"])

    def _drawing(self, sampling: Sampling, length: int) -> Drawing:
        """Raises `_Unusable` where the request asks for what is not there."""
        temperature, top_p, wanted = sampling.temperature or 0.0, sampling.top_p, sampling.max_tokens
        top_p = 1.0 if top_p is None else top_p
        wanted = DEFAULT_MAX_TOKENS if wanted is None else wanted
        if sampling.extra:
            raise _Unusable(f"a local model knows no {', '.join(map(repr, sampling.extra))} in sampling.extra")
        if not temperature >= 0 or not 0 < top_p <= 1 or wanted < 1 or "" in sampling.stop:
            raise _Unusable(
                f"expected temperature >= 0, 0 < top_p <= 1, max_tokens >= 1, no empty stop; found {sampling.to_dict()}"
            )
        if self._most is not None and length >= self._most:
            raise _Unusable(f"the conversation has {length} tokens; the model takes {self._most}, its reply included")
        room = wanted if self._most is None else min(wanted, self._most - length)
        if temperature < _GREEDY_BELOW:
            return Drawing(room, stop=tuple(sampling.stop))
        return Drawing(room, temperature, top_p, tuple(sampling.stop))

    def _constraint(self, schema: Mapping[str, Any] | None) -> Constraint | None:
        """Raises `_Unusable` where the schema cannot be enforced."""
        if self._grammars is None or schema is None:
            return None
        try:
            return self._grammars.begin(schema)
        except SchemaError as error:
            raise _Unusable(f"constrained decoding cannot follow this schema: {error}") from None

    def _constraints(self, batch: Sequence[_Waiting]) -> list[Constraint | None] | None:
        found = [self._constraint(one.schema) for one in batch]
        return found if any(found) else None

    def _seed(self, request: ChatRequest) -> str:
        if request.sampling.seed is not None:
            return f"{request.sampling.seed}/{request.sample}"
        return request.key(self._free_name)

    def _loaded(self) -> Any:
        if self._model is None:
            self._model = self._load()
        return self._model

    def _load(self) -> Any:
        from transformers import GenerationConfig

        model = load_weights(self._files, device=self._device, dtype=self._dtype)
        check_vocabulary(model, self._tokenizer)
        self._end_tokens = end_tokens(model, self._tokenizer)
        # What a model would set by itself (temperature, penalties) is not what was asked for.
        model.generation_config = GenerationConfig()
        return model


class _Unusable(Exception):
    """A request that this model cannot answer; the reason is for the reply's detail."""


@dataclass(slots=True, eq=False)
class _Waiting:
    prompt: list[int]
    drawing: Drawing
    seed: str
    reply: asyncio.Future[ChatReply]
    schema: Mapping[str, Any] | None = None


def _batches(together: Sequence[_Waiting], size: int) -> Iterator[list[_Waiting]]:
    """Batches of one way of drawing, the longest prompts first (memory that does not suffice shows at once).

    Sorting is stable, so what came together in the same order is batched in the same way.
    """
    ordered = sorted(together, key=lambda one: (one.drawing, -len(one.prompt)))
    for _, alike in groupby(ordered, key=lambda one: one.drawing):
        rest = list(alike)
        for start in range(0, len(rest), size):
            yield rest[start : start + size]


def _reply(asked: _Waiting, made: Generated, seconds: float) -> ChatReply:
    counts: dict[str, Any] = {
        "finish_reason": made.finish_reason,
        "prompt_tokens": len(asked.prompt),
        "completion_tokens": made.tokens,
        "seconds": seconds,
    }
    if made.complete:
        closed = "the end was written for the model at its token limit" if made.finish_reason == "length" else ""
        return ChatReply(made.text, detail=closed, **counts)
    if made.finish_reason == "length":
        detail = f"the reply was cut at {asked.drawing.max_new_tokens} tokens"
        return ChatReply(made.text, failure="truncated", detail=detail, **counts)
    if not made.text.strip():
        return ChatReply(made.text, failure="empty", detail="the reply has no text", **counts)
    return ChatReply(made.text, **counts)


def _text(content: Any) -> str:
    """The text of a message. Raises `_Unusable` for parts that are none."""
    if content is None or isinstance(content, str):
        text = content or ""
    else:
        kinds = [part.get("type", "text") for part in content if not isinstance(part.get("text"), str)]
        if kinds:
            raise _Unusable(f"a local model reads text only, found a part of type {kinds[0]!r}")
        text = "".join(part["text"] for part in content)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Unusable("a message holds characters that are no Unicode text (lone surrogates)") from None
    return text
