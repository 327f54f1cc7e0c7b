"""How values look on the page: numbers, shares, durations, and text from data sets made visible.

Data set text is hostile input. Escaping of markup is the template's work; what is left is text that *displays* as
something else than it is: control characters, and bidirectional overrides that reorder what follows them.
"""

from __future__ import annotations

import math
import re
from typing import Any

from markupsafe import Markup

MISSING = "–"

# Controls (C0 without tab and line feed, DEL, C1), bidirectional controls, line/paragraph separators, the byte order
# mark, lone surrogates and tag characters. The zero-width (non-)joiner stays: Persian and emoji are written with it.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """Replace characters that hide, reorder or break text by their code point, for example `[U+202E]`.

    A carriage return before a line feed is dropped. Markup (already escaped by us) passes through.
    """
    if isinstance(text, Markup):
        return text
    return _INVISIBLE.sub(lambda match: f"[U+{ord(match.group()):04X}]", str(text).replace("\r\n", "\n"))


def clip(text: str, limit: int) -> tuple[str, int]:
    """The first `limit` characters and how many were left out."""
    return text[:limit], max(0, len(text) - limit)


def as_number(value: Any) -> float | None:
    """A JSON value as a finite float; None for everything else (null, NaN, text, true)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number_value = float(value)
    except OverflowError:
        return None
    return number_value if math.isfinite(number_value) else None


def number(value: Any, unit: str = "") -> str:
    """Four significant digits, thousands separated; counts (int) in full; a dash for what is no finite number."""
    plain = as_number(value)
    if plain is None:
        return MISSING
    if isinstance(value, int):
        text = f"{value:,}"
    elif not plain:
        text = "0"
    elif not 1e-4 <= abs(plain) < 1e9:
        text = f"{plain:.3e}"
    elif abs(plain) >= 1000:
        text = f"{float(f'{plain:.4g}'):,.0f}"
    else:
        text = f"{plain:#.4g}".rstrip(".")
    return f"{text.replace('-', '−', 1) if plain < 0 else text}{' ' + unit if unit else ''}"


def percent(share: Any) -> str:
    """A share of 0 to 1 as per cent with one decimal."""
    plain = as_number(share)
    return MISSING if plain is None else f"{100 * plain:.1f} %"


def interval(bounds: Any) -> str:
    """`[low, high]` with four significant digits; empty where none was given."""
    if not isinstance(bounds, list | tuple) or len(bounds) != 2 or any(as_number(bound) is None for bound in bounds):
        return ""
    return f"[{number(float(bounds[0]))}, {number(float(bounds[1]))}]"


def duration(seconds: Any) -> str:
    """Seconds as `850 ms`, `12.3 s`, `3 min 4 s` or `2 h 5 min`."""
    plain = as_number(seconds)
    if plain is None or plain < 0:
        return MISSING
    if plain < 1:
        return f"{1000 * plain:.0f} ms"
    if plain < 59.95:
        return f"{plain:.1f} s"
    whole = round(plain)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def plural(count: int, noun: str) -> str:
    """`1 dialogue`, `2,000 dialogues`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
