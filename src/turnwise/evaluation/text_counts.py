"""Counts of words and sentences, emoji and script of a text, by rules that need no data files."""

from __future__ import annotations

import re
import unicodedata

_END = re.compile(r"(?<![.!?])([.!?]++)[\"'”’)\]}»]*+(?=\s|$)|[。！？]++[”’」』）]*+")
_INK = re.compile(r"\S")
_WORD_BEFORE = re.compile(r"[^\s(\[{\"'“‘*_]+$")
_NEVER = frozenset(
    (
        "mr",
        "mrs",
        "ms",
        "mx",
        "dr",
        "prof",
        "st",
        "mt",
        "gen",
        "col",
        "capt",
        "lt",
        "sgt",
        "rev",
        "hon",
        "sen",
        "rep",
        "gov",
        "pres",
        "fig",
        "figs",
        "eq",
        "eqs",
        "vol",
        "vs",
        "cf",
        "al",
        "approx",
    )
)
"""Abbreviations that stand before what they belong to: no sentence ends there."""
_SELDOM = frozenset(
    (
        "etc",
        "e.g",
        "i.e",
        "jr",
        "sr",
        "inc",
        "ltd",
        "co",
        "corp",
        "a.m",
        "p.m",
        "u.s",
        "u.k",
        "u.n",
        "ph.d",
        "jan",
        "feb",
        "aug",
        "sept",
        "oct",
        "nov",
        "dec",
    )
)
"""Abbreviations after which a sentence ends where the next word has a capital."""

_EMOJI_BELOW_PLANE_1 = frozenset(
    "©®‼⁉™ℹ↔↕↖↗↘↙↩↪⌚⌛⌨⏏⏩⏪⏫⏬⏭⏮⏯⏰⏱⏲⏳⏸⏹⏺Ⓜ▪▫▶◀◻◼◽◾☀☁☂☃☄☎☑☔☕☘☝☠☢☣☦☪☮☯☸☹☺♀♂♈♉♊♋♌♍♎♏♐♑♒♓♟♠♣♥♦♨♻♾♿"
    "⚒⚓⚔⚕⚖⚗⚙⚛⚜⚠⚡⚧⚪⚫⚰⚱⚽⚾⛄⛅⛈⛎⛏⛑⛓⛔⛩⛪⛰⛱⛲⛳⛴⛵⛷⛸⛹⛺⛽✂✅✈✉✊✋✌✍✏✒✔✖✝✡✨✳✴❄❇❌❎❓❔❕❗❣❤➕➖➗➡➰➿⤴⤵⬅⬆⬇⬛⬜⭐⭕〰〽㊗㊙"
)
_EMOJI_RANGES = (
    (0x1F004, 0x1F004),
    (0x1F0CF, 0x1F0CF),
    (0x1F170, 0x1F19A),
    (0x1F1E6, 0x1F1FF),  # letters of flags
    (0x1F201, 0x1F251),
    (0x1F300, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F7E0, 0x1F7F0),
    (0x1F90C, 0x1F9FF),
    (0x1FA70, 0x1FAFF),
)


def count_words(text: str) -> int:
    """Pieces between white space."""
    return len(text.split())


def count_sentences(text: str) -> int:
    """Sentences by their end marks.

    A sentence ends at `.`, `!` or `?` before white space or the end of the text, closing quotes and brackets included,
    and at the Chinese and Japanese full stops anywhere; not at an ellipsis of dots that text follows, an initial, or an
    abbreviation (of a short English list). A line break ends none. What is left after the last end counts as one. A
    list number such as `1.` counts as a sentence of its own, as with NLTK's Punkt, whose place this function takes.
    """
    count = 0
    start = 0
    for mark in _END.finditer(text):
        if _goes_on(text, mark):
            continue
        count += 1
        start = mark.end()
    return count + bool(re.search(r"\w", text[start:]))


def _goes_on(text: str, mark: re.Match[str]) -> bool:
    """Whether the sentence goes on after this end mark."""
    dots = mark.group(1)
    ink = _INK.search(text, mark.end())
    if not dots or ink is None or set(dots) != {"."}:
        return False
    following = ink.group(0)
    if len(dots) > 1:
        return True
    before = _WORD_BEFORE.search(text[max(0, mark.start() - 40) : mark.start()])
    word = before.group(0) if before else ""
    if len(word) == 1 and word.isupper() and word != "I":
        return following.isupper()
    if word.casefold() in _NEVER:
        return True
    return word.casefold() in _SELDOM and not following.isupper()


def is_emoji(character: str) -> bool:
    """Whether one character begins an emoji: Unicode's pictographs, the letters of flags among them; no digits."""
    code = ord(character)
    return character in _EMOJI_BELOW_PLANE_1 or any(low <= code <= high for low, high in _EMOJI_RANGES)


def script_shares(text: str) -> dict[str, float]:
    """Share of each script among the letters: `LATIN`, `CYRILLIC`, `GURMUKHI`, `CJK`, ... (first word of their names).

    Empty for a text without letters. Combining vowel signs count as letters.
    """
    counts: dict[str, int] = {}
    for character in text:
        if unicodedata.category(character)[0] in "LM":
            script = unicodedata.name(character, "UNKNOWN").split(maxsplit=1)[0]
            counts[script] = counts.get(script, 0) + 1
    total = sum(counts.values())
    return {script: count / total for script, count in counts.items()}
