"""Counters and limits."""

from __future__ import annotations

import pytest

from turnwise.errors import EndpointError
from turnwise.llm.chat import ChatReply
from turnwise.llm.usage import Usage


def test_requests_are_counted_when_they_are_reserved_so_the_limit_holds_however_many_are_in_flight():
    usage = Usage(max_requests=3)
    assert [usage.reserve(retry=False) for _ in range(3)] == [None] * 3
    assert "limit of 3 requests" in usage.reserve(retry=True)
    assert (usage.sent, usage.retries) == (3, 0)


def test_what_is_in_flight_is_taken_to_cost_the_mean_so_far():
    """Limit 10; two replies cost 2 each. Then 3 more may go: 4 + 0, 4 + 2 and 4 + 4 are below 10, 4 + 6 is not."""
    usage = Usage(max_cost=10)
    for _ in range(2):
        assert usage.reserve(retry=False) is None
        usage.charge(5, 5, 2.0)
        usage.settle()
    assert [usage.reserve(retry=False) for _ in range(3)] == [None] * 3
    assert "cost limit of 10 is reached" in usage.reserve(retry=False)


def test_a_cost_limit_needs_a_server_that_counts_tokens():
    with pytest.raises(EndpointError, match="does not report the tokens"):
        Usage(max_cost=1).charge(None, None, None)
    Usage().charge(None, None, None)


def test_of_two_limits_the_lower_holds():
    usage = Usage(max_requests=5)
    usage.limit(9, 1.5)
    assert (usage.max_requests, usage.max_cost) == (5, 1.5)
    usage.limit(2, None)
    assert (usage.max_requests, usage.max_cost) == (2, 1.5)


def test_every_change_is_told_and_everything_is_in_the_dictionary():
    told = []
    usage = Usage(on_change=lambda now: told.append(now.sent + now.replies))
    usage.reserve(retry=True)
    usage.settle()
    usage.charge(10, 20, 0.5)
    usage.count(ChatReply("x"))
    usage.count(ChatReply("x", cached=True))
    usage.count(ChatReply("", failure="refused"), shared=True)
    assert told == [1, 2, 3, 4]
    assert usage.to_dict() == {
        "replies": 3,
        "cached": 1,
        "shared": 1,
        "sent": 1,
        "retries": 1,
        "rate_limited": 0,
        "failures": {"refused": 1},
        "not_honoured": {},
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "cost": 0.5,
    }
