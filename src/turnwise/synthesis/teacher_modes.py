"""Modes that ask a teacher once per document: `direct` and `cot` (the paper's baselines) and `cod` (the paper)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from turnwise.dialogue import Document
from turnwise.errors import ConfigError
from turnwise.llm.chat import ChatModel, Sampling
from turnwise.synthesis.chain import Written, cut_after, failed
from turnwise.synthesis.checks import check_turns, ground_turns, is_ungrounded
from turnwise.synthesis.prompts import (
    MOST_CHARACTERS,
    characters,
    document_fields,
    label,
    language_for,
    packaged_prompt,
)
from turnwise.synthesis.replies import (
    COD_SCHEMA,
    COT_SCHEMA,
    DIRECT_SCHEMA,
    failure_of,
    is_silent,
    read_turn,
    texts_of,
    value_of,
)

TURNS = 8
"""Turns that are asked for at least; the paper asks for more than seven."""
TEACHER_SAMPLING = Sampling(temperature=0, max_tokens=8192)
"""Greedy, as in the paper."""


class _OneRequest:
    """A whole dialogue from one structured request."""

    _name: ClassVar[Literal["direct", "cot", "cod"]]
    _schema: ClassVar[Mapping[str, Any]]

    def __init__(
        self, teacher: ChatModel, *, turns: int = TURNS, least: int = 1, sampling: Sampling = TEACHER_SAMPLING
    ) -> None:
        if not 1 <= least <= turns:
            raise ConfigError(f"expected 1 <= least <= turns, found least {least} and turns {turns}")
        self._teacher = teacher
        self._turns = turns
        self._least = least
        self._sampling = sampling

    @property
    def name(self) -> str:
        """As on the command line."""
        return self._name

    @property
    def teacher(self) -> str | None:
        """The teacher's name."""
        return self._teacher.name

    async def write(self, document: Document) -> Written:
        """Ask for the dialogue, read it, check it. Failures are `malformed`, `too_long`, `too_short` and the reply's.

        Raises:
            TurnwiseError: The teacher cannot be asked at all.
        """
        language = language_for(document)
        prompt = label(self.name, language)
        fields = {**document_fields(document), "turns": str(self._turns)}
        request = packaged_prompt(self._name, language).request(fields, self._schema, self._sampling)
        length = characters(request)
        if length > MOST_CHARACTERS:
            detail = (
                f"prompt and document have {length:,} characters, expected at most {MOST_CHARACTERS:,}: cut it first"
            )
            return failed("too_long", detail, prompt=prompt)
        reply = await self._teacher.reply(request)
        raw = texts_of(reply)
        if reply.failure is not None:
            return failure_of(reply, raw, prompt)
        turns = tuple(read_turn(said) for said in value_of(reply)["turns"])
        silent = next((number for number, turn in enumerate(turns) if is_silent(turn)), None)
        if silent is not None:
            return failed("malformed", f"a message of turn {silent} is empty", raw=raw, prompt=prompt)
        if len(turns) < self._least:
            detail = f"expected at least {self._least} turns, found {len(turns)}"
            return failed("too_short", detail, raw=raw, prompt=prompt)
        return await asyncio.to_thread(self._checked, document, Written(turns, raw=raw, prompt=prompt))

    def _checked(self, document: Document, written: Written) -> Written:
        return _with_checks(document, written, self._turns, chain=False)


class Direct(_OneRequest):
    """Only the turns, without any thought: the paper's baseline "Direct".

    Args:
        teacher: Who writes; its replies must be checked against their schema (`open_model` sees to that).
        turns: Turns that are asked for; a dialogue of fewer has `short` among its checks.
        least: Fewer turns are a failure (`too_short`).
        sampling: How the teacher is asked.

    Raises:
        ConfigError: `least` is not between 1 and `turns`.
    """

    _name = "direct"
    _schema = DIRECT_SCHEMA


class Cot(_OneRequest):
    """Thinking step by step, then the turns: the paper's baseline "CoT". The thinking is kept in `Written.raw`.

    Args:
        teacher: Who writes; its replies must be checked against their schema (`open_model` sees to that).
        turns: Turns that are asked for; a dialogue of fewer has `short` among its checks.
        least: Fewer turns are a failure (`too_short`).
        sampling: How the teacher is asked.

    Raises:
        ConfigError: `least` is not between 1 and `turns`.
    """

    _name = "cot"
    _schema = COT_SCHEMA


class Cod(_OneRequest):
    """The chain of dialogue logic in one answer (R2S, section 4.2), every claimed span looked for in the document.

    Args:
        teacher: Who writes; its replies must be checked against their schema (`open_model` sees to that).
        turns: Turns that are asked for; a dialogue of fewer has `short` among its checks.
        least: Fewer turns are a failure (`too_short`; `ungrounded` where `require_grounded` left so few).
        sampling: How the teacher is asked.
        require_grounded: Keep only the turns before the first whose claimed span was not found.
        least_score: Lowest score at which a span counts as found (`turnwise.synthesis.grounding.ground`).

    Raises:
        ConfigError: `least` is not between 1 and `turns`, or `least_score` not above 0 and up to 1.
    """

    _name = "cod"
    _schema = COD_SCHEMA

    def __init__(
        self,
        teacher: ChatModel,
        *,
        turns: int = TURNS,
        least: int = 1,
        sampling: Sampling = TEACHER_SAMPLING,
        require_grounded: bool = False,
        least_score: float = 0.8,
    ) -> None:
        super().__init__(teacher, turns=turns, least=least, sampling=sampling)
        if not 0 < least_score <= 1:
            raise ConfigError(f"expected least_score above 0 and up to 1, found {least_score}")
        self._require_grounded = require_grounded
        self._least_score = least_score

    def _checked(self, document: Document, written: Written) -> Written:
        turns = ground_turns(written.turns, document.text, least=self._least_score)
        found = _with_checks(document, Written(turns, raw=written.raw, prompt=written.prompt), self._turns, chain=True)
        if not self._require_grounded:
            return found
        return keep_grounded(document, found, least=self._least, asked=self._turns)


def keep_grounded(document: Document, written: Written, *, least: int = 1, asked: int = TURNS) -> Written:
    """The turns before the first ungrounded one; its checks are those of what is left, `cut` says how many there were.

    Returns:
        The same where all claims were found; a failure `ungrounded` where fewer than `least` turns are left.
    """
    first = next((index for index, turn in enumerate(written.turns) if is_ungrounded(turn)), None)
    if first is None:
        return written
    if first < max(1, least):
        claim = written.turns[first].find[:100]
        detail = f"turn {first} claims what the document does not hold: {claim!r}"
        return failed("ungrounded", detail, raw=written.raw, prompt=written.prompt)
    left = cut_after(written, first)
    return _with_checks(document, left, asked, chain=True, cut=len(written.turns))


def _with_checks(document: Document, written: Written, asked: int, *, chain: bool, **more: Any) -> Written:
    checks = check_turns(written.turns, document, chain=chain)
    if len(written.turns) < asked:
        checks["short"] = True
    return Written(written.turns, raw=written.raw, prompt=written.prompt, checks={**checks, **more})
