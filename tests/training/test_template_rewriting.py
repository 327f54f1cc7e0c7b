"""Templates that rewrite earlier replies, refuse, or print dates: policies, refusals and notes."""

from __future__ import annotations

import datetime

import pytest
from template_cases import (
    CHATML,
    DATED,
    DROPS_TEXT,
    EOS_LAST,
    INST,
    PLAIN,
    SYSTEM_LAST,
    THINKING,
    THREE_TURNS,
    TICKING,
    chat,
    chat_ids,
    make_tokenizer,
    supervised_text,
)

from turnwise.errors import TemplateError
from turnwise.training.template import EncodingFailure, SpanFinder, template_messages

THINKING_TOKENIZER = make_tokenizer(THINKING)


THOUGHTS = chat("Is it?", "<think>hm</think>\n\nYes", "And?", "<think>so</think>\n\nNo")


def test_thinking_template_is_refused_with_what_changes_and_what_to_do():
    with pytest.raises(TemplateError, match="rewrites earlier turns") as caught:
        SpanFinder(make_tokenizer(THINKING)).encode(THOUGHTS)
    assert "<think>" in caught.value.message
    assert "reply 0" in caught.value.message
    assert "as_rendered" in str(caught.value.hint)
    assert "unchanged" in str(caught.value.hint)


def test_as_rendered_supervises_what_the_whole_rendering_shows():
    tokenizer = make_tokenizer(THINKING)
    encoded = SpanFinder(tokenizer, policy="as_rendered").encode(THOUGHTS)
    assert encoded.input_ids == chat_ids(tokenizer, THOUGHTS)
    assert supervised_text(tokenizer, encoded, 0) == "Yes<|im_end|>"
    assert supervised_text(tokenizer, encoded, 1) == "<think>\nso\n</think>\n\nNo<|im_end|>"


def test_unchanged_supervises_only_what_is_shown_as_at_inference():
    tokenizer = make_tokenizer(THINKING)
    encoded = SpanFinder(tokenizer, policy="unchanged").encode(THOUGHTS)
    assert set(encoded.turn_ids) == {-1, 1}
    assert supervised_text(tokenizer, encoded, 1) == "<think>\nso\n</think>\n\nNo<|im_end|>"


def test_one_turn_of_a_thinking_template_is_no_rewriting():
    tokenizer = make_tokenizer(THINKING)
    messages = template_messages(
        [
            {"role": "user", "content": "Is it?"},
            {
                "role": "assistant",
                "content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "Yes"}],
            },
        ]
    )
    encoded = SpanFinder(tokenizer).encode(messages)
    assert supervised_text(tokenizer, encoded, 0) == "<think>\nhm\n</think>\n\nYes<|im_end|>"


def test_prompt_that_changes_with_later_turns_is_refused():
    messages = chat("Is it?", "Yes", "And?", "No", system="Be brief.")
    tokenizer = make_tokenizer(SYSTEM_LAST)
    with pytest.raises(TemplateError, match="Be brief"):
        SpanFinder(tokenizer).encode(messages)
    encoded = SpanFinder(tokenizer, policy="as_rendered").encode(messages)
    assert supervised_text(tokenizer, encoded, 0).strip() == "Yes</s>"
    assert supervised_text(tokenizer, encoded, 1).strip() == "No</s>"


def test_end_token_only_behind_the_last_reply_is_a_rewriting():
    tokenizer = make_tokenizer(EOS_LAST)
    with pytest.raises(TemplateError, match="reply 0"):
        SpanFinder(tokenizer).encode(THREE_TURNS)
    encoded = SpanFinder(tokenizer, policy="as_rendered").encode(THREE_TURNS)
    assert supervised_text(tokenizer, encoded, 0).strip() == "Yes, it is."
    assert supervised_text(tokenizer, encoded, 2).strip() == "The end\nof it.</s>"


def test_token_that_merges_prompt_and_reply_is_supervised():
    """The prompt ends with a space, and the byte-level BPE writes the space and "Y" as one token, " Y..."."""
    tokenizer = make_tokenizer(PLAIN.replace("ASSISTANT:'", "ASSISTANT: '").replace("' ' + m.content", "m.content"))
    encoded = SpanFinder(tokenizer).encode(chat("Is it?", "Yes, it is."))
    assert supervised_text(tokenizer, encoded, 0) == " Yes, it is.</s>"


def test_reply_that_the_template_drops_is_refused():
    messages = chat("Is it?", "Yes")
    with pytest.raises(TemplateError, match="its text is not shown"):
        SpanFinder(make_tokenizer(DROPS_TEXT)).encode(messages)
    with pytest.raises(EncodingFailure):
        SpanFinder(make_tokenizer(DROPS_TEXT), policy="as_rendered").encode(messages)


def test_reasoning_and_calls_that_the_template_does_not_print_are_refused():
    finder = SpanFinder(make_tokenizer(CHATML))
    reply = {"role": "assistant", "content": "Yes"}
    with pytest.raises(TemplateError, match="its reasoning is not shown"):
        finder.encode([*chat("Is it?"), {**reply, "reasoning_content": "hm"}])
    call = {"type": "function", "function": {"name": "weather", "arguments": {}}}
    with pytest.raises(TemplateError, match="its call of 'weather' is not shown"):
        finder.encode([*chat("Is it?"), {**reply, "tool_calls": [call]}])


# Dates


def test_date_is_noted_and_can_be_pinned():
    tokenizer = make_tokenizer(DATED)
    assert "strftime_now" in SpanFinder(tokenizer).notes[0]
    pinned = SpanFinder(tokenizer, today=datetime.date(2024, 7, 26))
    assert pinned.notes == ()
    assert tokenizer.decode(pinned.encode(THREE_TURNS).input_ids).startswith("Today is 26 Jul 2024\n")


def test_template_that_prints_the_time_of_day_is_refused():
    with pytest.raises(TemplateError, match="something else each time"):
        SpanFinder(make_tokenizer(TICKING)).encode(THREE_TURNS)


def test_date_with_a_computed_format_cannot_be_pinned():
    template = "{% set f = '%Y' %}{{ strftime_now(f) }}" + CHATML
    with pytest.raises(TemplateError, match="cannot be pinned"):
        SpanFinder(make_tokenizer(template), today=datetime.date(2024, 7, 26))


# Refusals


def test_tokenizer_without_template_is_refused_with_a_hint():
    with pytest.raises(TemplateError, match="no usable chat template") as caught:
        SpanFinder(make_tokenizer(None))
    assert "chat template" in str(caught.value.hint)


def test_given_template_replaces_a_missing_one():
    tokenizer = make_tokenizer(None)
    encoded = SpanFinder(tokenizer, chat_template=CHATML).encode(THREE_TURNS)
    assert encoded.input_ids == chat_ids(tokenizer, THREE_TURNS, chat_template=CHATML)


def test_template_that_is_no_jinja_is_refused():
    with pytest.raises(TemplateError, match="no valid Jinja"):
        SpanFinder(make_tokenizer("{% for m in messages %}"))


def test_template_that_refuses_roles_fails_that_dialogue_only():
    finder = SpanFinder(make_tokenizer(INST))
    with pytest.raises(EncodingFailure) as caught:
        finder.encode([*chat("Is it?", "Yes"), {"role": "assistant", "content": "No"}])
    assert caught.value.reason == "the chat template refuses it"
    assert "roles must alternate" in caught.value.detail
    assert finder.encode(chat("Is it?", "Yes")).ends


def test_dialogue_without_reply_fails():
    with pytest.raises(EncodingFailure, match="no assistant reply"):
        SpanFinder(make_tokenizer(CHATML)).encode(chat("Is it?"))


def test_template_variables_reach_the_template():
    template = "{{ mood | default('calm') }}\n" + CHATML
    tokenizer = make_tokenizer(template)
    encoded = SpanFinder(tokenizer, template_kwargs={"mood": "fine"}).encode(THREE_TURNS)
    assert tokenizer.decode(encoded.input_ids).startswith("fine\n<|im_start|>")
