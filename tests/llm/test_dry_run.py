"""The dry run: every form that is asked for, and never taken for a real answer."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator

from turnwise.llm.chat import ChatRequest
from turnwise.llm.drive import run_one
from turnwise.llm.dry_run import smallest
from turnwise.llm.scripted import ScriptedModel
from turnwise.llm.structured import Structured


def ask(text="hello", schema=None):
    return run_one(ScriptedModel.dry().reply(ChatRequest([{"role": "user", "content": text}], schema=schema)))


def test_records_say_that_it_was_a_dry_run():
    assert ScriptedModel.dry().name == "dry-run"
    reply = ask()
    assert reply.model == "dry-run"
    assert "dry run" in reply.text
    assert reply.failure is None


def test_a_prompt_that_asks_for_a_rating_or_a_winner_gets_one():
    for form in ("[[rating]]", "[[number]]"):
        rating = ask(f'Rate the response, for example: "Rating: {form}"').text
        assert re.findall(r"\[\[(\d+\.?\d*)\]\]", rating) == ["5"]
        assert rating.splitlines()[-1] == "Rating: [[5]]"
    for form in ('"[[A]]" if A is better, "[[B]]" if B is better, and "[[C]]" for a tie', "Verdict: [[letter]]"):
        winner = ask(f"output {form}").text
        assert re.findall(r"\[\[(.)\]\]", winner) == ["C"]
        assert winner.splitlines()[-1] == "Verdict: [[C]]"
    request = ChatRequest([{"role": "system", "content": "[[rating]]"}, {"role": "user", "content": "x"}])
    assert "[[5]]" in run_one(ScriptedModel.dry().reply(request)).text


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 0}),
        ({"type": "integer", "minimum": 1, "maximum": 10}, 1),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "integer", "exclusiveMinimum": 1, "multipleOf": 5}, 5),
        ({"type": "string", "minLength": 9}, "dry-run.."),
        ({"type": "string", "maxLength": 3}, "dry"),
        ({"enum": ["yes", "no"]}, "yes"),
        ({"const": 4}, 4),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer", "minimum": 2}}}, 2),
        (
            {"allOf": [{"required": ["a"]}, {"properties": {"a": {"const": 1}}, "required": ["b", "a"]}]},
            {"a": 1, "b": None},
        ),
        ({"type": ["string", "null"]}, "dry-run"),
    ],
)
def test_a_schema_gets_the_smallest_json_that_follows_it(schema, value):
    Draft202012Validator(schema).validate(value)
    assert json.loads(ask(schema=schema).text) == value


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"type": "object", "properties": {"inner": {"$ref": "#"}}, "required": ["inner"]},
        {"$ref": "http://localhost/x"},
        {"$ref": "#/$defs/gone"},
        {"type": "integer", "minimum": 3, "maximum": 1},
    ],
)
def test_a_schema_that_nothing_is_found_for_is_a_failure(schema):
    assert ask(schema=schema).failure == "schema"


schemas = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "boolean"}, {"type": "null"}, {"enum": [1, "a"]}, {}])
    | st.builds(
        lambda low, extra, whole: {"type": "integer" if whole else "number", "minimum": low, "maximum": low + extra},
        st.integers(-9, 9),
        st.integers(0, 5),
        st.booleans(),
    ),
    lambda inner: (
        st.builds(lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 2))
        | st.builds(
            lambda known: {
                "type": "object",
                "properties": known,
                "required": sorted(known),
                "additionalProperties": False,
            },
            st.dictionaries(st.sampled_from("abc"), inner),
        )
        | st.builds(lambda first, second: {"anyOf": [first, second]}, inner, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=60)
@given(schemas)
def test_what_is_given_for_a_schema_follows_it(schema):
    Draft202012Validator(schema).validate(smallest(schema))
    assert run_one(Structured(ScriptedModel.dry()).reply(ChatRequest([], schema=schema))).failure is None
