"""JSON out of a reply: the answer and no other JSON in it, mended but never made up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.llm.json_reply import find_json

SCORE = {"type": "object", "properties": {"score": {"type": "number"}, "why": {"type": "string"}}}
LIST = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"score": 7}', {"score": 7}),
        ('```json\n{"score": 7}\n```', {"score": 7}),
        ('```\n{"score": 7}```', {"score": 7}),
        ('Sure! Here it is:\n```json\n{"score": 7}\n```\nAnything else?', {"score": 7}),
        ('The answer {good} is right, so {"score": 7}.', {"score": 7}),
        (
            '{"score": 7, "why": "a } and a { and a \\" in a text"}',
            {"score": 7, "why": 'a } and a { and a " in a text'},
        ),
        ('an interval [0, 1) and then {"score": 7}', {"score": 7}),
        ('<think>{"score": 1} would be harsh</think>{"score": 7}', {"score": 7}),
    ],
)
def test_json_is_found_whole_fenced_and_among_prose(text, value):
    assert find_json(text, SCORE).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"score": 7,}', {"score": 7}),
        ("{'score': 7, 'why': 'good'}", {"score": 7, "why": "good"}),
        ("{score: 7}", {"score": 7}),
        ('{"score": 7, "why": "two\nlines"}', {"score": 7, "why": "two\nlines"}),
        ('{"score": 7, "why": "he said "yes" to it"}', {"score": 7, "why": 'he said "yes" to it'}),
        ('{"score": 7, "ok": True}', {"score": 7, "ok": True}),
        ('{"score": 7 // a comment\n}', {"score": 7}),
    ],
)
def test_slight_damage_is_mended(text, value):
    assert find_json(f"Here: {text}", SCORE).value == value


@pytest.mark.parametrize("text", ['{"score": }', '{"score": 7, "why": }', '{"score"}'])
def test_nothing_is_made_up_for_what_is_missing(text):
    """The repair library gives `""` for a missing value; that text does not stand in the reply."""
    found = find_json(text, SCORE)
    assert found.value is None
    assert found.problem is not None
    assert not found.unclosed


@pytest.mark.parametrize(
    "text",
    [
        '{"score": 7, "why": "it is',
        '{"score": 7',
        '```json\n{"score": 7, "why": {"a": 1}',
        '{"score": 1} was the draft. {"score": 7, "why": "it',
        '{"score": 7, "why": "}',
    ],
)
def test_json_that_is_not_closed_is_said_to_be_and_never_completed(text):
    """Also where an earlier whole object stands in the reply: the answer is the one that was cut."""
    found = find_json(text, SCORE)
    assert (found.value, found.unclosed) == (None, True)


def test_the_last_object_that_names_a_key_is_the_answer_even_where_it_is_no_json():
    """A judged text that holds a verdict is quoted before the judge's own, which is beyond repair: none is taken."""
    quoted = 'The user wrote {"score": 10}.'
    assert find_json(f'{quoted} I say {{"score": 2}}', SCORE).value == {"score": 2}
    found = find_json(f'{quoted} I say {{"score" is 2}}', SCORE)
    assert found.value is None or found.value != {"score": 10}
    assert find_json(f"{quoted} As in the set {{1, 2}}.", SCORE).value == {"score": 10}


def test_an_object_inside_another_is_not_the_answer():
    assert find_json('{"score": 7, "detail": {"score": 3}}', SCORE).value["score"] == 7
    assert find_json('see: {"score": 7, "detail": {"score": 3}, }', SCORE).value["score"] == 7


def test_arrays_are_looked_for_where_the_schema_asks_for_one():
    assert find_json('Here: ["a", "b"] {"x": 1}', LIST).value == ["a", "b"]
    assert find_json("7", {"type": "integer"}).value == 7


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("no verdict", "no JSON of the wanted form"),
        ('{"score": 3, "score": 9}', "'score' stands twice"),
        ('so {"score": 3, "score": 9}', "'score' stands twice"),
        ('{"score": NaN}', "cannot be read"),
        ('{"score": 1e999}', "cannot be read"),
        ('{"a":' * 100_000, "ends before it is closed"),
        ('{"a":' * 20_000 + '"score"' + "}" * 20_000, ""),
        ("{ " * 20_000, "no JSON of the wanted form"),
    ],
)
def test_what_is_wrong_is_told(text, problem):
    found = find_json(text, SCORE)
    assert found.value is None
    assert problem in found.problem


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


objects = st.dictionaries(st.text(min_size=1), values, min_size=1, max_size=4)


@settings(max_examples=50)
@given(objects, st.sampled_from(["{}", "Here: {} !", "```json\n{}\n```"]))
def test_whatever_object_is_written_is_read_back(value, around):
    schema = {"type": "object", "properties": {key: {} for key in value}}
    written = json.dumps(value, ensure_ascii=False)
    assert find_json(around.replace("{}", written), schema).value == value


@settings(max_examples=50)
@given(st.text(alphabet='{}[]":,\\ab1\n'))
def test_no_reply_raises(text):
    find_json(text, SCORE)
    find_json(text, LIST)


@settings(max_examples=50)
@given(objects, st.data())
def test_no_beginning_of_an_object_is_taken_for_an_object(value, data):
    """Cut anywhere, an object has no value; the whole of it has."""
    written = json.dumps(value)
    cut = data.draw(st.integers(1, len(written) - 1))
    assert find_json(written[:cut], {"type": "object"}).value is None
