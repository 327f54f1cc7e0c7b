"""The programmatic scores of MT-Eval's recollection tasks: is the label in the reply, is the instruction followed.

Same rules as the authors' `utils/global_inst.py` (there adapted from IFEval, Zhou et al. 2023), but for three that need
packages or data and are replaced: language, sentences, emoji. `docs/mt-eval.md` lists every difference.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable

from turnwise.evaluation.mt_eval_texts import GlobalInstruction
from turnwise.evaluation.text_counts import count_sentences, is_emoji, script_shares

_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))
_NOT_BULGARIAN = re.compile("[ыэёіїєґјљњћђџѓќѕў]|ь(?!о)")
"""Cyrillic letters that Bulgarian does not have, or not there; each of its relatives uses some in most sentences."""
_TOLERATED = 0.005
"""Share of such letters that is taken for names and quotations."""
_BULGARIAN = re.compile(
    "е|са|се|да|ще|от|със|във|че|като|това|този|тази|който|която|които|може|има|бъде|към|си|ли|ме|ви|.*ъ.*"
)
_RUSSIAN = re.compile(
    "что|как|кто|это|с|к|у|о|он|она|они|мы|вы|я|для|был|есть|же|бы|его|если|только|мне|вас|чтобы|также|какое|нет"
)
"""Words that one of the two has and the other has not, or seldom."""


def names_label(reply: str, label: str) -> bool:
    """Whether the label occurs in the reply, punctuation and case set aside (also inside a longer word)."""
    return _plain(label) in _plain(reply)


def follows(instruction: GlobalInstruction, reply: str) -> bool:
    """Whether the reply follows the instruction. An empty reply follows none but those that forbid something."""
    return CHECKS[instruction.kind](reply, **instruction.arguments)


def _plain(text: str) -> str:
    return text.translate(_PUNCTUATION).lower()


def _starts_with_letter(reply: str, letter: str) -> bool:
    return reply.strip().lower().startswith(letter.lower())


def _starts_with_emoji(reply: str) -> bool:
    return is_emoji(reply.strip()[:1] or "-")


def _ends_with(reply: str, phrase: str) -> bool:
    return reply.strip().strip("'").lower().endswith(phrase.lower())


def _in_language(reply: str, language: str) -> bool:
    """More than half of the letters are of the language's script, and the words not its relatives'.

    A reply without any letter passes, as in the authors' program.
    """
    if not reply.strip():
        return False
    shares = script_shares(reply)
    if not shares:
        return True
    if language == "Punjabi":
        return shares.get("GURMUKHI", 0) > 0.5
    if shares.get("CYRILLIC", 0) <= 0.5:
        return False
    text = reply.lower()
    cyrillic = len(re.findall("[\u0400-\u04ff]", text))
    words = re.findall(r"[^\W\d_]+", text)
    balance = sum(bool(_BULGARIAN.fullmatch(word)) - bool(_RUSSIAN.fullmatch(word)) for word in words)
    return len(_NOT_BULGARIAN.findall(text)) <= _TOLERATED * cyrillic and balance >= 0


def _is_json(reply: str) -> bool:
    text = reply.strip()
    for opening in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(opening)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _has_bullets(reply: str, number: int) -> bool:
    stars = re.findall(r"^[^\S\n]*\*[^*].*$", reply, flags=re.MULTILINE)
    dashes = re.findall(r"^[^\S\n]*-.*$", reply, flags=re.MULTILINE)
    return len(stars) + len(dashes) == number


def _fewer_sentences(reply: str, fewer_than: int) -> bool:
    return count_sentences(reply) < fewer_than


def _has_keywords(reply: str, keywords: list[str]) -> bool:
    return all(keyword.lower() in reply.lower() for keyword in keywords)


def _two_responses(reply: str) -> bool:
    parts = [part.strip() for part in reply.split("******")]
    if not all(parts[1:-1]):
        return False
    filled = [part for part in parts if part]
    return len(filled) == 2 and filled[0] != filled[1]


def _has_placeholders(reply: str, at_least: int) -> bool:
    # As many as the pattern \[.*?\] finds, in time that grows with the length only.
    return sum("[" in part.rpartition("\n")[2] for part in reply.split("]")[:-1]) >= at_least


def _has_option(reply: str, options: list[str]) -> bool:
    return any(option in reply for option in options)


def _no_comma(reply: str) -> bool:
    return "," not in reply


CHECKS: dict[str, Callable[..., bool]] = {
    "startend:start_char": _starts_with_letter,
    "startend:start_emoji": _starts_with_emoji,
    "startend:end_phrase": _ends_with,
    "language:response_language": _in_language,
    "format:json_format": _is_json,
    "format:bullet_list": _has_bullets,
    "length_constraints:number_sentences": _fewer_sentences,
    "keywords:existence": _has_keywords,
    "change_case:capital_letter": str.isupper,
    "change_case:lowercase": str.islower,
    "punctuation:no_comma": _no_comma,
    "combination:two_responses": _two_responses,
    "content:placeholder": _has_placeholders,
    "format:constrained_response": _has_option,
}
"""By kind: the check of a reply, with the instruction's arguments."""
