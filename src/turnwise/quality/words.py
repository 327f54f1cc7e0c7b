"""Words, and the sets that are made of them; the same for every measure, so that their figures can be compared."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Scripts without spaces between words (Thai, Lao, Burmese, Khmer, kana, Chinese): a character counts as a word.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUN = rf"[^\W_{_UNSPACED}]+"
_SIGNS = r"[$€£¥%°+=<>^|~#@&*/\\]+"
_WORD = re.compile(rf"[{_UNSPACED}]|{_RUN}(?:['’.,:_/@-]{_RUN})*|(?<!\S){_SIGNS}(?!\S)")
# The same for text without any character beyond ASCII, several times as fast.
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:['.,:_/@-][a-z0-9]+)*|(?<!\S)[$%+=<>^|~#@&*/\\]+(?!\S)")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")

_FUNCTION_WORDS_EN = (
    "a about after all also am an and any are as at be because been before being but by can could did do does doing "
    "for from had has have having he her here him his how i i'm if in into is it it's its just like me more most my no "
    "not of on one only or other our out over she should so some such than that that's the their them then there these "
    "they this those to too up us very was we were what when where which while who why will with would you you're your"
)
_FUNCTION_WORDS_ZH = (
    "的了是在我你您他她它们这那有和与也就都不吗呢吧啊个一上下到对为以及或而但"
    "被把让会能可要很之其所于等中从如果因此还说什么怎样"
)
_FUNCTION_WORDS = frozenset(_FUNCTION_WORDS_EN.split()) | frozenset(_FUNCTION_WORDS_ZH)


def words(text: str) -> list[str]:
    """The words of a text in order, casefolded.

    A word is a run of letters and digits, also with an apostrophe, point, comma, colon, hyphen, slash, underscore or
    at sign inside (`don't`, `2.1`, `e-mail`); a character of a script that is written without spaces (Chinese,
    Japanese, Thai, ...); or signs that stand alone (`+`, `%`). Punctuation does not count.
    """
    folded = text.casefold()
    return (_ASCII_WORD if folded.isascii() else _WORD).findall(folded)


def content_terms(said: Sequence[str]) -> set[str]:
    """What the words are about: all but function words (English and Chinese); pairs of neighbours in unspaced scripts.

    A single Chinese character says little of a topic and recurs by chance, so two in a row are a term. A pair that
    holds a function word is none.
    """
    terms: set[str] = set()
    before = ""
    for word in said:
        if word in _FUNCTION_WORDS:
            before = ""
        elif word.isascii() or not _UNSPACED_CHARACTER.match(word):
            terms.add(word)
            before = ""
        else:
            if before:
                terms.add(before + word)
            before = word
    return terms


def ngrams(said: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of `n` words, in order; none where there are fewer words."""
    return list(zip(*(said[start:] for start in range(n)), strict=False))
