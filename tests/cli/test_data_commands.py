"""`turnwise data inspect` and `convert` as a user meets them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from turnwise.cli.data import parse_roles
from turnwise.cli.main import app
from turnwise.data.read import read_dialogues
from turnwise.errors import ConfigError, TurnwiseError


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def last_json(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.strip().splitlines()[-1])


@pytest.fixture
def chats(tmp_path):
    path = tmp_path / "chats.jsonl"
    records = [{"question": f"q{number % 3}", "answer": "a"} for number in range(4)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_convert_writes_records_and_a_manifest(chats, tmp_path):
    """Four dialogues, the fourth a copy of the first."""
    output = tmp_path / "out" / "x.jsonl"
    summary = last_json(
        run("convert", chats, "-o", output, "--source", "s", "--tier", "low", "--drop-duplicates", "--json")
    )
    assert (summary["read"], summary["written"], summary["duplicates_dropped"]) == (4, 3, 1)
    assert [(d.source, d.tier) for d in read_dialogues(output)] == [("s", "low")] * 3
    manifest = json.loads((tmp_path / "out" / "x.jsonl.manifest.json").read_text())
    digest = hashlib.sha256(chats.read_bytes()).hexdigest()
    assert manifest["status"] == "done"
    assert manifest["inputs"] == [{"path": str(chats), "sha256": digest, "records": 4}]
    assert manifest["outputs"] == [
        {"path": str(output), "records_in": 4, "records_out": 3, "dropped": {"duplicate": 1}}
    ]


def test_convert_refuses_to_overwrite(chats, tmp_path):
    output = tmp_path / "x.jsonl"
    assert run("convert", chats, "-o", output).exit_code == 0
    before = output.read_bytes()
    refused = run("convert", chats, "-o", output, "--limit", 1)
    assert isinstance(refused.exception, TurnwiseError)
    assert "exists already" in str(refused.exception)
    assert output.read_bytes() == before
    assert last_json(run("convert", chats, "-o", output, "--limit", 1, "--overwrite", "--json"))["written"] == 1


def test_convert_skips_counts_and_lists(chats, tmp_path):
    chats.write_text(chats.read_text() + "{broken\n")
    output, skipped = tmp_path / "x.jsonl", tmp_path / "x.jsonl.skipped.jsonl"
    result = run("convert", chats, "-o", output, "--on-error", "skip", "--json")
    summary = last_json(result)
    assert (summary["read"], summary["skipped"], summary["written"]) == (4, 1, 4)
    assert f"{chats}:5: found broken JSON" in result.stderr
    assert [json.loads(line)["line"] for line in skipped.read_text().splitlines()] == [5]
    (counts,) = json.loads((tmp_path / "x.jsonl.manifest.json").read_text())["outputs"]
    assert (counts["records_in"], counts["records_out"], sum(counts["dropped"].values())) == (5, 4, 1)
    run("convert", chats, "-o", output, "--limit", 2, "--overwrite")
    assert not skipped.exists()


@pytest.mark.parametrize("form", ["jsonl.gz", "parquet"])
def test_convert_chooses_the_form_by_suffix(chats, tmp_path, form):
    output = tmp_path / f"x.{form}"
    assert run("convert", chats, "-o", output).exit_code == 0
    assert len(list(read_dialogues(output))) == 4


def test_roles_side_and_paths_reach_the_reader(tmp_path):
    path, output = tmp_path / "x.jsonl", tmp_path / "y.jsonl"
    path.write_text(json.dumps({"content": [{"message": "q", "agent": "A"}, {"message": "a", "agent": "B"}]}))
    assert run("convert", path, "-o", output, "--roles", "user=second,assistant=first").exit_code == 0
    assert [m.role for m in next(read_dialogues(output)).messages] == ["assistant", "user"]
    path.write_text(json.dumps({"prompt": "q", "chosen": "good", "rejected": "bad"}))
    assert run("convert", path, "-o", output, "--side", "rejected", "--overwrite").exit_code == 0
    assert next(read_dialogues(output)).messages[1].content == "bad"
    tree = {"text": "q", "role": "prompter", "replies": [{"text": x, "role": "assistant"} for x in "ab"]}
    path.write_text(json.dumps({"prompt": tree}))
    assert last_json(run("inspect", path, "--paths", "best", "--json"))["dialogues"] == 1
    assert last_json(run("inspect", path, "--json"))["dialogues"] == 2


def test_inspect_prints_what_it_found_and_one_json_object(chats, tmp_path):
    odd = tmp_path / "odd.jsonl"
    odd.write_text(json.dumps({"messages": [{"role": "user", "content": "hello"}]}))
    result = run("inspect", chats, odd, "--max-length", 11, "--json")
    summary = last_json(result)
    assert (summary["dialogues"], summary["duplicates"]["copies"]) == (5, 1)
    assert summary["inputs"][1]["problems"][0]["places"] == [f"{odd}:1"]
    assert "problem: no assistant reply: 1 dialogue" in result.stdout
    assert f"  {odd}:1\n" in result.stdout
    assert "(estimate)" in result.stdout


def test_inspect_of_documents_says_what_they_are(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"text": "a document"}))
    assert "found documents" in str(run("inspect", path).exception)


def test_roles_are_parsed():
    assert parse_roles("user=来访者, assistant=B") == {"user": "来访者", "assistant": "B"}
    assert parse_roles(None) == {}
    for text in ("user", "user=", "=x", "user=a,user=b", "user=a,"):
        with pytest.raises(ConfigError, match="--roles user=NAME"):
            parse_roles(text)


@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_help_names_the_formats_and_options(command):
    text = " ".join(run(command, "--help").stdout.split())
    for word in ("sharegpt", "--roles", "--on-error", "hf://OWNER/NAME", "--paths"):
        assert word in text


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file or folder"), ("{broken\n", "found broken JSON"), ("[]", "no records")],
)
def test_user_errors_are_one_message_exit_2_and_leave_nothing(tmp_path, content, message):
    """As a process, since exit code and the missing traceback are what the user meets."""
    path, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    if content is not None:
        path.write_text(content)
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-m", "turnwise", "data", "convert", str(path), "-o", str(output)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert {entry.name for entry in tmp_path.iterdir()} <= {"in.jsonl"}
