"""`turnwise ledger`: the list a user reads, with texts shown exactly as they are."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from demo import run_main

from turnwise.dialogue import Dialogue, Message
from turnwise.training.ledger import DIALOGUES_NAME, LEDGER_NAME, LEDGER_SCHEMA, write_dialogues_table

LONG = "word " * 60 + "END"


def write_run(folder, rows, dialogues):
    """Rows: (id, turn, epoch, loss, threshold, weight)."""
    folder.mkdir(exist_ok=True, parents=True)
    records = [
        {
            "dialogue_id": name,
            "turn": turn,
            "group": 1,
            "epoch": epoch,
            "step": epoch + 1,
            "num_tokens": 3,
            "loss": loss,
            "threshold": threshold,
            "weight": weight,
            "flagged": threshold is not None and loss > threshold,
        }
        for name, turn, epoch, loss, threshold, weight in rows
    ]
    pq.write_table(pa.Table.from_pylist(records, LEDGER_SCHEMA), folder / LEDGER_NAME)
    if dialogues is not None:
        write_dialogues_table(folder / DIALOGUES_NAME, (dialogue.to_dict() for dialogue in dialogues))
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    talk = [Message("system", "s"), Message("user", "q0"), Message("assistant", "a0"), Message("user", "q1")]
    dialogues = [
        Dialogue([*talk, Message("assistant", LONG)], id="bad"),
        Dialogue([Message("user", "fine"), Message("assistant", "yes")], id="good"),
    ]
    rows = [
        ("good", None, 0, 1.0, None, 1.0),
        ("good", None, 1, 0.5, 1.5, 1.0),
        ("bad", None, 0, 4.0, None, 1.0),
        ("bad", None, 1, 3.0, 2.0, 0.25),
    ]
    return write_run(tmp_path / "run", rows, dialogues)


def test_the_least_reliable_stands_first_with_its_history_and_text(run, monkeypatch, capsys):
    code, out, err = run_main(monkeypatch, capsys, "ledger", run)
    lines = out.splitlines()
    assert code == 0
    assert err == ""
    assert lines[0].strip() == f"least reliable of 2 in {run}"
    first = next(line for line in lines if line.startswith("bad"))
    assert [cell.strip() for cell in first.split("│")][:6] == ["bad", "-", "0.625", "4 3", "- 2", "1 0.25"]
    assert out.index("bad ") < out.index("good ")
    assert "user: q0" in out
    assert "END" not in out, "shortened unless asked for in full"
    assert "…" not in out.split("good ")[1]


def test_in_full_means_every_message_to_its_end(run, monkeypatch, capsys):
    _, out, _ = run_main(monkeypatch, capsys, "ledger", run, "--full")
    assert "END" in out
    assert "user: q1" in out


def test_limit_and_json_give_one_object_last(run, monkeypatch, capsys):
    _, out, _ = run_main(monkeypatch, capsys, "ledger", run, "--limit", "1", "--json")
    found = json.loads(out.splitlines()[-1])
    assert found["run"] == str(run)
    (entry,) = found["entries"]
    assert (entry["dialogue_id"], entry["turn"], entry["mean_weight"], entry["mean_excess"]) == ("bad", None, 0.625, 1)
    assert [row["threshold"] for row in entry["history"]] == [None, 2.0]
    assert entry["dialogue"]["messages"][-1]["content"] == LONG


def test_a_turn_is_shown_with_the_question_before_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    talk = [Message("system", "sys"), Message("user", "q0"), Message("assistant", "a0")]
    talk += [Message("user", "q1"), Message("assistant", "a1")]
    rows = [("d", 0, 0, 1.0, 2.0, 1.0), ("d", 1, 0, 9.0, 2.0, 0.1)]
    run = write_run(tmp_path / "run", rows, [Dialogue(talk, id="d")])
    _, out, _ = run_main(monkeypatch, capsys, "ledger", run, "--limit", "1")
    assert "user: q1" in out
    assert "assistant: a1" in out
    assert "q0" not in out
    assert next(line for line in out.splitlines() if line.startswith("d ")).split("│")[1].strip() == "1"


STRANGE = "[bold]x[/bold] [/] :warning: [link=http://e.vil]y[/link] {z} \\[ back\\"


def test_markup_emoji_names_and_brackets_are_text(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    name = "[red]id[/red] :tada:"
    dialogue = Dialogue([Message("user", STRANGE), Message("assistant", "[/nothing]")], id=name)
    folder = tmp_path / "[bold]run[/bold] :x:"
    write_run(folder, [(name, None, 0, 1.0, None, 1.0)], [dialogue])
    code, out, _ = run_main(monkeypatch, capsys, "ledger", folder)
    assert code == 0
    for text in (STRANGE, "[/nothing]", name, str(folder)):
        assert text in out


def test_control_characters_reach_no_terminal(tmp_path, monkeypatch, capsys):
    """Data can hold escape sequences that recolour, retitle or clear a terminal, and marks that turn text around."""
    monkeypatch.setenv("COLUMNS", "300")
    nasty = "\x1b[31mred\x1b]0;title\x07 \x9b2J \x00\x08 \u202eright"
    dialogue = Dialogue([Message("user", nasty), Message("assistant", "tab\tand\nline")], id="\x1b[2Jd")
    run = write_run(tmp_path / "run", [("\x1b[2Jd", None, 0, 1.0, None, 1.0)], [dialogue])
    _, out, _ = run_main(monkeypatch, capsys, "ledger", run)
    assert not [
        char for char in out if (ord(char) < 32 and char != "\n") or 0x7F <= ord(char) < 0xA0 or char == "\u202e"
    ]
    for shown in (r"\x1b[31mred", r"\x9b2J", r"\x00\x08", r"\u202eright", r"\x1b[2Jd"):
        assert shown in out
    assert "tab and line" in out


def test_text_that_is_not_ascii_is_shown_as_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    dialogue = Dialogue([Message("user", "où est 巴黎 🙂 ?"), Message("assistant", "हिन्दी العربية")], id="会話-é")
    run = write_run(tmp_path / "Läufe", [("会話-é", None, 0, 1.0, None, 1.0)], [dialogue])
    _, out, _ = run_main(monkeypatch, capsys, "ledger", run, "--json")
    for text in ("où est 巴黎 🙂 ?", "हिन्दी العربية", "会話-é", "Läufe"):
        assert text in out


def test_a_ledger_file_alone_lists_without_texts(run, tmp_path, monkeypatch, capsys):
    alone = tmp_path / "copied.parquet"
    shutil.copy(run / LEDGER_NAME, alone)
    code, out, _ = run_main(monkeypatch, capsys, "ledger", alone)
    assert code == 0
    assert "(text not stored with the run)" in out


def test_a_loss_that_is_not_finite_is_first_and_valid_json(tmp_path, monkeypatch, capsys):
    rows = [("a", None, 0, 9.0, 2.0, 0.1), ("nan", None, 0, float("nan"), None, 0.0)]
    run = write_run(tmp_path / "run", rows, None)
    code, out, _ = run_main(monkeypatch, capsys, "ledger", run, "--json")
    assert code == 0
    entries = json.loads(out.splitlines()[-1], parse_constant=pytest.fail)["entries"]
    assert [entry["dialogue_id"] for entry in entries] == ["nan", "a"]
    assert entries[0]["mean_loss"] is None


def test_a_limit_below_one_is_refused(run, monkeypatch, capsys):
    code, out, err = run_main(monkeypatch, capsys, "ledger", run, "--limit", "0")
    assert (code, out) == (2, "")
    assert "--limit" in err
