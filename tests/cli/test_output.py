"""What every command prints: text as it is, on a terminal that can be trusted and one that cannot show it."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.cli.output import format_cell, plain, print_json


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf"])))
def test_text_without_control_characters_is_shown_unchanged(text):
    assert plain(text).plain == text


@given(st.text())
def test_nothing_shown_can_steer_a_terminal(text):
    shown = plain(text).plain
    assert not [char for char in shown if char != "\n" and (ord(char) < 32 or 0x7F <= ord(char) < 0xA0)]
    assert plain(text).spans == []


@pytest.mark.parametrize(("cell", "shown"), [(None, "-"), (1.23456, "1.235"), (1e-9, "1e-09"), (3, "3"), ("x", "x")])
def test_cells(cell, shown):
    assert format_cell(cell) == shown


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_json_is_whole_in_any_encoding(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    value = {"text": "é 会 🙂 \udce9\x1b\u2028"}
    print_json(value)
    assert json.loads(raw.getvalue().decode(encoding)) == value
    assert raw.getvalue().count(b"\n") == 1


def test_json_refuses_what_json_has_not():
    with pytest.raises(ValueError, match="JSON"):
        print_json({"x": float("inf")})
