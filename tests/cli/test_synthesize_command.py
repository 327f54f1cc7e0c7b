"""`turnwise synthesize`: what it reads, writes, prints, and how it ends."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from chat_server import chat_server
from typer.testing import CliRunner

from turnwise.cli.main import app
from turnwise.data.read import read_dialogues
from turnwise.errors import ConfigError, DataError, RunError
from turnwise.run import read_manifest
from turnwise.synthesis.generator import read_chain, turns_of
from turnwise.synthesis.results import read_dialogues_of, read_documents_of, read_lines

LIGHTHOUSE = (
    "The lighthouse at Norham was built in 1871 by Ada Fenwick. It stands on a granite rock two miles from the shore. "
    "Its lamp burned colza oil until 1902. In that year the oil was replaced by an electric arc lamp. "
    "The keepers lived in a stone cottage beside the tower. Storms flooded the cottage in 1913 and again in 1921. "
    "The light can be seen from a distance of nineteen miles. Since 1978 the station has worked without keepers. "
    "Volunteers from the village paint the tower every fourth summer. The old lens is shown in the harbour museum."
)
HARBOUR = (
    "The harbour museum of Norham opened in 1954 in a former rope factory. Its first director was Edwin Hale. "
    "The museum keeps four hundred models of fishing boats. Most of them were carved by retired sailors. "
    "A large map in the hall shows all wrecks of the bay. School classes visit the museum without a fee. "
    "The rope machine still runs on the first Sunday of each month. A small library holds the log books of the port. "
    "The building received a new roof after the storm of 1987. About nine thousand people come every year."
)


@pytest.fixture
def docs(tmp_path, monkeypatch):
    """Two texts in a folder, and another file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "lighthouse.txt").write_text(LIGHTHOUSE, encoding="utf-8")
    (tmp_path / "docs" / "harbour.md").write_text(f"# Harbour museum\n\n{HARBOUR}\n", encoding="utf-8")
    (tmp_path / "more.txt").write_text(LIGHTHOUSE.replace("Norham", "Elva").replace("18", "17"), encoding="utf-8")
    return tmp_path


def invoke(command, code=0):
    done = CliRunner().invoke(app, shlex.split(command))
    if code is not None:
        assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done


def result(command, code=0):
    return json.loads(invoke(f"{command} --json", code).stdout.splitlines()[-1])


def test_documents_of_several_inputs_become_dialogues_with_their_evidence(docs):
    found = result("synthesize docs more.txt --output dialogues.jsonl --set near_duplicates=null")
    assert (found["documents"], found["dialogues"], found["exit_code"]) == (3, 3, 0)
    assert [one["set"] for one in found["sets"]] == ["docs", "more.txt"]
    texts = {one.id: one.text for one in read_documents_of(found["run"])}
    dialogues = list(read_dialogues(docs / "dialogues.jsonl"))
    assert len(dialogues) == 3
    for dialogue in dialogues:
        assert dialogue.num_turns >= 8
        assert dialogue.evidence
        for span in dialogue.evidence:
            assert texts[span["document"]][span["start"] : span["end"]] == span["text"]
    assert Path(found["report"]).is_file()
    inputs = read_manifest(Path(found["run"]) / "manifest.json")["inputs"]
    assert [one["path"] for one in inputs] == ["docs/harbour.md", "docs/lighthouse.txt", "more.txt"]
    assert all(one["sha256"] for one in inputs)


def test_figures_are_printed_by_set_and_progress_goes_to_stderr(docs):
    done = invoke("synthesize docs more.txt --output run")
    assert "Dialogues by extractive" in done.stdout
    assert "question-answer" in done.stdout
    assert "dialogues 3/3" in done.stderr
    assert "dialogues 3/3" not in done.stdout
    assert "report: run/report.html" in done.stderr


def test_turns_and_limit_are_obeyed(docs):
    result("synthesize docs more.txt --output run --turns 3 --limit 1")
    dialogues = list(read_dialogues_of(docs / "run"))
    assert [one.num_turns for one in dialogues] == [3, 3]
    assert [one.metadata["set"] for one in dialogues] == ["docs", "more.txt"]


def test_the_same_command_writes_the_same_bytes(docs):
    for name in ("one", "other"):
        invoke(f"synthesize docs --output {name} --seed 3")
    for name in ("dialogues.jsonl", "documents.jsonl", "failed.jsonl"):
        assert (docs / "one" / name).read_bytes() == (docs / "other" / name).read_bytes()


def test_an_input_that_cannot_be_read_is_listed_and_the_rest_is_written(docs):
    (docs / "docs" / "bad.txt").write_bytes(b"\xff\xfe\xfa" * 40)
    (docs / "docs" / "empty.txt").write_text("", encoding="utf-8")
    found = result("synthesize docs --output run", 1)
    assert (found["documents"], found["dialogues"], found["failed"]["by_reason"]) == (4, 2, {"not_read": 2})
    listed = list(read_lines(docs / "run" / "failed.jsonl"))
    assert [Path(one["path"]).name for one in listed] == ["bad.txt", "empty.txt"]
    assert "empty" in listed[1]["detail"]
    assert result("synthesize docs --output again --max-failed 0.5")["exit_code"] == 0


def test_pairs_for_a_generator_hold_the_documents_and_their_chains(docs):
    found = result("synthesize docs --output run --export-generator-data pairs.jsonl")
    pairs = list(read_dialogues(found["generator_data"]["path"]))
    for pair, document, dialogue in zip(
        pairs, read_documents_of(docs / "run"), read_dialogues_of(docs / "run"), strict=True
    ):
        assert document.text in pair.messages[-2].text
        assert [turn.assistant for turn in read_chain(pair.messages[-1].text, document)] == [
            turn.assistant for turn in turns_of(dialogue)
        ]
    alone = result("synthesize --output run --export-generator-data later.jsonl")
    assert alone["generator_data"] == {"path": "later.jsonl", "pairs": 2, "left_out": {}}
    assert (docs / "later.jsonl").read_bytes() == (docs / "pairs.jsonl").read_bytes()


def test_a_generator_is_asked_just_as_it_was_trained(docs):
    """The pairs ask as mode cod does: a server that knows them by heart gives the same dialogues back."""
    invoke("synthesize docs --output run --turns 4 --export-generator-data pairs.jsonl")
    known = {
        json.dumps([one.to_dict() for one in pair.messages[:-1]]): pair.messages[-1].text
        for pair in read_dialogues(docs / "pairs.jsonl")
    }

    def answer(body):
        return known[json.dumps(body["messages"])]

    with chat_server(answer) as server:
        found = result(f"synthesize docs --output made --mode cod --turns 4 --teacher g@{server.url}")
    assert (found["dialogues"], found["all"]["grounded"]) == (2, 1.0)
    told = [[message.text for message in one.messages] for one in read_dialogues_of(docs / "made")]
    assert told == [[message.text for message in one.messages] for one in read_dialogues_of(docs / "run")]


@pytest.mark.parametrize("mode", ["direct", "cot", "cod", "cod-stepwise"])
def test_a_dry_run_asks_nobody_and_says_so(docs, mode):
    found = result(f"synthesize docs --output run --mode {mode} --dry-run")
    assert (found["dry_run"], found["teacher"], found["exit_code"], found["usage"]) == (True, "dry-run", 0, None)


def test_a_teacher_that_fails_at_every_document_ends_with_1_and_a_list(docs):
    with chat_server(lambda body: "no JSON at all") as server:
        teacher = f"--mode cod --teacher t@{server.url} --set client.repairs=0"
        done = invoke(f"synthesize docs --output run {teacher}", 1)
    assert "2 of 2 documents failed (malformed 2)" in done.stderr
    assert [one["raw"] for one in read_lines(docs / "run" / "failed.jsonl")] == [["no JSON at all"]] * 2
    assert "malformed" in (docs / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        ("synthesize docs", ConfigError, "--output"),
        ("synthesize --output run", ConfigError, "at least one file or folder"),
        ("synthesize docs --output run --mode cod", ConfigError, "needs a teacher"),
        ("synthesize docs --output run --turns many", ConfigError, "8-12"),
        ("synthesize docs --output run --turns 9-3", ConfigError, "the smaller one first"),
        ("synthesize docs --output run --set mod=cod", ConfigError, "mode"),
        ("synthesize nothing.txt --output run", DataError, "nothing.txt"),
        ("synthesize docs --output run.csv", ConfigError, ".jsonl"),
        ("synthesize --output run --export-generator-data pairs.jsonl", RunError, "no manifest"),
    ],
)
def test_a_wrong_command_says_what_is_expected_and_leaves_nothing(docs, command, error, said):
    done = invoke(command, None)
    assert isinstance(done.exception, error), done.output
    assert said in str(done.exception)
    assert not (docs / "run" / "dialogues.jsonl").exists()


def test_a_configuration_file_holds_the_whole_command(docs):
    (docs / "synthesis.yaml").write_text("documents: [docs]\nturns: [2, 2]\noutput: run\n", encoding="utf-8")
    found = result("synthesize --config synthesis.yaml --set seed=4")
    assert found["all"]["turns"] == 4
    assert read_manifest(docs / "run" / "manifest.json")["seeds"] == {"seed": 4}


def test_a_password_in_a_teachers_address_is_in_no_file_of_the_run(docs):
    with chat_server(lambda body: '{"turns": []}') as server:
        spec = f"m@{server.url.replace('http://', 'http://user:password99@')}?api-key=secretinquery"
        invoke(f"synthesize more.txt --mode direct --teacher '{spec}' --output out", code=None)
    files = [file for file in (docs / "out").rglob("*") if file.is_file()]
    assert files
    for file in files:
        assert b"password99" not in file.read_bytes(), file
        assert b"secretinquery" not in file.read_bytes(), file
