"""`turnwise data corrupt` as a user meets it."""

from __future__ import annotations

import json

import pytest
from demo import run_main

from turnwise.data.noise import swap_replies, wrong_answers
from turnwise.data.read import read_dialogues
from turnwise.data.world import World
from turnwise.data.write import write_dialogues
from turnwise.dialogue import Dialogue, Message

WORLD = World(3, 8)


@pytest.fixture
def chats(tmp_path):
    path = tmp_path / "chats.jsonl"
    write_dialogues(WORLD.dialogues(10, seed=1), path)
    return path


@pytest.fixture
def command(monkeypatch, capsys):
    return lambda *arguments: run_main(monkeypatch, capsys, "data", "corrupt", *arguments)


def labels(path):
    return [dialogue.metadata["noise"] for dialogue in read_dialogues(path)]


def test_the_written_file_is_the_noise_of_the_function_with_counts_and_a_manifest(chats, tmp_path, command):
    output = tmp_path / "out" / "noisy.jsonl"
    before = chats.read_bytes()
    arguments = [chats, "--kind", "swap", "--rate", 0.3, "--turns", "one", "--seed", 5, "-o", output, "--json"]
    code, printed, _ = command(*arguments)
    assert code == 0
    clean = list(read_dialogues(chats))
    assert list(read_dialogues(output)) == swap_replies(clean, 0.3, 5, "one")
    assert chats.read_bytes() == before
    turns = sum(dialogue.num_turns for dialogue in clean)
    summary = json.loads(printed.splitlines()[-1])
    counts = {"dialogues": 10, "turns": turns, "corrupted_dialogues": 3, "corrupted_turns": 3}
    assert counts.items() <= summary.items()
    assert summary["kinds"] == {"clean": {"dialogues": 7, "turns": turns - 3}, "swap": {"dialogues": 3, "turns": 3}}
    manifest = json.loads((tmp_path / "out" / "noisy.jsonl.manifest.json").read_text())
    assert (manifest["command"], manifest["status"], manifest["seeds"]) == ("data corrupt", "done", {"seed": 5})
    assert manifest["config"]["turns"] == "one"
    assert [entry["records"] for entry in manifest["inputs"]] == [10]
    assert counts.items() <= manifest["outputs"][0]["noise"].items()


def test_kinds_are_applied_one_after_another(chats, tmp_path, command):
    """The second call keeps the labels of the first; the donors are an input of the manifest too."""
    donors, first, second = (tmp_path / name for name in ("donors.jsonl", "first.jsonl", "second.jsonl"))
    write_dialogues([Dialogue([Message("user", "2+2?"), Message("assistant", "4")])], donors)
    assert command(chats, "--kind", "repeat", "--rate", 0.5, "-o", first)[0] == 0
    options = ["--kind", "off_task", "--donors", donors, "--rate", 0.2, "--turns", "1,2", "-o", second]
    code, printed, noted = command(first, *options)
    assert code == 0
    assert "could not be chosen: corrupted before" in noted
    assert [line.split()[0] for line in printed.splitlines()[3:]] == ["clean", "off_task", "repeat"]
    kinds = [label["kind"] for label in labels(second)]
    assert sorted(kinds) == ["clean"] * 3 + ["off_task"] * 2 + ["repeat"] * 5
    manifest = json.loads((tmp_path / "second.jsonl.manifest.json").read_text())
    assert [entry["path"] for entry in manifest["inputs"]] == [str(first), str(donors)]


def test_wrong_answers_need_the_world_of_the_dialogues(chats, tmp_path, command):
    output = tmp_path / "noisy.jsonl"
    arguments = [chats, "--kind", "wrong", "--rate", 0.5, "-o", output]
    assert "--world-seed" in command(*arguments)[2]
    code, _, error = command(*arguments, "--world-seed", 4, "--entities", 8)
    assert code == 2
    assert "expected an answer that is a fact of the world with seed 4 and 8 people" in error
    assert not output.exists()
    assert command(*arguments, "--world-seed", 3, "--entities", 8, "--systematic")[0] == 0
    clean = list(read_dialogues(chats))
    assert list(read_dialogues(output)) == wrong_answers(WORLD, clean, 0.5, 0, systematic=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "swap", "--entities", 4], "--entities needs --world-seed"),
        (["--kind", "swap", "--world-seed", 4], "does not use --world-seed"),
        (["--kind", "swap", "--turns", "some"], "turns"),
        (["--kind", "swap", "--strength", 0.2], "does not use strength"),
        (["--kind", "language"], "needs donors"),
        (["--kind", "language", "--donors", "absent.jsonl"], "no such file"),
    ],
)
def test_user_errors_exit_2_and_leave_nothing(chats, tmp_path, command, options, message):
    code, printed, error = command(chats, "--rate", 0.5, "-o", tmp_path / "noisy.jsonl", *options)
    assert (code, printed) == (2, "")
    assert error.startswith("error: ")
    assert message in error
    assert [entry.name for entry in tmp_path.iterdir()] == ["chats.jsonl"]


def test_nothing_is_overwritten_unasked_and_the_input_never(chats, tmp_path, command):
    output = tmp_path / "noisy.jsonl"
    arguments = [chats, "--kind", "garble", "--rate", 0.5, "-o"]
    assert command(*arguments, output)[0] == 0
    assert "exists already" in command(*arguments, output)[2]
    assert command(*arguments, output, "--overwrite")[0] == 0
    code, _, error = command(*arguments, chats, "--overwrite")
    assert (code, "the output is one of the inputs" in error) == (2, True)
