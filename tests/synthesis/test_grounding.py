"""Where a claimed span stands: verbatim, but for typography, nearly, or nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.synthesis.grounding import NORMALISED, ground

TEXT = (
    "The Forth Bridge was opened on 4 March 1890. It is 2,467 metres long and made of steel.\n"
    "Its engineers, Fowler and Baker, had seen the “old” bridge over the Tay fall — so they built for the wind."
)
CHINESE = "福斯桥于1890年3月4日通车，全长2467米，由钢材建成。它的设计者是福勒和贝克。"
ANY = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@given(ANY, st.data())
def test_a_slice_of_the_text_is_found_at_score_1_where_the_same_text_stands(text, data):
    """Blank slices claim nothing; every other slice stands in the text word for word, by construction."""
    start = data.draw(st.integers(0, len(text) - 1))
    piece = text[start : data.draw(st.integers(start + 1, len(text)))]
    span = ground(piece, text)
    if not piece.strip():
        assert span is None
    else:
        assert span is not None
        assert (span.score, span.text) == (1.0, piece)
        assert text[span.start : span.end] == piece


@given(ANY, ANY, st.floats(0.05, 1.0))
def test_offsets_are_those_of_the_text_and_the_score_tells_verbatim_from_near(find, text, least):
    span = ground(find, text, least=least)
    if span is None:
        assert not find.strip() or find.strip() not in text
        return
    assert 0 <= span.start < span.end <= len(text)
    assert text[span.start : span.end] == span.text
    assert least - 1e-4 <= span.score <= 1
    assert (span.score == 1) == (find.strip() == span.text.strip())


@given(st.text("abcdefgh ", min_size=12, max_size=80).filter(lambda text: len(text.strip()) > 11), st.data())
def test_one_changed_letter_costs_one_edit_at_most(text, data):
    """A letter of the text is replaced by one that does not occur: the text itself aligns with one edit, so the score
    is at least 1 - 1 / length, unless a better place scores more."""
    text = text.strip()
    place = data.draw(st.integers(1, len(text) - 2))
    find = f"{text[:place]}Z{text[place + 1 :]}"
    span = ground(find, text, least=0.5)
    assert span is not None
    length = len(" ".join(find.split()))
    assert span.score >= round(1 - 1 / length, 4) - 1e-4 or text[place] == " "
    assert span.score < 1


@pytest.mark.parametrize(
    ("find", "text", "expected"),
    [
        ('had seen the "old" bridge', TEXT, "had seen the “old” bridge"),
        ("made of steel. Its engineers", TEXT, "made of steel.\nIts engineers"),
        ("THE FORTH BRIDGE", TEXT, "The Forth Bridge"),
        ("fall - so they built", TEXT, "fall — so they built"),
        ('"It is 2,467 metres long..."', TEXT, "It is 2,467 metres long"),
        ("made\u200b of\u00a0steel", TEXT, "made of steel"),
        ("全长2467米,由钢材建成", CHINESE, "全长2467米，由钢材建成"),
        ("１８９０年３月４日", CHINESE, "1890年3月4日"),
        ("cafe\u0301 noir", "Un café noir.", "café noir"),
        ("find the file", "Find the ﬁle here.", "Find the ﬁle"),
        ("STRASSE", "Die Straße da.", "Straße"),
    ],
)
def test_typography_does_not_hide_a_span_and_costs_the_score_of_1(find, text, expected):
    span = ground(find, text)
    assert span is not None
    assert (span.text, span.score) == (expected, NORMALISED)
    assert text[span.start : span.end] == expected


@pytest.mark.parametrize(
    ("find", "expected", "edits", "length"),
    [
        # "were" for "was": two letters substituted and one added; 44 letters are claimed.
        ("The Forth Bridge were opened on 4 March 1890", "The Forth Bridge was opened on 4 March 1890", 3, 44),
        # "made fully of steel": "fully " is in the claim alone, 6 edits; 35 letters are claimed.
        ("metres long and made fully of steel", "metres long and made of steel", 6, 35),
        # "engineers, and Baker" leaves out "Fowler " in the middle: 7 edits; the text's part is the longer one.
        ("Its engineers, and Baker, had seen", "Its engineers, Fowler and Baker, had seen", 7, 41),
    ],
)
def test_a_near_span_scores_one_minus_edits_over_the_longer_side(find, expected, edits, length):
    span = ground(find, TEXT)
    assert span is not None
    assert span.text == expected
    assert span.score == pytest.approx(1 - edits / length, abs=1e-4)


@pytest.mark.parametrize(
    "find",
    [
        "",
        "  \n",
        "The bridge was painted red by volunteers",
        "The Forth Bridge was opened on 4 March 1891",
        "It is 2,567 metres long and made of steel.",
        "全长2468米，由钢材建成",
        "...",
    ],
)
def test_what_the_text_does_not_say_is_not_found(find):
    """A made-up sentence, and sentences that differ in one digit: an alignment never takes a number for another."""
    assert ground(find, TEXT if find.isascii() else CHINESE) is None


def test_the_first_place_between_words_is_taken_and_else_the_first():
    assert ground("art", "A party is art.").start == 11
    assert ground("art", "A party.").start == 3
    assert ground("福勒", CHINESE).start == CHINESE.index("福勒")


def test_the_threshold_decides_and_1_finds_only_what_is_verbatim():
    find = "The Forth Bridge were opened on 4 March 1890"
    assert ground(find, TEXT, least=0.93) is not None
    assert ground(find, TEXT, least=0.94) is None
    assert ground("THE FORTH BRIDGE", TEXT, least=1) is None
    assert ground("The Forth Bridge", TEXT, least=1).score == 1
    for wrong in (0, -1, 1.01):
        with pytest.raises(ValueError, match="least"):
            ground(find, TEXT, least=wrong)


def long_text(words: int, seed: int) -> str:
    """A text whose sentences are all different: numbered words, spelled in letters."""
    import random

    draw = random.Random(seed)
    made = ["".join(draw.choice("aeiou") + draw.choice("bcdfglmnprst") for _ in range(3)) for _ in range(words)]
    return " ".join(f"{word}." if index % 12 == 11 else word for index, word in enumerate(made))


def test_in_a_long_text_the_regions_that_share_n_grams_are_aligned():
    """20,000 characters and a claim of 600 with every 25th letter changed (24 edits): more pairs than are aligned at
    once, so only the regions are."""
    text = long_text(2900, seed=1)[:20_000]
    start = 13_337
    piece = text[start : start + 600].strip()
    find = "".join("X" if index % 25 == 12 else char for index, char in enumerate(piece))
    span = ground(find, text)
    assert span is not None
    assert abs(span.start - text.index(piece)) <= 2
    assert abs(span.end - text.index(piece) - len(piece)) <= 2
    assert span.score == pytest.approx(1 - 24 / len(piece), abs=0.005)


@pytest.mark.parametrize(
    ("find", "text", "found"),
    [
        ("a" * 3000, "a" * 20_000, True),
        ("ab" * 2000, "a" * 20_000, False),
        ("x" * 20_000, "y" * 20_000, False),
        ("x" * 30_000, "x" * 20_000, False),
        ("a" * 19_000 + "b", "a" * 20_000, True),
        ("b", "a" * 20_000, False),
        ("a b " * 900, "a  b  " * 3300, True),
        ("字" * 1500 + "x", "字" * 20_000, True),
        ("\u0301" * 500, "a" + "\u0301" * 600, True),
        ("\u200b\u200b", "nothing", False),
        ("\ud800 lone", "a \ud800 lone one", True),
        ("long", "", False),
    ],
    ids=range(12),
)
def test_adversarial_lengths_and_repetitions_end_and_tell_the_truth(find, text, found):
    span = ground(find, text)
    assert (span is not None) == found
    if span is not None:
        assert text[span.start : span.end] == span.text


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(30, 300))
def test_a_sentence_that_was_never_written_is_not_found(seed, length):
    """Random words against other random words of the same make share far fewer than 80 % of their letters in order."""
    assert ground(long_text(200, seed=seed)[:length], long_text(300, seed=seed + 1)) is None
