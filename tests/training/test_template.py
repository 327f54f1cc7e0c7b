from __future__ import annotations

import datetime
import pickle
import re
from pathlib import Path

import pytest
import trl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from template_cases import (
    APPENDED,
    CHATML,
    CHATML_MARKED,
    CHATML_TOOLS,
    DATED,
    DROPS_TEXT,
    EOS_LAST,
    FAITHFUL,
    INST,
    MARKED_HALF,
    MARKED_HEADER,
    MARKED_NO_END,
    MARKED_NOTHING,
    MODEL_ROLE,
    NO_END,
    PLAIN,
    SYSTEM_LAST,
    THINKING,
    TICKING,
    chat,
    make_tokenizer,
    supervised_text,
)
from transformers import ByT5Tokenizer

from turnwise.errors import TemplateError
from turnwise.training.template import EncodingFailure, SpanFinder, template_messages, template_tools

TRL_TEMPLATES = list((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
THINKING_TOKENIZER = make_tokenizer(THINKING)
THREE_TURNS = chat("Is it fine?", "Yes, it is.", "In Paris?", "你好 🙂", "Bye", "The end\nof it.")


@pytest.fixture(scope="module")
def tokenizers():
    return {name: make_tokenizer(template) for name, (template, _) in FAITHFUL.items()}


def chat_ids(tokenizer, messages, **options):
    return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)["input_ids"]


@pytest.mark.parametrize("name", FAITHFUL)
def test_supervised_tokens_of_each_turn_are_the_reply_and_its_end_token(name, tokenizers):
    tokenizer = tokenizers[name]
    encoded = SpanFinder(tokenizer).encode(THREE_TURNS)
    assert encoded.input_ids == chat_ids(tokenizer, THREE_TURNS)
    for turn_index, reply in enumerate(m["content"] for m in THREE_TURNS if m["role"] == "assistant"):
        shown = supervised_text(tokenizer, encoded, turn_index)
        # The templates with a space before the reply (Llama-2, Vicuna) let the model write that space.
        assert shown.replace(" ", "") == (reply + FAITHFUL[name][1]).replace(" ", "")
        assert shown.lstrip(" ") == shown or name in ("inst", "plain")
    assert set(encoded.turn_ids) == {-1, 0, 1, 2}


@pytest.mark.parametrize("name", FAITHFUL)
def test_ends_cut_the_tokens_behind_each_reply(name, tokenizers):
    """Up to `ends[k]` the tokens hold replies 0..k whole and nothing of the next turn's text."""
    tokenizer = tokenizers[name]
    encoded = SpanFinder(tokenizer).encode(THREE_TURNS)
    assert encoded.ends == sorted(encoded.ends)
    for turn_index, end in enumerate(encoded.ends):
        assert max(encoded.turn_ids[:end]) == turn_index
        assert set(encoded.turn_ids[end:]) <= {-1, *range(turn_index + 1, 3)}
    assert "In Paris?" not in tokenizer.decode(encoded.input_ids[: encoded.ends[0]])


def test_token_by_token_for_system_tool_call_tool_answer_and_two_replies():
    r"""ChatML, one line per message; the supervised stretch of each assistant line is what follows "assistant\n".

    <|im_start|>system\nBe brief.<|im_end|>\n            -1
    <|im_start|>user\nIs it fine?<|im_end|>\n            -1
    <|im_start|>assistant\n                              -1
    <call>weather {"city": "Paris"}</call><|im_end|>      0   (reply 0 calls a tool, and has no text)
    \n<|im_start|>tool\nfine<|im_end|>\n                 -1
    <|im_start|>assistant\n                              -1
    Yes, it is.<|im_end|>                                 1
    \n<|im_start|>user\nBye<|im_end|>\n                  -1
    <|im_start|>assistant\n                              -1
    Bye<|im_end|>                                         2
    \n                                                   -1
    """
    tokenizer = make_tokenizer(CHATML_TOOLS)
    messages = template_messages(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Is it fine?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}],
            },
            {"role": "tool", "content": "fine"},
            {"role": "assistant", "content": "Yes, it is."},
            {"role": "user", "content": "Bye"},
            {"role": "assistant", "content": "Bye"},
        ]
    )
    expected = [
        ("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nIs it fine?<|im_end|>\n", -1),
        ("<|im_start|>assistant\n", -1),
        ('<call>weather {"city": "Paris"}</call><|im_end|>', 0),
        ("\n<|im_start|>tool\nfine<|im_end|>\n<|im_start|>assistant\n", -1),
        ("Yes, it is.<|im_end|>", 1),
        ("\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n", -1),
        ("Bye<|im_end|>", 2),
        ("\n", -1),
    ]
    ids, turn_ids = [], []
    for text, turn in expected:
        piece = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += piece
        turn_ids += [turn] * len(piece)
    encoded = SpanFinder(tokenizer).encode(messages)
    assert encoded.input_ids == ids == chat_ids(tokenizer, messages)
    assert encoded.turn_ids == turn_ids
    last_line = len(ids)
    assert encoded.ends[-1] == last_line


def test_bos_is_neither_doubled_nor_supervised():
    tokenizer = make_tokenizer(INST)
    encoded = SpanFinder(tokenizer).encode(chat("Is it?", "Yes", "And?", "No", system="Be brief."))
    bos = [turn for token, turn in zip(encoded.input_ids, encoded.turn_ids, strict=True) if token == 0]
    assert tokenizer.bos_token_id == 0
    assert bos == [-1, -1]  # one per [INST], as the template writes them


def test_what_is_appended_at_the_very_end_is_not_supervised():
    tokenizer = make_tokenizer(APPENDED)
    encoded = SpanFinder(tokenizer).encode(chat("Is it?", "Yes", "And?", "No"))
    assert tokenizer.decode(encoded.input_ids[-3:]) == "<|end|>\n<|endoftext|>"
    assert encoded.turn_ids[-3:] == [1, -1, -1]


@pytest.mark.parametrize(
    ("template", "method"),
    [
        (CHATML, "prefix"),
        (CHATML_MARKED, "generation"),
        (MARKED_NO_END, "generation"),
        (MARKED_NOTHING, "prefix"),
        (MARKED_HALF, "prefix"),
        (MARKED_HEADER, "prefix"),
    ],
)
def test_markers_decide_only_where_they_mark_the_reply(template, method):
    assert SpanFinder(make_tokenizer(template)).encode(THREE_TURNS).method == method


def test_marked_template_gives_the_mask_that_transformers_gives():
    tokenizer = make_tokenizer(CHATML_MARKED)
    out = tokenizer.apply_chat_template(THREE_TURNS, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    encoded = SpanFinder(tokenizer).encode(THREE_TURNS)
    assert [int(turn >= 0) for turn in encoded.turn_ids] == out["assistant_masks"]


def test_markers_may_leave_out_what_is_not_the_replys_text():
    template = CHATML_MARKED.replace("{% generation %}", "{{ '<think></think>' }}{% generation %}")
    tokenizer = make_tokenizer(template)
    encoded = SpanFinder(tokenizer).encode(THREE_TURNS)
    assert encoded.method == "generation"
    assert supervised_text(tokenizer, encoded, 0) == "Yes, it is.<|im_end|>"


@pytest.mark.parametrize("template", [CHATML, CHATML_MARKED, MARKED_NO_END, INST])
def test_end_token_can_be_left_out(template):
    tokenizer = make_tokenizer(template)
    encoded = SpanFinder(tokenizer, supervise_end_token=False).encode(THREE_TURNS)
    assert supervised_text(tokenizer, encoded, 0).strip() == "Yes, it is."


def test_template_without_end_token_supervises_its_separator_and_says_so():
    tokenizer = make_tokenizer(NO_END)
    finder = SpanFinder(tokenizer)
    assert supervised_text(tokenizer, finder.encode(THREE_TURNS), 1) == "你好 🙂\n\n"
    assert "not taught to stop" in finder.notes[0]
    assert SpanFinder(make_tokenizer(CHATML)).notes == ()


def test_consecutive_replies_keep_their_own_turn_index():
    tokenizer = make_tokenizer(CHATML)
    messages = [*chat("Is it?", "Yes"), {"role": "assistant", "content": "Indeed"}]
    encoded = SpanFinder(tokenizer).encode(messages)
    assert supervised_text(tokenizer, encoded, 0) == "Yes<|im_end|>"
    assert supervised_text(tokenizer, encoded, 1) == "Indeed<|im_end|>"


@pytest.mark.parametrize("template", [CHATML, CHATML_MARKED, MODEL_ROLE, APPENDED])
def test_dialogue_may_begin_with_the_assistant(template):
    tokenizer = make_tokenizer(template)
    messages = [{"role": "assistant", "content": "Bonjour"}, *chat("Is it?", "Yes")]
    encoded = SpanFinder(tokenizer).encode(messages)
    assert supervised_text(tokenizer, encoded, 0).startswith("Bonjour<")
    assert supervised_text(tokenizer, encoded, 1).startswith("Yes<")


def test_tools_are_rendered_and_not_supervised():
    tokenizer = make_tokenizer(CHATML_TOOLS)
    tools = '[{"type": "function", "function": {"name": "weather"}}]'
    encoded = SpanFinder(tokenizer).encode(THREE_TURNS, tools)
    assert encoded.input_ids == chat_ids(tokenizer, THREE_TURNS, tools=template_tools(tools))
    assert "weather" in tokenizer.decode(encoded.input_ids)
    assert supervised_text(tokenizer, encoded, 0) == "Yes, it is.<|im_end|>"


def test_tools_answers_can_be_supervised_and_belong_to_the_call():
    """Two answers behind reply 0, none of them learnt by default; with their headers, as ChatGLM3 does it."""
    tokenizer = make_tokenizer(CHATML_TOOLS)
    call = {"type": "function", "function": {"name": "weather", "arguments": {}}}
    messages = [
        *chat("Is it?"),
        {"role": "assistant", "tool_calls": [call, call]},
        {"role": "tool", "content": "fine"},
        {"role": "tool", "content": "cold"},
        {"role": "assistant", "content": "Yes"},
    ]
    encoded = SpanFinder(tokenizer, supervise_tools=True).encode(messages)
    calls = "<call>weather {}</call>" * 2 + "<|im_end|>"
    answers = "<|im_start|>tool\nfine<|im_end|>\n<|im_start|>tool\ncold<|im_end|>\n"
    assert supervised_text(tokenizer, encoded, 0) == calls + answers
    assert supervised_text(tokenizer, encoded, 1) == "Yes<|im_end|>"
    without = SpanFinder(tokenizer).encode(messages)
    assert supervised_text(tokenizer, without, 0) == calls


def test_lone_surrogates_fail_that_dialogue_only():
    with pytest.raises(EncodingFailure, match="lone surrogates"):
        SpanFinder(make_tokenizer(CHATML)).encode(chat("Is it?", "Y\ud83d"))


@pytest.mark.parametrize("template", [CHATML, INST])
def test_trimmed_offsets_do_not_move_the_border(template):
    """With trim_offsets the line break before a reply has empty offsets at the reply's first character."""
    plain, trimmed = make_tokenizer(template), make_tokenizer(template, trim_offsets=True)
    assert SpanFinder(trimmed).encode(THREE_TURNS) == SpanFinder(plain).encode(THREE_TURNS)


# Templates that rewrite


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


def test_finder_survives_pickling():
    finder = SpanFinder(make_tokenizer(CHATML))
    assert pickle.loads(pickle.dumps(finder)).encode(THREE_TURNS) == finder.encode(THREE_TURNS)  # noqa: S301


# Tokenizers without offsets


def byte_tokenizer(template: str) -> ByT5Tokenizer:
    tokenizer = ByT5Tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def test_slow_tokenizer_is_encoded_by_prefixes():
    template = CHATML.replace("<|im_start|>", "<extra_id_0>").replace("<|im_end|>", "</s>")
    tokenizer = byte_tokenizer(template)
    encoded = SpanFinder(tokenizer).encode(THREE_TURNS)
    assert encoded.input_ids == chat_ids(tokenizer, THREE_TURNS)
    assert supervised_text(tokenizer, encoded, 1) == "你好 🙂</s>"


class _Merging(ByT5Tokenizer):
    """Marks the end of every stretch of text, so that no prefix of a text has a prefix of its tokens."""

    def _tokenize(self, text):
        return [*super()._tokenize(text), self.unk_token]


def test_slow_tokenizer_that_merges_across_borders_is_refused():
    tokenizer = _Merging()
    tokenizer.chat_template = CHATML
    with pytest.raises(TemplateError, match="gives no character offsets"):
        SpanFinder(tokenizer).encode(THREE_TURNS)


# Any text

NASTY = st.lists(
    st.one_of(
        st.sampled_from(
            ["<|im_end|>", "<|im_start|>", "assistant\n", "</s>", "<s>", " ", "\n", "\n\n", "<think>", "</think>", "🙂"]
        ),
        st.sampled_from(
            ["你好", "[/INST]", "<|end|>", "</turn>", "Yes", "{{ x }}", "{% generation %}", "é\u0301", "\ue000"]
        ),
        st.text(max_size=4),
    ),
    max_size=5,
).map("".join)


@pytest.mark.parametrize("name", FAITHFUL)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    texts=st.lists(NASTY, min_size=1, max_size=3).flatmap(
        lambda u: st.tuples(st.just(u), st.lists(NASTY, min_size=len(u), max_size=len(u)))
    )
)
def test_any_text_gives_right_spans_or_a_clear_refusal(name, texts, tokenizers):
    """The faithful templates print "prompt, reply, end token", so the right spans are known from the texts alone."""
    tokenizer = tokenizers[name]
    users, replies = texts
    messages = chat(*[text for pair in zip(users, replies, strict=True) for text in pair])
    encoded = SpanFinder(tokenizer).encode(messages)
    assert encoded.input_ids == chat_ids(tokenizer, messages)
    for turn_index, reply in enumerate(replies):
        shown = supervised_text(tokenizer, encoded, turn_index)
        assert "".join(shown.split()) == "".join((reply + FAITHFUL[name][1]).split())


def shown_by_thinking(reply: str, *, last: bool) -> str:
    """What THINKING prints of a reply, written down a second time in Python."""
    thought, visible = "", reply
    if "</think>" in reply:
        thought = reply.split("</think>")[0].split("<think>")[-1]
        visible = reply.split("</think>")[-1]
    return "".join(((f"<think>{thought}</think>" if last else "") + visible + "<|im_end|>").split())


@settings(max_examples=60, deadline=None)
@given(replies=st.lists(NASTY, min_size=1, max_size=3), policy=st.sampled_from(["as_rendered", "unchanged"]))
def test_any_text_under_a_rewriting_template_gives_what_it_shows(replies, policy):
    messages = chat(*[text for reply in replies for text in ("Is it?", reply)])
    try:
        encoded = SpanFinder(THINKING_TOKENIZER, policy=policy).encode(messages)
    except EncodingFailure:
        # Only where the template drops all of a reply, or more of it than its reasoning, can it not be placed.
        assert policy == "as_rendered"
        assert any("</think>" in reply for reply in replies)
        return
    assert encoded.input_ids == chat_ids(THINKING_TOKENIZER, messages)
    for turn_index, reply in enumerate(replies):
        shown = "".join(supervised_text(THINKING_TOKENIZER, encoded, turn_index).split())
        expected = shown_by_thinking(reply, last=turn_index == len(replies) - 1)
        if reply.rstrip().endswith((">", "]")):
            # A reply that ends with a look-alike of a special token: its end-of-turn token may go unsupervised.
            assert shown in ("", expected, expected.removesuffix("<|im_end|>"))
        else:
            assert shown in ("", expected)
        assert shown or policy == "unchanged"


# The templates of today's models


@pytest.mark.parametrize("path", sorted(TRL_TEMPLATES), ids=lambda path: path.stem)
def test_templates_of_todays_models_give_every_reply_and_nothing_else(path):
    """TRL ships the templates of many model families; whatever one prints, a turn's tokens hold its reply alone."""
    template = path.read_text(encoding="utf-8")
    special = sorted(set(re.findall(r"<[|｜][^\s'\"|｜]+[|｜]>|</?[a-z_]*turn[a-z_]*\|?>|<\|turn>", template)))
    tokenizer = make_tokenizer(template, special=special)
    finder = SpanFinder(tokenizer, policy="as_rendered")
    try:
        encoded = finder.encode(THREE_TURNS)
    except EncodingFailure:
        assert path.stem.split("_")[0] in ("idefics3", "llava", "smolvlm")  # they print lists of parts only
        return
    assert encoded.input_ids == chat_ids(tokenizer, THREE_TURNS)
    texts = [message["content"] for message in THREE_TURNS]
    for turn_index in range(3):
        shown = supervised_text(tokenizer, encoded, turn_index)
        assert [text for text in texts if text in shown] == [texts[2 * turn_index + 1]]


# Messages for a template


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
