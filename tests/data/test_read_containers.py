"""Files as they come: gzip, Parquet, encodings, broken lines, arrays with the wrong suffix."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from turnwise.data.read import ReadReport, read_dialogues, read_documents
from turnwise.errors import ConfigError, DataError, MissingExtraError


def record(text="hi", **extra):
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}], **extra}


def lines(*values):
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def first_texts(path, **options):
    return [dialogue.messages[0].content for dialogue in read_dialogues(path, **options)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plain.jsonl", lines(record("你"), record("b")).encode()),
        ("jsonl_named.json", lines(record("你"), record("b")).encode()),
        ("array_named.jsonl", json.dumps([record("你"), record("b")]).encode()),
        ("pretty.txt", json.dumps([record("你"), record("b")], indent=2).encode()),
        ("wrapped.json", json.dumps({"version": 1, "data": [record("你"), record("b")]}).encode()),
        ("mapping.json", json.dumps({"one": record("你"), "two": record("b")}).encode()),
        ("bom.jsonl", b"\xef\xbb\xbf" + lines(record("你"), record("b")).encode()),
        ("crlf.jsonl", lines(record("你"), record("b")).replace("\n", "\r\n").encode()),
        ("blank_lines.jsonl", ("\n\n" + lines(record("你")) + "\n  \n" + lines(record("b")) + "\n").encode()),
        ("no_newline_at_end.jsonl", lines(record("你"), record("b")).strip().encode()),
        ("zipped", gzip.compress(lines(record("你"), record("b")).encode(), mtime=0)),
        ("bare_lists.jsonl", lines(record("你")["messages"], record("b")["messages"]).encode()),
    ],
)
def test_the_content_of_a_file_says_what_it_is(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert first_texts(tmp_path / name) == ["你", "b"]


def test_a_mapping_names_its_records(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"one": record("a"), "two": record("b", id="own")}))
    assert [dialogue.id for dialogue in read_dialogues(tmp_path / "x.json")] == ["one", "own"]


def test_foreign_parquet_reads_without_its_null_keys(tmp_path):
    """A Parquet column holds null where a JSON record would lack the key."""
    rows = [record("a", score=1.5), record("b", score=None)]
    rows[0]["messages"][0]["name"] = "Ann"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "any.name")
    first, second = read_dialogues(tmp_path / "any.name")
    assert (first.metadata, second.metadata) == ({"score": 1.5}, {})
    assert (first.messages[0].name, first.messages[1].name) == ("Ann", None)


def test_folders_read_recursively_and_sorted_and_say_what_they_passed_over(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.jsonl").write_text(lines(record("second")))
    (tmp_path / "a.json").write_text(json.dumps([record("first")]))
    (tmp_path / "README.md").write_text("# hello")
    (tmp_path / "a.json.manifest.json").write_text("{}")
    report = ReadReport()
    assert first_texts(tmp_path, report=report) == ["first", "second"]
    assert [path.rsplit("/", 1)[1] for path in report.passed_over] == ["README.md", "a.json.manifest.json"]


def test_a_broken_line_stops_with_its_place_or_is_skipped_and_recorded(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines(record("a")) + '{"messages": [\n' + lines(record("c")))
    with pytest.raises(DataError, match=r"x\.jsonl:2: found broken JSON .*expected one JSON object per line"):
        list(read_dialogues(path))
    report = ReadReport()
    assert first_texts(path, on_error="skip", report=report) == ["a", "c"]
    assert (report.read, report.skipped) == (2, 1)
    assert [(failure.path, failure.line) for failure in report.failures] == [(str(path), 2)]


@pytest.mark.parametrize("broken", ['{"messages": [', "garbage", "[1, 2"])
def test_a_broken_first_line_is_told_from_a_document_over_many_lines(tmp_path, broken):
    path = tmp_path / "x.jsonl"
    path.write_text(broken + "\n" + lines(record("b"), record("c")))
    with pytest.raises(DataError, match=r"x\.jsonl:1: "):
        list(read_dialogues(path))
    assert first_texts(path, on_error="skip") == ["b", "c"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\n  \n", "the file is empty"),
        (b"[]", "no records"),
        (b"{}", "an empty object"),
        (b"\x00\x01\x02", "binary data"),
        ("\ufeff".encode("utf-16-le") + lines(record()).encode("utf-16-le"), "UTF-16"),
        (lines(record("\u4f60")).encode("gb18030"), "not UTF-8"),
        (b'{"messages": [{"role": "user", "content": ', "broken JSON"),
        (b"[" * 100_000, "cannot be read"),
        (b"PK\x03\x04rest", "packed archive"),
        (b"PAR1 no parquet", "Parquet file that cannot be read"),
        (b'"just a text"', "plain text without speaker labels"),
        (b"3\n4\n", "plain text without speaker labels"),
        (gzip.compress(lines(record()).encode(), mtime=0)[:20], "truncated gzip"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
    ],
)
def test_unreadable_files_name_the_file_and_what_was_found(tmp_path, data, message):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        list(read_dialogues(path))
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match="no dialogues in"):
        list(read_dialogues(path, on_error="skip"))


def test_records_before_a_truncation_are_kept_when_skipping(tmp_path):
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(lines(*[record(str(n) * 999) for n in range(999)]).encode(), mtime=0)[:-900])
    with pytest.raises(DataError, match="truncated gzip"):
        list(read_dialogues(path))
    report = ReadReport()
    read = first_texts(path, on_error="skip", report=report)
    assert read
    assert read == [str(n) * 999 for n in range(len(read))]
    assert "truncated gzip" in report.failures[0].reason


def test_a_line_that_is_not_utf8_is_one_failure_among_good_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines(record("a")).encode() + lines(record("你")).encode("gb18030") + lines(record("c")).encode())
    report = ReadReport()
    assert first_texts(path, on_error="skip", report=report) == ["a", "c"]
    assert report.failures[0].line == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"messages": []}, "non-empty list"),
        ({"messages": [{"role": "user", "content": 7}]}, r"'content' of messages\[0\].*found int"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "typed parts or null, found list"),
        ({"messages": [{"role": "user", "content": "a"}, "b"]}, r"messages\[1\] to be an object, found str"),
        ({"messages": [{"role": None, "content": "a"}]}, "text 'role'"),
        ({"conversations": [{"from": "human", "value": 1.5}]}, r"'value' of conversations\[0\]"),
        ({"conversations": []}, "non-empty list"),
        ({"conversations": [{"from": 3, "value": "x"}]}, "text 'from'"),
        ({"instruction": "a", "output": "b", "history": ["x"]}, r"history\[0\] to be a pair"),
        ({"instruction": 5, "output": "b"}, "'instruction' to be text"),
        ({"chosen": [], "rejected": "x"}, "'chosen' to be text, a message"),
        ({"foo": 1, "bar": 2}, "found an object with keys 'foo', 'bar'; expected one of the known formats: preference"),
        ({"question_id": 1, "choices": [{"turns": ["x"]}]}, "answers without their questions"),
        ({"question_id": 1, "turns": ["x", "y"]}, "questions without their answers"),
        ({"text": "a document"}, "found documents"),
        (["a", "b"], "expected an object, found list"),
        ({"messages": [{"role": "user", "content": "a", "weight": "high"}]}, "'weight'"),
        ({"messages": [{"role": "user", "content": "a", "weight": float("nan")}]}, "finite number"),
    ],
)
def test_a_bad_record_names_its_line_and_what_was_expected(tmp_path, value, message):
    path = tmp_path / "x.jsonl"
    path.write_text(lines(record("good"), value))
    with pytest.raises(DataError, match=message) as caught:
        list(read_dialogues(path))
    assert f"{path}:2: " in str(caught.value)
    assert first_texts(path, on_error="skip") == ["good"]


def test_null_content_is_content(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines({"messages": [{"role": "user", "content": None}]}))
    assert first_texts(path) == [None]


def test_a_misspelt_path_suggests_the_right_one(tmp_path):
    (tmp_path / "chats.jsonl").write_text(lines(record()))
    with pytest.raises(DataError, match=r"did you mean .*chats\.jsonl"):
        list(read_dialogues(tmp_path / "chat.jsonl"))


def test_an_empty_folder_and_no_paths_are_errors(tmp_path):
    with pytest.raises(DataError, match="found none"):
        list(read_dialogues(tmp_path))
    with pytest.raises(DataError, match="at least one path"):
        list(read_dialogues([]))


def test_limit_counts_over_all_files_and_leaves_the_rest_unread(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(lines(record(name + "1"), record(name + "2")))
    (tmp_path / "c.jsonl").write_text("{broken")
    assert first_texts(tmp_path, limit=3) == ["a1", "a2", "b1"]


def test_reading_streams(tmp_path):
    """The first dialogue comes out although the second line is broken: nothing is loaded ahead."""
    path = tmp_path / "x.jsonl"
    path.write_text(lines(record("a")) + "{broken\n")
    assert next(read_dialogues(path)).messages[0].content == "a"


def test_options_are_checked(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines(record("a")))
    for options in ({"format": "nope"}, {"limit": 0}, {"on_error": "x"}, {"side": "x"}, {"roles": {"boss": "a"}}):
        with pytest.raises(ConfigError, match=r"expected|found"):
            list(read_dialogues(path, **options))


def test_a_forced_format_says_what_the_record_lacks(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines(record("a")))
    with pytest.raises(DataError, match="expected for the format alpaca: an object with 'instruction'"):
        list(read_dialogues(path, format="alpaca"))


def test_a_file_may_mix_formats(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines(record("a"), {"question": "b", "answer": "c"}, record("d")))
    assert first_texts(path) == ["a", "b", "d"]


def test_hub_names_load_through_datasets(monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = []

    def load_dataset(name, config, *, split, streaming):
        asked.append((name, config, split, streaming))
        return iter([record("a", note=None), record("b")])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert first_texts("hf://owner/name", split="train_sft") == ["a", "b"]
    assert first_texts("hf://owner/name:main", limit=1) == ["a"]
    assert asked == [("owner/name", None, "train_sft", False), ("owner/name", "main", "train", True)]


def test_a_local_data_set_folder_loads_by_hub_name(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "train.jsonl").write_text(lines(record("a"), record("b")))
    assert first_texts(f"hf://{tmp_path}", limit=2) == ["a", "b"]


def test_a_hub_failure_is_one_clear_error(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def load_dataset(*args, **kwargs):
        raise FileNotFoundError("Dataset 'owner/nope' doesn't exist")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"hf://owner/nope: cannot load the split 'train' .*doesn't exist"):
        list(read_dialogues("hf://owner/nope"))


def test_without_datasets_the_pip_line_is_shown(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'turnwise\[hub\]'"):
        list(read_dialogues("hf://owner/name"))


def test_text_is_one_document_per_line(tmp_path):
    (tmp_path / "x.txt").write_bytes("\ufeffone\r\n\r\ntwo\n".encode())
    assert [document.text for document in read_documents(tmp_path / "x.txt")] == ["one", "two"]
