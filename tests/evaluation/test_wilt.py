"""WILT: games of good, lazy and hostile players; rules that are rules; guesses that are the rule or are not."""

from __future__ import annotations

import json

import pytest

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.wilt import WILT
from turnwise.evaluation.wilt_game import Game
from turnwise.evaluation.wilt_grammar import parse_expression
from turnwise.evaluation.wilt_rules import RULES, Rule, compare, points
from turnwise.judging.records import Judgment
from turnwise.llm.chat import ChatReply
from turnwise.llm.drive import run_all, run_one
from turnwise.llm.scripted import ScriptedModel

BY_ID = {rule.id: rule for rule in RULES}
RISING = BY_ID["rising"]


def agreement(rule, guess):
    return compare(BY_ID[rule].expression, parse_expression(guess))


@pytest.mark.parametrize(
    ("rule", "guess"),
    [
        ("rising", "z > y and y > x"),
        ("rising", "sorted([x, y, z]) == [x, y, z] and len({x, y, z}) == 3"),
        ("all-different", "len(set([x, y, z])) == 3"),
        ("sum-above-ten", "10 < sum([x, y, z])"),
        ("squares", "x ** 2 + y ** 2 == z ** 2"),
        ("even-sum", "(x + y + z) / 2 == floor((x + y + z) / 2)"),
        ("narrow", "lambda a, b, c: abs(a - b) < 5 and abs(b - c) < 5 and abs(a - c) < 5"),
        ("last-is-largest", "z == max(x, y, z)"),
    ],
)
def test_the_same_rule_in_other_words_is_the_same_rule(rule, guess):
    found = agreement(rule, guess)
    assert (found.same, found.share, found.difference) == (True, 1.0, None)


@pytest.mark.parametrize(
    ("rule", "guess"),
    [
        ("rising", "x <= y <= z"),
        ("rising", "x < y < z and z < 500"),
        ("rising", "x < y < z and z < 5000"),
        ("all-positive", "min(x, y, z) > 0 and x + y + z < 123456"),
        ("sum-above-ten", "x + y + z >= 10"),
        ("sum-above-ten", "x + y + z > 10.01"),
        ("narrow", "max(x, y, z) - min(x, y, z) <= 4"),
        ("any-above-five", "max(x, y, z) >= 5"),
        ("equal-steps", "x < y < z and y - x == z - y"),
        ("equal-steps", "y - x == z - y and x == int(x)"),
        ("equal-ratios", "y / x == z / y"),
        ("product", "x * y == z and x != 0"),
        ("rising-with-even-end", "x < y < z"),
        ("all-equal", "False"),
        ("first-negative", "True"),
    ],
)
def test_a_near_miss_is_another_rule_and_the_difference_is_a_witness(rule, guess):
    found = agreement(rule, guess)
    assert not found.same
    assert found.share < 1
    assert BY_ID[rule].expression.holds(found.difference) != parse_expression(guess).holds(found.difference)


def test_a_guess_that_is_always_true_agrees_by_half():
    """Right on every point where the rule holds (1), wrong on all others (0)."""
    assert agreement("all-equal", "True").share == pytest.approx(0.5)


def test_no_two_rules_are_the_same_and_each_holds_and_fails_often_enough():
    answers = {}
    for rule in RULES:
        expression = rule.expression
        truths = tuple(expression.holds(point) for point in points())
        assert 40 < sum(truths) < len(truths) - 40, rule.id
        answers.setdefault(truths, rule.id)
    assert len(answers) == len(RULES) == len(BY_ID) == 26


def test_a_game_is_told_test_by_test_and_ends_with_the_guess():
    game = Game(RISING, max_tests=2)
    assert "2 tests and one guess" in game.opening
    assert game.hear("Let me try.\n**TEST:** (1, 2, 3)") == "Test 1 of 2: (1, 2, 3) is True."
    assert game.hear("test: 3, -2.5, .5") == (
        "Test 2 of 2: (3, -2.5, 0.5) is False. That was the last test. Reply with your GUESS."
    )
    assert "all tests are used up" in game.hear("TEST: 1, 2, 3")
    assert game.hear("<think>GUESS: True</think>\n- GUESS: `x < y and y < z`") is None
    assert (game.end, game.consistent, game.repeated, len(game.invalid)) == ("guessed", True, 0, 1)
    assert game.agreement().same
    with pytest.raises(ValueError, match="over"):
        game.hear("GUESS: True")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I am not sure.", "found none"),
        ("TEST: 1, 2, 3\nTEST: 2, 3, 4", "found 2"),
        ("TEST: 1, 2, 3\nGUESS: x < y", "found 2"),
        ("TEST: 1, 2", "three numbers"),
        ("TEST: 1, 2, 10**9", "three numbers"),
        ("TEST: 1, 2, nan", "three numbers"),
        ("TEST: 1, 2, " + "9" * 500, "three numbers"),
        ("GUESS: __import__('os')", "only these functions"),
        ("GUESS: the numbers rise", "Python's syntax"),
        ("GUESS: " + "x + " * 500 + "x", "characters"),
        ("GUESS: " + "x + " * 50_000 + "x", "found none"),  # only the end of a reply is looked at
        ("*" * 100_000, "found none"),
        ("", "found none"),
    ],
)
def test_a_reply_that_cannot_be_read_is_told_why_and_counted(reply, reason):
    game = Game(RISING)
    assert reason in game.hear(reply)
    assert game.end is None
    assert len(game.invalid) == 1
    game.hear(reply)
    assert game.hear(reply) is None
    assert game.end == "invalid"


def played(script, rules=RULES, **settings):
    benchmark = WILT(rules, **settings)
    model = ScriptedModel(script, name="player")
    answers = list(run_all(lambda item: benchmark.answer(item, model), benchmark.items()))
    return benchmark, model, answers, [one for answer in answers for one in run_one(benchmark.score(answer, None))]


def test_one_who_knows_every_rule_finds_them_all_after_one_test_each():
    """The scripted player cannot see the rule either: it answers in the order of the items."""
    turn = {"game": 0}

    def script(request):
        if len(request.messages) == 1:
            return "TEST: 2, 4, 6"
        turn["game"] += 1
        return f"GUESS: {RULES[turn['game'] - 1].text}"

    benchmark, model, _, judgments = played(script)
    assert [one.score for one in judgments] == [1.0] * 26
    assert {one.metadata["tests"] for one in judgments} == {1}
    assert len(model.requests) == 52
    assert not any(rule.text in str(item) for item, rule in zip(benchmark.items(), RULES, strict=True))
    found, outcomes, tests, repeats, *_ = benchmark.tables(judgments)
    assert [(row.name, row.mean, row.n) for row in found.rows] == [
        ("all", 1.0, 26),
        ("easy", 1.0, 8),
        ("medium", 1.0, 9),
        ("hard", 1.0, 9),
    ]
    assert [row.name for row in outcomes.rows] == ["solved"]
    assert (tests.rows[0].mean, repeats.rows[0].mean) == (1.0, 0.0)


def test_a_lazy_player_who_repeats_itself_is_stopped_and_scored_zero():
    """30 tests, 29 of them repeats, then three replies too many."""
    _, model, answers, judgments = played(lambda request: "TEST: 2, 4, 6", [RISING])
    assert len(model.requests) == 33
    assert answers[0].num_turns == 33
    (one,) = judgments
    assert (one.score, one.metadata["outcome"], one.metadata["tests"]) == (0.0, "invalid", 30)
    assert one.metadata["repeated"] == 29
    assert one.metadata["repeated_share"] == pytest.approx(29 / 30)
    assert one.metadata["invalid"] == 3


def test_a_guess_that_fits_all_tests_and_is_wrong_is_named_so():
    replies = iter(["TEST: 2, 4, 6", "GUESS: y - x == 2 and z - y == 2"])
    _, _, _, (one,) = played(lambda request: next(replies), [RISING])
    assert (one.score, one.metadata["outcome"], one.metadata["consistent"]) == (0.0, "wrong", True)
    assert 0.5 < one.metadata["agreement"] < 1
    assert len(one.metadata["difference"]) == 3


def test_a_failed_reply_ends_the_game_unscored_and_a_truncated_one_does_not():
    replies = iter([ChatReply("hm", failure="truncated"), ChatReply("", failure="server", detail="502")])
    benchmark, _, answers, (one,) = played(lambda request: next(replies), [RISING])
    assert one.unscored == "no_answer"
    assert (one.metadata["answer_failure"], one.metadata["invalid"]) == ("server", 1)
    assert [message.extra.get("failure") for message in answers[0].replies] == ["truncated", "server"]
    assert benchmark.tables([one])[0].rows[0].unscored == {"no_answer": 1}


def test_stored_games_are_scored_as_they_were_played():
    replies = iter(["TEST: 1, 2, 3", "GUESS: x < y < z"])
    benchmark, _, answers, judgments = played(lambda request: next(replies), [RISING])
    again = Dialogue.from_dict(answers[0].to_dict())
    assert run_one(benchmark.score(again, None)) == judgments
    unfinished = Dialogue(again.messages[:-2], id=again.id, metadata=again.metadata)
    (one,) = run_one(benchmark.score(unfinished, None))
    assert (one.unscored, one.metadata["answer_failure"]) == ("no_answer", "unfinished")
    longer = Dialogue([*again.messages, Message("assistant", "GUESS: True")], id=again.id, metadata=again.metadata)
    with pytest.raises(DataError, match="over before its last reply"):
        run_one(benchmark.score(longer, None))


def test_the_tables_can_be_made_again_from_stored_judgments():
    replies = iter(["GUESS: x < y", "GUESS: x > y > z", "no", "no", "no"])
    benchmark, _, _, judgments = played(lambda request: next(replies), RULES[:3])
    assert [one.metadata["outcome"] for one in judgments] == ["wrong", "solved", "invalid"]
    stored = [Judgment.from_dict(json.loads(json.dumps(one.to_dict()))) for one in judgments]
    assert benchmark.tables(stored) == benchmark.tables(judgments)


def test_settings_that_make_no_game_are_refused():
    with pytest.raises(ConfigError, match="every id once"):
        WILT([RISING, RISING])
    with pytest.raises(ConfigError, match="at least 1"):
        WILT(max_tests=0)
    with pytest.raises(DataError, match="expected a rule"):
        run_one(WILT([RISING]).score(Dialogue([Message("user", "x")], id="wilt/other"), None))


def test_own_rules_are_played_too():
    own = Rule("mine", "easy", "x == 7")
    replies = iter(["GUESS: x - 7 == 0"])
    _, _, _, (one,) = played(lambda request: next(replies), [own])
    assert one.score == 1.0
