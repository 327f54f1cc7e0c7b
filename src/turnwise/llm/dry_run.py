"""Replies that fit any request and mean nothing: to try a pipeline before a model is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from turnwise.dialogue import content_text
from turnwise.llm.chat import ChatReply, ChatRequest

DRY_NAME = "dry-run"
DRY_TEXT = "This is a dry run: no model was asked."
DRY_RATING = 5

_DEEPEST = 20


def dry_reply(request: ChatRequest) -> ChatReply:
    """A reply in the form that the request asks for.

    The smallest JSON that follows the request's schema; without a schema a last line `Rating: [[5]]` where a message
    asks for `[[rating]]` or `[[number]]`, or `Verdict: [[C]]`, a tie, where one asks for a `[[letter]]` or for `[[A]]`,
    `[[B]]` or `[[C]]`; else a sentence. All say that nothing was asked where there is room for it. A schema that no
    smallest value is found for (it refers to itself without end, or to what it does not hold) gives a failure.
    """
    if request.schema is not None:
        try:
            value = smallest(request.schema)
        except (LookupError, RecursionError, TypeError, ValueError) as error:
            return ChatReply("", failure="schema", detail=f"dry run: no JSON was found for the schema ({error})")
        return _said(json.dumps(value, ensure_ascii=False))
    asked = "\n".join(content_text(message.get("content")) for message in request.messages)
    if "[[rating]]" in asked or "[[number]]" in asked:
        return _said(f"{DRY_TEXT}\nRating: [[{DRY_RATING}]]")
    if "[[letter]]" in asked or all(mark in asked for mark in ("[[A]]", "[[B]]", "[[C]]")):
        return _said(f"{DRY_TEXT}\nVerdict: [[C]]")
    return _said(DRY_TEXT)


def smallest(schema: Mapping[str, Any] | bool, root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """The smallest value that follows a JSON schema, as far as its common keywords go.

    Read are `const`, `enum`, `default`, `$ref` into the schema itself, `allOf` (merged one deep), the first branch of
    `anyOf` and `oneOf`, `type`, `required`, `properties`, `items`, `prefixItems`, `minItems`, `minLength`, and the
    bounds and `multipleOf` of numbers; `pattern`, `format`, `not`, `if` and `dependent...` are not.

    Args:
        schema: The schema, or a part of it.
        root: The whole schema, for `$ref`; None where `schema` is the whole.
        depth: How deep in the schema this is.

    Raises:
        LookupError: A `$ref` leads nowhere, or a bound leaves no number.
        RecursionError: The schema asks for values inside values without end.
    """
    if depth > _DEEPEST:
        raise RecursionError("it refers to itself without end")
    if isinstance(schema, bool):
        return None
    root = schema if root is None else root
    schema = _resolved(schema, root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            rest = {name: value for name, value in schema.items() if name != key}
            return smallest(_merged(rest, _resolved(schema[key][0], root)), root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema or "required" in schema else "null")
    kind = kind[0] if isinstance(kind, Sequence) and not isinstance(kind, str) else kind
    if kind == "object":
        known = schema.get("properties", {})
        return {name: smallest(known.get(name, {}), root, depth + 1) for name in schema.get("required", ())}
    if kind == "array":
        first = list(schema.get("prefixItems", ()))
        count = max(schema.get("minItems", 0), 0)
        parts = (first + [schema.get("items", {})] * count)[:count]
        return [smallest(part, root, depth + 1) for part in parts]
    if kind == "string":
        least, most = schema.get("minLength", 0), schema.get("maxLength", len(DRY_NAME))
        return DRY_NAME[: max(most, least)].ljust(least, ".")
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    return False if kind == "boolean" else None


def _said(text: str) -> ChatReply:
    return ChatReply(text, finish_reason="stop", model=DRY_NAME, prompt_tokens=0, completion_tokens=0)


def _resolved(schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with its `$ref` followed and its `allOf` merged in."""
    found: dict[str, Any] = dict(schema) if isinstance(schema, Mapping) else {}
    for _ in range(_DEEPEST):
        if "$ref" not in found and "allOf" not in found:
            return found
        reference, every = found.pop("$ref", None), found.pop("allOf", ())
        if reference is not None:
            found = _merged(found, _referred(reference, root))
        for one in every:
            found = _merged(found, one)
    raise RecursionError("it refers to itself without end")


def _referred(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    if not reference.startswith("#"):
        raise LookupError(f"{reference} lies outside the schema")
    place: Any = root
    for step in reference.lstrip("#/").split("/"):
        if step:
            place = place[step.replace("~1", "/").replace("~0", "~")]
    if not isinstance(place, Mapping):
        raise LookupError(f"{reference} is no schema")
    return place


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both at once: properties and required keys of either, `allOf` of both; otherwise the second one's word."""
    both = {**one, **other}
    if "properties" in one and "properties" in other:
        both["properties"] = {**one["properties"], **other["properties"]}
    for key in ("required", "allOf"):
        if key in one and key in other:
            both[key] = [*one[key], *(value for value in other[key] if value not in one[key])]
    return both


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    """The number nearest to 0 within the bounds."""
    step = schema.get("multipleOf", 1 if whole else None)
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")

    def fits(value: float) -> bool:
        return (
            (low is None or value >= low)
            and (high is None or value <= high)
            and (above is None or value > above)
            and (below is None or value < below)
        )

    if step is None:
        edges = [value for value in (low, high) if value is not None]
        inner = [value + side for value, side in ((above, 1), (below, -1)) if value is not None]
        middle = [(above + below) / 2] if above is not None and below is not None else []
        found = [value for value in (0, *edges, *inner, *middle) if fits(value)]
    else:
        ends = [value for value in (low, high, above, below) if value is not None]
        near = [round(end / step) + shift for end in ends for shift in (-1, 0, 1)]
        found = [value for value in (count * step for count in (0, *near)) if fits(value)]
    if not found:
        raise LookupError("no number lies within its bounds")
    number: int | float = min(found, key=abs)
    return int(number) if whole else number
