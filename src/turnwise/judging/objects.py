"""The JSON objects of a judge's reply, wherever they stand in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_MOST_OBJECTS = 1000


def json_objects(text: str, *, pairs: Callable[[list[tuple[str, Any]]], Any] = dict) -> list[Any]:
    """The objects of a text that are not inside one another, in order; numbers are floats.

    The text may be an object alone, in a Markdown fence, or have words around it. What is no JSON (NaN too) is passed
    over; line breaks inside texts are taken as judges write them.

    Args:
        text: The reply.
        pairs: Makes an object of its keys and values in order, which may repeat.
    """
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=pairs, parse_constant=_no_number, parse_int=_whole)
    found, place = [], text.find("{")
    for _ in range(_MOST_OBJECTS):
        if place < 0:
            break
        try:
            value, end = decoder.raw_decode(text, place)
            found.append(value)
        except (ValueError, RecursionError):
            end = place + 1
        place = text.find("{", end)
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no score")


def _whole(digits: str) -> float:
    # Never int(): a numeral of thousands of digits is an error there, and infinite here.
    return float(digits)
