"""The record: what goes in comes out, and a name stays a name."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.dialogue import DIALOGUE_KEYS, MESSAGE_KEYS, Dialogue, Message, content_id, content_text, unique_ids
from turnwise.errors import DataError

# Any code point, lone surrogates too: scraped data holds them.
TEXT = st.text(st.characters(), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PART = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}),
    st.fixed_dictionaries({"type": st.just("text"), "value": TEXT}),
    st.fixed_dictionaries({"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": TEXT})}),
    st.dictionaries(TEXT, JSON, max_size=3),
)
CALL = st.fixed_dictionaries({"type": st.just("function"), "function": st.dictionaries(TEXT, JSON, max_size=2)})


def extra(known):
    return st.dictionaries(TEXT.filter(lambda key: key not in known), JSON, max_size=2)


MESSAGE = st.builds(
    Message,
    role=TEXT.filter(bool),
    content=st.none() | TEXT | st.lists(PART, max_size=3),
    train=st.none() | st.booleans(),
    weight=st.none() | st.floats(0, 10),
    name=st.none() | TEXT,
    tool_calls=st.none() | st.lists(CALL, max_size=2),
    tool_call_id=st.none() | TEXT,
    extra=extra(MESSAGE_KEYS),
)
DIALOGUE = st.builds(
    Dialogue,
    messages=st.lists(MESSAGE, min_size=1, max_size=4),
    id=TEXT,
    source=st.none() | TEXT,
    tier=st.none() | TEXT,
    tools=st.none() | st.lists(st.dictionaries(TEXT, JSON, max_size=2), max_size=2) | TEXT,
    evidence=st.lists(st.dictionaries(TEXT, JSON, max_size=2), max_size=2),
    metadata=extra(DIALOGUE_KEYS),
)


@given(DIALOGUE)
def test_a_dialogue_survives_the_record_and_json(dialogue):
    record = dialogue.to_dict()
    assert Dialogue.from_dict(record) == dialogue
    assert Dialogue.from_dict(json.loads(json.dumps(record))) == dialogue
    assert Dialogue.from_dict(record).to_dict() == record


@given(extra(DIALOGUE_KEYS), extra(MESSAGE_KEYS))
def test_unknown_keys_survive(of_dialogue, of_message):
    record = {"messages": [{"role": "user", "content": "a", **of_message}], **of_dialogue}
    read = Dialogue.from_dict(record)
    assert read.messages[0].extra == of_message
    assert read.metadata == of_dialogue
    again = Dialogue.from_dict(read.to_dict())
    assert (again.metadata, again.messages[0].extra) == (of_dialogue, of_message)


@given(st.lists(MESSAGE, min_size=1, max_size=3))
def test_a_name_made_from_the_content_depends_on_the_messages_alone(messages):
    name = Dialogue(messages).id
    assert name == Dialogue(messages, source="s", tier="t", metadata={"k": 1}).id
    assert name == Dialogue.from_dict(json.loads(json.dumps(Dialogue(messages).to_dict()))).id
    assert len(name) == 16
    assert int(name, 16) >= 0


def test_a_name_made_from_the_content_never_changes_between_releases():
    """The canonical JSON written out by hand: sorted keys, no spaces, UTF-8."""
    canonical = '[{"content":"é","role":"user"},{"content":null,"role":"assistant","weight":0.5}]'
    expected = hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:16]
    assert content_id([Message("user", "é"), Message("assistant", None, weight=0.5)]) == expected


@given(st.lists(st.sampled_from(["a", "a#2", "a#3", "b", "a#2#2"]), max_size=12))
def test_unique_ids_are_unique_keep_the_first_of_a_name_and_never_an_order(names):
    made = [record.id for record in unique_ids(Dialogue([Message("user", "x")], id=name) for name in names)]
    assert len(set(made)) == len(made)
    for number, name in enumerate(names):
        assert made[number] == name or made[number].startswith(f"{name}#")
        if name not in names[:number] and name not in made[:number]:
            assert made[number] == name


def test_repeated_names_count_from_two_and_pass_over_a_name_that_is_taken():
    names = ["a", "a#2", "a", "a"]
    made = [record.id for record in unique_ids(Dialogue([Message("user", "x")], id=name) for name in names)]
    assert made == ["a", "a#2", "a#3", "a#4"]


def test_turns_and_text_are_counted_from_replies_and_readable_parts():
    parts = [{"type": "text", "text": "ab"}, {"type": "image_url", "image_url": {"url": "u"}}, {"value": "c"}]
    dialogue = Dialogue([Message("system", "s"), Message("user", parts), Message("assistant", None)])
    assert dialogue.num_turns == 1
    assert dialogue.replies == [dialogue.messages[2]]
    assert content_text(parts) == "abc"
    assert dialogue.num_characters == 4


@pytest.mark.parametrize(
    ("record", "part"),
    [
        ({}, "an empty object"),
        ({"conversations": []}, "an object with keys 'conversations'"),
        ({"messages": []}, "non-empty list 'messages'"),
        ({"messages": ["hi"]}, "messages[0] to be an object, found str"),
        ({"messages": [{"content": "a"}]}, "a text 'role', found an object with keys 'content'"),
        ({"messages": [{"role": 1, "content": "a"}]}, "a text 'role'"),
        ({"messages": [{"role": "user", "content": 3}]}, "found int"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "found list"),
        ({"messages": [{"role": "user", "content": "", "train": 1}]}, "true or false, found 1"),
        ({"messages": [{"role": "user", "content": "", "weight": -1}]}, "at least 0, found -1"),
        ({"messages": [{"role": "user", "content": "", "weight": True}]}, "at least 0, found True"),
        ({"messages": [{"role": "user", "content": "", "weight": float("nan")}]}, "at least 0, found nan"),
        ({"messages": [{"role": "user", "content": "", "weight": float("inf")}]}, "at least 0, found inf"),
        ({"messages": [{"role": "user", "content": ""}], "metadata": "text"}, "'metadata'"),
        ({"messages": [{"role": "user", "content": ""}], "evidence": {"a": 1}}, "'evidence'"),
    ],
)
def test_what_is_no_dialogue_is_refused_with_what_was_found(record, part):
    with pytest.raises(DataError) as caught:
        Dialogue.from_dict(record)
    assert part in str(caught.value)
