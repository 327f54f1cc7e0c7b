"""What the settings change of requests and replies: sampling of the user's own, thinking taken out of the text.

Some models refuse what benchmarks ask for (a temperature, a stop text), some need room to think first, and some write
their thoughts into the reply. All of this stands above the cache: a request that is sampled otherwise is another
request, and the cache keeps replies as they came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from turnwise.llm.chat import ChatModel, ChatReply, ChatRequest, Sampling

_NAMED = frozenset(one.name for one in fields(Sampling)) - {"extra"}
_OPENED = re.compile(r"\s*(?:<(think|thinking)>|\[(THINK)\])")
# Templates that begin the thoughts themselves leave only their end to the reply, on a line of its own.
_END_ALONE = re.compile(r"(?:^|\n)</think>[ \t]*(?:\n|$)|</think>[ \t]*\n")
ONLY_THINKING = "only thinking came, and no answer"


class Adapted:
    """A chat model that is asked with other sampling, and whose thinking is kept apart from its reply.

    Args:
        model: Who answers.
        sampling: Fields of `Sampling`, in place of those of the requests (None: the model's own default); others are
            added to its `extra`.
        keep_thinking: Leave thoughts in the text.
    """

    def __init__(
        self, model: ChatModel, *, sampling: Mapping[str, Any] | None = None, keep_thinking: bool = False
    ) -> None:
        self._model = model
        self._sampling = dict(sampling or {})
        self._keep_thinking = keep_thinking

    @property
    def name(self) -> str:
        """The model's own."""
        return self._model.name

    @property
    def lockstep(self) -> bool:
        """The model's own."""
        return bool(getattr(self._model, "lockstep", False))

    async def reply(self, request: ChatRequest) -> ChatReply:
        """Answer one request. A reply that is nothing but thinking is `empty`, or `truncated` as it was."""
        reply = await self._model.reply(replace(request, sampling=resampled(request.sampling, self._sampling)))
        return reply if self._keep_thinking else _apart(reply)

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()

    def __repr__(self) -> str:
        return f"Adapted({self._model!r})"


def resampled(sampling: Sampling, own: Mapping[str, Any]) -> Sampling:
    """Sampling with the user's own fields in it; fields that `Sampling` does not name go to `extra`."""
    named = {name: value for name, value in own.items() if name in _NAMED}
    if "stop" in named:
        stop = named["stop"] or ()
        named["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    extra = {**sampling.extra, **{name: value for name, value in own.items() if name not in _NAMED}}
    return replace(sampling, **named, extra={name: value for name, value in extra.items() if value is not None})


def part_thinking(text: str) -> tuple[str, str]:
    """Thoughts and answer of a reply.

    Thoughts are what stands between `<think>` (`<thinking>`, `[THINK]`) at the very beginning and the first such end;
    or before an `</think>` at the end of a line that nothing has opened. Marks anywhere else are text. Thoughts that
    do not end leave no answer.
    """
    opened = _OPENED.match(text)
    if opened is not None:
        end = f"</{opened.group(1)}>" if opened.group(1) else "[/THINK]"
        thoughts, _, answer = text[opened.end() :].partition(end)
        return thoughts.strip(), answer.strip()
    found = _END_ALONE.search(text)
    if found is None or "<think>" in text[: found.start()]:
        return "", text
    return text[: found.start()].strip(), text[found.end() :].strip()


def _apart(reply: ChatReply) -> ChatReply:
    thoughts, answer = part_thinking(reply.text)
    if answer == reply.text:
        return reply
    failure, detail = reply.failure, reply.detail
    if failure is None and not answer:
        failure, detail = "empty", ONLY_THINKING
    elif failure == "truncated" and not answer:
        detail = f"{detail}, while still thinking"
    thinking = "\n\n".join(part for part in (reply.thinking, thoughts) if part)
    return replace(reply, text=answer, thinking=thinking, failure=failure, detail=detail)
