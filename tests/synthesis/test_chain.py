"""From what a mode wrote to the record of a dialogue."""

from __future__ import annotations

import pytest

from turnwise.dialogue import Document
from turnwise.synthesis.chain import (
    ChainTurn,
    Span,
    Written,
    cut_after,
    failed,
    grounded_share,
    language_of,
    to_dialogue,
)

TEXT = "The bridge was built in 1901. It is made of iron."
DOCUMENT = Document(id="d/1", text=TEXT, title="Bridge")


class Plain:
    name = "extractive"
    teacher = None

    async def write(self, document):
        raise NotImplementedError


def turn(**changes):
    return ChainTurn(
        **{
            "user": "When?",
            "assistant": "In 1901.",
            "logic": "question-answer",
            "search": ("built",),
            "find": "built in 1901",
            "span": Span(15, 28, "built in 1901"),
            **changes,
        }
    )


def test_a_dialogue_carries_the_offsets_of_its_evidence_and_the_thought_of_every_turn():
    plain = ChainTurn("Thanks!", "You are welcome.")
    dialogue = to_dialogue(DOCUMENT, Written((plain, turn()), checks={"grounded": 1.0}), Plain())
    assert [message.role for message in dialogue.messages] == ["user", "assistant"] * 2
    (evidence,) = dialogue.evidence
    assert evidence == {
        "message": 3,
        "document": "d/1",
        "start": 15,
        "end": 28,
        "text": "built in 1901",
        "score": 1.0,
    }
    assert TEXT[evidence["start"] : evidence["end"]] == evidence["text"]
    assert dialogue.messages[3].extra == {"logic": "question-answer", "search": ["built"], "find": "built in 1901"}
    assert dialogue.messages[1].extra == {}
    assert dialogue.id == "d/1/extractive"
    assert dialogue.metadata == {
        "document": "d/1",
        "title": "Bridge",
        "language": "en",
        "mode": "extractive",
        "checks": {"grounded": 1.0},
    }


def test_a_span_that_is_not_the_documents_text_is_refused():
    with pytest.raises(ValueError, match="not the document's text"):
        to_dialogue(DOCUMENT, Written((turn(span=Span(14, 27, "built in 1901")),)), Plain())


def test_what_failed_is_no_dialogue():
    with pytest.raises(ValueError, match="malformed"):
        to_dialogue(DOCUMENT, failed("malformed", "no JSON", raw=["x"]), Plain())


def test_the_grounded_share_is_over_claimed_spans_alone():
    """Two claims, one found; a turn from common knowledge claims nothing."""
    assert grounded_share([turn(), turn(span=None), turn(find="", span=None)]) == 0.5
    assert grounded_share([turn(find="", span=None)]) is None


@pytest.mark.parametrize(
    ("text", "language"),
    [("Hello there", "en"), ("你好，世界", "zh"), ("", "en"), ("The word 你 means you", "en"), ("GPU 加速 训练", "zh")],
)
def test_a_fifth_of_chinese_letters_makes_a_chinese_text(text, language):
    assert language_of(text) == language


def test_a_cut_keeps_the_first_turns_and_says_so():
    cut = cut_after(Written((turn(), turn(), turn()), checks={"a": 1}), 1, cut=2)
    assert (len(cut.turns), cut.checks) == (1, {"a": 1, "cut": 2})
