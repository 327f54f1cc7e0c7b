"""Key phrases of sentences: candidates as in RAKE (runs between stop words), weighted by TF-IDF over the sentences."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from turnwise.synthesis.verbs_en import IRREGULAR, is_base, present_base
from turnwise.synthesis.word_list import words

_STOP_EN = words(
    """
    a about above across after again against all also although am among an and any are as at be because been before
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
    "的了是在和与及或等也而为于被把从对以将就都又并其之该此这那他她它们我你您不没有个则由所可能"
    "到至让使给向当但因何么吗呢吧着过很更最还再已曾只另"
)
_RUN_EN = re.compile(r"[A-Za-zÀ-ÿ][\w'’-]*")
_RUN_ZH = re.compile(rf"《[^《》]{{1,24}}》|(?:[A-Z][\w.-]+)|[^\W\d_a-zA-Z{_STOP_ZH}]{{2,16}}")
_LONGEST_ZH = 8
_COUNTED = re.compile(
    r"(?:第?[一二三四五六七八九十两几百千万多余]+|(?<=\d)[万千百多余]*)[台种颗件艘座个名位部条张次家所层支项只头首枚户间辆卷册篇人把场吨块只把年月日天米]"
)
"""A number with its measure word at the front of a run."""
_EDGES = re.compile(r"^(?:如今|现在|目前|当时|当年|后来|一起|起|[年月日里])+|(?<=..)[中下上后前时里内位处名]$")
_UNITS = words("公里 千米 英里 平方公里 小时 分钟 时期 时间 部分 方面 情况 其他 主要")


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
    document's sentences; for Chinese a candidate counts as one word, and its length (up to five) as a factor.
    """
    candidates = _candidates_zh(sentences) if language == "zh" else [_candidates_en(text) for text in sentences]
    tokens = [[word for phrase in each for word in _words(phrase, language)] for each in candidates]
    term = Counter(word for each in tokens for word in each)
    held = Counter(word for each in tokens for word in set(each))
    total = max(1, len(sentences))

    def score(phrase: str) -> float:
        return (min(len(phrase), 5) if language == "zh" else 1) * sum(
            (1 + math.log(term[word])) * math.log(1 + total / held[word]) for word in _words(phrase, language)
        )

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


def _is_stop(word: str) -> bool:
    """Whether a word cuts candidates: a stop word, or a verb in lower case."""
    low = word.casefold()
    verb = word == low and (low in IRREGULAR or present_base(low) is not None or is_base(low))
    return low in _STOP_EN or verb


def _words(phrase: str, language: str) -> list[str]:
    return [phrase] if language == "zh" else [word.casefold() for word in phrase.split()]


def _candidates_en(text: str) -> list[str]:
    """Runs of one to four words without stop words between them, that stand on one line and end in no verb form."""
    found: list[str] = []
    run: list[re.Match[str]] = []
    for match in [*_RUN_EN.finditer(text), None]:
        joined = match is not None and run and text[run[-1].end() : match.start()] == " "
        stop = match is None or _is_stop(match[0]) or (match[0].endswith(("ed", "ly")) and not match[0][0].isupper())
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


def _candidates_zh(sentences: Sequence[str]) -> list[list[str]]:
    """Works in 《》, Latin words, and what occurs again in the document; else short runs between stop characters.

    A run is no word: without a dictionary, what stands twice, once at the front of a run and once at its end, is the
    best sign of one.
    """
    runs = [[run for match in _RUN_ZH.finditer(text) if len(run := _uncounted(match)) > 1] for text in sentences]
    pieces = Counter(
        run[start : start + length]
        for each in runs
        for run in each
        if run[0] != "《" and not run.isascii()
        for length in range(2, min(len(run), _LONGEST_ZH) + 1)
        for start in range(len(run) - length + 1)
    )
    fronts = {run[:length] for each in runs for run in each for length in range(2, _LONGEST_ZH + 1)}
    backs = {run[-length:] for each in runs for run in each for length in range(2, _LONGEST_ZH + 1)}
    kept = Counter({piece: count for piece, count in pieces.items() if piece in fronts and piece in backs})
    return [[phrase for run in each for phrase in _words_of_run(run, kept)] for each in runs]


def _uncounted(run: re.Match[str]) -> str:
    """A run without the number and measure word that it begins with."""
    counted = _COUNTED.match(run.string, run.start(), run.end())
    return run.string[counted.end() : run.end()] if counted else run[0]


def _words_of_run(run: str, pieces: Counter[str]) -> list[str]:
    if run[0] == "《" or run.isascii():
        return [run]
    again = [
        run[start : start + length]
        for length in range(min(len(run), _LONGEST_ZH), 1, -1)
        for start in range(len(run) - length + 1)
        if pieces[run[start : start + length]] > 1
    ]
    kept: list[str] = []
    for phrase in again:  # the longest first; what only occurs inside of a longer one is no word of its own
        if not any(phrase in other and pieces[phrase] <= pieces[other] for other in kept):
            kept.append(phrase)
    kept = [_EDGES.sub("", phrase) for phrase in kept or ([run] if len(run) <= 4 else [])]
    return [phrase for phrase in kept if len(phrase) > 1 and phrase not in _UNITS]
