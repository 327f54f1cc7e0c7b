"""The JSON in a model's reply: found among prose and fences, mended where slightly damaged, never made up.

A reply may quote JSON that is not its answer (a judged text can hold a verdict), so the last place that names a key of
the schema is the answer, and no other is tried. JSON that is not closed is a truncated answer and is not completed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

_FENCE = re.compile(r"\A```\w*[ \t]*\n(.*?)\n?[ \t]*```\Z", re.DOTALL)
_OPENS_JSON = re.compile(r"""\{\s*["'}]|\[\s*["'{\[\]\d-]""")
_MOST_OPEN = 10
"""Brackets without an end after which a text is searched no further: each costs a pass over the rest of it."""

_CLOSES = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a reply holds.

    Attributes:
        value: The JSON value; None where there is none.
        problem: Why there is none, as a sentence for whoever has to write it anew; None where there is one.
        unclosed: The JSON ends in its middle.
    """

    value: Any = None
    problem: str | None = None
    unclosed: bool = False


def find_json(text: str, schema: Mapping[str, Any]) -> Found:
    """Find the answer in a reply; whether it follows the schema is not looked at.

    The whole reply (or the whole content of its one fence) where that is JSON; otherwise the last object (the last
    array, where the schema asks for one) in it that names a key of the schema. Slight damage, such as a trailing
    comma, single quotes or a line break in a text, is mended with json_repair, and the result is taken only where
    every key and every value of it stands in the reply.

    Args:
        text: The reply.
        schema: Tells arrays from objects, and which keys to look for.
    """
    whole = text.strip()
    fenced = _FENCE.match(whole)
    whole = fenced.group(1).strip() if fenced else whole
    if not whole:
        return Found(problem="the reply is empty")
    try:
        return Found(_strict(whole))
    except _Ambiguous as error:
        return Found(problem=str(error))
    except (ValueError, RecursionError):
        pass
    keys = _keys(schema)
    candidate: str | None = None
    for span, closed in _spans(whole, _openers(schema)):
        if not closed:
            return Found(problem="the JSON ends before it is closed", unclosed=True)
        if not keys or any(form in span for key in keys for form in _forms(key)):
            candidate = span
    if candidate is None:
        return Found(problem="the reply holds no JSON of the wanted form")
    return _value(candidate)


def _value(span: str) -> Found:
    try:
        return Found(_strict(span))
    except _Ambiguous as error:
        return Found(problem=str(error))
    except ValueError as error:
        problem = f"the JSON cannot be read: {error}"
    except RecursionError:
        return Found(problem="the JSON is nested too deeply")
    mended = _mended(span)
    return Found(problem=problem) if mended is None else Found(mended)


class _Ambiguous(ValueError):
    """JSON that says two things at once."""


def _strict(text: str) -> Any:
    """Raises ValueError for what is no JSON, NaN and infinity included, and for keys that stand twice."""
    return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Ambiguous(f"the key {twice!r} stands twice in one object")
    return made


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _no_constant(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _mended(span: str) -> Any:
    """The value after repair; None where it cannot be repaired, or the repair adds something."""
    from json_repair import repair_json

    try:
        value = _strict(str(repair_json(span, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return None
    right_kind = isinstance(value, dict if span.startswith("{") else list)
    return value if right_kind and all(_stands_in(span, leaf) for leaf in _leaves(value)) else None


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield _Key(key)
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


class _Key(str):
    """A key: may stand in a damaged object without quotes."""

    __slots__ = ()


def _stands_in(span: str, leaf: Any) -> bool:
    if isinstance(leaf, _Key):
        return bool(leaf) and any(form in span for form in _forms(str(leaf)))
    if isinstance(leaf, str):
        if not leaf:
            return '""' in span or "''" in span
        return any(
            quoted in span
            for quoted in (f'"{leaf}', f"'{leaf}", json.dumps(leaf)[:-1], json.dumps(leaf, ensure_ascii=False)[:-1])
        )
    if leaf is None or isinstance(leaf, bool):
        return {None: "null", True: "true", False: "false"}[leaf] in span.lower() or str(leaf) in span
    return any(float(number) == leaf for number in re.findall(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", span))


def _keys(schema: Any) -> set[str]:
    """Every property that a schema names, at any depth."""
    if isinstance(schema, Mapping):
        named = schema.get("properties")
        own = set(named) if isinstance(named, Mapping) else set()
        return own.union(*(_keys(inner) for inner in schema.values()))
    if isinstance(schema, list):
        return set().union(*(_keys(inner) for inner in schema))
    return set()


def _forms(key: str) -> tuple[str, ...]:
    """The ways in which JSON may write a key, without its quotes."""
    return key, json.dumps(key)[1:-1], json.dumps(key, ensure_ascii=False)[1:-1]


def _openers(schema: Mapping[str, Any]) -> str:
    return {"object": "{", "array": "["}.get(str(schema.get("type")), "{[")


def _spans(text: str, openers: str) -> Iterator[tuple[str, bool]]:
    """Outermost bracketed parts in order, and whether they are closed; an unclosed one that looks like JSON is last."""
    place, open_ends = 0, 0
    while place < len(text) and open_ends < _MOST_OPEN:
        if text[place] in openers:
            end = _end(text, place)
            if end is not None:
                yield text[place:end], True
                place = end
                continue
            if _OPENS_JSON.match(text, place):
                yield text[place:], False
                return
            open_ends += 1
        place += 1


def _end(text: str, start: int) -> int | None:
    """Just behind where the bracket at `start` is closed; None where it is not. Brackets in texts do not count."""
    expected: list[str] = []
    place, inside = start, False
    while place < len(text):
        letter = text[place]
        if inside:
            if letter == "\\":
                place += 1
            inside = letter != '"'
        elif letter == '"':
            inside = True
        elif letter in _CLOSES:
            expected.append(_CLOSES[letter])
        elif letter in "}]":
            if letter != expected.pop():
                return None
            if not expected:
                return place + 1
        place += 1
    return None
