"""What inspection reports."""

from __future__ import annotations

import json

import pytest

from turnwise.data.dedup import DuplicateCounter
from turnwise.data.inspect import find_problems, inspect_input, letters_by_script
from turnwise.data.length import estimate_tokens
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError


def dialogue(*messages):
    return Dialogue([Message(role, content) for role, content in messages])


U, A = ("user", "q"), ("assistant", "a")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([U, A], []),
        ([("system", "s"), U, A, U, A], []),
        ([U], ["no assistant reply", "ends with user (no reply to the last message)"]),
        ([U, A, U], ["ends with user (no reply to the last message)"]),
        ([A, U, A], ["starts with assistant"]),
        ([("system", "s"), A, U, A], ["starts with assistant"]),
        ([U, A, A, A], ["two assistant messages in a row"]),
        ([U, U, A], ["two user messages in a row"]),
        ([U, ("assistant", " \n")], ["empty assistant message"]),
        ([("user", None), A], ["empty user message"]),
        ([U, ("system", "s"), A], ["system message after the start"]),
        ([("agent_1", "x")], ["role not known: agent_1", "no assistant reply"]),
        ([("system", "s")], ["no assistant reply"]),
        ([("user", [{"type": "image", "url": "x"}]), A], []),
        ([("user", [{"type": "text", "text": " "}]), A], ["empty user message"]),
    ],
)
def test_problems_are_found(messages, expected):
    assert find_problems(dialogue(*messages)) == expected


def test_a_tool_call_is_no_empty_message_and_may_be_followed_by_another():
    call = Message("assistant", None, tool_calls=[{}])
    messages = [Message(*U), call, call, Message("tool", "3"), Message(*A)]
    assert find_problems(Dialogue(messages)) == []


def test_letters_are_counted_by_script():
    assert letters_by_script("abc 12!") == {"Latin": 3}
    assert letters_by_script("é你好 да かな 한 x") == {
        "Latin": 2,
        "Han (Chinese, Japanese)": 2,
        "Kana (Japanese)": 2,
        "Hangul (Korean)": 1,
        "Cyrillic": 2,
    }
    assert letters_by_script("12 !") == {}


def test_the_estimate_counts_wide_characters_whole_and_others_by_four():
    """你好 = 2, "abcde" = 5/4 up = 2, and 4 for each of the two messages: 12."""
    assert estimate_tokens(dialogue(("user", "你好"), ("assistant", "abcde"))) == 12


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_counts_turns_roles_duplicates_and_places(tmp_path):
    """Three dialogues: 1, 1 (a copy) and 0 turns; the last has no reply."""
    pair = {"question": "q", "answer": "a"}
    path = write(tmp_path / "x.jsonl", pair, pair, {"messages": [{"role": "user", "content": "long " * 100}]})
    overall = DuplicateCounter()
    found = inspect_input(path, overall=overall)
    assert (found.dialogues, found.messages, found.characters) == (3, 5, 504)
    assert (dict(found.turns), dict(found.roles)) == ({1: 2, 0: 1}, {"user": 3, "assistant": 2})
    assert (found.duplicates.copies, found.duplicates.groups, overall.copies) == (1, 1, 1)
    assert found.formats == {"prompt-response": 1}
    problem = found.problems["no assistant reply"]
    assert (problem.count, problem.places) == (1, [f"{path}:3"])
    assert found.share_that_fits(50) == pytest.approx(2 / 3)
    assert found.is_estimate
    assert json.loads(json.dumps(found.to_dict(50)))["tokens"]["share_that_fits"] == pytest.approx(2 / 3)


def test_speakers_without_roles_are_shown_instead_of_refused(tmp_path):
    path = write(tmp_path / "x.jsonl", {"content": [{"message": "q", "agent": "A"}, {"message": "a", "agent": "B"}]})
    found = inspect_input(path)
    assert dict(found.roles) == {"A": 1, "B": 1}
    assert "role not known: A" in found.problems
    with pytest.raises(ConfigError):
        inspect_input(path, roles={"boss": "A"})


def test_a_tokenizer_counts_what_its_template_renders(tmp_path):
    """Words as tokens; the template writes one word for each role: "user q r assistant a" has five."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    from turnwise.data.length import with_tokenizer

    words = {word: number for number, word in enumerate(["[UNK]", "user", "assistant", "q", "r", "a"])}
    unknown = {"unk_token": "[UNK]"}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, **unknown))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=model, **unknown)
    sample = dialogue(("user", "q r"), ("assistant", "a"))
    fast.save_pretrained(tmp_path / "plain")
    assert with_tokenizer(str(tmp_path / "plain")).measure(sample) == 3
    fast.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
    fast.save_pretrained(tmp_path / "chat")
    measure = with_tokenizer(str(tmp_path / "chat"))
    assert (measure.measure(sample), measure.is_estimate) == (5, False)
    fast.chat_template = "{{ raise_exception('no') }}"
    fast.save_pretrained(tmp_path / "strict")
    assert with_tokenizer(str(tmp_path / "strict")).measure(sample) == 3


def test_a_tokenizer_that_is_not_there_is_a_model_error(tmp_path):
    pytest.importorskip("transformers")
    from turnwise.data.length import with_tokenizer
    from turnwise.errors import ModelError

    with pytest.raises(ModelError, match="cannot load the tokenizer"):
        with_tokenizer(str(tmp_path / "nothing"))
