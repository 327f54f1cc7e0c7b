"""Files of JSON objects, read strictly."""

from __future__ import annotations

import pytest

from turnwise.data.objects import read_objects
from turnwise.errors import DataError


def test_lines_and_arrays_give_their_objects_with_line_or_number(tmp_path):
    lines, array = tmp_path / "a.jsonl", tmp_path / "b.json"
    lines.write_text('{"a": 1}\n\n{"a": 2}\n')
    array.write_text('[\n {"a": 1},\n {"a": 2}\n]')
    assert read_objects(lines) == [(1, {"a": 1}), (3, {"a": 2})]
    assert read_objects(array) == [(1, {"a": 1}), (2, {"a": 2})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n7\n', r"x\.jsonl:2: expected a JSON object, found int"),
        ('{"a": 1}\n[{"a": 2}]\n', r"x\.jsonl:2: expected a JSON object, found list"),
        ('[{"a": 1}, "b"]', r"x\.jsonl:2: expected a JSON object, found str"),
        ('{"a": 1}\n{"a": \n{"a": 3}\n', r"x\.jsonl:2: "),
        ("[]", "at least one JSON object"),
        ("", r"x\.jsonl"),
    ],
)
def test_anything_else_is_refused_by_line(tmp_path, text, message):
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_objects(path)
    with pytest.raises(DataError, match="no such file"):
        read_objects(tmp_path / "none")
