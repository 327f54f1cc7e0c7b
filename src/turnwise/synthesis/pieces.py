"""What of a document can be evidence: its usable sentences, and clauses of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from turnwise.synthesis.chain import Span

Language = Literal["en", "zh"]
LONGEST = {"en": 400, "zh": 160}
"""Most characters of a piece; a longer sentence is cut at its clause marks, else at white space."""
_LEAST_LETTERS = {"en": 4, "zh": 6}
_WORD = re.compile(r"[^\W\d_]{2,}")
_LETTER = re.compile(r"[^\W\d_]")
_FINE = {
    "en": re.compile(
        r" (?=(?:and|but|or|which|who|that|where|when|because|while|although|after|before|since|with|from|in|on|at|by|"
        r"for|to|as|into|during|under|between) )"
    ),
    "zh": re.compile(r"(?=[和与及并而但由在从因为以于])|、"),
}
_MARKS = {"en": re.compile(r"[,;:—–]\s+|\s+[—–-]\s+|\)\s+"), "zh": re.compile(r"[，；：,;]\s*|——")}


@dataclass(frozen=True, slots=True)
class Piece:
    """A usable stretch of a document.

    Attributes:
        start: First character in the document.
        end: One past the last.
        text: What stands there.
        sentence: The number of the sentence that it is, or is cut from.
        whole: It is a whole sentence.
    """

    start: int
    end: int
    text: str
    sentence: int
    whole: bool = True


def usable(text: str, language: Language) -> bool:
    """Whether a text says enough to be asked about: four words of letters (English), six letters (Chinese)."""
    letters = _LETTER.findall(text) if language == "zh" else _WORD.findall(text)
    return len(letters) >= _LEAST_LETTERS[language]


def sentences_of(text: str, language: Language, split: Callable[..., Sequence[Span]]) -> list[Piece]:
    """The usable sentences of a text, in order; those longer than `LONGEST` in several pieces.

    Args:
        text: The document.
        language: What counts as usable, and where long ones are cut.
        split: The splitter into sentences.
    """
    found: list[Piece] = []
    for number, span in enumerate(split(text, language)):
        start, end = _trimmed(text, span.start, span.end)
        cuts = [(start, end)] if end - start <= LONGEST[language] else _cut(text, start, end, language)
        for low, high in cuts:
            if usable(text[low : min(high, low + 400)], language):
                found.append(Piece(low, high, text[low:high], number, len(cuts) == 1))
    return found


def clauses_of(piece: Piece, language: Language, *, fine: bool = False) -> list[Piece]:
    """The usable clauses of a piece, where it has at least two; else nothing.

    Args:
        piece: What to divide.
        language: Which marks divide it.
        fine: Divide before conjunctions, relative pronouns and prepositions too.

    Clauses that are too short to be used are joined with the one after them (or before, at the end).
    """
    ends = [match.end() for match in _MARKS[language].finditer(piece.text)]
    if fine:
        ends = sorted({*ends, *(match.start() for match in _FINE[language].finditer(piece.text))})
    bounds: list[int] = [0]
    for end in [*ends, len(piece.text)]:
        if usable(piece.text[bounds[-1] : end], language):
            bounds.append(end)
    if len(bounds) < 3:
        return []
    bounds[-1] = len(piece.text)
    found = []
    for low, high in itertools.pairwise(bounds):
        start, end = _trimmed(piece.text, low, high)
        text = piece.text[start:end].rstrip(" \n,;:，；：—–-")
        start += piece.start
        found.append(Piece(start, start + len(text), text, piece.sentence, whole=False))
    return found


def clause_around(piece: Piece, place: int, language: Language) -> Piece:
    """The clause of a piece that holds one of its characters; the piece where it is not divided."""
    at = piece.start + place
    return next((clause for clause in clauses_of(piece, language) if clause.start <= at < clause.end), piece)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _cut(text: str, start: int, end: int, language: Language) -> list[tuple[int, int]]:
    """Stretches of at most `LONGEST`, cut behind the last clause mark, else white space, else anywhere."""
    most, found = LONGEST[language], []
    while end - start > most:
        window = text[start : start + most]
        marks = [match.end() for match in _MARKS[language].finditer(window) if match.end() > most // 4]
        space = window.rfind(" ", most // 4)
        cut = start + (marks[-1] if marks else space + 1 if space > 0 else most)
        found.append(_trimmed(text, start, cut))
        start = cut
    found.append(_trimmed(text, start, end))
    return [(low, high) for low, high in found if high > low]
