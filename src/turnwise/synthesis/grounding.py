"""Where in a document a claimed piece of it stands: word for word, but for its typography, or nearly.

Three steps, the first that finds something counts. Word for word: score 1. The same but for what typography changes
(Unicode compatibility forms, capitals, white space, quotation marks and dashes, invisible characters): `NORMALISED`.
Else the best alignment by edit distance (Sellers 1980): 1 - edits / length of the longer side, at most `NORMALISED`.

Numbers are never taken for one another: a span is found only where every run of digits that is claimed stands in it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from turnwise.synthesis.chain import Span, language_of

NORMALISED = 0.99
"""Score of what is the same but for its typography; no span that is not verbatim scores more."""

_SAME = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»『』「」", '"'),
        **dict.fromkeys("‘’‚‛`´", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        "。": ".",
        "、": ",",
    }
)
_AROUND = " \"'."
_DIGITS = re.compile(r"\d+")
_CELLS = 4_000_000
"""Up to so many pairs of characters the whole text is aligned; above, only the regions that share most n-grams."""
_REGIONS = 3


class _Plain(NamedTuple):
    """A text without its typography, and where each of its characters comes from."""

    text: str
    starts: list[int]
    ends: list[int]


def ground(find: str, text: str, *, least: float = 0.8) -> Span | None:
    """Find the place of a claimed span in a text.

    Of several places where it stands word for word, the first that begins and ends between words. In texts so long
    that not every place can be aligned, the three regions that share most of its n-grams are.

    Args:
        find: What is claimed to stand in the text; white space around it does not count.
        text: The document's text.
        least: Lowest score that counts as found, above 0 and up to 1; 1 finds only what stands there word for word.

    Returns:
        The span, with offsets into `text`; None where nothing scores `least`, or nothing is claimed.

    Raises:
        ValueError: `least` is outside its range.
    """
    if not 0 < least <= 1:
        raise ValueError(f"expected `least` above 0 and up to 1, found {least}")
    if not find.strip():
        return None
    for wording in (find, find.strip()):
        place = _place(wording, text)
        if place >= 0:
            return Span(place, place + len(wording), wording)
    if least > NORMALISED:
        return None
    wanted = _plain(find).text.strip(_AROUND)
    given = _plain(text)
    if not wanted or len(wanted) * least > len(given.text):
        return None
    place = _place(wanted, given.text)
    if place >= 0:
        return _span(text, given, place, place + len(wanted), NORMALISED)
    return _aligned(wanted, text, given, least)


def _aligned(wanted: str, text: str, given: _Plain, least: float) -> Span | None:
    """The best alignment over all regions worth looking at."""
    best: tuple[float, int, int] = (0.0, 0, 0)
    for low, high in _regions(wanted, given.text):
        score, start, end = _align(wanted, given.text[low:high], least)
        best = max(best, (score, low + start, low + end), key=lambda found: found[0])
    score, start, end = best
    if score < least or not set(_DIGITS.findall(wanted)) <= set(_DIGITS.findall(given.text[start:end])):
        return None
    return _span(text, given, start, end, min(score, NORMALISED))


def _span(text: str, given: _Plain, start: int, end: int, score: float) -> Span:
    """From places in the plain text to offsets of the document, without white space at the ends."""
    first, last = given.starts[start], given.ends[end - 1]
    while text[first].isspace() and first + 1 < last:
        first += 1
    while text[last - 1].isspace() and last - 1 > first:
        last -= 1
    return Span(first, last, text[first:last], round(score, 4))


def _place(wanted: str, text: str) -> int:
    """Where `wanted` stands in `text`: the first place between words, else the first; -1 for nowhere."""
    first = place = text.find(wanted)
    while place >= 0:
        end = place + len(wanted)
        cut_before = place > 0 and _joined(text[place - 1], wanted[0])
        cut_after = end < len(text) and _joined(wanted[-1], text[end])
        if not cut_before and not cut_after:
            return place
        place = text.find(wanted, place + 1)
    return first


def _joined(left: str, right: str) -> bool:
    """Whether two neighbours belong to one word, in scripts that put spaces between words."""
    return left.isalnum() and right.isalnum() and not (_is_han(left) or _is_han(right))


def _is_han(char: str) -> bool:
    return "\u3400" <= char <= "\u9fff"


@lru_cache(maxsize=8)
def _plain(text: str) -> _Plain:
    """The text without typography; a character and the marks that combine with it are normalised as one."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    place, spaced = 0, False
    while place < len(text):
        end = place + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        for char in _simple(text[place:end]):
            if char.isspace():
                if spaced:
                    continue
                char = " "
            spaced = char == " "
            parts.append(char)
            starts.append(place)
            ends.append(end)
        place = end
    return _Plain("".join(parts), starts, ends)


def _simple(cluster: str) -> str:
    if cluster.isascii():
        return cluster.lower().translate(_SAME)
    if unicodedata.category(cluster[0]) == "Cf":  # zero-width spaces, soft hyphens, direction marks
        return ""
    return unicodedata.normalize("NFKC", cluster).casefold().translate(_SAME)


def _regions(wanted: str, text: str) -> list[tuple[int, int]]:
    """The parts of the text to align with: all of it, or those with most n-grams of what is wanted."""
    size = len(wanted)
    if size * len(text) <= _CELLS:
        return [(0, len(text))]
    width = 2 if language_of(wanted) == "zh" else 4
    grams = {wanted[start : start + width] for start in range(size - width + 1)}
    hits = np.fromiter((text[start : start + width] in grams for start in range(len(text))), dtype=np.int64)
    sums = np.concatenate(([0], np.cumsum(hits)))
    windows = sums[min(size, len(text)) :] - sums[: max(1, len(sums) - size)]
    found: list[tuple[int, int]] = []
    for _ in range(_REGIONS):
        start = int(windows.argmax())
        if windows[start] <= 0:
            break
        windows[max(0, start - size // 2) : start + size // 2 + 1] = 0
        found.append((max(0, start - size // 2), min(len(text), start + size + size // 2)))
    return found


def _align(wanted: str, text: str, least: float) -> tuple[float, int, int]:
    """Score, start and end of the part of `text` with the fewest edits to `wanted`; a score of 0 where it is too far.

    One number holds edits and start of an alignment, so that a minimum carries the start along; of equal edits, the
    later start (the shorter part) wins.
    """
    one = np.frombuffer(wanted.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    other = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    size = len(other)
    edit = size + 1
    places = np.arange(size + 1, dtype=np.int64)
    row = size - places
    most = len(one) * (1 - least) / least  # edits e <= (1 - least) * (length + e), or the score is below `least`
    for number, letter in enumerate(one):
        following = row + edit  # the letter is missing in the text
        np.minimum(following[1:], row[:-1] + np.where(other == letter, 0, edit), out=following[1:])
        # Letters that the text has in addition: a running minimum, every step of which costs one edit.
        row = np.minimum.accumulate(following - places * edit) + places * edit
        if number % 64 == 63 and row.min() // edit > most:
            return 0.0, 0, 0
    edits, starts = row // edit, size - row % edit
    scores = 1 - edits / np.maximum(len(one), places - starts)
    scores[places == starts] = 0
    end = int(scores.argmax())
    return float(scores[end]), int(starts[end]), end
