"""The page of an evaluation: its tables are those of results.json, its data that of the two files."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from html_page import Page
from sums import Sums, answers_right, judges_by_length

from turnwise.errors import RunError
from turnwise.evaluation.evaluate import evaluate
from turnwise.llm.chat import ChatReply
from turnwise.llm.scripted import ScriptedModel
from turnwise.report import build_report
from turnwise.report.evaluation_data import read_evaluation_data
from turnwise.report.shell import embedded_json


@pytest.fixture
def single(tmp_path):
    """4 items; the judge says nothing that can be read of the answers 6 and 7 (item 3)."""

    def script(request):
        text = request.messages[-1]["content"]
        return "Hmm." if text.endswith(("Answer: 6", "Answer: 7")) else "Right. [[8]]"

    judge = ScriptedModel(script, name="the-judge")
    evaluate(Sums(4), model=answers_right("the-model"), judge=judge, output=tmp_path / "single")
    return tmp_path / "single"


@pytest.fixture
def pairwise(tmp_path):
    run = tmp_path / "pairwise"
    evaluate(Sums(2), model=answers_right("a"), baseline=answers_right("b"), judge=judges_by_length(), output=run)
    return run


def data_of(page: Page) -> dict:
    return json.loads(page.inside["script"][0])


def test_the_page_shows_the_table_the_reasons_and_who_judged(single):
    page = Page(build_report(single))
    scores = page.text("scores")
    assert "Sums, score: the-model" in scores
    assert "all 8.000 8.000 to 8.000 6 unparsable 2" in scores
    assert "even 8.000 8.000 to 8.000 4 none" in scores
    unscored = page.text("unscored")
    assert "Beyond the limit: 25.0 % of the judgments are unscored, the limit is 5.0 %." in unscored
    assert "unparsable 2" in unscored
    top = page.text("top")
    assert "the-model on sums, judged by the-judge: 4 dialogues, 8 judgments." in top
    assert "sums-single@1" in top
    assert "benchmark: sums" in page.text("data")
    assert page.source.count("<svg") == 1


def test_the_data_in_the_page_are_the_answers_and_the_whole_texts_of_the_judge(single):
    data = data_of(Page(build_report(single)))
    assert data["mode"] == "single"
    assert [item["id"] for item in data["items"]] == [f"sum-{number}" for number in range(4)]
    item = data["items"][3]
    assert (item["category"], item["model"]) == ("odd", "the-model")
    assert [turn["before"] for turn in item["turns"]] == [[["user", "What is 3+3?"]], [["user", "And one more?"]]]
    assert [turn["reply"] for turn in item["turns"]] == ["6", "7"]
    assert [(one["turn"], one["unscored"], one["text"]) for one in item["judgments"]] == [
        (0, "unparsable", "Hmm."),
        (1, "unparsable", "Hmm."),
    ]


def test_in_pairwise_mode_both_answers_are_there(pairwise):
    data = data_of(Page(build_report(pairwise)))
    assert data["mode"] == "pairwise"
    assert [(turn["reply"], turn["other"]) for turn in data["items"][1]["turns"]] == [("2", "2"), ("3", "3")]
    assert [one["winner"] for one in data["items"][0]["judgments"]] == ["model", "baseline"] * 2


def test_a_failed_reply_says_why(tmp_path):
    model = ScriptedModel(lambda request: ChatReply("half", failure="truncated", detail="at 1 token"), name="m")
    evaluate(Sums(1), model=model, judge=judges_by_length(), output=tmp_path / "run")
    turn = data_of(Page(build_report(tmp_path / "run")))["items"][0]["turns"][0]
    assert (turn["reply"], turn["failure"]) == ("half", "truncated: at 1 token")


def test_past_the_cap_the_first_dialogues_are_shown_and_that_is_said(single):
    """Each answer has about 30 characters and 24 of verdicts: 120 are enough for two."""
    found = read_evaluation_data(single, pairwise=False, cap=120)
    assert 0 < len(found.data["items"]) < 4
    assert found.total == 4
    assert found.left_out == 4 - len(found.data["items"])
    from turnwise.report.evaluation import _answers

    assert f"The first {len(found.data['items'])} of 4 dialogues" in _answers(found).text[0]


def test_without_answers_the_tables_are_still_shown(single):
    (single / "answers.jsonl").unlink()
    page = Page(build_report(single))
    assert "holds no answers.jsonl" in page.text("answers")
    assert "all 8.000" in page.text("scores")


def test_a_dry_run_is_called_one(tmp_path):
    evaluate(Sums(1), model=answers_right(), judge=judges_by_length(), output=tmp_path / "run", dry_run=True)
    top = Page(build_report(tmp_path / "run")).text("top")
    assert "run (dry run)" in top
    assert "the figures mean nothing" in top


def test_a_run_without_results_says_how_to_get_them(single):
    (single / "results.json").unlink()
    with pytest.raises(RunError, match=r"(?s)no results found.*--resume"):
        build_report(single)


def test_embedded_json_cannot_end_its_element_and_reads_back():
    """Every character of markup is escaped as JSON can; marks that turn text are shown by code point."""
    value = {"a</script><b>": ["<!--", "&lt;", "\u2028", {"x": "\u202e"}, None, 1.5, True]}
    text = str(embedded_json(value))
    assert not set(text) & set("<>&\u2028\u202e")
    read = json.loads(text)
    assert read == {"a</script><b>": ["<!--", "&lt;", "[U+2028]", {"x": "[U+202E]"}, None, 1.5, True]}


def test_many_tables_and_wide_counts_are_laid_out(single):
    """A table with counts has a column for each."""
    from turnwise.evaluation.benchmark import ScoreRow, ScoreTable
    from turnwise.evaluation.results import table_record
    from turnwise.report.evaluation import _table

    row = ScoreRow("all", 0.625, 4, 0.25, 1.0, {"refused": 1}, {"win": 2, "tie": 1, "loss": 1})
    record = table_record(ScoreTable("Wins", "category", [row], "win rate"), model="m", judge="j", baseline="b")
    table = _table(record)
    assert list(table.columns) == ["category", "win rate", "95 % interval", "n", "win", "tie", "loss", "unscored"]
    assert table.rows == [["all", "62.5 %", "25.0 % to 100.0 %", "4", "2", "1", "1", "refused 1"]]
    assert table.caption == "Wins: m against b"
    empty = table_record(
        ScoreTable("Wins", "category", [replace(row, mean=None, low=None, high=None)]), model="m", judge="j"
    )
    assert _table(empty).rows[0][1:3] == ["–", "–"]
