"""A small mode: the teacher asks about each sentence of the document in turn, the sentence itself answers."""

from __future__ import annotations

from typing import Any

from turnwise.dialogue import Document
from turnwise.llm.chat import ChatModel, ChatReply, ChatRequest
from turnwise.synthesis.chain import LOGIC_TYPES, ChainTurn, Span, Written, failed

ELSEWHERE = "ELSEWHERE "
COMMON = "COMMON "
PROMPT = "sentence/1"


class SentenceMode:
    """One request per sentence, each with all questions so far.

    A question that begins with `ELSEWHERE ` claims itself as evidence, which the document does not hold; one that
    begins with `COMMON ` claims none.

    Args:
        model: The teacher; None asks nobody and takes `What of {sentence}` as the question.
    """

    name = "sentence"

    def __init__(self, model: ChatModel | None = None) -> None:
        self._model = model

    @property
    def teacher(self) -> str | None:
        return None if self._model is None else self._model.name

    async def write(self, document: Document) -> Written:
        turns: list[ChainTurn] = []
        raw: list[str] = []
        for number, span in enumerate(sentences(document.text)):
            reply = await self._ask(span, raw)
            raw.append(reply.text)
            if reply.failure is not None:
                return failed(reply.failure, reply.detail, raw=raw, prompt=PROMPT)
            elsewhere, common = reply.text.startswith(ELSEWHERE), reply.text.startswith(COMMON)
            turn = ChainTurn(
                user=reply.text,
                assistant=span.text,
                logic=LOGIC_TYPES[number % len(LOGIC_TYPES)],
                purpose=f"sentence {number}",
                search=(span.text.split()[0],),
                find="" if common else reply.text if elsewhere else span.text,
                span=None if elsewhere or common else span,
            )
            turns.append(turn)
        return Written(tuple(turns), raw=tuple(raw), prompt=PROMPT)

    async def _ask(self, span: Span, before: list[str]) -> ChatReply:
        if self._model is None:
            return ChatReply(f"What of {span.text}")
        said: list[dict[str, Any]] = [{"role": "user", "content": "\n".join([*before, f"Ask about: {span.text}"])}]
        return await self._model.reply(ChatRequest(said))


def sentences(text: str) -> list[Span]:
    """Pieces that end in a full stop, with their offsets."""
    found, start = [], 0
    for piece in text.split(". "):
        end = start + len(piece)
        found.append(Span(start, end, text[start:end]))
        start = end + len(". ")
    return found


def document(number: int, count: int = 3, *, about: str = "thing", **metadata: Any) -> Document:
    """A document of `count` sentences that no other number shares."""
    words = [f"The {about} {number} has part {number * 100 + place} of colour c{place}" for place in range(count)]
    return Document(f"doc-{number}", ". ".join(words), f"Title {number}", metadata)
