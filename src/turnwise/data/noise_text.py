"""Noise inside the text of a single reply: cut short, repeating itself, garbled. Nothing but the text is needed.

A *unit* is a word; in Chinese and Japanese, which put no spaces between words, a character.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from turnwise.data.noise_engine import Rule, replies_rule
from turnwise.dialogue import Dialogue

_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNIT = re.compile(f"[{_HAN}]|[^\\s{_HAN}]+")
_WIDE_END = re.compile(f"[{_HAN}\u3000-\u303f\uff00-\uffef]$")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])(?![。！？”’」』）])|\n+")

MOST_REPEATS = 4


def text_rule(
    dialogues: Sequence[Dialogue], can: Callable[[str], bool], change: Callable[[str, random.Random], str]
) -> Rule:
    """A rule that looks at a reply's text alone."""
    texts = [[reply.text for reply in dialogue.replies] for dialogue in dialogues]
    return replies_rule(
        lambda position, turn: can(texts[position][turn]),
        lambda position, turn, draw: change(texts[position][turn], draw),
    )


def has_text(text: str) -> bool:
    """Whether there is anything but white space."""
    return bool(text.strip())


def can_truncate(text: str) -> bool:
    """Whether a text has at least two units."""
    return len(_spans(text)) > 1


def truncate(text: str, draw: random.Random) -> str:
    """Cut a text behind a unit in its middle half: at least one unit stays, at least one is missing.

    Args:
        text: At least two units.
        draw: Draws where.
    """
    spans = _spans(text)
    least = max(1, len(spans) // 4)
    return text[: spans[draw.randint(least, max(least, len(spans) * 3 // 4)) - 1][1]]


def repeat(text: str, draw: random.Random) -> str:
    """Say the last sentence of a text again, two to four times: the loop that a degenerate generation ends in.

    Args:
        text: Not blank.
        draw: Draws how often.
    """
    last = sentences(text)[-1]
    for _ in range(draw.randint(2, MOST_REPEATS)):
        text = followed_by(text, last)
    return text


def can_garble(text: str) -> bool:
    """Whether a text has at least two different units."""
    return len({text[start:end] for start, end in _spans(text)}) > 1


def garble(text: str, draw: random.Random, strength: float = 0.5) -> str:
    """Put units of a text in each other's places; spaces and line breaks stay where they are.

    Args:
        text: At least two different units.
        draw: Draws which units, and where they go.
        strength: Share of the units to move, 0 to 1; at least two are moved.
    """
    spans = _spans(text)
    units = [text[start:end] for start, end in spans]
    while True:
        first = draw.randrange(len(units))
        # Two that differ are always among the moved ones; so a move around the circle changes the text.
        second = draw.choice([place for place, unit in enumerate(units) if unit != units[first]])
        others = [place for place in range(len(units)) if place not in (first, second)]
        circle = [first, second, *draw.sample(others, max(0, round(strength * len(units)) - 2))]
        draw.shuffle(circle)
        moved = list(units)
        for place, source in zip(circle, [*circle[1:], circle[0]], strict=True):
            moved[place] = units[source]
        made = _put(text, spans, moved)
        if made != text:  # characters without spaces can add up to the same text
            return made


def sentences(text: str) -> list[str]:
    """The sentences of a text, without the white space around them; a line break ends a sentence."""
    return [part.strip() for part in _BETWEEN_SENTENCES.split(text) if part.strip()]


def followed_by(text: str, sentence: str) -> str:
    """A text and a sentence behind it, with a space between them where the script has spaces."""
    text = text.rstrip()
    return text + ("" if _WIDE_END.search(text) else " ") + sentence


def _spans(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _UNIT.finditer(text)]


def _put(text: str, spans: Sequence[tuple[int, int]], units: Sequence[str]) -> str:
    pieces, end = [], 0
    for (start, stop), unit in zip(spans, units, strict=True):
        pieces += [text[end:start], unit]
        end = stop
    return "".join([*pieces, text[end:]])
