"""Writing: what is read back equals what was written, in every form; nothing is half-written or overwritten."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnwise.data.read import read_dialogues
from turnwise.data.write import SUFFIXES, write_dialogues
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import DataError

# All code points, lone surrogates included: scraped text has them.
texts = st.text(st.characters(), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
own_keys = st.text("abcxyz_", min_size=1, max_size=6).map("x_".__add__)
parts = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}, optional={"x": json_values}), max_size=2
)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool", "developer"]),
    content=st.none() | texts | parts,
    train=st.none() | st.booleans(),
    weight=st.none() | st.floats(0.1, 10),
    name=st.none() | st.text(max_size=5),
    tool_calls=st.none() | st.lists(st.dictionaries(own_keys, json_values, max_size=2), min_size=1, max_size=2),
    extra=st.dictionaries(own_keys, json_values, max_size=2),
)
dialogues = st.builds(
    Dialogue,
    messages=st.lists(messages, min_size=1, max_size=4),
    source=st.none() | st.text(max_size=5),
    tier=st.none() | st.sampled_from(["high", "low"]),
    tools=st.none() | st.text(max_size=5) | st.lists(st.dictionaries(own_keys, json_values, max_size=2), max_size=2),
    evidence=st.lists(st.dictionaries(own_keys, json_values, max_size=2), max_size=2),
    metadata=st.dictionaries(own_keys, json_values, max_size=3),
)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_dialogues=st.lists(dialogues, min_size=1, max_size=4, unique_by=lambda dialogue: dialogue.id))
def test_what_is_written_reads_back_equal(tmp_path, suffix, given_dialogues):
    path = tmp_path / f"x{suffix}"
    assert write_dialogues(given_dialogues, path, overwrite=True) == len(given_dialogues)
    assert [d.to_dict() for d in read_dialogues(path)] == [d.to_dict() for d in given_dialogues]


def test_converting_twice_changes_nothing(public_data, tmp_path):
    """One file of each shape, and the records with odd roles, calls, weights, typed parts and pairs."""
    names = "fastchat_dummy emollm smilechat hh_rlhf llamafactory/glaive_toolcall_en_demo.json oasst_trees tm4 mtrag"
    names += " llamafactory/v1_sft_demo.jsonl llamafactory/reason_tool_use_demo_50.jsonl llamafactory/dpo_en_demo.json"
    names += " llamafactory/kto_en_demo.json oasst_zh oasst_flat oasst1_qlora cpsycound mtbench101 halueval"
    once, twice, table = tmp_path / "1.jsonl", tmp_path / "2.jsonl.gz", tmp_path / "3.parquet"
    for name in names.split():
        write_dialogues(read_dialogues(public_data / name), once, overwrite=True)
        write_dialogues(read_dialogues(once), twice, overwrite=True)
        write_dialogues(read_dialogues(once), table, overwrite=True)
        first = once.read_bytes()
        assert gzip.decompress(twice.read_bytes()) == first, name
        write_dialogues(read_dialogues(table), once, overwrite=True)
        assert once.read_bytes() == first, name


def one():
    return Dialogue([Message("user", "q"), Message("assistant", "a")], id="x")


def test_the_line_is_the_canonical_record(tmp_path):
    write_dialogues([one()], tmp_path / "x.jsonl")
    expected = {"id": "x", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    assert json.loads((tmp_path / "x.jsonl").read_text()) == expected


def test_equal_dialogues_give_equal_bytes(tmp_path):
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_dialogues([one()], tmp_path / name)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_parquet_is_readable_text_for_other_tools(tmp_path):
    import pyarrow.parquet as pq

    typed = Dialogue([Message("user", [{"type": "text", "text": "see"}, {"type": "image", "url": "u"}])])
    write_dialogues([one(), typed], tmp_path / "x.parquet")
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [(m["role"], m["content"]) for m in rows[0]["messages"]] == [("user", "q"), ("assistant", "a")]
    assert rows[1]["messages"][0]["content"] == "see"


def test_an_existing_file_is_kept_without_overwrite(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("precious")
    with pytest.raises(DataError, match="exists already"):
        write_dialogues([one()], path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_while_writing_leaves_nothing(tmp_path, suffix):
    def failing():
        yield one()
        raise DataError("broken input")

    with pytest.raises(DataError, match="broken input"):
        write_dialogues(failing(), tmp_path / f"x{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"ends in \.jsonl"):
        write_dialogues([one()], tmp_path / name)


def test_numbers_that_json_lacks_become_null_and_other_values_are_refused(tmp_path):
    odd = one()
    odd.metadata = {"score": float("nan"), "list": [float("inf"), 1.0]}
    write_dialogues([odd], tmp_path / "x.jsonl")
    assert next(read_dialogues(tmp_path / "x.jsonl")).metadata == {"score": None, "list": [None, 1.0]}
    odd.metadata = {"set": {1}}
    with pytest.raises(DataError, match="JSON can hold"):
        write_dialogues([odd], tmp_path / "y.jsonl")


def test_a_lone_surrogate_survives_in_valid_utf8(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"question": "\\ud800 q", "answer": "你"}\n', encoding="utf-8")
    for suffix in SUFFIXES:
        write_dialogues(read_dialogues(path), tmp_path / f"out{suffix}")
        assert next(read_dialogues(tmp_path / f"out{suffix}")).messages[0].content == "\ud800 q"
    (tmp_path / "out.jsonl").read_text(encoding="utf-8")
