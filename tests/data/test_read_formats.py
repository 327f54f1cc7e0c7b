"""What each format becomes, on small records made by hand."""

from __future__ import annotations

import json

import pytest

from turnwise.data.read import ReadReport, read_dialogues, read_documents, read_pairs
from turnwise.errors import DataError


@pytest.fixture
def read(tmp_path):
    def reader(*records, reader=read_dialogues, **options):
        path = tmp_path / "x.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return list(reader(path, **options))

    return reader


def said(dialogue):
    return [(message.role, message.content) for message in dialogue.messages]


QA = [("user", "q"), ("assistant", "a")]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, QA),
        ({"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, QA),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, QA),
        ({"instruction": "q", "input": "", "output": "a"}, QA),
        ({"instruction": "q", "output": "a"}, QA),
        ({"instruction": "q", "input": "i", "output": "a"}, [("user", "q\ni"), ("assistant", "a")]),
        ({"instruction": "", "input": "q", "output": "a", "history": None}, QA),
        ({"instruction": "q2", "output": "a2", "history": [["q", "a"]]}, [*QA, ("user", "q2"), ("assistant", "a2")]),
        ({"prompt": "q2", "response": "a2", "history": [["q", "a"]]}, [*QA, ("user", "q2"), ("assistant", "a2")]),
        ({"query": "q", "response": "a", "history": []}, QA),
        ({"question": "q", "answer": "a"}, QA),
        ({"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}, QA),
        ({"conversation": [{"input": "q", "output": "a"}]}, QA),
        ({"conversation": [{"system": "s", "input": "q", "output": "a"}]}, [("system", "s"), *QA]),
        ({"history": [{"user": "q", "bot": "a"}]}, QA),
        ({"conv": [{"user": "q", "sys": "a", "do_inference": False}]}, QA),
        ({"text": "### Human: q ### Assistant: a"}, QA),
        ({"text": "### Human: q### Assistant: a"}, QA),
        ({"text": "\n\nHuman: q\n\nAssistant: a"}, QA),
        ({"text": "Human: q\n\nAssistant: a"}, QA),
        ({"input": "### Human: q ### Assistant:", "output": "a"}, QA),
        ({"utterances": [{"speaker": "user", "text": "q"}, {"speaker": "assistant", "text": "a"}]}, QA),
        ({"turns": [{"speaker": "USER", "utterance": "q"}, {"speaker": "SYSTEM", "utterance": "a"}]}, QA),
        ({"input": [{"speaker": "user", "text": "q"}], "targets": [{"speaker": "agent", "text": "a"}]}, QA),
        ({"system": "s", "messages": [{"role": "user", "content": "q"}]}, [("system", "s"), ("user", "q")]),
        ({"system": "s", "instruction": "q", "output": "a"}, [("system", "s"), *QA]),
        ({"system": "", "instruction": "q", "output": "a"}, QA),
    ],
)
def test_a_record_becomes_its_messages(read, record, expected):
    assert said(read(record)[0]) == expected


def test_unknown_keys_of_records_and_messages_survive(read):
    message = {"role": "client", "content": "q", "annotation": [1], "content_type": "x"}
    dialogue = read({"messages": [message], "lang": "en", "id": 7, "source": ["not text"], "metadata": {"a": 1}})[0]
    assert dialogue.messages[0].to_dict() == {
        "role": "user",
        "content": "q",
        "annotation": [1],
        "content_type": "x",
        "original_role": "client",
    }
    assert dialogue.id == "7"
    assert (dialogue.source, dialogue.metadata) == (None, {"a": 1, "lang": "en", "source": ["not text"]})


def test_metadata_that_shares_a_key_with_its_record_keeps_both_values(read):
    dialogue = read({"question": "q", "answer": "a", "lang": "en", "metadata": {"lang": "de"}})[0]
    assert dialogue.metadata == {"metadata": {"lang": "de"}, "lang": "en"}


def test_a_key_that_would_hide_a_canonical_one_is_renamed(read):
    """A ShareGPT message with a stray `content` key: its text is `value`."""
    dialogue = read({"conversations": [{"from": "human", "value": "q", "content": "other", "name": {"x": 1}}]})[0]
    assert dialogue.messages[0].content == "q"
    assert dialogue.messages[0].extra == {
        "original_content": "other",
        "original_name": {"x": 1},
        "original_role": "human",
    }


def test_weight_zero_keeps_an_assistant_message_out_of_the_loss(read):
    messages = [
        {"role": "user", "content": "q", "loss_weight": 0.0},
        {"role": "assistant", "content": "a", "loss_weight": 0},
        {"role": "assistant", "content": "b", "weight": 0.5},
        {"role": "assistant", "content": "c", "weight": 0, "train": True},
    ]
    found = read({"messages": messages})[0].messages
    assert [(m.weight, m.train) for m in found] == [(0.0, None), (0.0, False), (0.5, None), (0.0, True)]


def test_typed_parts_and_tool_calls_stay_as_given(read):
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "x"}}]
    calls = [{"type": "function", "id": "1", "function": {"name": "f", "arguments": "{}"}}]
    tools = [{"type": "function", "function": {"name": "f"}}]
    messages = [
        {"role": "user", "content": parts},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "content": "3", "tool_call_id": "1", "name": "f"},
    ]
    dialogue = read({"messages": messages, "tools": tools})[0]
    assert dialogue.messages[0].content == parts
    assert (dialogue.messages[1].content, dialogue.messages[1].tool_calls) == (None, calls)
    assert (dialogue.messages[2].tool_call_id, dialogue.messages[2].name) == ("1", "f")
    assert dialogue.tools == tools


def test_sharegpt_function_calls_become_tool_calls_and_odd_ones_stay_text(read):
    call = {"name": "f", "arguments": {"x": 1}}
    record = {
        "conversations": [
            {"from": "human", "value": "q"},
            {"from": "function_call", "value": json.dumps(call)},
            {"from": "observation", "value": "3"},
            {"from": "function_call", "value": "f(1)"},
        ]
    }
    messages = read(record)[0].messages
    assert [(m.role, m.content) for m in messages] == [
        ("user", "q"),
        ("assistant", None),
        ("tool", "3"),
        ("assistant", "f(1)"),
    ]
    assert messages[1].tool_calls == [{"type": "function", "function": call}]


def test_ids_are_given_or_derived_from_content_and_never_repeat(read):
    """x, x, x#2: the third is already called what the second would become."""
    record = {"question": "q", "answer": "a"}
    ids = [d.id for d in read(*({**record, "id": name} for name in ("x", "x#2", "x", "x")), record, record)]
    assert ids[:4] == ["x", "x#2", "x#3", "x#4"]
    assert ids[5] == ids[4] + "#2"
    assert len(ids[4]) == 16


def test_another_identifier_names_the_record_and_stays_in_the_metadata(read):
    dialogue = read({"question": "q", "answer": "a", "conversation_id": 5})[0]
    assert (dialogue.id, dialogue.metadata) == ("5", {"conversation_id": 5})


PREFERENCES = [
    {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
    {"conversations": [{"from": "human", "value": "q"}], "chosen": "a", "rejected": "b"},
    {
        "conversations": [{"from": "human", "value": "q"}],
        "chosen": {"from": "gpt", "value": "a"},
        "rejected": {"from": "gpt", "value": "b"},
    },
    {"prompt": "q", "chosen": "a", "rejected": "b"},
    {"question": "q", "chosen": "a", "rejected": "b"},
    {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
    {
        "prompt": [{"role": "user", "content": "q"}],
        "chosen": [{"role": "assistant", "content": "a"}],
        "rejected": [{"role": "assistant", "content": "b"}],
    },
    {
        "prompt": "q",
        "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
        "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}],
    },
]


@pytest.mark.parametrize("record", PREFERENCES)
def test_preference_records_give_pairs_and_dialogues_of_either_side(read, record):
    (pair,) = read(record, reader=read_pairs)
    assert [(m.role, m.content) for m in pair.prompt] == [("user", "q")]
    assert [(m.role, m.content) for m in pair.chosen] == [("assistant", "a")]
    assert [(m.role, m.content) for m in pair.rejected] == [("assistant", "b")]
    (chosen,), (rejected,) = read(record), read(record, side="rejected")
    assert said(chosen) == [("user", "q"), ("assistant", "a")]
    assert said(rejected) == [("user", "q"), ("assistant", "b")]
    assert [m["content"] for m in chosen.metadata["rejected"]] == ["b"]
    assert [m["content"] for m in rejected.metadata["chosen"]] == ["a"]
    assert chosen.id != rejected.id


def test_a_written_pair_reads_back_equal(read):
    (pair,) = read({**PREFERENCES[0], "id": "p", "source": "s", "lang": "en"}, reader=read_pairs)
    assert read(pair.to_dict(), reader=read_pairs) == [pair]


def test_pairs_that_part_early_share_only_what_is_equal(read):
    chosen = "\n\nHuman: q\n\nAssistant: a\n\nHuman: more\n\nAssistant: c"
    (pair,) = read({"chosen": chosen, "rejected": "\n\nHuman: q\n\nAssistant: b"}, reader=read_pairs)
    assert (len(pair.prompt), len(pair.chosen), len(pair.rejected)) == (1, 3, 1)


def test_ranked_replies_pair_the_best_with_each_other_one(read):
    record = {"instruction": "q", "input": "", "output": ["best", "mid", "worst"], "history": []}
    pairs = read(record, reader=read_pairs)
    assert [(p.chosen[0].content, p.rejected[0].content) for p in pairs] == [("best", "mid"), ("best", "worst")]
    assert read(record)[0].messages[1].content == "best"
    assert read(record, side="rejected")[0].messages[1].content == "worst"
    assert read(record)[0].metadata == {"ranked_replies": ["best", "mid", "worst"]}


def test_records_without_two_replies_are_no_pairs(read):
    with pytest.raises(DataError, match=r"found dialogues .*expected preference pairs"):
        read({"question": "q", "answer": "a"}, reader=read_pairs)


def tree():
    """q -> (b rank 1, a rank 0 -> (q2 -> c without rank, d rank 0), (q3)); written out of order."""
    return {
        "message_tree_id": "t",
        "prompt": {
            "message_id": "q",
            "text": "q",
            "role": "prompter",
            "replies": [
                {"message_id": "b", "text": "b", "role": "assistant", "rank": 1, "replies": []},
                {
                    "message_id": "a",
                    "text": "a",
                    "role": "assistant",
                    "rank": 0,
                    "replies": [
                        {
                            "message_id": "q2",
                            "text": "q2",
                            "role": "prompter",
                            "replies": [
                                {"message_id": "c", "text": "c", "role": "assistant", "replies": []},
                                {"message_id": "d", "text": "d", "role": "assistant", "rank": 0, "replies": []},
                            ],
                        },
                        {"message_id": "q3", "text": "q3", "role": "prompter", "replies": []},
                    ],
                },
            ],
        },
    }


def flat(node, parent=None):
    record = {key: value for key, value in node.items() if key != "replies"}
    yield {**record, "parent_id": parent}
    for reply in node["replies"]:
        yield from flat(reply, node["message_id"])


ALL_PATHS = ["q a q2 d", "q a q2 c", "q a q3", "q b"]


def test_a_tree_gives_a_dialogue_per_leaf_best_first_or_the_best_path(read):
    dialogues = read(tree())
    assert [" ".join(m.text for m in d.messages) for d in dialogues] == ALL_PATHS
    assert [d.id for d in dialogues] == ["d", "c", "q3", "b"]
    assert dialogues[0].metadata == {"message_tree_id": "t"}
    assert dialogues[0].messages[1].extra == {"message_id": "a", "rank": 0}
    assert [m.text for m in read(tree(), tree_paths="best")[0].messages] == ["q", "a", "q2", "d"]


def test_flat_messages_give_the_same_paths_in_any_order(read):
    records = list(flat(tree()["prompt"]))
    for shuffled in (records, records[::-1]):
        dialogues = read(*shuffled)
        assert sorted(" ".join(m.text for m in d.messages) for d in dialogues) == sorted(ALL_PATHS)
    assert len(read(*records, tree_paths="best")) == 1


def test_trees_pair_ranked_siblings_only(read):
    """b and a are ranked siblings; c has no rank, so d has no counterpart."""
    for records in ([tree()], list(flat(tree()["prompt"]))):
        (pair,) = read(*records, reader=read_pairs)
        assert (pair.prompt[0].text, pair.chosen[0].text, pair.rejected[0].text) == ("q", "a", "b")


def test_flat_messages_without_their_parent_are_failures_with_their_line(read):
    records = list(flat(tree()["prompt"]))
    del records[2]  # a: q2 and q3 lose their parent
    with pytest.raises(DataError, match=r":3: the parent 'a' of message 'q2' is not in this file"):
        read(*records)
    report = ReadReport()
    assert len(read(*records, on_error="skip", report=report)) == 1
    assert [failure.line for failure in report.failures] == [3, 6]


def test_paths_of_a_tree_do_not_share_message_objects(read):
    first, second = read(tree())[:2]
    first.messages[0].weight = 9.0
    assert second.messages[0].weight is None


def test_a_deleted_reply_stays_in_its_path_and_out_of_the_loss(read):
    nested = tree()
    nested["prompt"]["replies"][0]["deleted"] = True
    trained = {m.extra["message_id"]: m.train for d in read(nested) for m in d.messages}
    assert trained == {"q": None, "a": None, "b": False, "q2": None, "q3": None, "c": None, "d": None}


def test_speakers_need_roles_by_name_or_order(read):
    record = {"content": [{"message": "q", "agent": "agent_1"}, {"message": "a", "agent": "agent_2", "rating": 3}]}
    with pytest.raises(DataError, match=r"role of speaker 'agent_1' is not known.*\n.*--roles"):
        read(record)
    for roles in ({"user": "first", "assistant": "second"}, {"user": "agent_1", "assistant": "agent_2"}):
        dialogue = read(record, roles=roles)[0]
        assert said(dialogue) == QA
        assert dialogue.messages[1].extra == {"rating": 3, "original_role": "agent_2"}
    assert said(read(record, roles={"user": "second", "assistant": "first"})[0]) == [("assistant", "q"), ("user", "a")]


def test_a_third_speaker_is_refused(read):
    record = {"content": [{"message": "x", "agent": name} for name in ("A", "B", "C")]}
    with pytest.raises(DataError, match="'C' is not known"):
        read(record, roles={"user": "first", "assistant": "second"})


def test_messages_without_speakers_take_turns(read):
    record = {"messages": [{"message": "q"}, {"message": "a", "attrs": [1]}, {"message": "q2"}], "name": "x"}
    with pytest.raises(DataError, match="--roles user=first"):
        read(record)
    dialogue = read(record, roles={"user": "first", "assistant": "second"})[0]
    assert said(dialogue) == [*QA, ("user", "q2")]
    assert (dialogue.messages[1].extra, dialogue.metadata) == ({"attrs": [1]}, {"name": "x"})


def test_consecutive_messages_of_one_speaker_stay_apart(read):
    record = {"utterances": [{"speaker": name, "text": "x"} for name in ("user", "user", "assistant")]}
    assert [m.role for m in read(record)[0].messages] == ["user", "user", "assistant"]


def text_dialogue(tmp_path, text, **options):
    (tmp_path / "x.txt").write_text(text, encoding="utf-8")
    return said(next(read_dialogues(tmp_path / "x.txt", **options)))


def test_labelled_text_reads_both_colons_and_continued_lines(tmp_path):
    text = "来访者：一\n\n二\n（后来）\n心理咨询师: 注意：三\n来访者：四\n"
    assert text_dialogue(tmp_path, text) == [
        ("user", "一\n\n二\n（后来）"),
        ("assistant", "注意：三"),
        ("user", "四"),
    ]


def test_labelled_text_takes_names_from_roles(tmp_path):
    text = "Intro\nAnn: hi\nBob: hello\nAnn: bye\nBob: see: you\n"
    expected = [("user", "hi"), ("assistant", "hello"), ("user", "bye"), ("assistant", "see: you")]
    for roles in ({"user": "Ann", "assistant": "Bob"}, {"user": "first", "assistant": "second"}):
        assert text_dialogue(tmp_path, text, roles=roles) == expected
    with pytest.raises(DataError, match="'Ann' is not known"):
        text_dialogue(tmp_path, text)


def test_text_that_repeats_many_prefixes_asks_who_speaks(tmp_path):
    with pytest.raises(DataError, match="found 3 prefixes that may be speaker labels"):
        text_dialogue(tmp_path, "A: x\nB: x\nNote: x\n" * 2)


def test_documents_keep_title_id_and_other_keys(read):
    record = {"id": "d1", "text": "t", "title": "T", "url": "u", "source": "s"}
    (document,) = read(record, reader=read_documents)
    assert (document.id, document.text, document.title) == ("d1", "t", "T")
    assert document.metadata == {"url": "u", "source": "s"}
    assert read(document.to_dict(), reader=read_documents) == [document]
