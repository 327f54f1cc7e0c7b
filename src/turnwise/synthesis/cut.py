"""Cutting long documents into parts that do not overlap and leave nothing out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from turnwise.dialogue import Document
from turnwise.synthesis.sentences import split_sentences

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_SLACK = 1.1
"""How far a part may go over an even share of the text, so that the last part is not a remnant."""


def cut_text(text: str, most: int) -> list[tuple[int, int]]:
    """Where to cut a text: after paragraphs; inside a paragraph that is too long after sentences; inside a sentence
    that is too long at white space, else anywhere.

    Parts are of about equal size, and as few as that allows.

    Args:
        text: Any text.
        most: Characters of a part.

    Returns:
        (start, end) of each part, in order: none overlap, none begins or ends with white space, none is longer than
        `most`, and only white space stands between them.
    """
    begin, stop = len(text) - len(text.lstrip()), len(text.rstrip())
    if stop - begin <= most:
        return [(begin, stop)] if begin < stop else []
    aim = min(most, math.ceil((stop - begin) / math.ceil((stop - begin) / most) * _SLACK))
    parts: list[tuple[int, int]] = []
    for start, end in _units(text, aim):
        if parts and end - parts[-1][0] <= aim:
            parts[-1] = (parts[-1][0], end)
        else:
            parts.append((start, end))
    return parts


def cut_document(document: Document, most: int) -> Iterator[Document]:
    """The document itself where it is short enough, else its parts.

    A part is called `ID#part1`, `ID#part2`, ... and its metadata has `whole` (the document's id), `part` (from 1),
    `parts`, and `start` and `end`: its characters in the whole text. What else the metadata hold is the whole's.
    """
    if len(document.text) <= most:
        yield document
        return
    places = cut_text(document.text, most)
    for number, (start, end) in enumerate(places, start=1):
        about = {"whole": document.id, "part": number, "parts": len(places), "start": start, "end": end}
        yield replace(
            document,
            id=f"{document.id}#part{number}",
            text=document.text[start:end],
            metadata={**document.metadata, **about},
        )


def _units(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Pieces of at most so many characters, in order, without white space at their ends."""
    place = 0
    ends = [(found.start(), found.end()) for found in _PARAGRAPH.finditer(text)]
    for end, following in [*ends, (len(text), len(text))]:
        start, stop = _trimmed(text, place, end)
        if stop - start <= most:
            if start < stop:
                yield start, stop
        else:
            for span in split_sentences(text[start:stop]):
                yield from _short(text, start + span.start, start + span.end, most)
        place = following


def _short(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    while end - start > most:
        space = max(text.rfind(" ", start + 1, start + most + 1), text.rfind("\n", start + 1, start + most + 1))
        cut = space if space > start else start + most
        piece = _trimmed(text, start, cut)
        if piece[0] < piece[1]:
            yield piece
        start = _trimmed(text, cut, end)[0]
    if start < end:
        yield start, end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    return left, max(left, start + len(piece.rstrip()))
