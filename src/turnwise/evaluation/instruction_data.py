"""Dialogues with accumulating instructions: generated with a seed, or read from a user's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from turnwise.data.read import read_dialogues
from turnwise.dialogue import Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import Item
from turnwise.evaluation.instruction_checks import KINDS, Instruction
from turnwise.evaluation.instruction_texts import CLOSINGS, LEADS, OPENINGS, QUESTIONS, UNWANTED, WANTED, WORDINGS
from turnwise.llm.chat import Sampling

KEY = "instructions"
"""Key of a user message that holds its instructions, in the form of `Instruction.to_dict`."""


def generate_dialogues(
    number: int = 60,
    *,
    turns: int = 8,
    per_turn: int = 1,
    most: int = 8,
    languages: Sequence[str] = ("en",),
    seed: int = 0,
    sampling: Sampling | None = None,
) -> list[Item]:
    """Dialogues of unrelated questions in which instructions for all further replies accumulate.

    Every turn asks a new question; the first ones also give `per_turn` new instructions each, until the dialogue has
    `most` of them. A dialogue has no kind twice and no two kinds that exclude each other, so all its instructions can
    be followed at once.

    Args:
        number: How many dialogues; the languages take turns.
        turns: User messages per dialogue.
        per_turn: New instructions per turn.
        most: Instructions per dialogue, at most.
        languages: Of `en` and `zh`.
        seed: The same seed gives the same dialogues. A dialogue depends on its number and the settings alone.
        sampling: How the replies are drawn; None for the model's defaults.

    Raises:
        ConfigError: A number below 1, an unknown language, more instructions than there are kinds, or more turns than
            there are questions.
    """
    if min(number, turns, per_turn, most) < 1:
        raise ConfigError("expected a number of at least 1 of dialogues, turns and instructions")
    unknown = [language for language in languages if language not in WORDINGS]
    if unknown or not languages:
        raise ConfigError(f"expected languages among {', '.join(WORDINGS)}, found {', '.join(unknown) or 'none'}")
    for language in languages:
        if most > _most_together(language):
            raise ConfigError(f"{language}: at most {_most_together(language)} instructions go together, found {most}")
        if turns > len(QUESTIONS[language]):
            raise ConfigError(f"{language}: there are {len(QUESTIONS[language])} questions, found {turns} turns")
    items = []
    for index in range(number):
        language = languages[index % len(languages)]
        draw = Random(f"pif/{seed}/{index}")  # a text: the same numbers for everybody
        chosen = [_draw(kind, language, draw) for kind in _compatible(language, most, draw)]
        messages = []
        for turn, question in enumerate(draw.sample(QUESTIONS[language], turns)):
            new = chosen[turn * per_turn : (turn + 1) * per_turn]
            lines = [question] if not new else [LEADS[language], *(_say(one, language) for one in new), "", question]
            extra = {KEY: [one.to_dict() for one in new]} if new else {}
            messages.append(Message("user", "\n".join(lines), extra=extra))
        metadata = {"category": language, "language": language}
        items.append(Item(f"pif/{language}-{seed}-{index}", messages, sampling or Sampling(), metadata=metadata))
    return items


def read_instruction_dialogues(path: str | Path, *, sampling: Sampling | None = None) -> list[Item]:
    """A user's own dialogues: any format that turnwise reads, with `instructions` in user messages.

    A user message may hold `"instructions": [{"kind": "most_words", "arguments": {"number": 50}}]`, which says what a
    program has to check from this turn's reply on. The message's text must say it too: nothing is added. Assistant
    messages are gold history.

    Raises:
        DataError: The file cannot be read, a dialogue is none, an instruction is none, or no dialogue has any.
    """
    items, with_any = [], 0
    for place, dialogue in enumerate(read_dialogues(path), start=1):
        for message in dialogue.messages:
            if message.role == "user":
                try:
                    with_any += bool(instructions_of(message))
                except DataError as error:
                    raise DataError(f"dialogue {place} ({dialogue.id}): {error.reason}", path=path) from None
        metadata: dict[str, Any] = {**dialogue.metadata, "category": dialogue.source or "all"}
        items.append(Item(dialogue.id, dialogue.messages, sampling or Sampling(), metadata=metadata))
    if not with_any:
        raise DataError(f"expected instructions in user messages (key {KEY!r}), found none", path=path)
    return items


def instructions_of(message: Message) -> list[Instruction]:
    """The instructions that a user message gives.

    Raises:
        DataError: One of them is none.
    """
    given = message.extra.get(KEY, [])
    if not isinstance(given, list):
        raise DataError(f"expected a list in {KEY!r}, found {type(given).__name__}")
    return [Instruction.from_dict(one) for one in given]


def _compatible(language: str, most: int, draw: Random) -> list[str]:
    kinds = draw.sample(list(WORDINGS[language]), len(WORDINGS[language]))
    chosen: list[str] = []
    for kind in kinds:
        if not set(KINDS[kind].excludes) & set(chosen):
            chosen.append(kind)
    return chosen[:most]


def _most_together(language: str) -> int:
    pairs = {frozenset((kind, other)) for kind in WORDINGS[language] for other in KINDS[kind].excludes}
    return len(WORDINGS[language]) - len([pair for pair in pairs if pair <= WORDINGS[language].keys()])


def _draw(kind: str, language: str, draw: Random) -> Instruction:
    wording = WORDINGS[language][kind]
    match KINDS[kind].needs:
        case "number":
            return Instruction(kind, {"number": draw.randint(wording.low, wording.high)})
        case "phrase":
            phrases = OPENINGS if kind == "starts_with" else CLOSINGS
            return Instruction(kind, {"phrase": draw.choice(phrases[language])})
        case "words":
            words = WANTED if kind == "includes" else UNWANTED
            return Instruction(kind, {"words": draw.sample(words[language], 2)})
        case _:
            return Instruction(kind)


def _say(instruction: Instruction, language: str) -> str:
    text = WORDINGS[language][instruction.kind].text
    for value in instruction.arguments.values():
        shown = ("、" if language == "zh" else ", ").join(value) if isinstance(value, list) else str(value)
        text = text.replace("{argument}", shown)
    return text if language == "zh" else f"- {text}"
