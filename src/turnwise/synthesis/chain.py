"""The chain of dialogue logic: what each turn is, what it looks for in the document, and what it found there.

A mode turns a document into a `Written` (a list of `ChainTurn`, or a failure with all raw texts); `to_dialogue` turns
that into the record that every other stage reads, with the offsets of every span of evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, get_args

from turnwise.dialogue import Dialogue, Document, Message

Logic = Literal[
    "question-answer",
    "question-question",
    "statement-inquiry",
    "statement-explanation",
    "opinion-rebuttal",
    "opinion-agreement",
]
LOGIC_TYPES: tuple[Logic, ...] = get_args(Logic)
"""The six logic types of R2S (section 4.1): what the user does, and what the assistant does in return."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a document.

    Attributes:
        start: First character in `Document.text`.
        end: One past the last character.
        text: `Document.text[start:end]`, always.
        score: 1.0 where what was looked for stands there word for word; below 1, how well it aligns.
    """

    start: int
    end: int
    text: str
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class ChainTurn:
    """One turn with its thought.

    Attributes:
        user: The user's utterance.
        assistant: The assistant's utterance.
        logic: Its logic type; None in the modes without a chain.
        purpose: What the turn is for, in a few words; "" where it is not said.
        search: Key phrases that were looked for.
        find: What was claimed to stand in the document; "" where the assistant answers from common knowledge.
        span: Where it stands; None where it is not claimed, or was not found.
        progress: Where the dialogue is with it: opening, deepening, ...; "" where it is not said.
        flow: What the user does and what the assistant does in return; "" where it is not said.
    """

    user: str
    assistant: str
    logic: Logic | None = None
    purpose: str = ""
    search: tuple[str, ...] = ()
    find: str = ""
    span: Span | None = None
    progress: str = ""
    flow: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What a mode made of one document.

    Attributes:
        turns: The turns, in order; empty where it failed.
        failure: Why there is no dialogue: a kind of `turnwise.llm.chat.FailureKind`, or `malformed`, `no_turns`,
            `ungrounded`, `too_short`, `too_long`, `near_duplicate`.
        detail: One sentence about it.
        raw: Every text that a teacher gave for it, in order.
        prompt: Name and version of the prompts; "" without a model.
        checks: Figures of the checks, by name.
    """

    turns: tuple[ChainTurn, ...] = ()
    failure: str | None = None
    detail: str = ""
    raw: tuple[str, ...] = ()
    prompt: str = ""
    checks: dict[str, Any] = field(default_factory=dict)


class Mode(Protocol):
    """A way of writing dialogues."""

    @property
    def name(self) -> str:
        """As on the command line: `extractive`, `direct`, `cot`, `cod`, `cod-stepwise`."""
        ...

    @property
    def teacher(self) -> str | None:
        """The teacher's name; None without one."""
        ...

    async def write(self, document: Document) -> Written:
        """Write a dialogue about one document. Never raises for what one document or one reply is about."""
        ...


def language_of(text: str) -> Literal["en", "zh"]:
    """`zh` where at least a fifth of the letters are Chinese characters, else `en`."""
    letters = [char for char in text if char.isalpha()]
    han = sum("\u4e00" <= char <= "\u9fff" or "\u3400" <= char <= "\u4dbf" for char in letters)
    return "zh" if letters and han / len(letters) >= 0.2 else "en"


def grounded_share(turns: Sequence[ChainTurn]) -> float | None:
    """The share of the claimed spans that were found in the document; None where none is claimed."""
    claimed = [turn for turn in turns if turn.find]
    return sum(turn.span is not None for turn in claimed) / len(claimed) if claimed else None


def to_dialogue(document: Document, written: Written, mode: Mode) -> Dialogue:
    """The canonical record of what was written.

    `evidence` holds one entry per found span: `message` (index of the assistant's message), `document`, `start`, `end`,
    `text`, `score`. The assistant's messages carry `logic`, `purpose`, `progress`, `flow`, `search` and `find` among
    their extra keys where set; `metadata` has `document`, `title`, `language`, `mode`, `teacher`, `prompt` and
    `checks`.

    Raises:
        ValueError: It has no turns, or a span is not what the document holds at its offsets.
    """
    if not written.turns:
        raise ValueError(f"{document.id}: nothing was written ({written.failure})")
    messages: list[Message] = []
    evidence: list[dict[str, Any]] = []
    for turn in written.turns:
        messages.append(Message("user", turn.user))
        thought = {
            "logic": turn.logic,
            "purpose": turn.purpose,
            "progress": turn.progress,
            "flow": turn.flow,
            "search": list(turn.search),
            "find": turn.find,
        }
        messages.append(
            Message("assistant", turn.assistant, extra={key: value for key, value in thought.items() if value})
        )
        if turn.span is not None:
            span = turn.span
            if document.text[span.start : span.end] != span.text:
                raise ValueError(f"{document.id}: the span at {span.start} is not the document's text")
            evidence.append(
                {
                    "message": len(messages) - 1,
                    "document": document.id,
                    "start": span.start,
                    "end": span.end,
                    "text": span.text,
                    "score": span.score,
                }
            )
    metadata = {
        "document": document.id,
        "title": document.title,
        "language": language_of(document.text),
        "mode": mode.name,
        "teacher": mode.teacher,
        "prompt": written.prompt,
        "checks": written.checks,
    }
    kept = {key: value for key, value in metadata.items() if value not in (None, "", {})}
    return Dialogue(messages, id=f"{document.id}/{mode.name}", source="synthesis", evidence=evidence, metadata=kept)


def failed(reason: str, detail: str, *, raw: Sequence[str] = (), prompt: str = "") -> Written:
    """A document that gave no dialogue."""
    return Written(failure=reason, detail=detail, raw=tuple(raw), prompt=prompt)


def cut_after(written: Written, number: int, **checks: Any) -> Written:
    """The same with the first `number` turns alone (what a failed check leaves)."""
    return replace(written, turns=written.turns[:number], checks={**written.checks, **checks})
