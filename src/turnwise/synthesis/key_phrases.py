"""Key phrases of sentences: candidates as in RAKE (runs between stop words), weighted by TF-IDF over the sentences."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from turnwise.synthesis.word_list import words

_STOP_EN = words(
    """
    a about above after again against all also although am among an and any are as at be because been before
    being below between both but by came can cannot come could did do does doing done down during each either
    especially even ever every few first for from further gave get give given had has have having he her here
    hers him his how however i if in include included includes including into is it its itself just known
    largely last later less like made mainly make many may me might more most much must my near neither new no
    nor not now of off often on once one only or other others our out over own part per said same saw second see
    several shall she should since so some such than that the their them themselves then there therefore these
    they this those though three through thus to together too took two under until up upon us use used using
    very was we well went were what when where whether which while who whom whose why will with within without
    would yet you your called became become began among around according due different various following main
    large small high low long still
    """
)
_STOP_ZH = (
    "的了是在和与及或等也而为于被把从对以将就都又并其之该此这那他她它们我你您不没有个中上下前后时年月日第"
    "一二三四五六七八九十则由所可能会到至让使给向当但因如何么吗呢吧着过很更最还再已曾只另"
)
_RUN_EN = re.compile(r"[A-Za-zÀ-ÿ][\w'’-]*")
_RUN_ZH = re.compile(rf"《[^《》]{{1,24}}》|[^\W\d_{_STOP_ZH}]{{2,10}}")
_MOST_SENTENCES = 400


def key_phrases(sentences: Sequence[str], *, language: Literal["en", "zh"], number: int = 3) -> list[tuple[str, ...]]:
    """The phrases that set each sentence apart from the others.

    Args:
        sentences: Sentences of one document.
        language: Whose stop words cut the candidates.
        number: Most phrases of a sentence.

    Returns:
        Per sentence its best phrases, best first, as they stand in it; none of them within another. Fewer, or none,
        where a sentence has no candidates.

    The score of a phrase is the sum over its words of (1 + log tf) x log(1 + N / df), with frequencies over the
    document's sentences; for Chinese a candidate counts as one word.
    """
    candidates = [_candidates_zh(text) if language == "zh" else _candidates_en(text) for text in sentences]
    words = [[word for phrase in each for word in _words(phrase, language)] for each in candidates]
    term = Counter(word for each in words for word in each)
    held = Counter(word for each in words for word in set(each))
    total = max(1, len(sentences))

    def score(phrase: str) -> float:
        return sum((1 + math.log(term[word])) * math.log(1 + total / held[word]) for word in _words(phrase, language))

    result = []
    for each in candidates:
        kept: list[str] = []
        for phrase in sorted(dict.fromkeys(each), key=score, reverse=True):
            if not any(
                phrase.casefold() in other.casefold() or other.casefold() in phrase.casefold() for other in kept
            ):
                kept.append(phrase)
            if len(kept) == number:
                break
        result.append(tuple(kept))
    return result


def _words(phrase: str, language: str) -> list[str]:
    return [phrase] if language == "zh" else [word.casefold() for word in phrase.split()]


def _candidates_en(text: str) -> list[str]:
    """Runs of one to four words without stop words between them, that stand on one line and end in no verb form."""
    found: list[str] = []
    run: list[re.Match[str]] = []
    for match in [*_RUN_EN.finditer(text), None]:
        joined = match is not None and run and text[run[-1].end() : match.start()] == " "
        stop = (
            match is None
            or match[0].casefold() in _STOP_EN
            or (match[0].endswith(("ed", "ly")) and not match[0][0].isupper())
        )
        if run and (stop or not joined):
            found.append(_ended(text, run))
            run = []
        if match is not None and not stop and len(match[0]) > 2:
            run.append(match)
    return [phrase for phrase in found if 3 < len(phrase) <= 60]


def _ended(text: str, run: list[re.Match[str]]) -> str:
    """At most the last four words; the whole of a run of capitalised words."""
    names = all(match[0][0].isupper() for match in run)
    kept = run if names else run[-4:]
    phrase = text[kept[0].start() : kept[-1].end()]
    return phrase.removesuffix("'s").removesuffix("’s")


def _candidates_zh(text: str) -> list[str]:
    return [match[0] for match in _RUN_ZH.finditer(text) if re.search(r"[\u4e00-\u9fff]{2}|[A-Za-z]{2}", match[0])]
