"""In-domain evaluation: what is asked, what the judge sees, what the verdicts come to."""

from __future__ import annotations

import json

import pytest

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.in_domain import CRITERIA, InDomain
from turnwise.llm.chat import ChatReply
from turnwise.llm.drive import run_one
from turnwise.llm.scripted import ScriptedModel

ALL_FOUR = json.dumps({"explanation": "", **dict.fromkeys(CRITERIA, 3), "overall": 4})


def write(path, dialogues):
    path.write_text("\n".join(json.dumps(one.to_dict()) for one in dialogues), encoding="utf-8")
    return path


def chat(*texts, **kwargs):
    messages = [Message(("user", "assistant")[place % 2], text) for place, text in enumerate(texts)]
    return Dialogue(messages, **kwargs)


@pytest.fixture
def data(tmp_path):
    dialogues = [
        chat(f"first {number}", "gold one", f"second {number}", "gold two", id=f"d{number}", source="ab"[number % 2])
        for number in range(10)
    ]
    return write(tmp_path / "held.jsonl", dialogues)


def answered(benchmark, model):
    return [run_one(benchmark.answer(item, model)) for item in benchmark.items()]


def test_as_many_dialogues_per_source_are_drawn_whatever_their_order(data, tmp_path):
    benchmark = InDomain([data], sample=3, seed=1)
    items = benchmark.items()
    assert [item.metadata["source"] for item in items] == ["a"] * 3 + ["b"] * 3
    lines = data.read_text(encoding="utf-8").splitlines()
    turned = tmp_path / "turned.jsonl"
    turned.write_text("\n".join(reversed(lines)), encoding="utf-8")
    assert [item.id for item in InDomain([turned], sample=3, seed=1).items()] == [item.id for item in items]
    assert {item.id for item in InDomain([data], sample=3, seed=2).items()} != {item.id for item in items}


def test_dialogues_that_cannot_be_asked_are_left_out_with_a_reason(tmp_path):
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    path = write(
        tmp_path / "odd.jsonl",
        [
            Dialogue([Message("user", "a"), Message("assistant", None, tool_calls=[call])], id="tool"),
            Dialogue([Message("user", [{"type": "image_url"}]), Message("assistant", "b")], id="part"),
            Dialogue([Message("assistant", "a"), Message("user", "b"), Message("assistant", "c")], id="opened"),
            Dialogue([Message("user", "a")], id="open"),
            Dialogue([Message("system", "s"), *chat("q", "r", "unanswered").messages], id="fine"),
        ],
    )
    benchmark = InDomain([path])
    (item,) = benchmark.items()
    assert (item.id, item.metadata["source"]) == ("fine", "odd")
    assert [message.role for message in item.messages] == ["system", "user", "assistant"]
    assert dict(benchmark.left_out) == {
        "with tool calls": 1,
        "with parts that are no text": 1,
        "not begun by the user": 1,
        "without a reply": 1,
    }
    bad = write(tmp_path / "bad.jsonl", [Dialogue([Message("user", "a")])])
    with pytest.raises(DataError, match="no dialogue can be asked: 1 without a reply"):
        InDomain([bad]).items()


def test_the_judge_sees_history_request_and_reply_once_each_and_no_gold_reply(data):
    benchmark = InDomain([data], sample=1, rubrics=["criteria", "rating"])
    model = ScriptedModel(lambda request: f"my {len(request.messages)}")
    (answer, _) = answered(benchmark, model)
    judge = ScriptedModel(lambda _: ALL_FOUR)
    judgments = run_one(benchmark.score(answer, judge))
    assert len(judge.requests) == 2
    for request in judge.requests:
        text = request.messages[0]["content"]
        history = json.dumps({"human": answer.messages[0].text, "assistant": "my 1"})
        assert text.count(history) == text.count(answer.messages[2].text) == text.count("my 3") == 1
        assert "gold" not in text
    assert [(one.criterion, one.score) for one in judgments[:5]] == [
        *((name, 3) for name in CRITERIA[:4]),
        ("overall", 4),
    ]
    assert [one.turn for one in judgments] == [1] * 6
    assert judgments[5].unscored == "unparsable"  # the rating's reply has no rating


def test_instructions_of_the_data_are_shown_to_model_and_judge(tmp_path):
    messages = [Message("system", "Speak like a sailor."), Message("user", "Hello?"), Message("assistant", "gold")]
    benchmark = InDomain([write(tmp_path / "s.jsonl", [Dialogue(messages)])])
    model, judge = ScriptedModel(lambda _: "Ahoy."), ScriptedModel(lambda _: ALL_FOUR)
    (answer,) = answered(benchmark, model)
    run_one(benchmark.score(answer, judge))
    run_one(benchmark.compare(answer, answer, judge))
    assert model.requests[0].messages[0]["content"] == "Speak like a sailor."
    shown = [request.messages[0]["content"].count('{"system": "Speak like a sailor."}') for request in judge.requests]
    assert shown == [1, 2, 2]


def test_all_turns_or_the_first_few_can_be_judged(data):
    def turns(**kwargs):
        benchmark = InDomain([data], sample=1, rubrics=["rating"], **kwargs)
        answer = answered(benchmark, ScriptedModel(lambda _: "x"))[0]
        return [one.turn for one in run_one(benchmark.score(answer, ScriptedModel(lambda _: '{"rating": 7}')))]

    assert turns() == [1]
    assert turns(judged="all") == [0, 1]
    assert turns(max_turns=1) == [0]
    assert turns(samples=2) == [1, 1]


def test_a_truncated_or_empty_reply_is_judged_as_it_stands_and_marked(data):
    benchmark = InDomain([data], sample=1)
    for failure in ("truncated", "empty"):
        answer = answered(benchmark, ScriptedModel(lambda _, kind=failure: ChatReply("", failure=kind)))[0]
        judgments = run_one(benchmark.score(answer, ScriptedModel(lambda _: ALL_FOUR)))
        assert {(one.unscored, one.metadata["answer_failure"]) for one in judgments} == {(None, failure)}


def test_a_reply_that_failed_is_no_answer_and_costs_no_judgment(data):
    benchmark = InDomain([data], sample=1)
    judge = ScriptedModel(lambda _: ALL_FOUR)
    for reply in (ChatReply("part", failure="server"), ChatReply("", failure="limit")):
        answer = answered(benchmark, ScriptedModel(lambda _, reply=reply: reply))[0]
        assert {one.unscored for one in run_one(benchmark.score(answer, judge))} == {"no_answer"}
        compared = run_one(benchmark.compare(answer, answer, judge))
        assert [(one.position, one.unscored) for one in compared] == [("first", "no_answer"), ("second", "no_answer")]
    assert judge.requests == []


def test_tables_have_criteria_sources_n_and_unscored(data):
    """Four dialogues, one reply each; the judge fails on one of source a: n is 3 over all, 1 in a, 2 in b."""
    benchmark = InDomain([data], sample=2, rubrics=["criteria", "rating"])
    replies = iter([ALL_FOUR, '{"rating": 9}', "none", '{"rating": 5}', *[ALL_FOUR, '{"rating": 7}'] * 2])
    judge = ScriptedModel(lambda _: next(replies))
    judgments = []
    for answer in answered(benchmark, ScriptedModel(lambda _: "fine")):
        judgments += run_one(benchmark.score(answer, judge))
    tables = {table.title: {row.name: row for row in table.rows} for table in benchmark.tables(judgments)}
    main = tables["in-domain, 1 to 4"]
    assert [*main] == list(CRITERIA)
    assert (main["faithfulness"].mean, main["overall"].mean, main["overall"].n) == (3, 4, 3)
    assert main["overall"].unscored == {"unparsable": 1}
    by_source = tables["overall by source, 1 to 4"]
    assert [(row.name, row.n) for row in by_source.values()] == [("all", 3), ("a", 1), ("b", 2)]
    assert tables["in-domain, 1 to 10"]["rating"].mean == pytest.approx((9 + 5 + 7 + 7) / 4)


def test_a_comparison_shows_both_conversations_and_gives_a_win_rate(data):
    """A judge that always picks the conversation with "better" in it: the model wins both orders of both dialogues."""
    benchmark = InDomain([data], sample=1)
    ours, theirs = (answered(benchmark, ScriptedModel(lambda _, text=text: text)) for text in ("better", "worse"))

    def verdict(request):
        first, _, second = request.messages[0]["content"].partition("Conversation of B:")
        assert ("better" in first) != ("better" in second.partition("Everything")[0])
        return "Clear.\n[[A]]" if "better" in first.partition("Conversation of A:")[2] else "Clear.\n[[B]]"

    judge = ScriptedModel(verdict)
    judgments = [one for pair in zip(ours, theirs, strict=True) for one in run_one(benchmark.compare(*pair, judge))]
    assert [one.winner for one in judgments] == ["model"] * 4
    rate, flips = benchmark.tables(judgments)
    assert (rate.rows[0].mean, rate.rows[0].n, rate.rows[0].counts["win"]) == (1, 2, 2)
    assert flips.rows[0].mean == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rubrics": ["charm"]}, "found charm"),
        ({"rubrics": []}, "found none"),
        ({"sample": 0}, "at least 1"),
        ({"judged": "some"}, "'last' or 'all'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        InDomain(["x.jsonl"], **settings)
