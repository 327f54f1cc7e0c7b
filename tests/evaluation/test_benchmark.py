"""Leading a model through a dialogue, turn by turn."""

from __future__ import annotations

import pytest

from turnwise.dialogue import Message
from turnwise.errors import ConfigError
from turnwise.evaluation.benchmark import Benchmark, Item, ScoreRow
from turnwise.llm.chat import ChatReply
from turnwise.llm.drive import run_one
from turnwise.llm.scripted import ScriptedModel


class Plain(Benchmark):
    name = "plain"


def numbered():
    """Answers "reply 1", "reply 2", ... in the order of the requests."""
    count = iter(range(1, 100))
    return ScriptedModel(lambda request: f"reply {next(count)}", name="m")


def ask(messages, model, *, answer_from=0, gold_history=False):
    item = Item("a", [Message(*one) for one in messages], answer_from=answer_from, metadata={"category": "x"})
    answer = run_one(Plain().answer(item, model, gold_history=gold_history))
    return answer, [[message["content"] for message in request.messages] for request in model.requests]


TWO = [("system", "s"), ("user", "u1"), ("assistant", "gold 1"), ("user", "u2")]


def test_the_second_turn_is_asked_on_the_models_own_first_reply():
    answer, asked = ask(TWO, numbered())
    assert asked == [["s", "u1"], ["s", "u1", "reply 1", "u2"]]
    assert [message.content for message in answer.messages] == ["s", "u1", "reply 1", "u2", "reply 2"]
    assert (answer.id, answer.source, answer.metadata) == ("a", "plain", {"category": "x", "model": "m"})


def test_user_messages_without_stored_replies_between_them_are_turns_of_their_own():
    answer, asked = ask([("user", "u1"), ("user", "u2"), ("user", "u3")], numbered())
    assert asked[2] == ["u1", "reply 1", "u2", "reply 2", "u3"]
    assert answer.num_turns == 3


def test_gold_history_shows_the_stored_reply_and_keeps_the_models_own():
    answer, asked = ask(TWO, numbered(), gold_history=True)
    assert asked[1] == ["s", "u1", "gold 1", "u2"]
    assert [message.content for message in answer.replies] == ["reply 1", "reply 2"]


def test_turns_before_answer_from_are_stored_history_and_not_asked():
    answer, asked = ask(TWO, numbered(), answer_from=1)
    assert asked == [["s", "u1", "gold 1", "u2"]]
    assert [message.content for message in answer.replies] == ["gold 1", "reply 1"]


def test_a_missing_stored_reply_before_answer_from_is_said():
    with pytest.raises(ConfigError, match="item a has no stored reply for turn 0"):
        ask([("user", "u1"), ("user", "u2")], numbered(), answer_from=1)


def test_a_failed_reply_keeps_its_reason_and_later_turns_are_still_asked():
    model = ScriptedModel(
        lambda request: ChatReply("half", failure="truncated", detail="cut") if len(request.messages) == 2 else "ok"
    )
    answer, asked = ask(TWO, model)
    assert answer.replies[0].extra == {"failure": "truncated", "detail": "cut"}
    assert asked[1] == ["s", "u1", "half", "u2"]
    assert answer.replies[1].content == "ok"


def test_after_a_limit_nothing_more_is_asked_of_the_dialogue():
    model = ScriptedModel(lambda request: ChatReply("", failure="limit", detail="10 requests"))
    answer, asked = ask(TWO, model)
    assert len(asked) == 1
    assert [reply.extra["failure"] for reply in answer.replies] == ["limit", "limit"]


def test_a_row_counts_all_that_is_unscored():
    assert ScoreRow("all", 7.0, 3, unscored={"empty": 2, "refused": 1}).num_unscored == 3
