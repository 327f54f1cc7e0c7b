"""Instructions that a program can check in a reply, by kind.

Case never matters where words are looked for, so that an instruction about case contradicts no other. English text and
Chinese text are checked by the same functions, but for lengths: words there, characters here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from turnwise.errors import DataError
from turnwise.evaluation.text_counts import count_sentences, count_words

Needs = Literal["nothing", "number", "phrase", "words"]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction that all replies from its turn on have to follow.

    Attributes:
        kind: Of `KINDS`.
        arguments: What its check needs: `{"number": 3}`, `{"phrase": "..."}`, `{"words": ["..."]}` or nothing.
    """

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def follows(self, reply: str) -> bool:
        """Whether a reply follows it. An empty reply follows nothing, not even what forbids something."""
        return bool(reply.strip()) and KINDS[self.kind].check(reply.strip(), **self.arguments)

    def to_dict(self) -> dict[str, Any]:
        """`{"kind": ..., "arguments": {...}}`, without empty arguments."""
        return {"kind": self.kind, "arguments": dict(self.arguments)} if self.arguments else {"kind": self.kind}

    @classmethod
    def from_dict(cls, record: Any) -> Instruction:
        """Read what `to_dict` wrote, or what a user wrote.

        Raises:
            DataError: No such kind, or not its arguments.
        """
        if not isinstance(record, Mapping) or record.get("kind") not in KINDS:
            found = record.get("kind") if isinstance(record, Mapping) else record
            raise DataError(f"expected an instruction with a 'kind' among {', '.join(KINDS)}; found {found!r}")
        kind, arguments = record["kind"], record.get("arguments") or {}
        needs = KINDS[kind].needs
        wanted = set() if needs == "nothing" else {needs}
        if record.keys() - {"kind", "arguments"} or not isinstance(arguments, Mapping) or set(arguments) != wanted:
            expected = f"the argument {needs!r}" if wanted else "no arguments"
            raise DataError(f"expected the instruction {kind} with {expected}, found {dict(record)!r}")
        if wanted and not _fits(needs, arguments[needs]):
            raise DataError(f"{kind}: expected {_EXPECTED[needs]} as {needs!r}, found {arguments[needs]!r}")
        return cls(kind, dict(arguments))


_EXPECTED = {"number": "a whole number of at least 1", "phrase": "a text", "words": "a list of texts"}


def _fits(needs: Needs, value: Any) -> bool:
    if needs == "number":
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if needs == "phrase":
        return isinstance(value, str) and bool(value.strip())
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) and word.strip() for word in value)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of instruction.

    Attributes:
        check: From the reply (never empty, without white space around) and the argument to the verdict.
        needs: Which argument.
        excludes: Kinds that cannot be followed together with this one.
    """

    check: Callable[..., bool]
    needs: Needs = "nothing"
    excludes: tuple[str, ...] = ()


def _starts_with(reply: str, phrase: str) -> bool:
    return reply.casefold().startswith(phrase.casefold())


def _ends_with(reply: str, phrase: str) -> bool:
    return reply.casefold().endswith(phrase.casefold())


def _has_word(reply: str, word: str) -> bool:
    """As a word of its own; a word that is not of Latin letters (Chinese has no gaps) anywhere."""
    if re.fullmatch(r"[a-z'-]+", word.casefold()):
        return re.search(rf"(?<![a-z]){re.escape(word.casefold())}(?![a-z])", reply.casefold()) is not None
    return word.casefold() in reply.casefold()


def _includes(reply: str, words: list[str]) -> bool:
    return all(_has_word(reply, word) for word in words)


def _avoids(reply: str, words: list[str]) -> bool:
    return not any(_has_word(reply, word) for word in words)


def _count_bullets(reply: str) -> int:
    return len(re.findall(r"^[ \t]*[-*•][ \t]+\S", reply, flags=re.MULTILINE))


def _count_paragraphs(reply: str) -> int:
    return len([part for part in re.split(r"\n[ \t]*\n", reply) if part.strip()])


def _count_characters(reply: str) -> int:
    return sum(not character.isspace() for character in reply)


def _count_questions(reply: str) -> int:
    return reply.count("?") + reply.count("？")


KINDS: dict[str, Kind] = {
    "starts_with": Kind(_starts_with, "phrase"),
    "ends_with": Kind(_ends_with, "phrase"),
    "includes": Kind(_includes, "words"),
    "avoids": Kind(_avoids, "words"),
    "no_commas": Kind(lambda reply: not re.search("[,，]", reply)),
    "no_exclamation": Kind(lambda reply: not re.search("[!！]", reply)),
    "one_question": Kind(lambda reply: _count_questions(reply) == 1),
    "no_digits": Kind(lambda reply: not re.search(r"\d", reply), excludes=("some_digit",)),
    "some_digit": Kind(lambda reply: re.search(r"\d", reply) is not None, excludes=("no_digits",)),
    "lower_case": Kind(lambda reply: reply == reply.lower(), excludes=("upper_case",)),
    "upper_case": Kind(lambda reply: reply == reply.upper(), excludes=("lower_case",)),
    "most_words": Kind(lambda reply, number: count_words(reply) <= number, "number"),
    "least_words": Kind(lambda reply, number: count_words(reply) >= number, "number"),
    "most_characters": Kind(lambda reply, number: _count_characters(reply) <= number, "number"),
    "least_characters": Kind(lambda reply, number: _count_characters(reply) >= number, "number"),
    "most_sentences": Kind(lambda reply, number: count_sentences(reply) <= number, "number"),
    "bullets": Kind(lambda reply, number: _count_bullets(reply) == number, "number"),
    "paragraphs": Kind(lambda reply, number: _count_paragraphs(reply) == number, "number"),
    "title": Kind(lambda reply: any(re.search(r"\w", title) for title in re.findall(r"<<([^<>\n]*)>>", reply))),
    "placeholders": Kind(lambda reply, number: len(re.findall(r"\[[^\[\]\n]+\]", reply)) >= number, "number"),
}
"""Every kind, by name."""
