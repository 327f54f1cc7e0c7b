"""A judgment is a score, a winner, or a reason: exactly one."""

from __future__ import annotations

import json

import pytest

from turnwise.errors import DataError
from turnwise.judging.records import Judgment


def make(**changes):
    return Judgment(**{"item": "81", "turn": 0, "model": "m", "judge": "j", **changes})


@pytest.mark.parametrize("values", [{}, {"score": 1.0, "unscored": "empty"}, {"score": 1.0, "winner": "tie"}])
def test_neither_none_nor_two_of_score_winner_and_reason(values):
    with pytest.raises(ValueError, match="exactly one"):
        make(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"score": 0.0, "text": "[[0]]", "metadata": {"category": "math"}},
        {"unscored": "truncated", "sample": 2},
        {"winner": "baseline", "baseline": "b", "position": "second", "turn": None},
    ],
)
def test_a_record_read_back_is_the_same(values):
    judgment = make(**values)
    assert Judgment.from_dict(json.loads(json.dumps(judgment.to_dict()))) == judgment


def test_a_record_with_an_unknown_key_is_refused_by_name():
    with pytest.raises(DataError, match="'points'"):
        Judgment.from_dict({"item": "1", "turn": 0, "model": "m", "judge": "j", "points": 3})
