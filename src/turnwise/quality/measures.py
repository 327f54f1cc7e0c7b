"""What can be said of a dialogue without a model: one number per measure, or None where a measure has no meaning.

Every measure of a dialogue is a mean over its replies (or requests), so that each dialogue counts once in a table,
however long it is. `turnwise.quality.summary` makes tables of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from turnwise.dialogue import Dialogue, Message
from turnwise.quality.language import main_script
from turnwise.quality.refusals import is_refusal
from turnwise.quality.repetition import (
    N,
    copies_request,
    distinct_n,
    history_overlap,
    repeated_share,
    shared_share,
    type_token_ratio,
)
from turnwise.quality.words import content_terms, ngrams, words

Kind = Literal["count", "share"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure.

    Attributes:
        name: Its key in results.
        label: What it is called in a table.
        kind: A count (turns, words) or a share from 0 to 1.
        worst_from: Value from which a dialogue may be listed among the worst; None for a measure that is not bad by
            itself.
        reason: What is wrong with such a dialogue, with `{}` for the value.
    """

    name: str
    label: str
    kind: Kind
    worst_from: float | None = None
    reason: str = ""


MEASURES = (
    Measure("turns", "turns", "count"),
    Measure("request_words", "words per request", "count"),
    Measure("reply_words", "words per reply", "count"),
    Measure("empty", "empty replies", "share", 0.001, "{} of the replies are empty"),
    Measure("refusals", "refusals", "share", 0.5, "{} of the replies decline"),
    Measure("copies", "replies that copy the request", "share", 0.001, "{} of the replies copy their request"),
    Measure("repetition", "repetition within a reply", "share", 0.2, "{} of a reply's 4-grams repeat earlier ones"),
    Measure("repetition_between", "repetition between replies", "share", 0.5, "{} of a reply's 4-grams said before"),
    Measure("history_overlap", "overlap with earlier turns", "share"),
    Measure("request_overlap", "overlap with the request", "share"),
    Measure("script_change", "replies in another script", "share", 0.001, "{} of the replies in another script"),
    Measure("type_token_ratio", "type-token ratio (50 words)", "share"),
    Measure("distinct_1", "distinct-1", "share"),
    Measure("distinct_2", "distinct-2", "share"),
    Measure("distinct_3", "distinct-3", "share"),
)
BY_NAME = {measure.name: measure for measure in MEASURES}

Values = dict[str, float | None]


@dataclass(slots=True)
class _Turn:
    """A reply with what it answers and what was said before."""

    reply: Message
    words: list[str]
    request: list[str]
    request_text: str
    terms: set[str]
    request_terms: set[str]
    earlier: set[str] | None
    """Content terms of all that was said before the request; None in the first turn."""


def measure_dialogue(dialogue: Dialogue) -> Values:
    """Every measure of one dialogue, by name; None where it has no meaning.

    A reply is an assistant message; its request is what the user said (all messages of the user) since the reply
    before. Only readable text counts: images, tool calls and their results have no words. An assistant message that
    has no text but calls a tool, or holds another part, is a turn, is not empty, and enters no measure of text.

    Args:
        dialogue: Any dialogue, also without messages or replies.
    """
    turns = _turns(dialogue.messages)
    spoken = [turn for turn in turns if turn.words]
    silent = [turn for turn in turns if _says_nothing(turn.reply)]
    judged = len(spoken) + len(silent)
    requests = [words(message.text) for message in dialogue.messages if message.role == "user"]
    texts = [turn.words for turn in spoken]
    answered = [turn for turn in spoken if turn.request]
    return {
        "turns": float(len(turns)),
        "request_words": _mean([float(len(said)) for said in requests]),
        "reply_words": _mean([float(len(turn.words)) for turn in [*spoken, *silent]]),
        "empty": len(silent) / judged if judged else None,
        "refusals": _share(spoken, lambda turn: is_refusal(turn.reply.text)),
        "copies": _share(answered, lambda turn: copies_request(turn.words, turn.request)),
        "repetition": _mean([repeated_share(said) for said in texts]),
        "repetition_between": _between(texts),
        "history_overlap": _mean([
            history_overlap(turn.terms, turn.request_terms, turn.earlier) for turn in spoken if turn.earlier is not None
        ]),
        "request_overlap": _mean([_request_overlap(turn) for turn in answered]),
        "script_change": _script_change(answered),
        "type_token_ratio": _mean([type_token_ratio(said) for said in texts]),
        "distinct_1": distinct_n(texts, 1),
        "distinct_2": distinct_n(texts, 2),
        "distinct_3": distinct_n(texts, 3),
    }  # fmt: skip


def reason(name: str, value: float) -> str:
    """Why a dialogue is among the worst by a measure, in words."""
    measure = BY_NAME[name]
    return measure.reason.format(f"{value:.0%}")


def _turns(messages: Sequence[Message]) -> list[_Turn]:
    turns: list[_Turn] = []
    said: set[str] = set()
    before: set[str] | None = None  # terms up to the current request
    request: list[str] = []
    asked: set[str] = set()
    texts: list[str] = []
    answered = True
    for message in messages:
        if message.role == "user":
            if answered:
                request, asked, texts, answered = [], set(), [], False
                before = set(said) if turns else None
            spoken = words(message.text)
            request += spoken
            asked |= content_terms(spoken)
            said |= asked
            texts.append(message.text)
        elif message.role == "assistant":
            reply = words(message.text)
            terms = content_terms(reply)
            turns.append(_Turn(message, reply, request, "\n".join(texts), terms, asked, before))
            said |= terms
            answered = True
    return turns


def _says_nothing(message: Message) -> bool:
    """No text, no tool call, no other part (an image is something said)."""
    if message.text.strip() or message.tool_calls:
        return False
    parts = message.content if isinstance(message.content, list) else []
    return all("text" in part or "value" in part for part in parts)


def _between(texts: Sequence[Sequence[str]]) -> float | None:
    """Mean over replies after the first: share of their 4-grams that an earlier reply holds."""
    earlier: set[tuple[str, ...]] = set()
    shares = []
    for number, said in enumerate(texts):
        if number:
            shares.append(shared_share(said, earlier))
        earlier.update(ngrams(said, N))
    return _mean(shares)


def _request_overlap(turn: _Turn) -> float | None:
    """Share of the reply's content terms that its request holds."""
    return len(turn.terms & turn.request_terms) / len(turn.terms) if turn.terms else None


def _script_change(turns: Sequence[_Turn]) -> float | None:
    pairs = [(main_script(turn.request_text), main_script(turn.reply.text)) for turn in turns]
    known = [(asked, answered) for asked, answered in pairs if asked is not None and answered is not None]
    return sum(asked != answered for asked, answered in known) / len(known) if known else None


def _share(turns: Sequence[_Turn], holds: Callable[[_Turn], bool]) -> float | None:
    return sum(holds(turn) for turn in turns) / len(turns) if turns else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
