"""Dialogues as a chat template reads them: typed parts, tool calls, Arrow's nulls."""

from __future__ import annotations

import pytest

from turnwise.training.template import EncodingFailure, template_messages, template_tools


def test_parts_become_text_reasoning_and_tool_calls():
    [message] = template_messages(
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "reasoning", "value": "hm"},
                    {"type": "text", "value": "Let me "},
                    {"type": "text", "text": "look."},
                    {"type": "tool_call", "value": '{"name": "weather", "arguments": {"city": "Paris"}}'},
                ],
                "train": False,
                "weight": 0.5,
                "name": "bot",
            }
        ]
    )
    assert message == {
        "role": "assistant",
        "content": "Let me look.",
        "name": "bot",
        "reasoning_content": "hm",
        "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}],
    }


@pytest.mark.parametrize(("kind", "word"), [("image", "image"), ("image_url", "image"), ("input_audio", "audio")])
def test_media_parts_fail_with_a_reason(kind, word):
    with pytest.raises(EncodingFailure) as caught:
        template_messages([{"role": "user", "content": [{"type": kind, kind: "x"}]}])
    assert caught.value.reason == f"has {word} parts; text training cannot use them"


def test_arrows_none_is_dropped_and_json_null_kept():
    """Arrow writes None for keys that other records have; a null inside JSON text was meant."""
    records = [
        {"role": "user", "content": "Hi", "tool_calls": None, "name": None},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": None, "type": "function", "function": {"name": "f", "arguments": {"a": 1, "b": None}}},
                {"id": "7", "type": None, "function": {"name": "g", "arguments": '{"a": null}'}},
                {"type": "function", "function": {"name": "h", "arguments": "not JSON"}},
            ],
            "name": None,
        },
    ]
    assert template_messages(records) == [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "tool_calls": [
                {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}},
                {"id": "7", "type": "function", "function": {"name": "g", "arguments": {"a": None}}},
                {"type": "function", "function": {"name": "h", "arguments": "not JSON"}},
            ],
        },
    ]


def test_broken_calls_and_tools_fail_with_a_reason():
    with pytest.raises(EncodingFailure, match="without a name"):
        template_messages([{"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": "{}"}}]}])
    with pytest.raises(EncodingFailure, match="not JSON"):
        template_tools("[{")
    with pytest.raises(EncodingFailure, match="no list of objects"):
        template_tools('["weather"]')
    assert template_tools("") is template_tools([]) is template_tools(None) is None
