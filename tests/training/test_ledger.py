"""The ledger: order, gaps, growth and strange values, with every number derived by hand."""

from __future__ import annotations

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import RunError
from turnwise.training.ledger import (
    DIALOGUES_NAME,
    LEDGER_NAME,
    LEDGER_SCHEMA,
    Ledger,
    LedgerWriter,
    write_dialogues_table,
)


def rows(*given):
    """(id, turn, epoch, loss, threshold, weight, flagged) in columns; the step is 10 * epoch + 1."""
    keys = ("dialogue_id", "turn", "epoch", "loss", "threshold", "weight", "flagged")
    columns = {key: [row[number] for row in given] for number, key in enumerate(keys)}
    columns |= {"group": [0] * len(given), "num_tokens": [5] * len(given)}
    columns["step"] = [10 * epoch + 1 for epoch in columns["epoch"]]
    return columns


def ledger(*given, dialogues=None):
    columns = rows(*given)
    return Ledger(pa.Table.from_pydict({key: columns[key] for key in LEDGER_SCHEMA.names}, LEDGER_SCHEMA), dialogues)


NAN = math.nan


def test_units_are_ordered_by_weight_then_excess_then_loss_then_name():
    """Mean weights 0 (d), 0.5 (a, c), 1 (the rest).

    Excess a: (4-2 + 3-2)/2 = 1.5, c: (5-3)/1 = 2, so c comes first. With weight 1, e was never judged: after b, whose
    excess is -1; e and f are unjudged alike, f has the higher loss; g and h are equal, so the name decides.
    """
    table = ledger(
        ("a", None, 0, 4.0, 2.0, 0.4, True),
        ("a", None, 1, 3.0, 2.0, 0.6, True),
        ("b", None, 0, 1.0, 2.0, 1.0, False),
        ("c", None, 0, 5.0, 3.0, 0.5, True),
        ("d", None, 0, NAN, None, 0.0, False),
        ("e", None, 0, 1.0, None, 1.0, False),
        ("f", None, 0, 2.0, None, 1.0, False),
        ("h", None, 0, 0.5, None, 1.0, False),
        ("g", None, 0, 0.5, None, 1.0, False),
    ).by_unit()
    assert table["dialogue_id"].to_pylist() == ["d", "c", "a", "b", "f", "e", "g", "h"]
    found = {row["dialogue_id"]: row for row in table.to_pylist()}
    assert found["a"]["mean_weight"] == pytest.approx(0.5)
    assert (found["a"]["mean_loss"], found["a"]["mean_excess"]) == (3.5, 1.5)
    assert (found["a"]["flagged"], found["a"]["epochs"]) == (2, 2)
    assert found["e"]["mean_excess"] is None
    assert math.isnan(found["d"]["mean_loss"])


def test_an_epoch_in_which_a_unit_was_not_judged_does_not_count_for_its_excess():
    """Loss 9 in the warm-up without threshold, then loss 3 over threshold 2: excess 1."""
    table = ledger(("a", None, 0, 9.0, None, 1.0, False), ("a", None, 1, 3.0, 2.0, 0.5, True)).by_unit()
    assert table["mean_excess"].to_pylist() == [1.0]
    assert table["mean_loss"].to_pylist() == [6.0]
    assert table["flagged"].to_pylist() == [1]


def test_turns_of_a_dialogue_are_units_of_their_own_in_their_order():
    table = ledger(
        ("a", 1, 0, 1.0, 2.0, 1.0, False), ("a", 0, 0, 1.0, 2.0, 1.0, False), ("a", 2, 0, 5.0, 2.0, 0.2, True)
    )
    assert table.by_unit()["turn"].to_pylist() == [2, 0, 1]
    entries = table.least_reliable(2)
    assert [(entry.turn, entry.flagged) for entry in entries] == [(2, 1), (0, 0)]
    assert entries[0].history == [
        {"epoch": 0, "step": 1, "loss": 5.0, "threshold": 2.0, "weight": pytest.approx(0.2), "flagged": True}
    ]


def test_entries_hold_their_history_in_order_of_epochs_and_are_json():
    entry = ledger(("a", None, 1, NAN, None, 0.0, False), ("a", None, 0, 3.0, 2.5, 0.5, True)).least_reliable()[0]
    assert [row["epoch"] for row in entry.history] == [0, 1]
    assert [row["step"] for row in entry.history] == [1, 11]
    assert [row["loss"] for row in entry.history] == [3.0, None]
    record = entry.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["mean_loss"] is None
    assert record["dialogue"] is None


def test_written_dialogues_come_back_with_their_entries(tmp_path):
    dialogues = [
        Dialogue([Message("user", "é会🙂"), Message("assistant", [{"type": "text", "text": "b"}])], id="a", tier="low"),
        Dialogue([Message("user", "q")], id="b", source="s", metadata={"noise": {"kind": "swap", "turns": [0]}}),
        Dialogue([Message("user", "lone \udce9")], id="c\udce9", source="s\udce9", tier="t\udce9"),
    ]
    path = tmp_path / DIALOGUES_NAME
    assert write_dialogues_table(path, (dialogue.to_dict() for dialogue in dialogues)) == 3
    found = ledger(
        ("a", None, 0, 1.0, 2.0, 0.1, True), ("b", None, 0, 1.0, 2.0, 0.2, True), ("x", None, 0, 1.0, 2.0, 1.0, False),
        dialogues=path,
    )  # fmt: skip
    entries = {entry.dialogue_id: entry for entry in found.least_reliable()}
    assert Dialogue.from_dict(entries["a"].record) == dialogues[0]
    assert entries["b"].noise == {"kind": "swap", "turns": [0]}
    assert (entries["x"].record, entries["x"].noise, entries["a"].noise) == (None, None, None)
    assert found.noise_labels() == {"b": {"kind": "swap", "turns": [0]}}
    stored = pq.read_table(path).to_pylist()
    # A lone surrogate is no UTF-8, which is all that Parquet holds.
    assert (stored[2]["id"], stored[2]["source"], stored[2]["tier"]) == ("c?", "s?", "t?")
    assert json.loads(stored[2]["record"])["messages"][0]["content"] == "lone ?"


def test_many_dialogues_are_written_whole(tmp_path):
    """More than the 5,000 rows that are written at a time."""
    records = ({"id": str(number), "messages": []} for number in range(10_001))
    assert write_dialogues_table(tmp_path / "d.parquet", records) == 10_001
    assert pq.read_table(tmp_path / "d.parquet")["id"].to_pylist() == [str(number) for number in range(10_001)]


def test_a_run_still_training_shows_the_rows_of_its_last_checkpoint(tmp_path):
    writer = LedgerWriter(tmp_path)
    writer.append(rows(("a", None, 0, 1.0, 2.0, 0.5, True)))
    with pytest.raises(RunError, match="no ledger found"):
        Ledger.open(tmp_path)
    writer.flush(1)
    writer.append(rows(("b", None, 0, 1.0, 2.0, 0.5, True)))
    assert Ledger.open(tmp_path).table["dialogue_id"].to_pylist() == ["a"]
    writer.close(2)
    assert Ledger.open(tmp_path).table["dialogue_id"].to_pylist() == ["a", "b"]
    assert Ledger.open(tmp_path / LEDGER_NAME).table.num_rows == 2
    assert [path.name for path in tmp_path.iterdir()] == [LEDGER_NAME]


def test_flushing_nothing_writes_nothing_and_an_empty_ledger_is_one(tmp_path):
    writer = LedgerWriter(tmp_path)
    writer.flush(1)
    assert list(tmp_path.iterdir()) == []
    writer.close(1)
    opened = Ledger.open(tmp_path)
    assert opened.by_unit().num_rows == 0
    assert opened.least_reliable() == []


def test_parts_join_in_the_order_of_steps_not_of_names(tmp_path):
    writer = LedgerWriter(tmp_path)
    for step in (9, 10, 100):
        writer.append(rows((f"d{step}", None, 0, 1.0, None, 1.0, False)))
        writer.flush(step)
    writer.close(100)
    assert Ledger.open(tmp_path).table["dialogue_id"].to_pylist() == ["d9", "d10", "d100"]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("no parquet"),
        lambda path: path.write_bytes(b""),
        lambda path: pq.write_table(pa.table({"x": [1]}), path),
        lambda path: pq.write_table(pa.table({name: ["text"] for name in LEDGER_SCHEMA.names}), path),
    ],
    ids=["text", "empty", "other columns", "other types"],
)
def test_what_is_no_ledger_is_refused_with_its_path(tmp_path, make):
    make(tmp_path / LEDGER_NAME)
    for given in (tmp_path, tmp_path / LEDGER_NAME):
        with pytest.raises(RunError, match="not a ledger of turnwise") as caught:
            Ledger.open(given)
        assert str(tmp_path / LEDGER_NAME) in str(caught.value)


def test_no_ledger_at_all_is_told(tmp_path):
    with pytest.raises(RunError, match="no ledger found"):
        Ledger.open(tmp_path / "nothing")
