"""Statements for the user to make: a sentence put so that it can follow "I think", true or with one thing swapped."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from turnwise.synthesis import asking_en, asking_zh
from turnwise.synthesis.asking import Entity
from turnwise.synthesis.clauses_en import parse, without_adverb
from turnwise.synthesis.pieces import Language

_LONGEST = {"en": 230, "zh": 90}
_SHORTEST = {"en": 20, "zh": 8}
_KINDS = (
    "year",
    "date",
    "percent",
    "number",
    "count",
    "large",
    "money",
    "place",
    "person",
    "decade",
    "day",
    "work",
    "names",
    "latin",
    "quoted",
    "name",
)
"""Kinds that can be swapped, the plainest first."""
_JOINS = re.compile(r"^(?:但是|但|而且|而|并且|并|不过|然而|因此|所以|同时|此外|另外|于是|[（(]注：)[，,]?")


@dataclass(frozen=True, slots=True)
class Swapped:
    """A statement in which one thing is wrong.

    Attributes:
        text: The statement.
        right: What the document says.
        wrong: What the statement says instead, from elsewhere in the document.
    """

    text: str
    right: str
    wrong: str


def statement(sentence: str, language: Language, known: Collection[str] = frozenset()) -> str | None:
    """The main statement of a sentence, to be said after "I think"; None where it is too long or a question."""
    text = _flat(sentence)
    if not text or text[-1] not in '。.！!；;，, ”"' or text[-1] in "?？" or not _balanced(text):
        return None
    if language == "zh":
        short = _first_clauses(_JOINS.sub("", text.rstrip("。.！!；;，, ")))
        return _held(short, language, "。")
    text = without_adverb(text)
    clause = parse(text)
    if clause is not None and len(clause.rest.split()) >= 2:
        lead = f"{clause.lead}, " if clause.lead else ""
        text = f"{lead}{clause.subject} {clause.verb} {clause.rest}"
    elif not text[0].isupper():
        return None
    return _held(asking_en.lowered(text, known).rstrip(" .!;,"), language, ".")


def swapped(
    sentence: str,
    pool: Mapping[str, Sequence[str]],
    language: Language,
    rng: random.Random,
    known: Collection[str] = frozenset(),
    within: tuple[int, int] | None = None,
) -> Swapped | None:
    """The sentence with one date, number or name replaced by another of the same kind from the document.

    Args:
        sentence: What the document says.
        pool: Per kind of entity, those of the document.
        language: Of the document.
        rng: Chooses the replacement.
        known: See `asking_en.lowered`.
        within: Where in the sentence the thing to replace may stand; None for anywhere.

    Returns:
        None where nothing can be swapped, or the sentence is too long or no statement.
    """
    text = _flat(sentence)
    if len(text) != len(sentence) and within is not None:
        return None
    low, high = within or (0, len(text))
    found = asking_zh.entities(text) if language == "zh" else asking_en.entities(text)
    found = [one for one in found if one.kind.split()[0] in _KINDS and low <= one.start and one.end <= high]
    if language == "en":
        found = [one for one in found if not asking_en.describes(text, one) and not _with_article(text, one)]
    for entity in sorted(found, key=lambda one: _KINDS.index(one.kind.split()[0])):
        others = [other for other in pool.get(entity.kind, ()) if _other(other, entity, text)]
        if not others:
            continue
        others.sort(key=partial(_unlike, entity.text))
        wrong = rng.choice(others[:3])
        # In the short form where it holds the thing, else in the whole sentence.
        short = statement(text, language, known)
        unit = asking_zh.measure_of(entity)
        right, told = entity.text + unit, wrong + unit
        if short is not None and short.count(right) == 1:
            return Swapped(short.replace(right, told), right, told)
        changed = text[: entity.start] + wrong + text[entity.end :]
        if language == "zh":
            whole = _held(changed.rstrip("。.！!；;，, "), language, "。") if _balanced(text) else None
        else:
            whole = (
                _held(asking_en.lowered(changed, known).rstrip(" .!;,"), language, ".") if text[0].isupper() else None
            )
        if whole is not None and text[-1] not in "?？":
            return Swapped(whole, right, told)
    return None


def pool_of(sentences: Sequence[str], language: Language) -> dict[str, list[str]]:
    """Per kind of entity, the different ones of the sentences, in order."""
    found: dict[str, dict[str, None]] = {}
    for sentence in sentences:
        for entity in asking_zh.entities(sentence) if language == "zh" else asking_en.entities(sentence):
            found.setdefault(entity.kind, {})[_flat(entity.text)] = None
    return {kind: list(texts) for kind, texts in found.items()}


def _with_article(text: str, entity: Entity) -> bool:
    """Whether a single name has an article ("the Normans"): not every name could stand in its place."""
    return entity.kind == "name" and text[: entity.start].casefold().endswith(("the ", "a ", "an "))


def _unlike(text: str, other: str) -> int:
    """How much two entities differ in length: a year is better swapped for a year than for a population."""
    return abs(len(other) - len(text))


def _other(other: str, entity: Entity, text: str) -> bool:
    return other.casefold() not in text.casefold() and entity.text.casefold() not in other.casefold()


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _balanced(text: str) -> bool:
    return (
        all(text.count(a) == text.count(b) for a, b in ("()", "（）", "“”", "《》", "「」"))
        and text.count('"') % 2 == 0
    )


def _held(text: str, language: Language, end: str) -> str | None:
    return text + end if _SHORTEST[language] <= len(text) <= _LONGEST[language] and _balanced(text) else None


def _first_clauses(text: str) -> str:
    """As many clauses from the front as make a statement of some length."""
    parts = re.findall(r"[^，；]+[，；]?", text)
    kept = ""
    for part in parts:
        kept += part
        if (
            len(kept) >= 14
            and len(re.sub(r"[\d年月日至初底，]", "", kept)) >= 8
            and _balanced(kept)
            and not asking_zh.OPEN.search(part.rstrip("，；"))
        ):
            break
    return kept.rstrip("，；")
