from __future__ import annotations

import pytest
from datasets import Dataset as HubDataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from template_cases import APPENDED, CHATML, CHATML_TOOLS, INST, THINKING, chat, make_tokenizer, supervised_text

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, TemplateError
from turnwise.training.encode import IGNORE, Encoded, Skipped, drop_skipped, encode_columns, encode_dialogue
from turnwise.training.template import SpanFinder

THREE_TURNS = chat("Is it fine?", "Yes, it is.", "In Paris?", "你好 🙂", "Bye", "The end.")


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(CHATML)


@pytest.fixture(scope="module")
def finder(tokenizer):
    return SpanFinder(tokenizer)


def chat_ids(tokenizer, messages):
    return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]


def with_keys(messages, **keys_by_reply):
    """The messages, with keys set on replies: `_0={"train": False}` sets them on reply 0."""
    replies = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    changed = [dict(message) for message in messages]
    for name, keys in keys_by_reply.items():
        changed[replies[int(name[1:])]].update(keys)
    return changed


def test_labels_are_the_ids_of_the_replies_and_ignore_elsewhere(finder, tokenizer):
    encoded = encode_dialogue(THREE_TURNS, finder, max_length=None)
    assert encoded.input_ids == chat_ids(tokenizer, THREE_TURNS)
    assert encoded.labels == [
        token if turn >= 0 else IGNORE for token, turn in zip(encoded.input_ids, encoded.turn_ids, strict=True)
    ]
    learnt = tokenizer.decode([label for label in encoded.labels if label != IGNORE])
    assert learnt == "Yes, it is.<|im_end|>你好 🙂<|im_end|>The end.<|im_end|>"
    assert (encoded.num_turns, encoded.token_weights, encoded.dropped_turns) == (3, None, 0)


def test_dialogue_record_brings_its_own_tools(tokenizer):
    tools = [{"type": "function", "function": {"name": "weather"}}]
    dialogue = Dialogue(messages=[Message(**message) for message in THREE_TURNS], tools=tools)
    encoded = encode_dialogue(dialogue, SpanFinder(make_tokenizer(CHATML_TOOLS)), max_length=None)
    assert '"weather"' in tokenizer.decode(encoded.input_ids)


def test_untrained_reply_stays_as_context_and_keeps_its_number(finder):
    """Reply 0 is not learnt; the others keep turn_index 1 and 2, and the group is 2."""
    full = encode_dialogue(THREE_TURNS, finder, max_length=None)
    for keys in ({"train": False}, {"weight": 0.0}):
        encoded = encode_dialogue(with_keys(THREE_TURNS, _0=keys), finder, max_length=None)
        assert encoded.input_ids == full.input_ids
        assert encoded.turn_ids == [turn if turn != 0 else -1 for turn in full.turn_ids]
        assert encoded.num_turns == 2
        assert encoded.token_weights is None


def test_message_weights_become_token_weights(finder):
    encoded = encode_dialogue(with_keys(THREE_TURNS, _0={"weight": 0.5}, _2={"weight": 2}), finder, max_length=None)
    by_turn = {-1: 0.0, 0: 0.5, 1: 1.0, 2: 2.0}
    assert encoded.token_weights == [by_turn[turn] for turn in encoded.turn_ids]


def test_last_supervises_the_last_reply_that_is_to_be_learnt(finder):
    encoded = encode_dialogue(THREE_TURNS, finder, max_length=None, supervise="last")
    assert set(encoded.turn_ids) == {-1, 2}
    flagged = with_keys(THREE_TURNS, _2={"train": False})
    assert set(encode_dialogue(flagged, finder, max_length=None, supervise="last").turn_ids) == {-1, 1}


def test_truncation_drops_whole_turns(finder, tokenizer):
    """One token less than two turns need leaves one turn; exactly as many leave two."""
    two = len(chat_ids(tokenizer, THREE_TURNS[:4]))
    assert encode_dialogue(THREE_TURNS, finder, max_length=two).input_ids == chat_ids(tokenizer, THREE_TURNS[:4])
    encoded = encode_dialogue(THREE_TURNS, finder, max_length=two - 1)
    assert encoded.input_ids == chat_ids(tokenizer, THREE_TURNS[:2])
    assert (encoded.num_turns, encoded.dropped_turns) == (1, 2)


def test_question_without_reply_is_dropped(finder, tokenizer):
    messages = [*THREE_TURNS, {"role": "user", "content": "Are you there?"}]
    assert encode_dialogue(messages, finder, max_length=None).input_ids == chat_ids(tokenizer, THREE_TURNS)


def test_first_turn_too_long_is_skipped(finder, tokenizer):
    one = len(chat_ids(tokenizer, THREE_TURNS[:2]))
    skipped = encode_dialogue(THREE_TURNS, finder, max_length=one - 1)
    assert skipped == Skipped("first turn longer than max_length")


def test_keep_start_cuts_at_the_length(finder, tokenizer):
    """TRL's cut: the first tokens, whatever they are; reply 2 is gone, reply 1 is cut."""
    full = encode_dialogue(THREE_TURNS, finder, max_length=None)
    length = full.turn_ids.index(1) + 2
    encoded = encode_dialogue(THREE_TURNS, finder, max_length=length, truncation="keep_start")
    assert encoded.input_ids == full.input_ids[:length]
    assert encoded.labels == full.labels[:length]
    assert (encoded.num_turns, encoded.dropped_turns) == (2, 1)
    prompt_only = full.turn_ids.index(0)
    assert encode_dialogue(THREE_TURNS, finder, max_length=prompt_only, truncation="keep_start") == Skipped(
        "no supervised tokens"
    )


def test_truncated_dialogue_is_rendered_anew():
    """The template writes <|endoftext|> at the end of every dialogue, a shortened one too."""
    tokenizer = make_tokenizer(APPENDED)
    short = chat_ids(tokenizer, THREE_TURNS[:2])
    assert tokenizer.decode(short).endswith("<|endoftext|>")
    finder = SpanFinder(tokenizer)
    assert encode_dialogue(THREE_TURNS, finder, max_length=len(short)).input_ids == short
    # The turn itself would fit into one token less; with what is appended it does not.
    assert isinstance(encode_dialogue(THREE_TURNS, finder, max_length=len(short) - 1), Skipped)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (chat("Is it?"), "no assistant reply"),
        (with_keys(chat("Is it?", "Yes"), _0={"train": False}), "no supervised tokens"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, *chat("a", "b")],
            "has image parts; text training cannot use them",
        ),
    ],
)
def test_unusable_dialogue_is_skipped_with_a_reason(finder, messages, reason):
    assert encode_dialogue(messages, finder, max_length=None).reason == reason


def test_refusal_by_the_template_is_skipped_with_its_words():
    finder = SpanFinder(make_tokenizer(INST))
    skipped = encode_dialogue([*chat("Is it?", "Yes"), *chat("a", "b")[1:]], finder, max_length=None)
    assert skipped == Skipped("the chat template refuses it", "roles must alternate user/assistant")


def test_truncation_may_bring_the_supervised_replies_down_to_none(finder, tokenizer):
    messages = with_keys(THREE_TURNS, _0={"train": False})
    one = len(chat_ids(tokenizer, THREE_TURNS[:2]))
    assert encode_dialogue(messages, finder, max_length=one) == Skipped("no supervised tokens")


def test_max_length_must_be_positive(finder):
    with pytest.raises(ConfigError, match="max_length"):
        encode_dialogue(THREE_TURNS, finder, max_length=0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    texts=st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=6),
    max_length=st.integers(1, 160),
    trailing=st.booleans(),
)
@pytest.mark.parametrize("template", [CHATML, APPENDED])
def test_truncation_keeps_the_longest_run_of_whole_turns_that_fits(template, texts, max_length, trailing, tokenizer):
    finder = SpanFinder(tokenizer, chat_template=template)
    messages = chat(*[text for pair in texts for text in pair])
    lengths = [
        len(
            tokenizer.apply_chat_template(
                messages[: 2 * turns], tokenize=True, return_dict=True, chat_template=template
            )["input_ids"]
        )
        for turns in range(1, len(texts) + 1)
    ]
    fitting = sum(length <= max_length for length in lengths)
    given_messages = [*messages, {"role": "user", "content": "And?"}] if trailing else messages
    encoded = encode_dialogue(given_messages, finder, max_length=max_length)
    if fitting == 0:
        assert encoded == Skipped("first turn longer than max_length")
        return
    short = encode_dialogue(messages[: 2 * fitting], finder, max_length=None)
    assert (encoded.input_ids, encoded.turn_ids) == (short.input_ids, short.turn_ids)
    assert encoded.dropped_turns == len(texts) - fitting
    assert len(encoded.input_ids) == lengths[fitting - 1] <= max_length
    assert set(encoded.turn_ids) - {-1} == set(range(fitting))


# Columns


def rows():
    return {
        "id": ["a", "b", "c"],
        "messages": [THREE_TURNS, chat("Is it?"), with_keys(chat("Is it?", "Yes"), _0={"weight": 0.5})],
    }


def test_columns_keep_one_row_per_dialogue_and_say_why_one_is_skipped(finder, tokenizer):
    columns = encode_columns(rows(), finder=finder, max_length=None)
    assert columns["skipped"] == ["", "no assistant reply", ""]
    assert columns["input_ids"][0] == chat_ids(tokenizer, THREE_TURNS)
    assert columns["input_ids"][1] == columns["labels"][1] == columns["turn_ids"][1] == []
    assert set(columns) == {"input_ids", "labels", "turn_ids", "dropped_turns", "skipped"}


def test_weights_column_has_a_weight_for_every_supervised_token(finder):
    columns = encode_columns(rows(), finder=finder, max_length=None, weights=True)
    for turn_ids, weights, weight in zip(columns["turn_ids"], columns["token_weights"], (1.0, None, 0.5), strict=True):
        assert weights == [weight if turn >= 0 else 0.0 for turn in turn_ids]


def test_dataset_map_gives_the_same_as_single_dialogues(finder, tokenizer):
    """Arrow fills the keys that only some messages have (`weight`, `tool_calls`) with None; nothing may change."""
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}
    other = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "CET"}}}
    records = [
        *[{"id": name, "messages": messages} for name, messages in zip(*rows().values(), strict=True)],
        {
            "id": "d",
            "messages": [
                *chat("Is it?"),
                {"role": "assistant", "content": None, "tool_calls": [call, other]},
                {"role": "tool", "content": "fine"},
                {"role": "assistant", "content": "Yes"},
            ],
        },
    ]
    tooled = SpanFinder(make_tokenizer(CHATML_TOOLS))
    dataset = HubDataset.from_list(records)
    assert "weight" in dataset[0]["messages"][0]  # Arrow did fill it
    mapped = dataset.map(
        encode_columns,
        batched=True,
        batch_size=2,
        fn_kwargs={"finder": tooled, "max_length": 200},
        remove_columns=["messages"],
    )
    kept, skipped = drop_skipped(mapped)
    assert skipped == {"no assistant reply": 1}
    assert kept["id"][:] == ["a", "c", "d"]
    assert "skipped" not in kept.column_names
    for row, record in zip(kept, [records[0], *records[2:]], strict=True):
        single = encode_dialogue(record["messages"], tooled, max_length=200)
        assert isinstance(single, Encoded)
        assert (row["input_ids"], row["labels"], row["turn_ids"]) == (
            single.input_ids,
            single.labels,
            single.turn_ids,
        )
    assert '{"city": "Paris"}' in tokenizer.decode(kept[2]["input_ids"])


def test_refused_template_names_the_dialogue():
    finder = SpanFinder(make_tokenizer(THINKING))
    with pytest.raises(TemplateError, match="dialogue 'b': the chat template rewrites"):
        encode_columns({"id": ["a", "b"], "messages": [THREE_TURNS[:2], THREE_TURNS]}, finder=finder, max_length=None)


def test_truncation_of_a_thinking_template_shows_the_new_last_reply_as_at_inference():
    """Cut to one turn, reply 0 is the last one: the template then shows its reasoning, and it is supervised."""
    tokenizer = make_tokenizer(THINKING)
    messages = chat("Is it?", "<think>hm</think>\n\nYes", "And?", "No")
    short = chat_ids(tokenizer, messages[:2])
    encoded = encode_dialogue(messages, SpanFinder(tokenizer, policy="unchanged"), max_length=len(short))
    assert encoded.input_ids == short
    assert supervised_text(tokenizer, encoded, 0) == "<think>\nhm\n</think>\n\nYes<|im_end|>"
