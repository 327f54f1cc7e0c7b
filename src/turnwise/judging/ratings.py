"""Parsers: from a judge's reply to a verdict. Two published ones, and stricter ones of our own.

The published rules take the first rating that they find, so a reply that quotes the judged text can be misread. Our own
prompts ask for the verdict in the last line, and our parsers look nowhere else. Either way a reply that also names
another verdict is noted as `{"ambiguous": True}`, so that such replies can be counted and read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from turnwise.judging.judge import Verdict
from turnwise.judging.objects import json_objects

_DOUBLE = re.compile(r"\[\[(\d+\.?\d*)\]\]", re.ASCII)
_SINGLE = re.compile(r"\[(\d+\.?\d*)\]", re.ASCII)
_LETTERS = (("[[A]]", "A"), ("[[B]]", "B"), ("[[C]]", "tie"))
# The last line holds one verdict, at its end; words before it (`Rating:`), marks and a full stop around it.
_LAST_RATING = re.compile(r"[^\[\]]*\[\[ ?(\d+(?:\.\d+)?) ?\]\][\s*_`\"'.)]*", re.ASCII)
_LAST_LETTER = re.compile(r"[^\[\]]*\[\[ ?([ABC]) ?\]\][\s*_`\"'.)]*")
_ANY_LETTER = re.compile(r"\[\[ ?([ABC]) ?\]\]")
_ANY_RATING = re.compile(r"\[\[ ?(\d+(?:\.\d+)?) ?\]\]", re.ASCII)
_NOT_APPLICABLE = frozenset({"", "na", "n/a", "none", "null", "not applicable"})


def published_rating(text: str) -> Verdict:
    """FastChat's rule of single grading (`common.py`, `run_judge_single`): the first `[[7]]`, else the first `[7]`.

    No check of the scale, as there. Ratings further on that differ are noted as ambiguous.
    """
    found = _DOUBLE.findall(text) or _SINGLE.findall(text)
    if not found:
        return Verdict(unscored="unparsable")
    ratings = [float(number) for number in found]
    return Verdict(scores={"overall": ratings[0]}, notes=_notes(len(set(ratings)) > 1))


def published_choice(text: str) -> Verdict:
    """FastChat's rule of comparisons (`run_judge_pair`): `[[A]]` anywhere, else `[[B]]`, else `[[C]]` for a tie."""
    found = [winner for mark, winner in _LETTERS if mark in text]
    if not found:
        return Verdict(unscored="unparsable")
    return Verdict(winner=found[0], notes=_notes(len(found) > 1))


def last_rating(text: str) -> Verdict:
    """The rating that the last line ends with: `Rating: [[7.5]]`. Ratings anywhere else count for nothing."""
    found = _LAST_RATING.fullmatch(_last_line(text))
    if found is None:
        return Verdict(unscored="unparsable")
    rating = float(found.group(1))
    others = {float(number) for number in _ANY_RATING.findall(text)}
    return Verdict(scores={"overall": rating}, notes=_notes(others != {rating}))


def last_choice(text: str) -> Verdict:
    """The choice that the last line ends with: `Verdict: [[A]]`, `[[B]]`, or `[[C]]` for a tie."""
    found = _LAST_LETTER.fullmatch(_last_line(text))
    if found is None:
        return Verdict(unscored="unparsable")
    letter = found.group(1)
    return Verdict(
        winner="tie" if letter == "C" else letter,
        notes=_notes(set(_ANY_LETTER.findall(text)) != {letter}),
    )


def json_scores(
    criteria: Sequence[str] = ("overall",), *, keys: Mapping[str, str] | None = None
) -> Callable[[str], Verdict]:
    """A parser of JSON verdicts: `{"Rationale": "...", "Score": 4.5}`, or one key per criterion.

    The reply may be the object alone, in a Markdown fence, or with words around it; of several objects with a wanted
    key the last one counts, and others that say otherwise make it ambiguous. A value is a number, a numeral in text,
    or an object with a `Score` of its own; null and "not applicable" are `not_applicable`; true, false, NaN and
    everything else are unparsable.

    Args:
        criteria: What is scored.
        keys: Key of each criterion in the reply, where it is not its name; of a single criterion it is `Score` unless
            said otherwise. Capitals, spaces, hyphens and underscores do not matter.

    Returns:
        The parser. A reply without any wanted key is `unparsable`; a single criterion that is left out is too.
    """
    named = dict(keys or {})
    if len(criteria) == 1:
        named.setdefault(criteria[0], "Score")
    wanted = {criterion: _plain(named.get(criterion, criterion)) for criterion in criteria}

    def parse(text: str) -> Verdict:
        readings = []
        for found in json_objects(text, pairs=_Pairs):
            values = {_plain(key): value for key, value in found}
            if any(key in values for key in wanted.values()):
                repeated = [_plain(key) for key, _ in found]
                twice = any(repeated.count(key) > 1 for key in wanted.values())
                readings.append((_read(values, wanted), twice))
        if not readings:
            return Verdict(unscored="unparsable")
        last, twice = readings[-1]
        scores = {criterion: value for criterion, value in last.items() if isinstance(value, float)}
        missing: dict[str, Any] = {key: value for key, value in last.items() if not isinstance(value, float)}
        ambiguous = twice or any(reading != last for reading, _ in readings)
        return Verdict(scores=scores, unscored_criteria=missing, notes=_notes(ambiguous))

    return parse


def _read(values: Mapping[str, Any], wanted: Mapping[str, str]) -> dict[str, float | str]:
    return {criterion: _number(values[key]) for criterion, key in wanted.items() if key in values}


def _number(value: Any) -> float | str:
    """The score, or why there is none."""
    if isinstance(value, _Pairs):
        inside = {_plain(key): item for key, item in value}
        return _number(inside["score"]) if "score" in inside else "unparsable"
    if value is None:
        return "not_applicable"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else "unparsable"
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"-?\d{1,6}(\.\d{1,6})?", text, re.ASCII):
            return float(text)
        if text.lower().strip(".") in _NOT_APPLICABLE:
            return "not_applicable"
    return "unparsable"


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object in order, with repeated keys."""


def _plain(key: str) -> str:
    return re.sub(r"[\s_-]+", "", key).lower()


def _last_line(text: str) -> str:
    return text.rstrip().rsplit("\n", 1)[-1].strip()


def _notes(ambiguous: bool) -> dict[str, Any]:
    return {"ambiguous": True} if ambiguous else {}
