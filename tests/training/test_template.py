from __future__ import annotations

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
    FAITHFUL,
    INST,
    MARKED_HALF,
    MARKED_HEADER,
    MARKED_NO_END,
    MARKED_NOTHING,
    MODEL_ROLE,
    NO_END,
    THINKING,
    THREE_TURNS,
    chat,
    chat_ids,
    make_tokenizer,
    supervised_text,
)
from transformers import ByT5Tokenizer

from turnwise.errors import TemplateError
from turnwise.training.template import EncodingFailure, SpanFinder, template_messages, template_tools

TRL_TEMPLATES = list((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
THINKING_TOKENIZER = make_tokenizer(THINKING)


@pytest.fixture(scope="module")
def tokenizers():
    return {name: make_tokenizer(template) for name, (template, _) in FAITHFUL.items()}


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
