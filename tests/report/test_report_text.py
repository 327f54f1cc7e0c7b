"""Numbers and text as the page shows them."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from turnwise.report.text import as_number, duration, interval, number, percent, visible


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.6, "1.600"),
        (0.93456, "0.9346"),
        (1234.5, "1,234"),
        (123456.0, "123,500"),
        (1e-5, "1.000e-05"),
        (0.0, "0"),
        (-0.5, "−0.5000"),
        (1234567, "1,234,567"),
        (999.96, "1000"),
        (2e9, "2.000e+09"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (True, "–"),
        ("7", "–"),
        (10**400, "–"),
    ],
)
def test_numbers_have_four_significant_digits_and_counts_are_whole(value: Any, shown: str) -> None:
    assert number(value) == shown


def test_units_shares_and_intervals() -> None:
    assert number(2.0, "nats per token") == "2.000 nats per token"
    assert percent(0.1234) == "12.3 %"
    assert interval([1, 2.5]) == "[1.000, 2.500]"
    assert interval([1, None]) == interval(None) == interval([1]) == ""
    assert as_number(10**400) is None


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.85, "850 ms"), (12.34, "12.3 s"), (59.97, "1 min 0 s"), (184, "3 min 4 s"), (7500, "2 h 5 min"), (-1, "–")],
)
def test_durations_read_naturally(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_characters_that_hide_or_reorder_text_are_shown_by_code_point() -> None:
    assert visible("a\u202eb\x00c\x1bd\ud800") == "a[U+202E]b[U+0000]c[U+001B]d[U+D800]"
    assert visible("line\r\nline\tend") == "line\nline\tend"
    assert visible("مرحبا 👩\u200d🚀 你好") == "مرحبا 👩\u200d🚀 你好"
    assert visible(Markup("<b>\u202e</b>")) == "<b>\u202e</b>"


@given(st.text(st.characters(exclude_categories=())))
def test_no_control_or_direction_character_is_left(text: str) -> None:
    left = visible(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") and char not in "\n\t" for char in left)
    assert not any(
        unicodedata.bidirectional(char) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        for char in left
    )
