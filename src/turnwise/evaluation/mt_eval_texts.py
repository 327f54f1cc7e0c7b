"""Fixed texts of MT-Eval that its raw files do not hold: labels, and the instructions of the recollection tasks.

They are part of what the benchmark asks (Kwan et al. 2024, "MT-Eval: A Multi-Turn Capabilities Evaluation Benchmark for
Large Language Models"; code and data under the MIT licence, Copyright (c) 2024 Wai-Chung Kwan), so they stand here as
its authors' program writes them. Everything else is read from the raw files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SYSTEM = "You are a helpful, respectful and honest assistant."
"""System message of every dialogue."""

LABELS = (
    "ethics",
    "sports",
    "music",
    "art",
    "science",
    "literature",
    "economics",
    "medicine",
    "food",
    "technology",
    "history",
    "travel",
    "education",
)
"""Topics of the documents, in the order in which the prompts list them."""

CLASSIFY_ALL = "\n".join(
    [
        "You are given one document at each turn where each of them belongs to one of the following categories: ",
        *LABELS,
        "",
        "You task is to classify the document. You should only output the category and nothing else. "
        "Reply OK if you understand my instructions.",
    ]
)
"""First message of a classification dialogue."""

CLASSIFY_FIRST = (
    "Instruction: Classify the initially provided content into one of the following labels: "
    f"{', '.join(LABELS)}. Just provide the correct label without any further explanations or extra output."
)
"""The classification turn of an expansion dialogue."""

SHORT = " Keep all your responses under 200 words."
"""What every global instruction ends with."""

_ALL = "All your responses in the upcoming conversation must"
_BULLETS = "Use the markdown bullet points such as:\n* This is point 1.\n* This is point 2.\n"


@dataclass(frozen=True, slots=True)
class GlobalInstruction:
    """An instruction for a whole dialogue, and what its check needs to know.

    Attributes:
        kind: Its name in the raw file; `mt_eval_checks.CHECKS` has its check.
        text: What the first user message says.
        arguments: Of the check.
    """

    kind: str
    text: str
    arguments: dict[str, Any]


def _start(letter: str) -> GlobalInstruction:
    text = f"Begin all your responses in the upcoming conversation with the letter {letter}."
    return GlobalInstruction("startend:start_char", text, {"letter": letter})


def _end(phrase: str) -> GlobalInstruction:
    text = f"{_ALL} end with this exact phrase '{phrase}'. No other words should follow this phrase."
    return GlobalInstruction("startend:end_phrase", text, {"phrase": phrase})


def _language(name: str) -> GlobalInstruction:
    text = f"{_ALL} be written in {name} language, no other language is allowed."
    return GlobalInstruction("language:response_language", text, {"language": name})


def _bullets(number: int) -> GlobalInstruction:
    text = f"{_ALL} contain exactly {number} bullet points. {_BULLETS}"
    return GlobalInstruction("format:bullet_list", text, {"number": number})


def _sentences(number: int) -> GlobalInstruction:
    text = f"{_ALL} be less than {number} sentences."
    return GlobalInstruction("length_constraints:number_sentences", text, {"fewer_than": number})


def _keywords(*words: str) -> GlobalInstruction:
    text = f"Include keywords {list(words)} in all your responses in the upcoming conversation."
    return GlobalInstruction("keywords:existence", text, {"keywords": list(words)})


def _placeholders(number: int) -> GlobalInstruction:
    text = f"{_ALL} contain at least {number} placeholders represented by square brackets, such as [address]."
    return GlobalInstruction("content:placeholder", text, {"at_least": number})


def _plain(kind: str, text: str, **arguments: Any) -> GlobalInstruction:
    return GlobalInstruction(kind, text, arguments)


_EMOJI = _plain("startend:start_emoji", "Begin all your responses in the upcoming conversation with emoji.")
_JSON = _plain("format:json_format", f"{_ALL} be wrapped in JSON format. You can use markdown ticks such as ```.")
_CAPITALS = _plain("change_case:capital_letter", f"{_ALL} be in all capital letters.")
_LOWER = _plain("change_case:lowercase", f"{_ALL} be in all lower letters.")
_NO_COMMA = _plain("punctuation:no_comma", f"{_ALL} refrain from the use of any commas.")
_TWO = _plain(
    "combination:two_responses",
    f"{_ALL} have two different responses. Your two different responses should be separated by 6 asterisk symbols: "
    "******.",
)
_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_CHOICE = _plain(
    "format:constrained_response", f"{_ALL} be one of the following options: {_OPTIONS}.", options=list(_OPTIONS)
)

GLOBAL_INSTRUCTIONS: dict[str, tuple[GlobalInstruction, GlobalInstruction]] = {
    pair[0].kind: pair
    for pair in (
        (_start("o"), _start("r")),
        (_EMOJI, _EMOJI),
        (_end("Is there anything else I can help with?"), _end("Is there anything else I can help with?")),
        (_language("Bulgarian"), _language("Punjabi")),
        (_JSON, _JSON),
        (_bullets(4), _bullets(1)),
        (_sentences(4), _sentences(4)),
        (_keywords("city", "garbage"), _keywords("county", "hat")),
        (_CAPITALS, _CAPITALS),
        (_LOWER, _LOWER),
        (_NO_COMMA, _NO_COMMA),
        (_TWO, _TWO),
        (_placeholders(1), _placeholders(2)),
        (_CHOICE, _CHOICE),
    )
}
"""By kind, the instructions of its two dialogues.

The authors' program draws letters, phrases, languages, numbers and keywords with seed 11 while it builds the dialogues;
these are what it draws.
"""
