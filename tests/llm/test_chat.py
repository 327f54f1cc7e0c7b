"""What makes two requests the same request."""

from __future__ import annotations

import pytest

from turnwise.llm.chat import ChatRequest, Sampling

ASKED = ChatRequest([{"role": "user", "content": "hi"}], Sampling(temperature=0))


def test_the_same_request_has_the_same_key_whatever_the_order_of_its_keys():
    again = ChatRequest([{"content": "hi", "role": "user"}], Sampling(temperature=0))
    assert ASKED.key("m") == again.key("m")


@pytest.mark.parametrize(
    "other",
    [
        ChatRequest([{"role": "user", "content": "ho"}], Sampling(temperature=0)),
        ChatRequest([{"role": "system", "content": "hi"}], Sampling(temperature=0)),
        ChatRequest([{"role": "user", "content": "hi"}], Sampling(temperature=0.7)),
        ChatRequest([{"role": "user", "content": "hi"}], Sampling(temperature=0, extra={"top_k": 5})),
        ChatRequest([{"role": "user", "content": "hi"}], Sampling(temperature=0), {"type": "object"}),
        ChatRequest([{"role": "user", "content": "hi"}], Sampling(temperature=0), None, 1),
    ],
)
def test_messages_sampling_schema_and_sample_number_all_make_another_key(other):
    assert other.key("m") != ASKED.key("m")


def test_another_model_is_another_key():
    assert ASKED.key("m") != ASKED.key("n")


def test_a_lone_surrogate_has_a_key_too():
    assert len(ChatRequest([{"role": "user", "content": "\ud800"}]).key("m")) == 64


def test_only_settings_that_are_set_are_sent():
    assert Sampling(max_tokens=5, stop=("END",), extra={"top_k": 3}).to_dict() == {
        "max_tokens": 5,
        "stop": ["END"],
        "top_k": 3,
    }
