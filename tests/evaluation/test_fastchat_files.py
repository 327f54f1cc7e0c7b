"""FastChat's files in and out."""

from __future__ import annotations

import json

import pytest
from two_turns import write_benchmark, write_lines

from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.fastchat_files import (
    read_fastchat_answers,
    read_fastchat_judgments,
    write_fastchat_judgments,
)
from turnwise.evaluation.mt_bench import MTBench
from turnwise.evaluation.tables import flip_rate, win_rate_rows
from turnwise.judging.records import Judgment


@pytest.fixture
def items(tmp_path):
    return MTBench(write_benchmark(tmp_path)).items()


def answer(number, *turns, model="m", choices=1):
    return {"question_id": number, "model_id": model, "choices": [{"index": 0, "turns": list(turns)}] * choices}


def test_stored_answers_become_dialogues(items, tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [answer(3, "a", "b"), answer(1, "c", "d", choices=2)])
    first, second = read_fastchat_answers(path, items)
    assert [(one.role, one.text) for one in first.messages] == [
        ("user", "What is a cell?"),
        ("assistant", "a"),
        ("user", "And an atom?"),
        ("assistant", "b"),
    ]
    assert (first.id, first.metadata) == ("3", {"category": "stem", "model": "m"})
    assert second.metadata == {"category": "writing", "model": "m", "choices": 2}
    assert read_fastchat_answers(path, items, model="other")[0].metadata["model"] == "other"


def test_stored_failures_and_empty_answers_are_replies_that_failed(items, tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [answer(1, "$ERROR$", "")])
    (one,) = read_fastchat_answers(path, items)
    assert [reply.extra["failure"] for reply in one.replies] == ["server", "empty"]
    assert [reply.text for reply in one.replies] == ["", ""]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (answer(9, "a", "b"), "question_id 9 is not among the questions"),
        (answer(1, "c", "d"), "question_id 1 is answered twice"),
        (answer(2, "a"), "expected choices.0..turns with 2 texts"),
        (answer(2, "a", None), "expected choices.0..turns with 2 texts"),
        (answer(2, "a", "b", model="n"), "expected one model, found m and n"),
    ],
)
def test_answers_that_cannot_be_placed_are_refused_by_line(items, tmp_path, record, message):
    path = write_lines(tmp_path / "a.jsonl", [answer(1, "a", "b"), record])
    with pytest.raises(DataError, match=message) as error:
        read_fastchat_answers(path, items)
    assert f"{path}:2: " in str(error.value)


def single(number=81, score=7, turn=1, **more):
    judge = ["gpt-4", "single-v1" if turn == 1 else "single-v1-multi-turn"]
    record = {"question_id": number, "model": "m", "judge": judge, "user_prompt": "p", "judgment": "[[7]]"}
    return {**record, "score": score, "turn": turn, "tstamp": 1.5, **more}


def test_single_judgments_become_records_and_minus_one_becomes_unscored(tmp_path):
    path = write_lines(
        tmp_path / "gpt-4_single.jsonl",
        [single(), single(score=7.5, turn=2), single(82, -1, judgment="$ERROR$"), single(83, -1, judgment="hm")],
    )
    one, two, three, four = read_fastchat_judgments(path)
    assert (one.item, one.turn, one.model, one.judge, one.prompt) == ("81", 0, "m", "gpt-4", "single-v1")
    assert (one.score, one.text, one.metadata) == (7.0, "[[7]]", {"user_prompt": "p", "tstamp": 1.5})
    assert (two.turn, two.score) == (1, 7.5)
    assert (three.score, three.unscored, four.unscored) == (None, "failed", "unparsable")


def test_a_judgment_that_occurs_again_is_the_next_sample_and_nothing_is_overwritten(tmp_path):
    path = write_lines(tmp_path / "j.jsonl", [single(score=9), single(score=10), single(score=8, turn=2)])
    assert [(one.turn, one.sample, one.score) for one in read_fastchat_judgments(path)] == [
        (0, 0, 9.0),
        (0, 1, 10.0),
        (1, 0, 8.0),
    ]


def pair(number, g1, g2, turn=1, **more):
    record = {"question_id": number, "model_1": "m", "model_2": "b", "g1_winner": g1, "g2_winner": g2}
    record |= {"judge": ["gpt-4", "pair-v2"], "g1_user_prompt": "p1", "g1_judgment": "j1", "g2_user_prompt": "p2"}
    return {**record, "g2_judgment": "j2", "turn": turn, "tstamp": 2.0, **more}


PAIRS = [
    pair(81, "model_1", "model_1"),  # win
    pair(82, "model_1", "model_2"),  # the first place wins twice: tie
    pair(83, "tie", "model_1"),  # tie
    pair(84, "model_1", "tie"),  # differ: tie
    pair(85, "model_2", "model_2"),  # loss
    pair(86, "error", "model_1", g1_judgment="$ERROR$"),  # dropped
    pair(87, "tie", "tie"),  # tie
]


def test_stored_pairs_give_fastchats_win_rate(tmp_path):
    """One win, four ties, one loss of six: (1 + 2) / 6 = 0.5, as `show_result.py` counts; one row with an error is
    dropped. Of the six, 82, 83 and 84 change with the order."""
    judgments = read_fastchat_judgments(write_lines(tmp_path / "gpt-4_pair.jsonl", PAIRS))
    assert len(judgments) == 14
    assert [(one.position, one.winner) for one in judgments[2:4]] == [("first", "model"), ("second", "baseline")]
    assert [one.metadata["user_prompt"] for one in judgments[:2]] == ["p1", "p2"]
    (row,) = win_rate_rows(judgments, lambda one: None)
    assert (row.mean, row.n, row.counts) == (0.5, 6, {"win": 1, "tie": 4, "loss": 1})
    assert row.unscored == {"failed": 1}
    flips = flip_rate(judgments)
    assert (flips.mean, flips.counts) == (0.5, {"agree": 3, "first": 1, "second": 0, "half": 2})


def test_pairs_are_turned_round_for_a_baseline_that_stands_first(tmp_path):
    """The same verdicts seen from the other model: one win for one loss, the same ties, first and second place swapped
    with it: 82's two verdicts still go to the answer shown first."""
    path = write_lines(tmp_path / "gpt-4_pair.jsonl", PAIRS)
    judgments = read_fastchat_judgments(path, baseline="m")
    assert {(one.model, one.baseline) for one in judgments} == {("b", "m")}
    assert [(one.position, one.winner) for one in judgments[:2]] == [("second", "baseline"), ("first", "baseline")]
    (row,) = win_rate_rows(judgments, lambda one: None)
    assert (row.mean, row.n, row.counts) == (0.5, 6, {"win": 1, "tie": 4, "loss": 1})
    assert flip_rate(judgments).counts == {"agree": 3, "first": 1, "second": 0, "half": 2}
    assert read_fastchat_judgments(path, baseline="b") == read_fastchat_judgments(path)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"question_id": 1}, "no 'score'"),
        (single(score="7"), "expected a number as 'score', found '7'"),
        (single(score=None), "expected a number as 'score', found None"),
        (single(turn=0), "expected 'turn' to be 1 or more, found 0"),
        (pair(1, "A", "B"), "expected g1_winner to be"),
    ],
)
def test_a_line_that_is_no_judgment_is_refused_by_line(tmp_path, record, message):
    path = write_lines(tmp_path / "j.jsonl", [single(), record])
    with pytest.raises(DataError, match=message) as error:
        read_fastchat_judgments(path)
    assert f"{path}:2: " in str(error.value)


def test_what_was_read_is_written_back_with_the_same_content(tmp_path):
    rows = [single(), single(score=7.5, turn=2), single(82, -1, judgment="$ERROR$"), single()]
    path = write_lines(tmp_path / "j.jsonl", rows)
    assert write_fastchat_judgments(tmp_path / "again.jsonl", read_fastchat_judgments(path)) == 4
    again = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().splitlines()]
    assert [{key: row[key] for key in rows[0]} for row in again] == rows
    pairs = write_lines(tmp_path / "p.jsonl", PAIRS)
    write_fastchat_judgments(tmp_path / "pairs.jsonl", read_fastchat_judgments(pairs))
    again = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [{key: row[key] for key in PAIRS[0]} for row in again] == PAIRS


def test_our_own_judgments_survive_the_way_there_and_back(tmp_path):
    judgments = [
        Judgment("1", 0, "m", "j", prompt="single-v1@ab12", score=7.5, text="t", metadata={"category": "stem"}),
        Judgment("x", 1, "m", "j", prompt="single-v1@ab12", unscored="refused"),
    ]
    write_fastchat_judgments(tmp_path / "own.jsonl", judgments)
    again = read_fastchat_judgments(tmp_path / "own.jsonl")
    assert [(one.item, one.turn, one.prompt, one.score, one.unscored) for one in again] == [
        ("1", 0, "single-v1@ab12", 7.5, None),
        ("x", 1, "single-v1@ab12", None, "refused"),
    ]
    assert again[0].metadata["category"] == "stem"
    assert json.loads((tmp_path / "own.jsonl").read_text().splitlines()[1])["score"] == -1


def test_what_fastchats_form_cannot_hold_is_refused(tmp_path):
    score = Judgment("1", 0, "m", "j", score=1.0)
    for judgments, message in (
        ([Judgment("1", 0, "m", "j", criterion="style", score=1.0)], "overall scores of single turns"),
        ([Judgment("1", None, "m", "j", score=1.0)], "overall scores of single turns"),
        ([score, Judgment("1", 0, "m", "j", winner="tie", baseline="b", position="first")], "files of their own"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_fastchat_judgments(tmp_path / "x.jsonl", judgments)
    assert not (tmp_path / "x.jsonl").exists()
