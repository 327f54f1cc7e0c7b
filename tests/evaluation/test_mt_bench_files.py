"""Question and reference files: what is checked, and that the message says where."""

from __future__ import annotations

import pytest
from two_turns import QUESTIONS, REFERENCES, write_benchmark, write_lines

from turnwise.errors import DataError
from turnwise.evaluation.mt_bench_files import find_files, read_questions, read_references


def test_questions_of_any_file_of_the_form_are_read(tmp_path):
    path = write_lines(tmp_path / "q.jsonl", [*QUESTIONS, {"question_id": "x", "category": "own", "turns": ["a", "b"]}])
    questions = read_questions(path)
    assert [(one.id, one.category, one.temperature) for one in questions] == [
        ("1", "writing", 0.7),
        ("2", "math", 0.0),
        ("3", "stem", 0.3),
        ("x", "own", 0.7),
    ]
    assert [one.needs_reference for one in questions] == [False, True, False, False]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({**QUESTIONS[0], "turns": ["a", "b", "c"]}, "question 1: expected two turns, found 3"),
        ({**QUESTIONS[0], "turns": ["a"]}, "question 1: expected two turns, found 1"),
        ({**QUESTIONS[0], "turns": ["a", ""]}, "expected 'turns' to be a list of texts"),
        ({**QUESTIONS[0], "turns": "ab"}, "expected 'turns' to be a list of texts"),
        ({"category": "math", "turns": ["a", "b"]}, "expected 'question_id'"),
        ({**QUESTIONS[0], "required_temperature": "hot"}, "expected a 'required_temperature' from 0 to 2, found 'hot'"),
        (QUESTIONS[1], "question_id 2 occurs twice"),
    ],
)
def test_a_bad_question_is_named_by_file_and_line(tmp_path, record, message):
    path = write_lines(tmp_path / "q.jsonl", [QUESTIONS[1], record])
    with pytest.raises(DataError, match=message) as error:
        read_questions(path)
    assert str(error.value).startswith(f"{path}:2: ")


def test_a_file_that_is_missing_empty_or_no_json_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_questions(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match=r"empty\.jsonl"):
        read_questions(tmp_path / "empty.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"question_id": 1, "category": "a", "turns": ["a", "b"]}\n{"question\n')
    with pytest.raises(DataError, match=r"bad\.jsonl:2: "):
        read_questions(tmp_path / "bad.jsonl")


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ([{"question_id": 1, "choices": [{"turns": ["a", "b"]}]}], "no reference answer for 1 questions .*: 2$"),
        ([*REFERENCES, *REFERENCES], "question_id 2 occurs twice"),
        ([{"question_id": 2, "choices": [{"turns": ["a"]}]}], "question 2: expected .* two texts"),
        ([{"question_id": 2, "choices": []}], "question 2: expected .* two texts"),
    ],
)
def test_references_that_do_not_cover_the_questions_are_refused(tmp_path, references, message):
    questions = read_questions(write_lines(tmp_path / "q.jsonl", QUESTIONS))
    with pytest.raises(DataError, match=message):
        read_references(write_lines(tmp_path / "r.jsonl", references), questions)


def test_both_layouts_are_found(tmp_path):
    assert list(find_files(write_benchmark(tmp_path)).references) == ["gpt-4"]
    write_lines(tmp_path / "flat" / "question.jsonl", QUESTIONS)
    write_lines(tmp_path / "flat" / "reference_judge-1.jsonl", REFERENCES)
    assert list(find_files(tmp_path / "flat").references) == ["judge-1"]
    with pytest.raises(DataError, match="expected a folder with"):
        find_files(tmp_path)
