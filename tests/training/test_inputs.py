"""Where the dialogues of a run come from, and what they are called."""

from __future__ import annotations

from turnwise.data.write import write_dialogues
from turnwise.dialogue import Dialogue, Message
from turnwise.training.fit import DataSource
from turnwise.training.inputs import read_sources


def test_a_source_is_the_configured_one_then_the_dialogues_own_then_the_file(tmp_path):
    messages = [Message("user", "hello"), Message("assistant", "hi")]
    dialogues = [Dialogue(messages, id="own", source="forum"), Dialogue(messages, id="none")]
    write_dialogues(iter(dialogues), tmp_path / "chats.jsonl")

    def sources(named_by_file=True, **options):
        asked = [DataSource(path=str(tmp_path / "chats.jsonl"), **options)]
        return [dialogue.source for dialogue in read_sources(asked, "stop", named_by_file=named_by_file)[0]]

    assert sources() == ["forum", "chats"]
    assert sources(source="mine") == ["mine", "mine"]
    assert sources(named_by_file=False) == ["forum", None]
