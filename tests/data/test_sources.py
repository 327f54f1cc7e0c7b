"""Several inputs, each dialogue with a source."""

from __future__ import annotations

import json

from turnwise.data.read import ReadReport
from turnwise.data.sources import read_with_sources, source_name
from turnwise.dialogue import Dialogue, Message


def chat(*texts, **kwargs):
    messages = [Message(("user", "assistant")[place % 2], text) for place, text in enumerate(texts)]
    return Dialogue(messages, **kwargs)


def test_dialogues_without_a_source_are_named_after_their_input(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(
            "".join(json.dumps(chat("Hi", f"{name} {number}").to_dict()) + "\n" for number in range(3)),
            encoding="utf-8",
        )
    report = ReadReport()
    found = list(read_with_sources([tmp_path / "a.jsonl", str(tmp_path / "b.jsonl")], limit=4, report=report))
    assert [dialogue.source for dialogue in found] == ["a", "a", "a", "b"]
    assert len({dialogue.id for dialogue in found}) == 4
    assert source_name("hf://owner/chats") == "chats"
    assert source_name("data/chats.jsonl.gz") == "chats"
    assert [(file.path.endswith("a.jsonl"), file.read) for file in report.files] == [(True, 3), (False, 1)]


def test_a_source_that_is_given_stays_and_an_id_that_two_inputs_share_is_told_apart(tmp_path):
    for name in ("a", "b"):
        record = chat("Hi", "Ho", id="same", source="given" if name == "a" else None).to_dict()
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(record), encoding="utf-8")
    found = list(read_with_sources([tmp_path / "a.jsonl", tmp_path / "b.jsonl"]))
    assert [(dialogue.id, dialogue.source) for dialogue in found] == [("same", "given"), ("same#2", "b")]
