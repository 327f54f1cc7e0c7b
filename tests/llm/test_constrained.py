"""Constrained decoding: whatever the weights, a reply follows its schema or is truncated; free rows are untouched."""

from __future__ import annotations

import json
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("llguidance", reason="the extra `constrained` is not installed")

import jsonschema  # noqa: E402
from tiny import save_talkative  # noqa: E402

from turnwise.errors import ConfigError, MissingExtraError, ModelError  # noqa: E402
from turnwise.llm.chat import ChatRequest, Sampling  # noqa: E402
from turnwise.llm.constrained import Grammars, SchemaError  # noqa: E402
from turnwise.llm.drive import run_all, run_one  # noqa: E402
from turnwise.llm.local import LocalModel  # noqa: E402
from turnwise.llm.opening import open_model  # noqa: E402
from turnwise.llm.settings import ClientConfig  # noqa: E402

SHORT = {"type": "string", "maxLength": 4}
DIALOGUE = {
    "type": "object",
    "properties": {
        "turns": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {
                    "user": SHORT,
                    "logic": {"enum": ["question-answer", "opinion-rebuttal"]},
                    "find": {"anyOf": [SHORT, {"type": "null"}]},
                    "score": {"type": "integer", "minimum": 1, "maximum": 10},
                },
                "required": ["user", "logic", "find", "score"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["turns"],
    "additionalProperties": False,
}
TEXTS = ["Hello.", "Who lives in Rome, and since when?", "写一段对话。", "x"]


@pytest.fixture(scope="module")
def base(demo, tmp_path_factory):
    return save_talkative(tmp_path_factory.mktemp("constrained") / "base", demo.base)


@pytest.fixture(scope="module")
def model(base):
    model = LocalModel(base, batch_size=4, constrained=True)
    yield model
    run_one(model.close())


def requests(schema, **sampling):
    return [ChatRequest([{"role": "user", "content": text}], Sampling(**sampling), schema=schema) for text in TEXTS]


def ask(model, asked):
    return list(run_all(model.reply, asked))


@pytest.mark.parametrize("schema", [DIALOGUE, {"type": "integer"}, {"enum": ["yes", "no", 7, None]}])
@pytest.mark.parametrize("temperature", [0, 3.0])
def test_random_weights_write_json_of_the_schema(model, schema, temperature):
    """Greedy, and drawn nearly evenly from all that is allowed, with three seeds; jsonschema is the check.

    The longest DIALOGUE has 10 + 2 * 90 + 3 = 193 bytes (strings of 4 characters are at most 16), a token has at least
    one: within 200 tokens it always ends. An integer of random digits may run into the limit.
    """
    asked = [
        one
        for seed in (range(3) if temperature else [0])
        for one in requests(schema, temperature=temperature, seed=seed, max_tokens=200)
    ]
    replies = ask(model, asked)
    whole = [reply for reply in replies if reply.failure is None]
    for reply in whole:
        jsonschema.validate(json.loads(reply.text), schema)
        assert reply.finish_reason == "stop"
    assert {reply.failure for reply in replies} <= {None, "truncated"}
    assert len(whole) == len(asked) or schema == {"type": "integer"}
    if schema is DIALOGUE and temperature:
        assert len({reply.text for reply in whole}) > 8


def test_a_reply_that_is_cut_is_truncated_and_keeps_its_beginning(model):
    replies = ask(model, requests(DIALOGUE, max_tokens=5))
    assert {reply.failure for reply in replies} == {"truncated"}
    assert all(reply.text.startswith('{"turns"') or '{"turns":'.startswith(reply.text) for reply in replies)


def test_a_reply_that_is_complete_at_its_last_token_is_no_truncated_one(model):
    """`true` has a known number of tokens; with exactly as many allowed there is no room for an end token."""
    (reply, *_) = ask(model, requests({"const": True}, max_tokens=50))
    assert (reply.text, reply.failure) == ("true", None)
    (exact, *_) = ask(model, requests({"const": True}, max_tokens=reply.completion_tokens))
    assert (exact.text, exact.failure, exact.completion_tokens) == ("true", None, reply.completion_tokens)


OPEN = {
    "type": "object",
    "properties": {
        "turns": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"user": {"type": "string", "minLength": 1}, "search": {"type": "array", "items": SHORT}},
                "required": ["user", "search"],
                "additionalProperties": False,
            },
        },
        "notes": {"type": "object"},
    },
    "required": ["turns"],
    "additionalProperties": False,
}
"""Nothing in it is bounded."""


@pytest.mark.parametrize("limit", [80, 120, 200])
def test_replies_that_would_run_into_their_limit_are_closed_where_that_is_asked_for(base, model, limit):
    """A random model ends no text by itself. Closed replies parse and say that their end is not the model's own."""
    closing = LocalModel(base, constrained=True, close_replies=True)
    asked = requests(OPEN, temperature=1.0, max_tokens=limit)
    assert "truncated" in {reply.failure for reply in ask(model, asked)}
    replies = ask(closing, asked)
    assert {reply.failure for reply in replies} == {None}
    for reply in replies:
        jsonschema.validate(json.loads(reply.text), OPEN)
        assert reply.completion_tokens <= limit
        assert (reply.finish_reason == "length") == ("written for the model" in reply.detail)
    assert "length" in {reply.finish_reason for reply in replies}


def test_a_limit_below_the_shortest_reply_is_truncated_also_where_replies_are_closed(base):
    closing = LocalModel(base, constrained=True, close_replies=True)
    assert {reply.failure for reply in ask(closing, requests(OPEN, max_tokens=4))} == {"truncated"}
    with pytest.raises(ConfigError, match="needs constrained"):
        LocalModel(base, close_replies=True)


def test_a_batch_of_free_and_constrained_rows_answers_each_as_alone(base, model):
    """Rows with unlike schemas and without one share a forward pass; one by one is the reference."""
    schemas = [DIALOGUE, None, {"type": "array", "items": SHORT, "minItems": 2, "maxItems": 2}, None]
    mixed = [
        ChatRequest([{"role": "user", "content": text}], Sampling(max_tokens=60, temperature=1.0), schema=schema)
        for text, schema in zip(TEXTS, schemas, strict=True)
    ]
    alone = LocalModel(base, batch_size=1, constrained=True)
    expected = [reply.text for reply in ask(alone, mixed)]
    assert [reply.text for reply in ask(model, mixed)] == expected
    free = LocalModel(base, batch_size=4)
    unconstrained = [reply.text for reply in ask(free, mixed)]
    assert [unconstrained[1], unconstrained[3]] == [expected[1], expected[3]]
    assert unconstrained[0] != expected[0]
    assert free.name != model.name


def test_through_open_model_the_reply_is_canonical_json(base):
    model = open_model(f"local:{base}", ClientConfig(constrained=True, repairs=0))
    for reply in ask(model, requests(DIALOGUE, max_tokens=200)):
        assert reply.failure is None
        assert reply.attempts == 1
        jsonschema.validate(json.loads(reply.text), DIALOGUE)
    run_one(model.close())


@pytest.mark.parametrize(
    "schema",
    [{"not": {"type": "string"}}, {"type": "array", "uniqueItems": True}, {"$ref": "http://example.com/schema.json"}],
)
def test_what_cannot_be_enforced_is_refused_with_the_reason(model, schema):
    (reply, *_) = ask(model, requests(schema, max_tokens=20))
    assert (reply.failure, reply.attempts, reply.text) == ("request", 0, "")
    assert "constrained decoding cannot follow this schema" in reply.detail


def test_end_tokens_are_allowed_only_where_the_reply_could_be_complete(base):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    grammars = Grammars(tokenizer)
    constraint = grammars.begin({"type": "integer"})
    size = len(tokenizer) + 5  # a model may have more rows than its tokenizer has tokens
    assert not constraint.allowed(size)[tokenizer.eos_token_id]
    (four,) = tokenizer.encode("4", add_special_tokens=False)
    constraint.take(four)
    after = constraint.allowed(size)
    assert after[tokenizer.eos_token_id]
    assert after[four]
    assert not after[-5:].any()
    assert not constraint.finished
    constraint.take(tokenizer.eos_token_id)
    assert constraint.finished
    with pytest.raises(SchemaError):
        grammars.begin({"not": {}})


def test_a_tokenizer_that_is_not_fast_is_refused():
    with pytest.raises(ModelError, match="fast tokenizer"):
        Grammars(object())


def test_without_the_library_the_extra_is_named(base, monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance.hf", None)
    with pytest.raises(MissingExtraError, match="constrained"):
        LocalModel(base, constrained=True)
