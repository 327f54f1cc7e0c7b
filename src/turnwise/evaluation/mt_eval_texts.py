"""What MT-Eval's dialogues say beside their raw files: labels, and the instructions of the recollection tasks.

The raw files hold documents, questions and refinements; these sentences stand in the authors' program ("MT-Eval: A
Multi-Turn Capabilities Evaluation Benchmark for Large Language Models", Kwan et al. 2024). The wording here is ours and
asks the same; `read_wording` takes the authors' where the folder has it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from turnwise.errors import DataError

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
        "I will show you documents, one in each message. Say to which of these categories the document belongs:",
        *LABELS,
        "",
        "Answer with the name of the category and nothing else. If this is clear, answer OK.",
    ]
)
"""First message of a classification dialogue."""

CLASSIFY_FIRST = (
    "Instruction: Say which one of these labels fits the content that was given at the start: "
    f"{', '.join(LABELS)}. Answer with the label alone."
)
"""The classification turn of an expansion dialogue."""

SHORT = " No reply may have 200 words or more."
"""What every global instruction ends with."""

WORDING_FILE = "wording.json"
READY_MADE = "cls_ablation_gold.jsonl"

_EVERY = "From here on, every reply of yours has to"


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
    return GlobalInstruction("startend:start_char", f"{_EVERY} begin with the letter {letter}.", {"letter": letter})


def _end(phrase: str) -> GlobalInstruction:
    text = f"{_EVERY} close with exactly these words, and nothing after them: '{phrase}'"
    return GlobalInstruction("startend:end_phrase", text, {"phrase": phrase})


def _language(name: str) -> GlobalInstruction:
    text = f"{_EVERY} be in {name} and in no other language."
    return GlobalInstruction("language:response_language", text, {"language": name})


def _bullets(number: int) -> GlobalInstruction:
    text = f"{_EVERY} hold exactly {number} markdown bullet points, each on a line that begins with '* '."
    return GlobalInstruction("format:bullet_list", text, {"number": number})


def _sentences(number: int) -> GlobalInstruction:
    text = f"{_EVERY} have fewer than {number} sentences."
    return GlobalInstruction("length_constraints:number_sentences", text, {"fewer_than": number})


def _keywords(*words: str) -> GlobalInstruction:
    text = f"{_EVERY} use each of these words: {', '.join(words)}."
    return GlobalInstruction("keywords:existence", text, {"keywords": list(words)})


def _placeholders(number: int) -> GlobalInstruction:
    text = f"{_EVERY} leave at least {number} places to fill in, in square brackets, for example [name]."
    return GlobalInstruction("content:placeholder", text, {"at_least": number})


def _plain(kind: str, text: str, **arguments: Any) -> GlobalInstruction:
    return GlobalInstruction(kind, f"{_EVERY} {text}", arguments)


_EMOJI = _plain("startend:start_emoji", "begin with an emoji.")
_JSON = _plain("format:json_format", "be one JSON value; a fenced block around it is allowed.")
_CAPITALS = _plain("change_case:capital_letter", "be in capital letters only.")
_LOWER = _plain("change_case:lowercase", "be in small letters only.")
_NO_COMMA = _plain("punctuation:no_comma", "do without any comma.")
_TWO = _plain("combination:two_responses", "give two different answers with six asterisks between them: ******")
_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_CHOICE = _plain(
    "format:constrained_response", f"be one of these sentences: {' '.join(_OPTIONS)}", options=list(_OPTIONS)
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


@dataclass(frozen=True, slots=True)
class Wording:
    """The sentences that a set of dialogues is built with.

    Attributes:
        classify_all: First message of a classification dialogue.
        classify_first: The classification turn of an expansion dialogue.
        short: What every global instruction ends with.
        instructions: By kind, the instructions of its two dialogues.
    """

    classify_all: str = CLASSIFY_ALL
    classify_first: str = CLASSIFY_FIRST
    short: str = SHORT
    instructions: Mapping[str, tuple[GlobalInstruction, GlobalInstruction]] = field(
        default_factory=lambda: GLOBAL_INSTRUCTIONS
    )


def read_wording(folder: Path) -> Wording:
    """The authors' sentences where the folder has them, ours elsewhere.

    The opening of the classification dialogues is read from the authors' ready-made `cls_ablation_gold.jsonl`, less the
    four blanks that indent its list there. All else can be given in `wording.json`: an object with `classify_all`,
    `classify_first`, `short` (texts) and `instructions` (by kind, the two texts).

    Raises:
        DataError: `wording.json` is no such object, or the ready-made file cannot be read.
    """
    wording = Wording()
    ready = folder / READY_MADE
    if ready.is_file():
        wording = replace(wording, classify_all=_opening(ready).replace("\n    ", "\n"))
    path = folder / WORDING_FILE
    if not path.is_file():
        return wording
    given = _object(path)
    texts = {key: value for key, value in given.items() if key != "instructions"}
    known = ("classify_all", "classify_first", "short")
    if not all(key in known and isinstance(value, str) for key, value in texts.items()):
        raise DataError(f"expected texts under {', '.join(known)} and 'instructions'", path=path)
    instructions = dict(wording.instructions)
    for kind, pair in (given.get("instructions") or {}).items():
        if kind not in instructions or not isinstance(pair, list) or len(pair) != 2:
            raise DataError(f"expected two texts for a kind of instruction, found {kind!r}", path=path)
        first, second = instructions[kind]
        instructions[kind] = (replace(first, text=str(pair[0])), replace(second, text=str(pair[1])))
    return replace(wording, **texts, instructions=instructions)


def _opening(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as stream:
            return str(json.loads(stream.readline())["conv"][0]["user"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"expected a dialogue with 'conv', found none ({error})", path=path, line=1) from None


def _object(path: Path) -> dict[str, Any]:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"not JSON ({error})", path=path) from None
    if not isinstance(given, dict) or not isinstance(given.get("instructions") or {}, dict):
        raise DataError("expected an object of texts", path=path)
    return given
