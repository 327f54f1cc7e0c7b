"""Schemas are checked whatever the model does: repairs, limits, truncation, counts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from turnwise.errors import ConfigError
from turnwise.llm.chat import ChatReply, ChatRequest, Sampling
from turnwise.llm.drive import run_one
from turnwise.llm.scripted import ScriptedModel
from turnwise.llm.structured import Structured, canonical

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 10}, "why": {"type": "string"}},
    "required": ["score", "why"],
    "additionalProperties": False,
}
GOOD = '{"why": "clear", "score": 7}'


def ask(*answers, schema=SCHEMA, sampling=None, **options):
    """The reply of a `Structured` over a model that gives these answers, one after the other, and the requests."""
    left = list(answers)
    model = ScriptedModel(lambda _: left.pop(0))
    request = ChatRequest([{"role": "user", "content": "grade"}], sampling or Sampling(), schema, sample=3)
    return run_one(Structured(model, **options).reply(request)), model.requests


def test_a_reply_that_follows_comes_back_as_canonical_json_after_one_request():
    reply, requests = ask(f"Here you are:\n```json\n{GOOD}\n```")
    assert (reply.text, reply.failure, reply.attempts) == ('{"score":7,"why":"clear"}', None, 1)
    assert requests[0].schema == SCHEMA


def test_a_request_without_a_schema_passes_through():
    reply, requests = ask("just text", schema=None)
    assert (reply.text, len(requests)) == ("just text", 1)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ('{"score": 11, "why": "x"}', "at $.score: 11 is greater than the maximum of 10"),
        ('{"score": "7", "why": "x"}', "at $.score: '7' is not of type 'integer'"),
        ('{"score": true, "why": "x"}', "at $.score: True is not of type 'integer'"),
        ('{"score": 7}', "'why' is a required property"),
        ('{"score": 7, "why": "x", "more": 1}', "Additional properties are not allowed"),
        ("I would say seven.", "holds no JSON"),
        ('{"score": 7, "score": 9, "why": "x"}', "'score' stands twice"),
    ],
)
def test_a_reply_that_does_not_follow_is_asked_for_again_with_what_is_wrong(bad, told):
    """The second request holds the first one, the bad reply, and a user turn with the problem and the schema."""
    reply, requests = ask(bad, GOOD)
    assert (reply.failure, json.loads(reply.text)) == (None, json.loads(GOOD))
    assert reply.rejected == (bad,)
    first, second = requests
    assert list(second.messages[:1]) == list(first.messages)
    assert second.messages[1] == {"role": "assistant", "content": bad}
    assert second.messages[2]["role"] == "user"
    assert told in second.messages[2]["content"]
    assert json.dumps(SCHEMA) in second.messages[2]["content"]
    assert (second.sampling, second.schema, second.sample) == (first.sampling, first.schema, first.sample)
    assert second.key("m") != first.key("m"), "every repair is cached as a request of its own"


@pytest.mark.parametrize("repairs", [0, 1, 2])
def test_after_the_last_repair_the_reply_is_a_schema_failure_with_its_text(repairs):
    reply, requests = ask(*["no", "still no", "never"][: repairs + 1], repairs=repairs)
    assert reply.failure == "schema"
    assert reply.text == ["no", "still no", "never"][repairs]
    assert reply.attempts == len(requests) == repairs + 1
    assert "holds no JSON" in reply.detail


def test_json_cut_at_the_token_limit_is_truncated_at_once():
    """By the server's own word; by a finish_reason without a failure; by the count of tokens: one request each."""
    cut = '{"score": 7, "why": "it'
    said = ChatReply(cut, failure="truncated", finish_reason="length")
    for answer in (
        said,
        ChatReply(cut, finish_reason="length"),
        ChatReply(cut, finish_reason="stop", completion_tokens=20),
    ):
        reply, requests = ask(answer, GOOD, sampling=Sampling(max_tokens=20))
        assert (reply.failure, reply.text, len(requests)) == ("truncated", cut, 1)


def test_json_that_ends_early_for_no_known_reason_is_asked_for_again_and_then_truncated():
    cut = '{"score": 7, "why": "it'
    assert ask(cut, GOOD)[0].failure is None
    reply, requests = ask(cut, cut, repairs=1)
    assert (reply.failure, reply.text, len(requests)) == ("truncated", cut, 2)


@pytest.mark.parametrize("kind", ["refused", "rate_limit", "server", "limit", "truncated"])
def test_another_failure_ends_the_repairs_and_is_kept(kind):
    reply, requests = ask("no", ChatReply("part", failure=kind, detail="why"), GOOD)
    assert (reply.failure, reply.text, reply.detail, len(requests)) == (kind, "part", "why", 2)


def test_counts_are_sums_over_all_repairs():
    """10 + 30 and 5 tokens, 0.5 + 0.25 of cost, 1 + 2 attempts, 2 + 3 seconds; one of two came from the cache."""
    first = ChatReply("no", prompt_tokens=10, completion_tokens=5, cost=0.5, attempts=1, seconds=2.0, cached=True)
    second = ChatReply(GOOD, prompt_tokens=30, cost=0.25, attempts=2, seconds=3.0, model="snapshot")
    reply, _ = ask(first, second)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cost) == (40, 5, 0.75)
    assert (reply.attempts, reply.seconds, reply.cached, reply.model) == (3, 5.0, False, "snapshot")
    assert ask(ChatReply(GOOD))[0].cost is None


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"type": "object", "required": "score"}])
def test_a_schema_that_is_none_is_the_users_error(schema):
    with pytest.raises(ConfigError, match="expected a JSON schema; at"):
        ask(GOOD, schema=schema)


def test_a_reference_to_an_address_is_refused_and_not_fetched():
    with pytest.raises(ConfigError, match="refers to what it does not hold"):
        ask(GOOD, schema={"$ref": "http://localhost:9/schema.json"})
    local = {"$ref": "#/$defs/verdict", "$defs": {"verdict": SCHEMA}}
    assert ask(GOOD, schema=local)[0].failure is None


def test_it_is_called_as_its_model_and_begins_items_as_its_model():
    plain = ScriptedModel(lambda _: "", name="judge")
    assert Structured(plain).name == "judge"
    assert not Structured(plain).lockstep
    plain.lockstep = True
    assert Structured(plain).lockstep
    with pytest.raises(ConfigError, match="repairs"):
        Structured(plain, repairs=-1)


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert canonical({"b": 1, "a": ["é", 2.5]}) == canonical({"a": ["é", 2.5], "b": 1}) == '{"a":["é",2.5],"b":1}'


def test_without_the_libraries_the_message_names_the_extra():
    code = (
        "import sys; sys.modules['jsonschema'] = None\n"
        "from turnwise.llm.structured import Structured\n"
        "try:\n    Structured(None)\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'turnwise[llm]'" in done.stdout
