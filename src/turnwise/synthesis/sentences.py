"""Sentences of English and Chinese text with exact offsets, by rules that need no data files."""

from __future__ import annotations

import re
from bisect import bisect_right

from turnwise.synthesis.chain import Span, language_of

_CLOSE = "\"'”’»)\\]}」』）》】〉*_"
_BREAK = re.compile(
    rf"(?P<line>\n\s*+)|(?P<mark>[.!?…。！？；｡]++)(?P<close>(?:\[\d{{1,3}}\]|[{_CLOSE}])*+)",
)
_CHINESE_MARKS = frozenset("。！？｡")
_LETTER = re.compile(r"\w")
_INK = re.compile(r"\S+")
_WORD_BEFORE = re.compile(r"[^\s(\[{\"'“‘*_,;:/–—-]+$")
_ITEM = re.compile(
    r"[-*•·‣◦–]\s|#{1,6}\s|[(（]?(?:\d{1,3}|[a-zA-Z])[.)）、](?:\s|(?<=[、）]))|[(（]?[一二三四五六七八九十]{1,3}[、）)]"
)
_NOTE = re.compile(r"(?:\[[a-zA-Z][a-zA-Z ,]{2,40}\]|:\d+(?:[,–-]\d+)*)+")
"""What an encyclopedia puts after an end mark beside footnote numbers: `[citation needed]`, pages as `:12,14`."""
_NUMBER_OF_ITEM = re.compile(r"[(（]?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})")
_DOTTED = re.compile(r"(?:[A-Za-z]{1,2}\.)+[A-Za-z]{1,2}")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEVER = _words(
    "mr mrs ms mx dr prof st mt ft gen col capt cpt cmdr maj lt sgt rev hon sen rep gov pres messrs mme mlle fr sra "
    "eq eqs cf viz vs al approx e.g i.e ca resp incl esp v"
)
"""Abbreviations that stand before what they belong to: no sentence ends there."""
_BEFORE_NUMBER = _words(
    "no nos nr p pp vol vols art sec sect ch chap fig figs tab par para ver v c d b r ca op jan feb mar apr jun jul "
    "aug sep sept oct nov dec"
)
"""Abbreviations after which no sentence ends where a number follows."""
_SELDOM = _words(
    "jr sr inc ltd co corp bros dept univ est ave blvd rd ph.d jan feb mar apr jun jul aug sep sept oct nov dec"
)
"""Abbreviations after which a sentence ends only where a word follows that is commonly the first of one."""
_FIRST_WORDS = _words(
    "a after all although an and another are as at because both but by can despite did do does during each even every "
    "few following for from had has have he her here his how however i if in instead is it its later like many "
    "meanwhile more moreover most my new no none not now of on once one only or other others our perhaps several she "
    "since so some soon still such that the their then there therefore these they this those though through thus to "
    "today two under unlike until was we were what when where whether which while who why with within would yet you "
    "your"
)
_LOOK_BACK = 500
_NARROWEST = 40
"""Lines below this width are taken as lines that were meant, not as a paragraph broken into lines."""


def split_sentences(text: str, language: str | None = None) -> list[Span]:
    """Sentences with their place in the text.

    A sentence ends

    - at `.`, `!`, `?` or an ellipsis before white space, with the quotes, brackets and footnote numbers (`[3]`) that
      close after it; not at a title (`Dr.`), initial, `e.g.`, `U.S.` (unless a word follows that commonly starts a
      sentence), `No.` before a number, the number of a list item, nor at a closing quote that a small letter follows;
    - at `。！？` anywhere with what closes after them; in Chinese text also at `；` outside brackets and `……`, and at
      `!` and `?` before a Chinese character;
    - at a blank line, before a list item, and at a line break, except in paragraphs that are broken into lines of one
      width (where the next line's first word would not have fitted on this line).

    Args:
        text: Any text.
        language: `en` or `zh`; None takes `language_of(text)`.

    Returns:
        Spans in order, without white space at their ends; nothing but white space stands between them.
    """
    chinese = (language or language_of(text)) == "zh"
    lines = _Lines(text, chinese)
    places: list[tuple[int, int]] = []
    start = 0
    for found in _BREAK.finditer(text):
        if found["line"] is not None:
            end = found.start() if lines.ends(found.start(), found.end()) else None
        else:
            end = _end_of(text, start, found, chinese)
        if end is not None and end > start:
            _add(places, text, start, end)
            start = end
    _add(places, text, start, len(text))
    return [Span(begin, end, text[begin:end]) for begin, end in places]


def _add(places: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    kept = piece.strip()
    if not kept:
        return
    begin = start + len(piece) - len(piece.lstrip())
    stop = start + len(piece.rstrip())
    if places and not _LETTER.search(kept) and "\n" not in text[places[-1][1] : begin]:
        begin = places.pop()[0]  # a stray mark is no sentence of its own
    places.append((begin, stop))


def _end_of(text: str, start: int, found: re.Match[str], chinese: bool) -> int | None:
    """Where the sentence that starts at `start` ends with this mark; None where it goes on."""
    mark, end = found["mark"], found.end()
    if _CHINESE_MARKS & set(mark) or (chinese and set(mark) <= set("；…")):
        # Bounded, so that a text without any end takes no quadratic time.
        near = max(start, end - _LOOK_BACK)
        opened = text.count("（", near, end) + text.count("(", near, end)
        if mark == "；" and opened > text.count("）", near, end) + text.count(")", near, end):
            return None
        closing = found["close"]
        if '"' in closing and text.count('"', near, found.end("mark")) % 2 == 0:
            # Straight quotes look alike; with an even number before it, this one opens the next sentence.
            end = found.end("mark") + closing.index('"')
        return end
    if "；" in mark:
        return None
    note = _NOTE.match(text, end)
    end = note.end() if note is not None else end
    following = text[end : end + 1]
    if following and not following.isspace():
        han_before = bool(_HAN.match(text, found.start() - 1)) if found.start() > 0 else False
        ends = chinese and _HAN.match(following) and (mark != "." or han_before)
        return end if ends else None
    word = _INK.search(text, end)
    if word is None:
        return end
    return None if _goes_on(text, start, found, word.group().lstrip("\"'“‘([{*_")) else end


def _goes_on(text: str, start: int, found: re.Match[str], following: str) -> bool:
    """Whether a sentence goes on after a Latin end mark that white space and a word follow."""
    mark = found["mark"]
    small = following[:1].islower()
    if small and (found["close"].strip("*_[]0123456789") or set(mark) == {"…"} or mark.startswith("..")):
        return True
    if mark != ".":
        return False
    if found.start() - start < _LOOK_BACK and _NUMBER_OF_ITEM.fullmatch(text[start : found.start()].strip()):
        return True
    before = _WORD_BEFORE.search(text, max(start, found.start() - 40), found.start())
    return before is not None and _is_short_form(before.group(), following, small)


def _is_short_form(word: str, following: str, small: bool) -> bool:
    """Whether the dot after `word` belongs to an abbreviation inside a sentence."""
    folded = word.casefold()
    if (folded if len(word) > 1 else word) in _NEVER:
        return True
    number = following[:1].isdigit()
    if number and folded in _BEFORE_NUMBER:
        return True
    starts = re.split(r"[^\w]", following, maxsplit=1)[0].casefold() in _FIRST_WORDS and not small
    if len(word) == 1 and word.isalpha() and not _HAN.match(word):
        return word.isupper() and word != "I" and (small or (following[:1].isupper() and not starts))
    if folded == "etc":
        return small
    if folded in _SELDOM or _DOTTED.fullmatch(word):
        return not starts
    return False


class _Lines:
    """Which line breaks end a sentence."""

    def __init__(self, text: str, chinese: bool) -> None:
        self._text = text
        self._narrowest = _NARROWEST // 2 if chinese else _NARROWEST
        self._starts: list[int] = []
        self._widths: list[int] = []
        place = 0
        for block in re.split(r"(\n[^\S\n]*\n)", text):
            self._starts.append(place)
            self._widths.append(max(map(len, block.splitlines()), default=0))
            place += len(block)

    def ends(self, start: int, end: int) -> bool:
        """Whether the break at `start`, with the white space up to `end`, ends a sentence."""
        text = self._text
        if text.count("\n", start, end) > 1 or end == len(text) or _ITEM.match(text, end):
            return True
        line = text[text.rfind("\n", 0, start) + 1 : start].rstrip()
        width = self._widths[bisect_right(self._starts, start) - 1]
        if width < self._narrowest or not line:
            return True
        if len(line) >= self._narrowest and text[end].islower():
            return False
        word = text[end] if _HAN.match(text, end) else _INK.match(text, end).group()  # type: ignore[union-attr]
        return len(line) + 1 + len(word) <= width
