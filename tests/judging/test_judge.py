"""A judge makes a record of whatever comes back."""

from __future__ import annotations

import pytest

from turnwise.judging.judge import Judge, Rubric, Verdict
from turnwise.llm.chat import ChatReply
from turnwise.llm.drive import run_one
from turnwise.llm.scripted import ScriptedModel


def digits(text: str) -> Verdict:
    return Verdict(scores={"overall": float(text)}) if text.strip().isdigit() else Verdict(unscored="unparsable")


def pick(text: str) -> Verdict:
    return Verdict(winner=text) if text in ("A", "B", "tie") else Verdict(unscored="unparsable")


SCORE = Rubric(name="plain", version="1", template="Grade: {answer}", parse=digits, low=1, high=10, system="Be fair.")
PAIR = Rubric(name="pair", version="1", template="A: {a} B: {b}", parse=pick)


def grade(script, rubric=SCORE, samples=1):
    model = ScriptedModel(script, name="j")
    judge = Judge(model, rubric, samples)
    found = run_one(judge.grade({"answer": "four"}, item="i", turn=1, model="m", metadata={"category": "math"}))
    return model, found


def test_a_verdict_becomes_a_scored_record_and_the_prompt_is_system_and_template():
    model, (one,) = grade(lambda request: "7")
    assert (one.score, one.unscored, one.text, one.prompt, one.judge) == (7.0, None, "7", "plain@1", "j")
    assert one.metadata == {"category": "math"}
    assert model.requests[0].messages == [
        {"role": "system", "content": "Be fair."},
        {"role": "user", "content": "Grade: four"},
    ]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("no idea", "unparsable"),
        ("11", "out_of_scale"),
        (ChatReply("7", failure="truncated"), "truncated"),
        (ChatReply("7", failure="refused"), "refused"),
        (ChatReply("", failure="empty"), "empty"),
        (ChatReply("", failure="schema"), "unparsable"),
        (ChatReply("", failure="limit"), "limit"),
        (ChatReply("", failure="server"), "failed"),
        (ChatReply("", failure="rate_limit"), "failed"),
        (ChatReply("", failure="request"), "failed"),
    ],
)
def test_what_is_no_verdict_is_unscored_with_its_reason_even_where_the_text_holds_a_grade(reply, reason):
    _, (one,) = grade(lambda request: reply)
    assert (one.score, one.unscored) == (None, reason)


def test_repeated_judgments_are_requests_of_their_own():
    model, found = grade(lambda request: str(request.sample + 1), samples=3)
    assert [(one.sample, one.score) for one in found] == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert len({request.key("j") for request in model.requests}) == 3


def test_a_criterion_that_the_verdict_leaves_out_is_unscored_alone():
    rubric = Rubric(
        name="two",
        version="1",
        template="{answer}",
        parse=lambda text: Verdict(scores={"faith": 3.0}, unscored_criteria={"style": "not_applicable"}),
        criteria=("faith", "style", "depth"),
    )
    _, found = grade(lambda request: "x", rubric)
    assert [(one.criterion, one.score, one.unscored) for one in found] == [
        ("faith", 3.0, None),
        ("style", None, "not_applicable"),
        ("depth", None, "unparsable"),
    ]


@pytest.mark.parametrize(
    ("script", "winners"),
    [
        # A judge that always prefers the first answer: the model wins once, the baseline once.
        (lambda request: "A", ["model", "baseline"]),
        # A judge that prefers the answer "ours" wherever it stands.
        (lambda request: "A" if "A: ours" in request.messages[0]["content"] else "B", ["model", "model"]),
        (lambda request: "tie", ["tie", "tie"]),
        (lambda request: "?", [None, None]),
    ],
)
def test_a_comparison_is_asked_in_both_orders_and_the_winner_is_named_not_the_place(script, winners):
    judge = Judge(ScriptedModel(script), PAIR)
    found = run_one(
        judge.compare(
            lambda first, second: {"a": first, "b": second},
            ("ours", "theirs"),
            item="i",
            turn=0,
            model="m",
            baseline="b",
            metadata={},
        )
    )
    assert [one.winner for one in found] == winners
    assert [one.position for one in found] == ["first", "second"]
    assert all(one.unscored == (None if one.winner else "unparsable") for one in found)
