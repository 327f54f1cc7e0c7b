"""`turnwise quality` from the outside, without a judge and with a scripted one."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from chat_server import chat_server
from typer.testing import CliRunner

from turnwise.cli.main import app
from turnwise.dialogue import Dialogue, Message


def call(*arguments):
    return CliRunner().invoke(app, ["quality", *map(str, arguments)])


def last(done):
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def data(tmp_path):
    """Six dialogues of two turns, of two sources."""
    path = tmp_path / "chats.jsonl"
    lines = []
    for number in range(6):
        texts = ["Where is the lake?", f"It lies in valley {number}.", "How deep is it?", "The lake is deep."]
        messages = [Message(("user", "assistant")[place % 2], text) for place, text in enumerate(texts)]
        dialogue = Dialogue(messages, id=f"d{number}", source="ab"[number % 2])
        lines.append(json.dumps(dialogue.to_dict()))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


GRADES = [{"turn": turn, "explanation": "", "score": score} for turn, score in ((1, 9), (2, 7))]
SCRIPT = [
    {"if": "Judge only the last reply", "reply": {"explanation": "", "score": 8}},
    {"if": "Grade every reply", "reply": {"evaluations": GRADES}},
    {"if": "You measure", "reply": {"units": ["u"], "number_of_units": 1, "number_of_words": 50}},
    {"reply": {"explanation": "", "score": 10}},
]


@pytest.fixture
def judge(tmp_path):
    path = tmp_path / "judge.jsonl"
    path.write_text("\n".join(map(json.dumps, SCRIPT)), encoding="utf-8")
    return f"scripted:{path}"


def test_without_a_judge_it_measures_offline_and_loads_no_client(data):
    for name in [name for name in sys.modules if name.startswith("turnwise.llm.open")]:
        del sys.modules[name]
    done = call(data, "--by", "source", "--json")
    assert done.exit_code == 0, done.output
    found = last(done)
    assert [group["group"] for group in found["groups"]] == ["all", "a", "b"]
    turns = next(row for row in found["measures"] if (row["group"], row["measure"]) == ("a", "turns"))
    assert (turns["mean"], turns["n"]) == (2, 3)
    assert "aspects" not in found
    assert not any(name.startswith("turnwise.llm.open") for name in sys.modules)


def test_with_a_judge_it_leaves_judgments_results_and_a_manifest(data, judge, tmp_path):
    """Per source: 8 + 8 + 100 units per word + 10. Each dialogue has 4 + 5 + 4 + 4 = 17 words, so 100 / 17 = 5.882."""
    folder = tmp_path / "run"
    done = call(data, "--by", "source", "--judge", judge, "--sample", 2, "--output", folder, "--json")
    assert done.exit_code == 0, done.output
    found = last(done)
    assert [one["group"] for one in found["overall"]] == ["a", "b"]
    assert found["overall"][0]["four_aspects"] == pytest.approx(26 + 100 / 17)
    assert found["overall"][0]["overall"] is None
    assert found["overall"][0]["missing"] == ["reward"]
    assert (found["judgments"], found["unscored"]) == (2 * 2 * 5, 0)  # quality judges two turns
    lines = (folder / "judgments.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 20
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["overall"] == found["overall"]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["command"], manifest["status"]) == ("quality", "done")
    again = call(data, "--by", "source", "--judge", judge, "--sample", 2, "--output", folder)
    assert again.exit_code != 0
    assert "already holds a run" in str(again.exception)
    resumed = call(data, "--by", "source", "--judge", judge, "--sample", 2, "--output", folder, "--resume", "--json")
    assert last(resumed)["overall"] == found["overall"]


def test_with_rewards_the_overall_quality_and_the_tier_are_given(data, judge, tmp_path):
    rewards = tmp_path / "rewards.csv"
    rewards.write_text(
        "id,score\n" + "".join(f"d{number},2.5\n" for number in range(5)) + "other,1\n", encoding="utf-8"
    )
    done = call(data, "--judge", judge, "--reward-scores", rewards, "--output", tmp_path / "run", "--json")
    found = last(done)
    assert found["overall"][0]["overall"] == pytest.approx(26 + 100 / 17 + 2.5)
    assert found["overall"][0]["tier"] == "high"
    assert found["unmatched_rewards"] == 1
    reward = next(row for row in found["aspects"] if row["aspect"] == "reward")
    assert (reward["n"], reward["unscored"]) == (5, {"no score in the file": 1})


def test_rewards_alone_give_no_overall(data, tmp_path):
    rewards = tmp_path / "rewards.csv"
    rewards.write_text("id,score\nd0,2\nd1,4\n", encoding="utf-8")
    found = last(call(data, "--reward-scores", rewards, "--json"))
    assert found["overall"][0]["overall"] is None
    assert found["aspects"][0]["mean"] == 3


def test_too_many_unscored_judgments_end_with_exit_code_1(data, tmp_path):
    script = tmp_path / "bad.jsonl"
    script.write_text('{"reply": "no verdict"}', encoding="utf-8")
    arguments = (data, "--judge", f"scripted:{script}", "--aspects", "friendliness", "--output", tmp_path / "run")
    done = call(*arguments, "--json")
    assert done.exit_code == 1
    found = last(done)
    assert found["aspects"][0]["unscored"] == {"unparsable": 6}
    assert found["aspects"][0]["mean"] is None
    assert "6 of 6 judgments have no score" in done.stderr
    assert call(*arguments, "--overwrite", "--max-unscored", 1).exit_code == 0


def test_what_was_paid_for_outlives_overwrite_and_a_limit_on_requests_ends_with_exit_code_1(data, tmp_path):
    """Six dialogues, one aspect: six requests; four, then the other two, then none."""
    with chat_server(lambda body: '{"explanation": "", "score": 7}') as server:
        common = (
            data,
            "--judge",
            f"m@{server.url}",
            "--aspects",
            "friendliness",
            "--output",
            tmp_path / "run",
            "--json",
        )
        limited = call(*common, "--set", "max_requests=4", "--max-unscored", 1)
        assert (limited.exit_code, last(limited)["aspects"][0]["unscored"]) == (1, {"limit": 2})
        assert "--resume" in limited.stderr
        assert call(*common, "--set", "headers.X-Team=a", "--max-unscored", 1, "--resume").exit_code == 0
        anew = call(*common, "--overwrite")
        assert (anew.exit_code, last(anew)["limit_reached"]) == (0, False)
        assert (server.count, set(server.asked.values())) == (6, {1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--judge", "m@http://x/v1"], "--judge needs --output"),
        (["--set", "max_cost=1"], "found no --judge"),
        (["--near-duplicates", "2"], "near_duplicates"),
        (["--reward-scores", "absent.csv"], "no such file"),
    ],
)
def test_what_cannot_be_asked_is_a_user_error(data, arguments, message):
    done = call(data, *arguments)
    assert done.exit_code != 0
    assert message in str(done.exception)


def test_the_commands_of_the_page_run(data, monkeypatch):
    """Those that need no endpoint."""
    page = Path(__file__).parents[2] / "docs" / "quality.md"
    shown = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    commands = [line.split() for block in shown for line in block.splitlines()]
    assert commands
    monkeypatch.chdir(data.parent)
    for program, *arguments in commands:
        done = CliRunner().invoke(app, arguments)
        assert (program, done.exit_code) == ("turnwise", 0), done.output
