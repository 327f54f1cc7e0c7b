"""What a real server does, and what becomes of it."""

from __future__ import annotations

import asyncio
import logging

import pytest
from faulty_server import FaultyServer, Script

from turnwise.errors import ConfigError, EndpointError
from turnwise.llm.cache import Cached, ReplyCache
from turnwise.llm.chat import ChatModel, ChatReply, ChatRequest, Sampling
from turnwise.llm.drive import run_all, run_one
from turnwise.llm.endpoint import Endpoint
from turnwise.llm.openai_api import OpenAIModel
from turnwise.llm.opening import open_model
from turnwise.llm.settings import ClientConfig
from turnwise.llm.usage import Usage

KEY = "sk-" + "secretsecret12345"  # put together: the repository is searched for what looks like a key
FAST = {"backoff_s": 0.005, "max_tries": 3, "max_wait_s": 0.5}
PLAN = {
    "two_choices": ["two_choices"],
    "one 429": ["429", "answer"],
    "one 429_ms": ["429_ms", "answer"],
    "one 500": ["500", "503", "answer"],
    "one torn": ["torn", "answer"],
    "one no_choices": ["no_choices", "answer"],
    "one invalid_json": ["invalid_json", "not_an_object", "answer"],
    "one error_in_200": ["error_in_200", "answer"],
    "one slow": ["slow", "answer"],
    **{
        f"always {did}": [did]
        for did in [
            "500",
            "429",
            "429_forever",
            "torn",
            "400",
            "400_filter",
            "400_format",
            "403",
            "quota",
            "redirect",
            "web_page",
            "empty",
            "null",
            "refusal",
            "filtered",
            "length",
            "ignore_stop",
            "ignore_schema",
            "parts",
            "leak",
            "leak_escaped",
            "leak_500",
            "leak_400",
        ]
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with FaultyServer(
        tmp_path_factory.mktemp("server"),
        Script(plan={f"<{text}>": faults for text, faults in PLAN.items()}, slow_s=5.0),
    ) as running:
        yield running


def ask(text: str, **more) -> ChatRequest:
    return ChatRequest([{"role": "user", "content": f"<{text}>"}], **more)


def opened(server: FaultyServer, usage: Usage | None = None, model: str = "m", **settings) -> OpenAIModel:
    config = ClientConfig(**{**FAST, **settings})
    return OpenAIModel(model, Endpoint(server.url, config), config, usage if usage is not None else Usage())


def closing(model: ChatModel, request: ChatRequest) -> ChatReply:
    """One reply, after which the model is closed, whatever comes of it."""

    async def scene():
        try:
            return await model.reply(request)
        finally:
            await model.close()

    return run_one(scene())


def asked(server: FaultyServer, text: str, usage: Usage | None = None, settings=None, **more) -> ChatReply:
    return closing(opened(server, usage, **(settings or {})), ask(text, **more))


@pytest.mark.parametrize(
    ("text", "tries"),
    [
        ("plain", 1),
        ("one 429", 2),
        ("one 429_ms", 2),
        ("one 500", 3),
        ("one torn", 2),
        ("one no_choices", 2),
        ("one invalid_json", 3),
        ("one error_in_200", 2),
    ],
)
def test_what_passes_is_tried_again_and_answered(server, text, tries):
    usage = Usage()
    reply = asked(server, text, usage)
    assert (reply.failure, reply.attempts) == (None, tries)
    assert "Rating: [[" in reply.text
    assert (reply.model, reply.finish_reason) == ("m-2026-01-01", "stop")
    assert (usage.sent, usage.retries, usage.in_flight) == (tries, tries - 1, 0)
    assert usage.rate_limited == text.count("429")


def test_a_reply_that_takes_too_long_is_asked_for_again(server):
    reply = asked(server, "one slow", settings={"timeout_s": 1.0})
    assert (reply.failure, reply.attempts) == (None, 2)


@pytest.mark.parametrize(
    ("text", "failure", "detail", "kept_text"),
    [
        ("always 500", "server", "status 500: internal error; tried 3 times", ""),
        ("always torn", "server", "Not enough data", ""),
        ("always 429", "rate_limit", "status 429: slow down", ""),
        ("always 429_forever", "rate_limit", "slow down", ""),
        ("always 400", "request", "the context is too long", ""),
        ("always 400_filter", "refused", "against the policy", ""),
        ("always empty", "empty", "no text came", "  \n"),
        ("always null", "empty", "no text came", ""),
        ("always refusal", "refused", "I cannot help with that.", ""),
        ("always filtered", "refused", "content filter", "I was say"),
        ("always length", "truncated", "token limit", "cut sho"),
    ],
)
def test_what_stays_wrong_is_a_failed_reply_with_its_reason(server, text, failure, detail, kept_text):
    reply = asked(server, text)
    assert (reply.failure, reply.text) == (failure, kept_text)
    assert detail in reply.detail
    if failure in ("request", "refused", "empty", "truncated"):
        assert reply.attempts == 1, "asking again would pay again for the same"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("always 403", "may this key"),
        ("always quota", "add credit"),
        ("always redirect", "address that it leads to"),
        ("always web_page", "often /v1"),
    ],
)
def test_what_no_request_would_change_stops_the_run(server, text, hint):
    usage = Usage()
    with pytest.raises(EndpointError) as caught:
        asked(server, text, usage)
    assert hint in str(caught.value)
    assert usage.sent == 1


def test_a_403_of_one_request_is_a_refusal_where_others_were_answered(server):
    model = opened(server)
    assert run_one(model.reply(ask("plain"))).failure is None
    assert run_one(model.reply(ask("always 403"))).failure == "refused"
    run_one(model.close())


def test_a_server_that_takes_no_schema_says_which_setting_helps(server):
    with pytest.raises(EndpointError, match="set structured to json_object or none"):
        asked(server, "always 400_format", schema={"type": "object"})


def test_an_unknown_model_stops_the_run(server):
    with pytest.raises(EndpointError, match=r"does not exist[\s\S]*is the model's name right"):
        closing(opened(server, model="unknown"), ask("x"))


def test_more_choices_than_asked_for_are_noticed_and_the_first_counts(server):
    usage = Usage()
    assert "Rating: [[" in asked(server, "two_choices", usage).text
    assert usage.not_honoured == {"n": 1}


def test_a_stop_text_that_the_server_ignores_ends_the_reply(server):
    """`before END after END` with stops `after` and `END` is `before `; without stops it is whole."""
    usage = Usage()
    reply = asked(server, "always ignore_stop", usage, sampling=Sampling(stop=("after", "END")))
    assert (reply.text, reply.finish_reason, reply.failure) == ("before ", "stop", None)
    assert usage.not_honoured == {"stop": 1}
    assert asked(server, "always ignore_stop").text == "before END after END"


def test_a_schema_that_the_server_ignores_is_noticed(server):
    usage = Usage()
    assert asked(server, "always ignore_schema", usage, schema={"type": "object"}).text == "The score is 7."
    assert usage.not_honoured == {"schema": 1}
    usage = Usage()
    assert asked(server, "plain", usage, schema={"type": "object"}).text.startswith('{"score": ')
    assert usage.not_honoured == {}


def test_content_as_a_list_of_parts_is_text(server):
    assert asked(server, "always parts").text == "[[4]]"


def test_extra_fields_may_not_undo_what_is_checked(server):
    with pytest.raises(ConfigError, match="n, stream cannot be set here"):
        asked(server, "x", sampling=Sampling(extra={"n": 2, "stream": True}))


def test_requests_stop_exactly_at_their_limit_with_many_in_flight(server):
    """Forty requests, fifteen allowed: fifteen answers, twenty-five failures `limit`, and none of these is kept."""
    usage = Usage(max_requests=15)
    model = opened(server, usage)
    replies = list(run_all(lambda number: model.reply(ask(f"limit {number}")), range(40)))
    run_one(model.close())
    assert [reply.failure for reply in replies].count("limit") == 25
    assert usage.sent == 15
    assert {reply.attempts for reply in replies if reply.failure} == {0}


def test_cost_follows_the_servers_tokens_and_the_prices(server):
    """100 tokens of request and 5 of reply, at 2 and 10 per million: 0.00025. A limit of 0.0006 allows three."""
    usage = Usage()
    prices = {"price_prompt": 2.0, "price_completion": 10.0}
    reply = asked(server, "plain", usage, settings=prices)
    words = len(reply.text.split())
    assert reply.cost == pytest.approx((100 * 2 + words * 10) / 1e6)
    assert usage.cost == reply.cost
    usage = Usage(max_cost=0.0006)
    model = opened(server, usage, max_concurrency=1, **prices)
    replies = list(run_all(lambda number: model.reply(ask(f"cost {number}")), range(6)))
    run_one(model.close())
    assert [reply.failure for reply in replies] == [None] * 3 + ["limit"] * 3


def test_repeated_samples_with_a_seed_are_drawn_with_seeds_of_their_own():
    from turnwise.llm.request_body import request_body

    def body(sample: int, seed: int | None):
        return request_body("m", ask("x", sampling=Sampling(seed=seed), sample=sample), ClientConfig(), "max_tokens")

    assert [body(sample, 40)["seed"] for sample in range(3)] == [40, 41, 42]
    assert "seed" not in body(1, None)


def test_the_body_holds_what_is_set_and_a_schema_is_strict_only_where_it_can_be():
    from turnwise.llm.request_body import request_body

    closed = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
    open_one = {"type": "object", "properties": {"a": {}}}
    request = ask("x", sampling=Sampling(0, max_tokens=5, stop=("S",), extra={"top_k": 3}), schema=closed)
    assert request_body("m", request, ClientConfig(), "max_completion_tokens") == {
        "model": "m",
        "messages": [{"role": "user", "content": "<x>"}],
        "temperature": 0,
        "max_completion_tokens": 5,
        "stop": ["S"],
        "top_k": 3,
        "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": closed, "strict": True}},
    }
    loose = request_body("m", ask("x", schema=open_one), ClientConfig(), "max_tokens")
    assert loose["response_format"]["json_schema"]["strict"] is False
    plain = request_body("m", ask("x", schema=closed), ClientConfig(structured="json_object"), "max_tokens")
    assert plain["response_format"] == {"type": "json_object"}
    assert "response_format" not in request_body("m", ask("x", schema=closed), ClientConfig(structured="none"), "t")


@pytest.mark.parametrize("text", ["always leak", "always leak_escaped", "always leak_500", "always leak_400"])
def test_a_key_that_the_server_echoes_is_nowhere(server, tmp_path, monkeypatch, caplog, text):
    """In no reply, no detail, no log at any level, no cache, no repr."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    model = opened(server, headers={"X-Gateway": "${OPENAI_API_KEY}"})
    kept = Cached(model, ReplyCache(tmp_path / "c.sqlite"), Usage())
    with caplog.at_level(logging.DEBUG):
        reply = run_one(kept.reply(ask(text)))
    run_one(kept.close())
    seen = [repr(reply), repr(model), repr(kept), model.name, caplog.text, repr(model.__dict__)]
    seen += [path.read_bytes().decode("latin-1") for path in tmp_path.glob("c.sqlite*")]
    assert [where for where in seen if KEY in where] == []
    assert "[redacted]" in reply.text + reply.detail


def test_a_wrong_key_stops_the_run_and_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultyServer(tmp_path, Script(key="sk-" + "another")) as server:
        with pytest.raises(EndpointError) as caught:
            closing(open_model(f"m@{server.url}"), ask("x"))
        with pytest.raises(EndpointError) as unnamed:
            closing(open_model(f"unknown@{server.url}"), ask("x"))
    for error in (caught, unnamed):
        assert KEY not in str(error.value)
        assert "is the key right" in str(error.value)
        assert error.value.__cause__ is None


def test_the_right_key_opens(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY + "\n")
    with FaultyServer(tmp_path, Script(key=KEY)) as server:
        model = open_model(f"m@{server.url}", ClientConfig(api_key_env="MY_KEY"))
        assert run_one(model.reply(ask("x"))).failure is None
        run_one(model.close())


def test_a_server_that_was_there_and_is_gone_stops_the_run_after_its_tries(tmp_path):
    with FaultyServer(tmp_path, Script()) as server:
        usage = Usage()
        model = opened(server, usage)
        assert run_one(model.reply(ask("x"))).failure is None
    with pytest.raises(EndpointError, match="no connection"):
        run_one(model.reply(ask("y")))
    assert usage.retries >= 2
    run_one(model.close())


def test_a_server_with_a_cap_is_kept_busy_without_failures(tmp_path):
    """Eight at once are taken, 64 are allowed: all 400 are answered, and few are thrown away on the way."""
    with FaultyServer(tmp_path, Script(most_at_once=8, latency_s=0.02)) as server:
        usage = Usage()
        model = opened(server, usage, max_wait_s=60)
        replies = list(run_all(lambda number: model.reply(ask(f"cap {number}")), range(400)))
        run_one(model.close())
    assert {reply.failure for reply in replies} == {None}
    assert usage.rate_limited < 200


def test_retry_after_is_read_in_all_its_forms():
    from datetime import UTC, datetime, timedelta
    from email.utils import format_datetime

    from turnwise.llm.refusals import parse_retry_after

    assert parse_retry_after({"retry-after": "7"}) == 7
    assert parse_retry_after({"retry-after": "0.5"}) == 0.5
    assert parse_retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 50 < parse_retry_after({"retry-after": later}) <= 60
    earlier = format_datetime(datetime.now(UTC) - timedelta(seconds=60), usegmt=True)
    assert parse_retry_after({"retry-after": earlier}) == 0
    for nonsense in ("", "soon", "-3", "nan", "inf", "Mon, 99 Foo"):
        assert parse_retry_after({"retry-after": nonsense}) is None
    assert parse_retry_after({}) is None


def test_redaction_leaves_placeholders_of_servers_without_keys_alone():
    """`EMPTY` is what many servers are given for a key; a reply may hold the word."""
    from turnwise.llm.redact import Secrets

    assert Secrets(["EMPTY", None, ""]).remove("EMPTY words") == "EMPTY words"
    secrets = Secrets(["longsecret", "longsecret-and-more"])
    assert secrets.remove("longsecret-and-more, longsecret") == "[redacted], [redacted]"
    assert secrets.describe("a\n b Bearer abcdef sk-" + "12345678x") == "a b [redacted] [redacted]"
    assert len(secrets.describe("x" * 999)) == 300
    assert "longsecret" not in repr(secrets)


def test_replies_come_from_asyncio_code_too(server):
    async def scene():
        model = opened(server)
        replies = await asyncio.gather(*(model.reply(ask(f"here {number}")) for number in range(3)))
        await model.close()
        return [reply.failure for reply in replies]

    assert asyncio.run(scene()) == [None] * 3
