"""Checks of a written dialogue: is it grounded, varied, in the right language, about the document, and nothing else?

They are figures and flags, kept with the dialogue; what becomes of a flagged one is the caller's decision.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from turnwise.dialogue import Document
from turnwise.synthesis.chain import ChainTurn, grounded_share, language_of
from turnwise.synthesis.grounding import ground

ALIKE = 0.8
"""Jaccard index of two messages' character bigrams from which one nearly repeats the other."""

_MARK = re.compile(r"</?\w+ [0-9a-f]{12}>")
_INSTRUCTION = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b[^.!?\n]{0,40}\b(?:instructions?|prompts?|rules?)\b"
    r"|\bsystem prompt\b|\byou are now\b"
    r"|(?:忽略|无视|忘记|忘掉|不要理会)[^。！？\n]{0,15}(?:指令|指示|提示|规则)|系统提示词?",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?。！？\n]+")
_CONTENT = re.compile(r"[^\W\d_\u3400-\u9fff]{6,}|\d{2,}")
_HAN = re.compile(r"[\u3400-\u9fff]+")


def ground_turns(turns: Sequence[ChainTurn], text: str, *, least: float) -> tuple[ChainTurn, ...]:
    """The turns with the span of every claim that is found in the document's text."""
    return tuple(replace(turn, span=ground(turn.find, text, least=least)) for turn in turns)


def check_turns(turns: Sequence[ChainTurn], document: Document, *, chain: bool) -> dict[str, Any]:
    """The figures of a dialogue.

    Args:
        turns: What was written; at least one.
        document: What it was written about.
        chain: Whether the mode writes a chain of dialogue logic; without one there are no claims to check.

    Returns:
        `turns` (how many), `language_match`, `near_duplicate_turns` (turns one of whose messages nearly repeats the
        same speaker's earlier one, by index), `off_document_turns` (`talks_about` is false), `flags` (`flags_of`).
        With a chain also `grounded` (share of the claimed spans that were found; None where none is claimed),
        `ungrounded_turns`, `common_knowledge` (share of the turns without a claim), `logic` (share of each type that
        occurs, of all turns) and `unknown_types` (turns whose type is none of the six).
    """
    off = [index for index, turn in enumerate(turns) if not talks_about(turn, document.text)]
    checks: dict[str, Any] = {
        "turns": len(turns),
        "language_match": language_of(_said(turns)) == language_of(document.text),
        "near_duplicate_turns": near_duplicate_turns(turns),
        "off_document_turns": off,
        "flags": flags_of(turns, off),
    }
    if chain:
        types = Counter(turn.logic for turn in turns if turn.logic is not None)
        checks |= {
            "grounded": grounded_share(turns),
            "ungrounded_turns": [index for index, turn in enumerate(turns) if is_ungrounded(turn)],
            "common_knowledge": sum(not turn.find for turn in turns) / len(turns),
            "logic": {logic: count / len(turns) for logic, count in sorted(types.items())},
            "unknown_types": len(turns) - types.total(),
        }
    return checks


def is_ungrounded(turn: ChainTurn) -> bool:
    """Whether a turn claims a span that was not found."""
    return bool(turn.find) and turn.span is None


def flags_of(turns: Sequence[ChainTurn], off: Sequence[int]) -> list[str]:
    """What makes a dialogue suspect of having followed its document instead of talking about it.

    `fence_mark`: a message or claim repeats a mark of a fence. `instruction`: one holds what instructions to models
    look like ("ignore the instructions above", "system prompt", ...). `off_document`: more than half of the turns have
    nothing in common with the document.
    """
    texts = [text for turn in turns for text in (turn.user, turn.assistant, turn.find)]
    found = {
        "fence_mark": any(_MARK.search(text) for text in texts),
        "instruction": any(_INSTRUCTION.search(text) for text in texts),
        "off_document": 2 * len(off) > len(turns),
    }
    return [name for name, is_so in found.items() if is_so]


def talks_about(turn: ChainTurn, text: str) -> bool:
    """Whether a turn shares a word of six letters, a number of two digits or a Chinese bigram with a text.

    Sentences of the text that hold an instruction to a model do not count: who obeys one often repeats its words.
    """
    material = " ".join(part for part in _SENTENCE.findall(text) if not _INSTRUCTION.search(part))
    return bool(_content(f"{turn.user}\n{turn.assistant}") & _content(material))


def near_duplicate_turns(turns: Sequence[ChainTurn]) -> list[int]:
    """Turns whose user or assistant says nearly what they said in an earlier turn, by index."""
    seen = [(_bigrams(turn.user), _bigrams(turn.assistant)) for turn in turns]
    return [
        index
        for index, ours in enumerate(seen)
        if any(_alike(one, other) for theirs in seen[:index] for one, other in zip(ours, theirs, strict=True))
    ]


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= ALIKE * len(one | other)


def _bigrams(text: str) -> frozenset[str]:
    letters = " ".join(re.findall(r"\w+", text.casefold()))
    return frozenset(letters[start : start + 2] for start in range(max(1, len(letters) - 1)))


def _content(text: str) -> set[str]:
    plain = text.casefold()
    runs = _HAN.findall(plain)
    return {*_CONTENT.findall(plain), *(run[start : start + 2] for run in runs for start in range(len(run) - 1))}


def _said(turns: Sequence[ChainTurn]) -> str:
    return "\n".join(text for turn in turns for text in (turn.user, turn.assistant))
