"""Exact duplicates."""

from __future__ import annotations

from turnwise.data.dedup import DuplicateCounter, content_key, drop_duplicates
from turnwise.dialogue import Dialogue, Message


def dialogue(text, **fields):
    return Dialogue([Message("user", text), Message("assistant", "a")], **fields)


def test_ids_labels_and_weights_do_not_make_a_dialogue_another():
    labelled = dialogue("q", id="other", tier="low", metadata={"x": 1})
    labelled.messages[1].weight = 0.5
    labelled.messages[0].extra = {"rating": 1}
    assert content_key(labelled) == content_key(dialogue("q"))


def test_roles_contents_calls_and_tools_do():
    base = dialogue("q")
    swapped = Dialogue([Message("assistant", "q"), Message("user", "a")])
    calling = dialogue("q")
    calling.messages[1].tool_calls = [{"function": {"name": "f"}}]
    others = [dialogue("q "), swapped, calling, dialogue("q", tools="[]")]
    assert len({content_key(other) for other in [base, *others]}) == 5


def test_the_first_of_each_content_stays():
    """a b a a b: two contents repeat, three dialogues are copies."""
    counter = DuplicateCounter()
    dialogues = [dialogue(text, id=str(number)) for number, text in enumerate("abaab")]
    assert [kept.id for kept in drop_duplicates(dialogues, counter)] == ["0", "1"]
    assert (counter.copies, counter.groups) == (3, 2)
