"""Each `turnwise evaluate` command makes its benchmark: dry runs, a local model, held-out loss."""

from __future__ import annotations

import json

import pytest
from demo import read_lines, run_main


@pytest.fixture
def turnwise(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code, out, err = run_main(monkeypatch, capsys, *arguments, "--json")
        return code, json.loads(out.splitlines()[-1]) if out else {}, err

    return run


def test_pif_is_generated_by_seed_and_number(turnwise, tmp_path):
    code, done, err = turnwise("evaluate", "pif", "--dry-run", "--number", "3", "--seed", "5", "--output", "run")
    assert code == 0, err
    assert (done["items"], done["judges"], done["prompts"]) == (3, ["program"], ["pif@1"])
    other = turnwise("evaluate", "pif", "--dry-run", "--number", "3", "--seed", "6", "--output", "other")[1]
    assert other["items"] == 3
    first, second = (read_lines(tmp_path / name / "answers.jsonl") for name in ("run", "other"))
    assert [one["messages"] for one in first] != [one["messages"] for one in second]
    again = turnwise("evaluate", "pif", "--number", "3", "--seed", "5", "--answers", "run", "--output", "again")[1]
    assert again["tables"] == done["tables"]
    assert (tmp_path / "again" / "judgments.jsonl").read_bytes() == (tmp_path / "run" / "judgments.jsonl").read_bytes()


def test_wilt_is_played_again_from_stored_answers_to_the_same_judgments(turnwise, tmp_path):
    (tmp_path / "guess.jsonl").write_text('{"reply": ["Test: 2, 4, 6", "Final rule: x < y < z"]}\n')
    code, done, err = turnwise("evaluate", "wilt", "--model", "scripted:guess.jsonl", "--output", "run", "--limit", "3")
    assert code in (0, 1), err
    assert done["items"] == 3
    again = turnwise("evaluate", "wilt", "--answers", "run", "--output", "again", "--limit", "3")[1]
    assert again["tables"] == done["tables"]
    assert again["answers"]["model"]["stored"]["turns"] == {}


def test_closed_book_questions_are_scored_by_program(turnwise, tmp_path):
    """One question right, one wrong, one unanswerable: F1 1 and 0, and two items."""
    answers = [{"text": "Rollo", "answer_start": 0}]
    qas = [
        {"question": "Who came first?", "answers": answers},
        {"question": "Who came last?", "answers": answers},
        {"question": "Why?", "answers": [], "is_impossible": True},
    ]
    record = {"title": "Normans", "paragraphs": [{"context": "Rollo came.", "qas": qas}]}
    (tmp_path / "squad.json").write_text(json.dumps({"version": "2", "data": [record]}))
    (tmp_path / "rules.jsonl").write_text('{"if": "first", "reply": "Rollo."}\n{"reply": "Nobody."}\n')
    command = [
        "evaluate",
        "closed-book",
        "--data",
        "squad.json",
        "--model",
        "scripted:rules.jsonl",
        "--max-tokens",
        "9",
    ]
    code, done, err = turnwise(*command, "--instruction", "Be brief.", "--output", "run")
    assert code == 0, err
    assert (done["items"], done["left_out"], done["prompts"]) == (2, {"unanswerable": 1}, ["closed-book@1"])
    rows = {row["name"]: (row["mean"], row["n"]) for row in done["tables"][0]["rows"]}
    assert rows == {"f1": (0.5, 2), "exact": (0.5, 2), "contains": (0.5, 2)}
    asked = [one["messages"][0]["content"] for one in read_lines(tmp_path / "run" / "answers.jsonl")]
    assert asked == ["Who came first?\nBe brief.", "Who came last?\nBe brief."]


def test_in_domain_takes_dialogues_of_your_own(turnwise, demo):
    command = ["evaluate", "in-domain", "--data", demo.held_out, "--sample", "4", "--dry-run"]
    code, done, err = turnwise(*command, "--output", "run")
    assert code == 0, err
    assert done["items"] == 4
    assert {"faithfulness", "overall"} <= {row["name"] for row in done["tables"][0]["rows"]}
    code, done, err = turnwise(*command, "--baseline", "another", "--output", "pairs")
    assert (code, done["mode"]) == (0, "pairwise"), err


@pytest.mark.data
def test_mt_eval_asks_1170_turns_and_recollection_needs_no_judge(turnwise, public_data):
    data = ["evaluate", "mt-eval", "--data", public_data / "mteval", "--dry-run"]
    code, done, err = turnwise(*data, "--groups", "recollection", "--output", "some")
    assert code == 0, err
    assert done["judges"] == ["program"]
    code, done, err = turnwise(*data, "--output", "all")
    assert code == 0, err
    assert done["items"] == 168
    assert done["judgments"] == 1170


@pytest.mark.data
def test_published_judgments_and_answers_of_fastchat_are_read(turnwise, public_data):
    """The tables of llama2_chat_7b and claude-3.5-sonnet as they were published."""
    data = ["evaluate", "mt-bench", "--data", public_data / "mtbench"]
    code, done, err = turnwise(*data, "--judgments", public_data / "mtbench_judgments")
    assert code == 0, err
    assert "passed over, as it holds no judgments" in err
    means = {
        table["model"]: [round(row["mean"], 3) for row in table["rows"]]
        for table in done["tables"]
        if table["title"] == "MT-Bench"
    }
    assert means["llama2_chat_7b"] == pytest.approx([6.191, 6.706, 5.675], abs=6e-4)
    assert means["claude-3-5-sonnet-20240620"] == pytest.approx([9.206, 9.238, 9.175], abs=6e-4)
    answers = public_data / "mtbench_judgments" / "answer_claude-3-5-sonnet-20240620.jsonl"
    code, done, err = turnwise(*data, "--answers", answers, "--dry-run", "--limit", "3", "--output", "run")
    assert code == 0, err
    assert (done["model"], done["judgments"]) == ("claude-3-5-sonnet-20240620", 6)


@pytest.mark.slow
def test_a_local_model_answers_and_its_replies_are_kept(turnwise, demo, tmp_path):
    """The second run asks nothing: all its replies are in the first one's file."""
    command = ["evaluate", "pif", "--number", "2", "--set", "options.turns=2", "--model", demo.base]
    command += ["--set", "client.max_length=500", "--max-unscored", "1"]
    code, done, err = turnwise(*command, "--output", "run")
    assert code == 0, err
    assert done["model"].startswith("local:")
    assert done["usage"]["cached"] == 0
    more = ["--cache", "run/requests.sqlite", "--output", "again"]
    code, again, err = turnwise(*command, *more)
    assert code == 0, err
    assert again["usage"]["cached"] == again["usage"]["replies"] == done["usage"]["replies"]
    for name in ("answers.jsonl", "judgments.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


@pytest.mark.slow
def test_held_out_loss_is_printed_by_turn_and_has_a_page(turnwise, demo, tmp_path):
    code, done, err = turnwise("evaluate", "loss", "--model", demo.base, "--data", demo.held_out, "--output", "run")
    assert code == 0, err
    assert done["tables"][0]["rows"][0]["name"] == "all"
    assert done["loss"] == pytest.approx(done["tables"][0]["rows"][0]["mean"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert "held-out loss by turn" in page
    assert "Answers and verdicts" not in page
