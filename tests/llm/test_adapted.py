"""Models that refuse what benchmarks ask for, and models that think aloud."""

from __future__ import annotations

import json

import pytest

from turnwise.config import load_config
from turnwise.errors import ConfigError, EndpointError
from turnwise.judging.judge import Rubric, read_verdict
from turnwise.judging.ratings import json_scores, last_rating, published_rating
from turnwise.llm.adapted import ONLY_THINKING, Adapted, part_thinking, resampled
from turnwise.llm.chat import ChatReply, ChatRequest, Sampling
from turnwise.llm.drive import run_one
from turnwise.llm.opening import open_model
from turnwise.llm.scripted import ScriptedModel
from turnwise.llm.settings import ClientConfig
from turnwise.llm.usage import Usage

ASK = ChatRequest([{"role": "user", "content": "<hard>"}], Sampling(temperature=0, max_tokens=64))


@pytest.mark.parametrize(
    ("fault", "complaint", "settings"),
    [
        ("400_limit_name", "max_tokens_field to max_completion_tokens", {"max_tokens_field": "max_completion_tokens"}),
        ("400_limit_name", "max_tokens_field to max_completion_tokens", {"sampling": {"max_tokens": None}}),
        ("400_temperature", "set sampling.temperature to null", {"sampling": {"temperature": None}}),
    ],
)
def test_a_server_that_refuses_a_field_stops_the_run_and_the_setting_it_names_leads_through(
    serve, fault, complaint, settings
):
    server = serve(plan={"<hard>": [fault]})
    with pytest.raises(EndpointError) as caught:
        run_one(open_model(f"m@{server.url}").reply(ASK))
    assert complaint in str(caught.value)
    assert run_one(open_model(f"m@{server.url}", ClientConfig(**settings)).reply(ASK)).failure is None


def test_a_request_that_is_too_long_is_its_own_fault_though_the_server_speaks_of_max_tokens(serve):
    server = serve(plan={"<hard>": ["400"]})
    assert run_one(open_model(f"m@{server.url}").reply(ASK)).failure == "request"


def test_own_sampling_replaces_leaves_out_and_adds():
    asked = Sampling(temperature=0, top_p=0.9, max_tokens=64, stop=("END",), extra={"min_p": 0.1})
    own = {"temperature": None, "max_tokens": 4096, "stop": "END2", "min_p": None, "reasoning_effort": "low"}
    expected = {"top_p": 0.9, "max_tokens": 4096, "stop": ["END2"], "reasoning_effort": "low"}
    assert resampled(asked, own).to_dict() == expected
    assert resampled(asked, {}) == asked


def test_other_sampling_is_another_request_to_the_cache(tmp_path, serve):
    server, usage = serve(), Usage()
    for settings in (ClientConfig(), ClientConfig(sampling={"temperature": None}), ClientConfig()):
        run_one(open_model(f"m@{server.url}", settings, cache=tmp_path / "c.sqlite", usage=usage).reply(ASK))
    assert (usage.sent, usage.cached) == (2, 1)


@pytest.mark.parametrize(
    "sampling", [{"temperature": "warm"}, {"max_tokens": 1.5}, {"stop": 3}, {"n": 4}, {"stream": True}, {"seed": True}]
)
def test_sampling_that_is_none_is_refused_when_it_is_read(sampling):
    with pytest.raises(ConfigError, match="sampling"):
        load_config(ClientConfig, values={"sampling": sampling})


def test_sampling_is_set_from_the_command_line():
    read = load_config(ClientConfig, overrides=["sampling.temperature=null", "sampling.max_tokens=4096"])
    assert read.sampling == {"temperature": None, "max_tokens": 4096}


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<think>\nIs it 3?\n</think>\n\nIt is 4.", "Is it 3?", "It is 4."),
        ("\n<thinking>a</thinking>b", "a", "b"),
        ("[THINK]a[/THINK]b", "a", "b"),
        ("<think>\n\n</think>\n\nNo.", "", "No."),
        ("Is it 3?\n</think>\n\nIt is 4.", "Is it 3?", "It is 4."),
        ("Is it 3? So it is 4.</think>\nIt is 4.", "Is it 3? So it is 4.", "It is 4."),
        ("<think>and on", "and on", ""),
        ("<think>a</think>b</think>c", "a", "b</think>c"),
        # Texts about the marks stay as they are.
        ("The tag </think> ends the thoughts.", "", "The tag </think> ends the thoughts."),
        ("Write\n<think>\nx\n</think>\nand go on.", "", "Write\n<think>\nx\n</think>\nand go on."),
        ("  spaces stay ", "", "  spaces stay "),
    ],
)
def test_thoughts_are_parted_from_the_answer(text, thoughts, answer):
    assert part_thinking(text) == (thoughts, answer)


def reply_to(given: str | ChatReply, **settings) -> ChatReply:
    return run_one(Adapted(ScriptedModel(lambda request: given), **settings).reply(ASK))


def test_thoughts_are_kept_beside_the_text_or_left_in_it():
    text = "<think>\nHm.\n</think>\nYes."
    assert (reply_to(text).text, reply_to(text).thinking) == ("Yes.", "Hm.")
    assert reply_to(text, keep_thinking=True).text == text


def test_nothing_but_thoughts_is_no_answer():
    ended = reply_to("<think>Hm.</think>")
    cut = reply_to(ChatReply("<think>Hm", failure="truncated", detail="cut"))
    assert (ended.failure, ended.detail, ended.text) == ("empty", ONLY_THINKING, "")
    assert (cut.failure, cut.detail, cut.text) == ("truncated", "cut, while still thinking", "")


@pytest.mark.parametrize("parse", [published_rating, last_rating, json_scores()])
def test_a_rating_in_the_thoughts_is_no_verdict(parse):
    """The thoughts weigh 1, the verdict is 8; FastChat's rule takes the first rating that it finds."""
    verdict = '{"Score": 8}\n[[8]]' if parse not in (published_rating, last_rating) else "Clear.\nRating: [[8]]"
    said = '<think>\nPerhaps {"Score": 1} or [[1]].\n</think>\n\n' + verdict
    rubric = Rubric("r", "1", "{reply}", parse)
    read = read_verdict(rubric, reply_to(said))
    assert read.scores == {"overall": 8.0}
    assert "ambiguous" not in read.notes


def test_an_endpoints_thoughts_are_parted_above_the_cache_and_those_it_parts_itself_are_kept(tmp_path, serve):
    server = serve(plan={"<hard>": ["thinking"], "<own field>": ["reasoning_content"], "<only>": ["only_reasoning"]})
    for _ in range(2):
        model = open_model(f"m@{server.url}", cache=tmp_path / "c.sqlite")
        reply = run_one(model.reply(ASK))
        assert (reply.text, reply.thinking) == ("Clear.\nRating: [[8]]", "Is it [[1]]? No.")
        other = run_one(model.reply(ChatRequest([{"role": "user", "content": "<own field>"}])))
        assert (other.text, other.thinking) == ("Rating: [[8]]", "Is it [[1]]? No.")
        only = run_one(model.reply(ChatRequest([{"role": "user", "content": "<only>"}])))
        assert (only.failure, only.detail) == ("empty", ONLY_THINKING)
    kept = run_one(
        open_model(f"m@{server.url}", ClientConfig(keep_thinking=True), cache=tmp_path / "c.sqlite").reply(ASK)
    )
    assert kept.cached
    assert kept.text.startswith("<think>")


def test_a_schema_is_looked_for_behind_the_thoughts(tmp_path):
    script = tmp_path / "s.jsonl"
    script.write_text(json.dumps({"reply": '<think>{"score": 1}</think>{"score": 8}'}))
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
    reply = run_one(open_model(f"scripted:{script}").reply(ChatRequest(ASK.messages, schema=schema)))
    assert reply.text == '{"score":8}'
