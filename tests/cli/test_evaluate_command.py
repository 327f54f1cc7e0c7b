"""`turnwise evaluate`: what it prints, writes and ends with; on a small question file of MT-Bench's form."""

from __future__ import annotations

import json

import pytest
from chat_server import chat_server
from demo import read_lines, run_main
from two_questions import write_lines, write_questions

from turnwise.run import read_manifest

RATED = {"if": "", "reply": "It is short and right. Rating: [[8]]"}


@pytest.fixture
def turnwise(tmp_path, monkeypatch, capsys):
    """Run a command in a fresh folder with questions, and scripts for a model and judges."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    write_questions(tmp_path / "questions", 4)
    write_lines(tmp_path / "model.jsonl", [{"if": "second", "reply": "Two."}, {"reply": "One."}])
    write_lines(tmp_path / "judge.jsonl", [RATED])

    def run(*arguments):
        return run_main(monkeypatch, capsys, *arguments)

    return run


MT_BENCH = ["evaluate", "mt-bench", "--data", "questions"]
SCRIPTED = ["--model", "scripted:model.jsonl", "--judge", "scripted:judge.jsonl"]


def test_a_run_prints_its_tables_and_leaves_answers_judgments_results_manifest_and_page(turnwise, tmp_path):
    code, out, err = turnwise(*MT_BENCH, *SCRIPTED, "--output", "run", "--json")
    assert code == 0, err
    lines = out.splitlines()
    assert any(line.split("│")[0].strip() == "all" and "8 to 8" in line for line in lines)
    assert any("95 % interval" in line and "unscored" in line for line in lines)
    last = json.loads(lines[-1])
    assert last["run"] == "run"
    assert last["tables"][0]["rows"][0]["mean"] == 8.0
    assert last["exit_code"] == 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"answers.jsonl", "judgments.jsonl", "results.json", "manifest.json", "report.html"}
    assert [one["messages"][1]["content"] for one in read_lines(tmp_path / "run" / "answers.jsonl")] == ["One."] * 4
    manifest = read_manifest(tmp_path / "run" / "manifest.json")
    assert (manifest["command"], manifest["status"]) == ("evaluate mt-bench", "done")
    assert manifest["config"]["judge"] == "scripted:judge.jsonl"
    assert [entry["path"] for entry in manifest["inputs"]] == ["questions/question.jsonl"]
    assert "report: run/report.html" in err
    assert "mt-bench: judgments 4/4" in err


def test_the_report_can_be_written_again(turnwise, tmp_path):
    turnwise(*MT_BENCH, *SCRIPTED, "--output", "run")
    page = (tmp_path / "run" / "report.html").read_bytes()
    (tmp_path / "run" / "report.html").unlink()
    code, out, _ = turnwise("report", "run")
    assert (code, out.strip()) == (0, "run/report.html")
    assert (tmp_path / "run" / "report.html").read_bytes() == page


def test_stored_judgments_give_the_tables_again_and_nothing_is_written(turnwise, tmp_path):
    _, first, _ = turnwise(*MT_BENCH, *SCRIPTED, "--output", "run")
    before = sorted(path.name for path in tmp_path.iterdir())
    code, again, err = turnwise(*MT_BENCH, "--judgments", "run")
    assert (code, again) == (0, first), err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_stored_answers_are_judged_and_compared(turnwise, tmp_path):
    turnwise(*MT_BENCH, *SCRIPTED, "--output", "run")
    code, _, err = turnwise(*MT_BENCH, "--answers", "run", "--judge", "scripted:judge.jsonl", "--output", "again")
    assert code == 0, err
    for name in ("answers.jsonl", "judgments.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    write_lines(tmp_path / "pair.jsonl", [{"reply": "The first one. [[A]]"}])
    pairwise = ["--answers", "run", "--baseline-answers", "again", "--judge", "scripted:pair.jsonl"]
    code, out, err = turnwise(*MT_BENCH, *pairwise, "--output", "pairs", "--json")
    assert code == 0, err
    row = json.loads(out.splitlines()[-1])["tables"][0]["rows"][0]
    assert (row["mean"], row["n"], row["counts"]) == (0.5, 8, {"win": 0, "tie": 8, "loss": 0}), "orders disagree: ties"
    code, out, err = turnwise("evaluate", "win-rate", "pairs", "--json")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["tables"][0]["rows"][0]["mean"] == 0.5


def test_several_models_have_a_table_each_and_a_common_one(turnwise):
    turnwise(*MT_BENCH, *SCRIPTED, "--output", "runs/a")
    other = ["--model", "scripted:judge.jsonl", "--judge", "scripted:judge.jsonl"]
    turnwise(*MT_BENCH, *other, "--output", "runs/b")
    code, out, err = turnwise(*MT_BENCH, "--judgments", "runs", "--json")
    assert code == 0, err
    tables = json.loads(out.splitlines()[-1])["tables"]
    assert {table["model"] for table in tables} == {"scripted:model.jsonl", "scripted:judge.jsonl"}
    assert out.startswith("mt-bench, 2 models")


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ({"failure": "refused"}, "refused"),
        ({"failure": "empty"}, "empty"),
        ({"failure": "truncated", "reply": "Rating: [[8]] because"}, "truncated"),
        ({"reply": "I would rather not rate this."}, "unparsable"),
    ],
    ids=["refused", "empty", "truncated", "unparsable"],
)
def test_verdicts_that_are_none_are_in_the_table_by_reason_and_the_exit_code_says_so(
    turnwise, tmp_path, verdict, reason
):
    """The judge has nothing to say of question 0: 2 of 8 judgments, above 5 %, below 30 %."""
    write_lines(tmp_path / "judge.jsonl", [{"if": "number 0", **verdict}, RATED])
    code, out, err = turnwise(*MT_BENCH, *SCRIPTED, "--output", "run", "--json")
    assert code == 1
    assert f"{reason} 2" in out
    assert f"WARNING: 2 of 8 judgments are unscored ({reason} 2), above the limit of 5.0%" in err
    last = json.loads(out.splitlines()[-1])
    assert last["tables"][0]["rows"][0]["n"] == 6
    assert last["unscored"]["by_reason"] == {reason: 2}
    assert last["exit_code"] == 1
    assert f"{reason} 2" in (tmp_path / "run" / "report.html").read_text()
    code, _, err = turnwise(*MT_BENCH, *SCRIPTED, "--output", "other", "--max-unscored", "0.3")
    assert (code, "WARNING" in err) == (0, False)
    code, _, _ = turnwise(*MT_BENCH, "--judgments", "run")
    assert code == 1, "stored judgments too"


def test_an_answer_that_failed_is_not_judged_and_counted(turnwise, tmp_path):
    write_lines(tmp_path / "model.jsonl", [{"if": "number 0", "failure": "refused"}, {"reply": "One."}])
    code, out, _ = turnwise(*MT_BENCH, *SCRIPTED, "--output", "run", "--json")
    last = json.loads(out.splitlines()[-1])
    assert code == 1
    assert last["answers"]["model"]["failed"] == {"refused": 2}
    assert last["unscored"]["by_reason"] == {"no_answer": 2}


def test_a_dry_run_asks_nobody_and_says_so_everywhere(turnwise, tmp_path):
    code, out, err = turnwise(*MT_BENCH, "--judge", "openai:gpt-4o", "--dry-run", "--output", "run", "--json")
    assert code == 0, err
    assert "dry run: scripts stand for all models" in err
    assert "DRY RUN" in out
    assert json.loads(out.splitlines()[-1])["dry_run"] is True
    assert "(dry run)" in (tmp_path / "run" / "report.html").read_text()
    assert json.loads(out.splitlines()[-1])["judge"] == "dry-run"


def test_endpoints_are_asked_limits_hold_and_resuming_with_a_higher_one_pays_nothing_twice(turnwise, tmp_path):
    """4 questions of two turns: 8 answers and 8 judgments. The first run may send 10 requests, the second all.

    A million tokens cost 1 each way, a reply takes 110: the six left cost 0.00066.
    """

    def answer(body):
        return "Rating: [[6]]" if body["model"] == "judge" else "An answer."

    with chat_server(answer) as server:
        asked = ["--model", f"model@{server.url}", "--judge", f"judge@{server.url}"]
        prices = ["--set", "client.price_prompt=1", "--set", "client.price_completion=1"]
        command = [*MT_BENCH, *asked, *prices, "--output", "run", "--json"]
        code, out, err = turnwise(*command, "--max-requests", "10")
        assert code == 1, err
        first = json.loads(out.splitlines()[-1])
        assert server.count == 10
        assert first["limit_reached"] is True
        assert first["unscored"]["by_reason"] == {"limit": 6}
        assert "--resume and a higher --max-cost or --max-requests goes on" in err
        code, out, err = turnwise(*command, "--resume")
        assert code == 0, err
        second = json.loads(out.splitlines()[-1])
        assert server.count == 16
        assert set(server.asked.values()) == {1}
    assert second["usage"]["sent"] == 6
    assert second["usage"]["cost"] == pytest.approx(0.00066)
    assert second["tables"][0]["rows"][0]["mean"] == 6.0
    assert second["judge_snapshots"] == ["judge-0613"]
    assert (tmp_path / "run" / "requests.sqlite").is_file()


def test_a_limit_holds_for_a_judge_with_settings_of_its_own_too(turnwise, tmp_path):
    """Stored answers need no model: of 8 judgments 3 may be asked for."""
    turnwise(*MT_BENCH, *SCRIPTED, "--output", "run")
    with chat_server(lambda body: "Rating: [[6]]") as server:
        judge = ["--answers", "run", "--judge", f"judge@{server.url}", "--set", "judge_client.timeout_s=30"]
        code, out, err = turnwise(*MT_BENCH, *judge, "--max-requests", "3", "--output", "again", "--json")
        assert code == 1, err
        assert server.count == 3
    assert json.loads(out.splitlines()[-1])["unscored"]["by_reason"] == {"limit": 5}


def test_overwriting_keeps_what_was_paid_for_and_a_cache_may_be_shared(turnwise, tmp_path):
    with chat_server(lambda body: "Rating: [[6]]") as server:
        asked = ["--model", f"model@{server.url}", "--judge", f"judge@{server.url}"]
        assert turnwise(*MT_BENCH, *asked, "--output", "run")[0] == 0
        assert server.count == 16
        assert turnwise(*MT_BENCH, *asked, "--output", "run", "--overwrite")[0] == 0
        shared = ["--cache", "run/requests.sqlite"]
        assert turnwise(*MT_BENCH, *asked, *shared, "--output", "other")[0] == 0
        assert server.count == 16
    assert not (tmp_path / "other" / "requests.sqlite").exists()


def test_a_configuration_file_says_all_of_it_and_options_win(turnwise, tmp_path):
    (tmp_path / "this.yaml").write_text(
        "model: scripted:model.jsonl\njudge: scripted:nowhere.jsonl\ndata: questions\nsamples: 2\noutput: run\n"
        "client: {max_concurrency: 4}\n"
    )
    code, out, err = turnwise(
        "evaluate", "mt-bench", "--config", "this.yaml", "--judge", "scripted:judge.jsonl", "--json"
    )
    assert code == 0, err
    last = json.loads(out.splitlines()[-1])
    assert last["judgments"] == 16, "two samples"
    config = read_manifest(tmp_path / "run" / "manifest.json")["config"]
    assert (config["samples"], config["judge"], config["client"]["max_concurrency"]) == (2, "scripted:judge.jsonl", 4)


WRONG = {
    "no judge": ([*MT_BENCH, "--model", "scripted:model.jsonl", "--output", "out"], "needs a judge, found none"),
    "no model": ([*MT_BENCH, "--judge", "scripted:judge.jsonl", "--output", "out"], "nobody answers"),
    "no output": ([*MT_BENCH, *SCRIPTED], "--output FOLDER"),
    "no data": (["evaluate", "mt-bench", *SCRIPTED, "--output", "out"], "--data FOLDER"),
    "wrong data": (
        ["evaluate", "mt-bench", "--data", "nowhere", *SCRIPTED, "--output", "out"],
        "nowhere",
    ),
    "no such model": ([*MT_BENCH, "--model", "gpt-4o", *SCRIPTED[2:], "--output", "out"], "'gpt-4o' names no model"),
    "no such judge": ([*MT_BENCH, *SCRIPTED[:2], "--judge", "claude", "--output", "out"], "'claude' names no model"),
    "no such script": ([*MT_BENCH, *SCRIPTED[:2], "--judge", "scripted:x", "--output", "out"], "x: the script cannot"),
    "cost without prices": (
        [*MT_BENCH, "--model", "m@http://127.0.0.1:9/v1", *SCRIPTED[2:], "--max-cost", "1", "--output", "out"],
        "max_cost needs the prices",
    ),
    "pairwise alone": ([*MT_BENCH, *SCRIPTED, "--mode", "pairwise", "--output", "out"], "baseline, found none"),
    "unknown setting": (
        [*MT_BENCH, *SCRIPTED, "--set", "client.max_cocurrency=3", "--output", "out"],
        "did you mean 'max_concurrency'?",
    ),
    "unknown option": (
        [*MT_BENCH, *SCRIPTED, "--set", "options.reference=x", "--output", "out"],
        "unknown setting 'options.reference'",
    ),
    "no judgments": ([*MT_BENCH, "--judgments", "nowhere"], "nowhere: no such file or folder of judgments"),
    "judgments and model": ([*MT_BENCH, *SCRIPTED[:2], "--judgments", "questions"], "takes no --model"),
    "other folder": ([*MT_BENCH, *SCRIPTED, "--output", "questions"], "holds no turnwise run"),
    "scores have no win rate": (["evaluate", "win-rate", "scores"], "holds no comparisons"),
}


@pytest.mark.parametrize(("command", "said"), WRONG.values(), ids=WRONG)
def test_what_users_get_wrong_is_said_in_one_message_and_nothing_is_written(turnwise, tmp_path, command, said):
    judgment = {"item": "200", "turn": 0, "model": "m", "judge": "j", "score": 1.0}
    write_lines(tmp_path / "scores", [judgment])
    code, out, err = turnwise(*command)
    assert code == 2, err
    assert said in err
    assert "Traceback" not in err
    assert err.count("error:") == 1
    assert out == ""
    assert not (tmp_path / "out").exists()


def test_win_rates_come_from_annotations_of_alpaca_eval_too(turnwise, tmp_path):
    """One win, one loss, one draw, one half-hearted win of 1.75, one that cannot be read: (1 + 0 + 0.5 + 0.75) / 4."""
    preferences = [2, 1, 1.5, 1.75, None]
    annotations = [{"preference": one, "generator_1": "gpt4", "generator_2": "ours"} for one in preferences]
    (tmp_path / "annotations.json").write_text(json.dumps(annotations))
    code, out, err = turnwise("evaluate", "win-rate", "annotations.json", "--json")
    assert code == 0, err
    assert "ours against gpt4" in out
    row = json.loads(out.splitlines()[-1])["tables"][0]["rows"][0]
    assert (row["mean"], row["n"], row["unscored"]) == (0.5625, 4, {"unparsable": 1})
    assert row["counts"] == {"win": 2, "tie": 1, "loss": 1}


def test_an_output_inside_the_data_is_no_input_of_its_own(turnwise, tmp_path):
    """`--data .`: a resumed run must not find its own files changed."""
    (tmp_path / "question.jsonl").write_bytes((tmp_path / "questions" / "question.jsonl").read_bytes())
    command = ["evaluate", "mt-bench", "--data", ".", *SCRIPTED, "--output", "run"]
    assert turnwise(*command)[0] == 0
    code, _, err = turnwise(*command, "--resume")
    assert code == 0, err
    paths = [entry["path"] for entry in read_manifest(tmp_path / "run" / "manifest.json")["inputs"]]
    assert "question.jsonl" in paths
    assert not any(path.startswith("run/") for path in paths)


def test_every_benchmark_has_the_same_options():
    import typer.main

    from turnwise.cli.main import app

    evaluate = typer.main.get_command(app).commands["evaluate"].commands
    shared = {param.name for param in evaluate["wilt"].params}
    assert {"model", "judge", "answers", "judgments", "resume", "overwrite", "json", "max_cost"} <= shared
    for name in ("mt-bench", "mt-eval", "in-domain", "pif", "wilt"):
        assert shared <= {param.name for param in evaluate[name].params}
