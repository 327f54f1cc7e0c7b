"""`turnwise evaluate k-bench`: a dry run, the coverage alone, and what is said where something is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from demo import run_main

from turnwise.dialogue import Document
from turnwise.synthesis.chain import ChainTurn, Written, to_dialogue

DOCUMENT = Document("d", "Lake Ohrid is 288 metres deep.")


@pytest.fixture
def turnwise(tmp_path, monkeypatch, capsys):
    """The command in a folder with a run of synthesis, and a stand-in that finds a quarter of every document."""
    dialogue = to_dialogue(
        DOCUMENT, Written((ChainTurn("How deep?", "288 metres."),)), SimpleNamespace(name="cod", teacher="gpt-x")
    )
    for name, record in (("dialogues.jsonl", dialogue), ("documents.jsonl", DOCUMENT)):
        (tmp_path / "r2s").mkdir(exist_ok=True)
        (tmp_path / "r2s" / name).write_text(json.dumps(record.to_dict()) + "\n", encoding="utf-8")
    quarter = SimpleNamespace(measure="lexical", percent=25.0, covered=1, total=4)
    stand_in = SimpleNamespace(dialogue_coverage=lambda *_: quarter)
    monkeypatch.setitem(sys.modules, "turnwise.synthesis.coverage", stand_in)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code, out, err = run_main(monkeypatch, capsys, "evaluate", "k-bench", *arguments, "--json")
        return code, json.loads(out.splitlines()[-1]) if out else {}, err

    return run


def test_a_dry_run_makes_the_tables_and_the_report(turnwise, tmp_path):
    code, done, err = turnwise("r2s", "--dry-run", "--output", "run")
    assert code == 0, err
    assert (done["judgments"], done["models"]) == (9, ["cod (gpt-x)"])
    assert "288 metres." in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    again = turnwise("--judgments", "run")[1]
    assert again["tables"] == done["tables"]


def test_a_judge_by_script_scores_in_half_steps(turnwise, tmp_path):
    turn = {"explanation": "", **dict.fromkeys(("informativeness", "understanding", "usefulness", "flexibility"), 4.5)}
    whole = {"explanation": "", "consistency": 4.5, "cohesion": 3, "interactivity": 2.5}
    rules = [{"if": "What the user says", "reply": {**turn, "fidelity": "not applicable"}}, {"reply": whole}]
    (tmp_path / "judge.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    code, done, err = turnwise("r2s/dialogues.jsonl", "--judge", "scripted:judge.jsonl", "--output", "run")
    assert code == 0, err
    means = {row["name"]: row["mean"] for row in done["tables"][0]["rows"]}
    assert means["understanding"] == 4.5
    assert (means["fidelity"], means["interactivity"], means["average"]) == (None, 2.5, None)
    assert done["unscored"]["by_reason"] == {"not_applicable": 1}


def test_coverage_alone_asks_nobody(turnwise):
    code, done, err = turnwise("r2s", "--coverage-only", "--output", "run")
    assert code == 0, err
    assert (done["judges"], done["tables"][0]["rows"][0]["mean"]) == (["program"], 25.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--coverage-only", "--output", "run"], "k-bench needs its files"),
        (["r2s", "--output", "run"], "needs a judge"),
        (["r2s", "--coverage-only", "--model", "m", "--output", "run"], "it takes no --model"),
        (["nowhere", "--coverage-only", "--output", "run"], "nowhere: no such file of dialogues"),
        (["apart/alone.jsonl", "--coverage-only", "--output", "run"], "--documents FILE_OR_FOLDER"),
    ],
)
def test_what_is_missing_is_said(turnwise, arguments, said):
    Path("apart").mkdir()
    Path("apart/alone.jsonl").write_bytes(Path("r2s/dialogues.jsonl").read_bytes())
    code, _, err = turnwise(*arguments)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
