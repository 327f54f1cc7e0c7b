"""A benchmark's run: what is asked, what is written, what is counted, and how it goes on."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
from chat_server import chat_server
from demo import read_lines
from sums import Sums, answers_right, judges_by_length

from turnwise.errors import ConfigError, DataError, RunError
from turnwise.evaluation.benchmark import Benchmark
from turnwise.evaluation.evaluate import evaluate, recompute
from turnwise.evaluation.stored_judgments import judgment_files
from turnwise.llm.chat import ChatReply
from turnwise.llm.scripted import ScriptedModel
from turnwise.llm.settings import ClientConfig
from turnwise.report import build_report
from turnwise.run import read_manifest


def rows_of(evaluation, table=0):
    return {row["name"]: row for row in evaluation.tables[table]["rows"]}


def test_every_item_is_answered_and_judged_and_the_folder_holds_it_all(tmp_path):
    """Items 0 to 5: the answers to `n+n` are 0 2 4 6 8 10 and, one more, 1 3 5 7 9 11.

    All have one digit (score 9) but 10 and 11 (score 8), which are item 5, an odd one: odd (4*9 + 2*8) / 6 = 8.667,
    all (10*9 + 2*8) / 12 = 8.833.
    """
    done = evaluate(Sums(6), model=answers_right(), judge=judges_by_length(), output=tmp_path / "run")
    answers = read_lines(tmp_path / "run" / "answers.jsonl")
    assert [one["id"] for one in answers] == [f"sum-{number}" for number in range(6)]
    assert [message["content"] for message in answers[5]["messages"]] == ["What is 5+5?", "10", "And one more?", "11"]
    assert answers[5]["source"] == "sums"
    assert answers[5]["metadata"] == {"category": "odd", "model": "right"}
    judgments = read_lines(tmp_path / "run" / "judgments.jsonl")
    assert [(one["item"], one["turn"]) for one in judgments] == [
        (f"sum-{n}", turn) for n in range(6) for turn in (0, 1)
    ]
    assert judgments[-1]["text"] == "Short is good. [[8]]"
    rows = rows_of(done)
    assert [rows[name]["n"] for name in ("all", "even", "odd")] == [12, 6, 6]
    assert rows["all"]["mean"] == pytest.approx(106 / 12)
    assert rows["odd"]["mean"] == pytest.approx(52 / 6)
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == done.results
    assert done.exit_code == 0
    manifest = read_manifest(tmp_path / "run" / "manifest.json")
    assert manifest["command"] == "evaluate sums"
    assert manifest["status"] == "done"
    assert manifest["outputs"] == [
        {"path": "answers.jsonl", "records_in": 6, "records_out": 6, "dropped": {}},
        {"path": "judgments.jsonl", "records_in": 12, "records_out": 12, "dropped": {}},
    ]


def test_the_keys_of_the_results_are_those_of_the_page_on_evaluation(tmp_path):
    from pathlib import Path

    done = evaluate(Sums(2), model=answers_right(), judge=judges_by_length(), output=tmp_path / "run")
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    missing = [key for key in done.results if f"`{key}`" not in page]
    missing += [key for key in done.tables[0] if f"`{key}`" not in page]
    missing += [key for key in done.tables[0]["rows"][0] if f"`{key}`" not in page]
    assert missing == []


def test_both_orders_are_asked_of_a_comparison_and_a_judge_of_position_gives_half(tmp_path):
    """The judge prefers what it sees first: every item and turn has one win and one loss."""
    run = tmp_path / "run"
    done = evaluate(
        Sums(3), model=answers_right("a"), baseline=answers_right("b"), judge=judges_by_length(), output=run
    )
    judgments = read_lines(run / "judgments.jsonl")
    assert [(one["position"], one["winner"]) for one in judgments[:2]] == [("first", "model"), ("second", "baseline")]
    assert len(judgments) == 3 * 2 * 2
    assert rows_of(done)["all"]["mean"] == 0.5
    assert (done.results["mode"], done.results["model"], done.results["baseline"]) == ("pairwise", "a", "b")
    assert [one["metadata"]["model"] for one in read_lines(run / "baseline_answers.jsonl")] == ["b"] * 3


UNSCORED = {
    "refused": ChatReply("", failure="refused", detail="the server's filter"),
    "empty": ChatReply("", failure="empty"),
    "truncated": ChatReply("It is [[9]] or so, bec", failure="truncated"),
    "unparsable": "I would rather not say.",
    "out_of_scale": "Wonderful! [[11]]",
    "failed": ChatReply("", failure="server", detail="502"),
    "limit": ChatReply("", failure="limit"),
}


@pytest.mark.parametrize(("reason", "reply"), UNSCORED.items(), ids=UNSCORED)
def test_what_is_no_verdict_is_unscored_with_its_reason_and_fails_past_the_limit(tmp_path, reason, reply):
    """Both turns of item 3 of 6 are unscored: 2 of 12, a share of 1/6; the means are of the 10 others.

    The first turn's question is not in the second turn's prompt, so the judge is told by the answers 6 and 7.
    """

    def script(request):
        text = request.messages[-1]["content"]
        return reply if text.endswith(("Answer: 6", "Answer: 7")) else "[[9]]"

    for number, (limit, code) in enumerate([(0.05, 1), (1 / 6, 0)]):
        judge = ScriptedModel(script, name="judge")
        done = evaluate(Sums(6), model=answers_right(), judge=judge, output=tmp_path / str(number), max_unscored=limit)
        row = rows_of(done)["all"]
        assert (row["mean"], row["n"], row["unscored"]) == (9.0, 10, {reason: 2})
        unscored = done.results["unscored"]
        assert (unscored["count"], unscored["by_reason"]) == (2, {reason: 2})
        assert unscored["share"] == pytest.approx(1 / 6)
        assert done.exit_code == (1 if reason == "limit" else code)
        manifest = read_manifest(tmp_path / str(number) / "manifest.json")
        assert manifest["outputs"][1]["dropped"] == {reason: 2}
        if code:
            assert f"2 of 12 judgments are unscored ({reason} 2), above the limit of 5.0%" in done.warnings()[0]
        if reason == "limit":
            assert "--resume" in done.warnings()[-1]


def test_an_answer_that_failed_is_unscored_and_counted_by_kind(tmp_path):
    def script(request):
        return ChatReply("half an ans", failure="truncated") if "1+1" in request.messages[0]["content"] else "5"

    model = ScriptedModel(script, name="cut")
    done = evaluate(Sums(4), model=model, judge=judges_by_length(), output=tmp_path / "run")
    assert done.results["answers"]["model"] == {"dialogues": 4, "replies": 8, "failed": {"truncated": 2}}
    assert done.results["unscored"]["by_reason"] == {"no_answer": 2}
    assert done.exit_code == 1


def test_not_applicable_is_shown_and_is_no_sign_of_a_run_gone_wrong(tmp_path):
    from turnwise.evaluation.results import summarize
    from turnwise.judging.records import Judgment

    kept = {"category": "odd"}
    judgments = [Judgment("a", 0, "m", "j", score=1.0, metadata=kept)]
    judgments += [Judgment(f"b{n}", 0, "m", "j", unscored="not_applicable", metadata=kept) for n in range(9)]
    found = summarize(Sums(), judgments)
    assert found["unscored"]["within_limit"]
    assert found["unscored"]["by_reason"] == {"not_applicable": 9}


def test_no_judgment_at_all_is_past_every_limit():
    from turnwise.evaluation.results import Evaluation, summarize

    empty = Evaluation({**summarize(Sums(), [], max_unscored=0.5), "limit_reached": False})
    assert empty.exit_code == 1
    assert "not a single judgment" in empty.warnings()[0]


def test_stored_judgments_give_the_same_tables_without_a_model(tmp_path):
    first = evaluate(Sums(6), model=answers_right("a"), judge=judges_by_length(), output=tmp_path / "a")
    evaluate(Sums(6), model=answers_right("b"), judge=judges_by_length(), output=tmp_path / "b")
    for where in (tmp_path / "a", tmp_path / "a" / "judgments.jsonl"):
        again = recompute(Sums(), where)
        assert again.tables == first.tables
        assert again.results["unscored"] == first.results["unscored"]
    both = recompute(Sums(), tmp_path)
    assert [table["model"] for table in both.tables] == ["a", "b"], "one table per model"


def test_files_of_a_folder_that_hold_something_else_are_passed_over(tmp_path):
    evaluate(Sums(2), model=answers_right(), judge=judges_by_length(), output=tmp_path / "run")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mine.jsonl").write_bytes((tmp_path / "run" / "judgments.jsonl").read_bytes())
    (folder / "answers.jsonl").write_bytes((tmp_path / "run" / "answers.jsonl").read_bytes())
    (folder / "torn.jsonl").write_text("{")
    files, passed_over = judgment_files(folder)
    assert [file.name for file in files] == ["mine.jsonl"]
    assert [file.name for file in passed_over] == ["answers.jsonl", "torn.jsonl"]
    (folder / "mine.jsonl").unlink()
    with pytest.raises(DataError, match="files of judgments in the folder, found none"):
        judgment_files(folder)


def test_a_benchmark_can_refuse_a_judge_before_anything_is_asked(tmp_path):
    class Particular(Sums):
        def check(self, judge, kind="single"):
            raise ConfigError(f"no references for {judge} in {kind}")

    model = answers_right()
    with pytest.raises(ConfigError, match="no references for judge-by-length in single"):
        evaluate(Particular(2), model=model, judge=judges_by_length(), output=tmp_path / "run")
    assert model.requests == []
    assert not (tmp_path / "run").exists()


def test_programs_scores_go_into_the_table_of_the_judge_and_two_judges_have_one_each():
    from turnwise.evaluation.results import summarize
    from turnwise.judging.records import Judgment

    def one(judge, score):
        return Judgment("i", 0, "m", judge, score=score, metadata={"category": "odd"})

    mixed = summarize(Sums(), [one("program", 10.0), one("j", 2.0)])
    assert [(table["judge"], table["rows"][0]["mean"]) for table in mixed["tables"]] == [("j", 6.0)]
    two = summarize(Sums(), [one("program", 10.0), one("j", 2.0), one("k", 4.0)])
    assert [(table["judge"], table["rows"][0]["mean"]) for table in two["tables"]] == [("j", 6.0), ("k", 7.0)]
    alone = summarize(Sums(), [one("program", 10.0)])
    assert [table["judge"] for table in alone["tables"]] == ["program"]


def test_only_the_first_items_are_asked_and_that_is_said(tmp_path):
    done = evaluate(Sums(6), model=answers_right(), judge=judges_by_length(), output=tmp_path / "run", limit=2)
    assert (done.results["items"], done.results["items_of_benchmark"]) == (2, 6)
    assert done.results["notes"][0].startswith("only the first 2 of 6 items")


def test_progress_is_told_by_stage(tmp_path):
    seen = []
    evaluate(
        Sums(2),
        model=answers_right(),
        judge=judges_by_length(),
        output=tmp_path / "run",
        on_progress=lambda *told: seen.append(told),
    )
    assert seen == [("answers", 1, 2), ("answers", 2, 2), ("judgments", 1, 2), ("judgments", 2, 2)]


def test_what_is_missing_is_said_before_anything_is_written(tmp_path):
    run = tmp_path / "run"
    model, judge = answers_right(), judges_by_length()
    with pytest.raises(ConfigError, match="needs a judge"):
        evaluate(Sums(), model=model, output=run)
    with pytest.raises(ConfigError, match="nobody answers"):
        evaluate(Sums(), judge=judge, output=run)
    with pytest.raises(ConfigError, match="baseline, found none"):
        evaluate(Sums(), model=model, judge=judge, mode="pairwise", output=run)
    with pytest.raises(ConfigError, match="found one with mode single"):
        evaluate(Sums(), model=model, judge=judge, baseline=model, mode="single", output=run)
    with pytest.raises(ConfigError, match="is a name in them"):
        evaluate(Sums(), model=model, judge=judge, answers="a.jsonl", output=run)
    with pytest.raises(DataError, match="no such file of answers"):
        evaluate(Sums(), judge=judge, answers=tmp_path / "a.jsonl", output=run)
    assert not run.exists()


def test_a_benchmark_without_comparisons_or_with_an_id_twice_is_refused_before_anything_is_asked(tmp_path):
    class Single(Benchmark):
        name = "single"

        def items(self):
            return Sums(2).items()

    class Twice(Sums):
        def items(self):
            return [*super().items(), *super().items()[:1]]

    model = answers_right()
    with pytest.raises(ConfigError, match="single has no pairwise mode"):
        evaluate(Single(), model=model, baseline=model, judge=judges_by_length(), output=tmp_path / "run")
    with pytest.raises(DataError, match="every id once, found sum-0 again"):
        evaluate(Twice(2), model=model, judge=judges_by_length(), output=tmp_path / "run")
    assert model.requests == []
    assert not (tmp_path / "run").exists()


def test_what_was_left_out_is_counted_in_results_and_manifest(tmp_path):
    """Of 9 dialogues 3 cannot be asked and 2 are asked: 4 are beyond the limit."""

    class Some(Sums):
        left_out: ClassVar = {"no user message": 3}

    done = evaluate(Some(6), model=answers_right(), judge=judges_by_length(), output=tmp_path / "run", limit=2)
    assert done.results["left_out"] == {"no user message": 3}
    assert "left out: 3 no user message" in done.results["notes"]
    written = read_manifest(tmp_path / "run" / "manifest.json")["outputs"][0]
    assert (written["records_in"], written["records_out"]) == (9, 2)
    assert written["dropped"] == {"no user message": 3, "beyond the limit": 4}


def test_a_folder_that_holds_a_run_is_refused_resumed_or_replaced_and_the_cache_stays(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "requests.sqlite").write_text("paid for")
    evaluate(Sums(2), model=answers_right(), judge=judges_by_length(), output=run)
    with pytest.raises(RunError, match="already holds a run"):
        evaluate(Sums(2), model=answers_right(), judge=judges_by_length(), output=run)
    with pytest.raises(RunError, match="model: 'right' then, 'other' now"):
        evaluate(Sums(2), model=answers_right("other"), judge=judges_by_length(), output=run, resume=True)
    evaluate(Sums(3), model=answers_right("other"), judge=judges_by_length(), output=run, overwrite=True)
    assert (run / "requests.sqlite").read_text() == "paid for"
    assert len(read_lines(run / "answers.jsonl")) == 3


def test_a_resumed_run_does_not_take_answers_of_a_model_that_has_become_another(tmp_path):
    """The settings name the model as before, but its weights (and so its full name) have changed."""
    settings = {"model": "local:folder"}
    common = {"judge": judges_by_length(), "output": tmp_path / "run", "config": settings}
    evaluate(Sums(2), model=answers_right("local:folder#1"), **common)
    same = answers_right("local:folder#1")
    evaluate(Sums(2), model=same, **common, resume=True)
    assert same.requests == []
    changed = answers_right("local:folder#2")
    evaluate(Sums(2), model=changed, **common, resume=True)
    assert len(changed.requests) == 4
    assert {one["metadata"]["model"] for one in read_lines(tmp_path / "run" / "answers.jsonl")} == {"local:folder#2"}


def test_a_resumed_run_asks_again_only_for_answers_that_failed(tmp_path):
    """The server fails for item 1 in the first run; in the second it answers, and nothing else is asked."""
    run = tmp_path / "run"
    broken = ScriptedModel(
        lambda request: (
            ChatReply("", failure="server", detail="502") if "1+1" in request.messages[0]["content"] else "4"
        ),
        name="m",
    )
    assert evaluate(Sums(3), model=broken, judge=judges_by_length(), output=run).exit_code == 1
    mended = ScriptedModel(lambda request: "4", name="m")
    done = evaluate(Sums(3), model=mended, judge=judges_by_length(), output=run, resume=True)
    assert len(mended.requests) == 2, "two turns of one item"
    assert done.exit_code == 0
    assert [one["id"] for one in read_lines(run / "answers.jsonl")] == ["sum-0", "sum-1", "sum-2"]


def test_sampling_of_ones_own_is_in_the_notes_and_a_resumed_run_may_not_change_it(tmp_path):
    script, run = tmp_path / "s.jsonl", tmp_path / "run"
    script.write_text(json.dumps({"reply": "<think>[[1]]</think>4"}))
    judge, common = judges_by_length(), {"model": f"scripted:{script}", "output": run}

    def config(**client):
        return {"client": ClientConfig(**client), "config": {"client": ClientConfig(**client).model_dump()}}

    done = evaluate(Sums(1), judge=judge, **common, **config(sampling={"temperature": None}))
    assert done.results["notes"] == ['all models asked with sampling of your own: {"temperature": null}']
    reply = read_lines(run / "answers.jsonl")[0]["messages"][1]
    assert (reply["content"], reply["thinking"]) == ("4", "[[1]]")
    for client in ({"sampling": {"temperature": 1}}, {"sampling": {"temperature": None}, "keep_thinking": True}):
        with pytest.raises(RunError, match="cannot resume with another configuration"):
            evaluate(Sums(1), judge=judge, **common, **config(**client), resume=True)
    again = config(sampling={"temperature": None}, max_tries=3, headers={"X-Team": "a"})
    evaluate(Sums(1), judge=judge, **common, **again, resume=True)


def test_why_answers_failed_is_said_and_not_only_that_they_did(tmp_path):
    model = ScriptedModel(lambda request: ChatReply("", failure="request", detail="the prompt is too long"))
    done = evaluate(Sums(2), model=model, judge=judges_by_length(), output=tmp_path / "run")
    said = "answers: 4 of 4 replies are no whole answer (request 4); the first, sum-0 turn 0: the prompt is too long"
    assert done.results["notes"] == [said]


def test_a_password_in_an_address_is_in_no_file_of_the_run(tmp_path):
    with chat_server(lambda body: "4") as server:
        spec = f"m@{server.url.replace('http://', 'http://user:password99@')}?api-key=secretinquery"
        for more in ({}, {"resume": True}, {"overwrite": True, "config": {"model": spec}}):
            done = evaluate(Sums(1), model=spec, judge=judges_by_length(), output=tmp_path / "run", **more)
    build_report(done.run)
    assert server.headers["authorization"].startswith("Basic ")
    for file in done.run.iterdir():
        assert b"password99" not in file.read_bytes(), file
        assert b"secretinquery" not in file.read_bytes(), file
