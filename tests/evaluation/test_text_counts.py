"""Counts that stand in for NLTK and the emoji package; every expected number is counted by hand."""

from __future__ import annotations

import pytest

from turnwise.evaluation.text_counts import count_sentences, count_words, is_emoji, script_shares


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("   \n", 0),
        ("One", 1),
        ("One. Two! Three?", 3),
        ("no capitals here. nor here.", 2),
        ("Dr. Smith met Mr. Jones.", 1),
        ("J. R. Smith wrote it. Well done.", 2),
        ("The plan is plan B. It works.", 1),  # as an initial before a capital
        ("We eat fruit, e.g. apples, etc. at noon.", 1),
        ("He left at 5 p.m. She stayed.", 2),
        ("Wait... what?", 1),
        ("No!!! Really?!", 2),
        ('He said "Stop!" and left.', 2),
        ("(Inside.) Outside.", 2),
        ("3.14 is pi. 2.5 is not.", 2),
        ("a list\n* first\n* second", 1),
        ("1. This is one. 2. And two.", 4),
        ("今天很好。明天呢？好！", 3),
        ("这是第一句。This is the second.", 2),
        ("***", 0),
    ],
)
def test_sentences_end_at_end_marks(text, expected):
    assert count_sentences(text) == expected


def test_words_are_pieces_between_white_space():
    assert count_words(" well-known  words,\nthree ") == 3


@pytest.mark.parametrize("character", "😀🎉☀❤⭐🇩🪿🏽©")
def test_pictographs_are_emoji(character):
    assert is_emoji(character)


@pytest.mark.parametrize("character", "a1#*字é·→\u200d")
def test_letters_digits_and_marks_are_no_emoji(character):
    assert not is_emoji(character)


def test_script_shares_are_over_letters_only():
    assert script_shares("ab вг 12!") == {"LATIN": 0.5, "CYRILLIC": 0.5}
    assert script_shares("12 !") == {}
