"""Cutting long documents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.dialogue import Document
from turnwise.synthesis.cut import cut_document, cut_text


def test_cuts_are_at_paragraphs_where_they_fit():
    """Paragraphs of 40, 30 and 50 characters, 124 with the blank lines, at most 80: at least two parts, so 62 each, and
    10 % over is 69. The first two would take 72, so there are three. Four of 30 are 126, 63 each: two by two.
    """
    text = "\n\n".join(["a" * 40, "b" * 30, "c" * 50])
    assert [text[start:end] for start, end in cut_text(text, 80)] == ["a" * 40, "b" * 30, "c" * 50]
    text = "\n\n".join(["a" * 30, "b" * 30, "c" * 30, "d" * 30])
    assert [end - start for start, end in cut_text(text, 80)] == [62, 62]


def test_a_paragraph_that_is_too_long_is_cut_after_sentences_and_a_sentence_at_white_space():
    text = "One two three. Four five six. Seven eight nine."
    assert [text[start:end] for start, end in cut_text(text, 30)] == [
        "One two three.",
        "Four five six.",
        "Seven eight nine.",
    ]
    words = "word " * 20
    assert all(words[start:end].split() == ["word"] * ((end - start + 1) // 5) for start, end in cut_text(words, 24))
    assert cut_text("x" * 50, 20) == [(0, 19), (19, 38), (38, 50)]


def test_parts_know_their_place_in_the_whole():
    text = "\n\n".join(f"Paragraph {number} has some words." for number in range(10))
    parts = list(cut_document(Document("d", text, "T", {"k": 1}), 120))
    assert [part.id for part in parts] == [f"d#part{number}" for number in range(1, len(parts) + 1)]
    for number, part in enumerate(parts, start=1):
        about = part.metadata
        assert text[about["start"] : about["end"]] == part.text
        assert (about["whole"], about["part"], about["parts"], about["k"]) == ("d", number, len(parts), 1)
        assert part.title == "T"


def test_a_short_document_is_left_as_it_is():
    document = Document("d", " short ")
    assert list(cut_document(document, 200)) == [document]


@given(
    st.lists(
        st.sampled_from(["word", "Long.", " ", "\n", "\n\n", "。", "中文", "x" * 30, "\t", ".", "\xa0"]), max_size=60
    ),
    st.integers(5, 60),
)
def test_parts_are_short_in_order_apart_and_leave_out_nothing_but_white_space(pieces, most):
    text = "".join(pieces)
    place = 0
    for start, end in cut_text(text, most):
        assert place <= start < end <= start + most
        assert text[start:end] == text[start:end].strip()
        assert not text[place:start].strip()
        place = end
    assert not text[place:].strip()


@pytest.mark.parametrize("sentences", [7, 40, 101])
def test_parts_are_as_few_as_their_size_allows_give_or_take_one_and_none_is_a_remnant(sentences):
    text = " ".join(f"This is sentence number {number:03} of the text." for number in range(sentences))
    lengths = [end - start for start, end in cut_text(text, 500)]
    assert len(lengths) - -(-len(text) // 500) in (0, 1)
    assert len(lengths) == 1 or min(lengths) > 200
