"""Words, repetition, overlap, diversity: each against a value derived by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.quality.repetition import (
    copies_request,
    distinct_n,
    history_overlap,
    repeated_share,
    shared_share,
    type_token_ratio,
)
from turnwise.quality.words import content_terms, ngrams, words

tokens = st.lists(st.sampled_from("abcdef"), max_size=120)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is the capital of France? The capital of France is Paris.", 12),
        ("What is the population of Paris? The population of Paris is 2.1 million.", 13),
        ("I don't use e-mail, foo_bar or a/b.", 7),
        ("5 + 3 = 8", 5),
        ("我爱北京。", 4),
        ("去 Paris 玩", 3),
        ("... !? — 「」", 0),
        ("", 0),
    ],
)
def test_words_are_counted_without_punctuation_and_with_numbers_and_signs(text, expected):
    """The first two are the paper's examples of the information density: 12 words, and 12 + 13 = 25."""
    assert len(words(text)) == expected


def test_content_terms_leave_out_function_words_and_pair_chinese_characters():
    """我 and 的 break the pairs of 我喜欢北京的天气; 欢北 spans two words and is a pair all the same."""
    assert content_terms(words("I like the weather of Paris")) == {"weather", "paris"}
    assert content_terms(words("我喜欢北京的天气")) == {"喜欢", "欢北", "北京", "天气"}


def test_repetition_within_a_reply_by_hand():
    """a b c d a b c d: 4-grams abcd bcda cdab dabc abcd, five of them, four distinct."""
    assert repeated_share(list("abcdabcd")) == pytest.approx(1 / 5)
    assert repeated_share(list("abc")) is None
    assert repeated_share(list("abcdefgh")) == 0


def test_repetition_between_replies_by_hand():
    """abcde has abcd and bcde; of them the earlier abcdx holds abcd."""
    assert shared_share(list("abcde"), set(ngrams(list("abcdx"), 4))) == 0.5
    assert shared_share(list("abc"), set()) is None


def test_overlap_with_earlier_turns_by_hand():
    """Of the reply's terms (garden, roses, need, water) the request holds water; of the other three, earlier turns
    hold roses and garden.
    """
    reply, request = (content_terms(words(said)) for said in ("The roses in the garden need water", "How about water?"))
    assert history_overlap(reply, request, {"roses", "garden", "sun"}) == pytest.approx(2 / 3)
    assert history_overlap({"water"}, request, {"water"}) is None


def test_a_copy_says_the_request_again():
    request = words("Please tell me the name of the largest lake in the world")
    assert copies_request(request, request)
    assert copies_request(words("Tell me the name of the largest lake in the world"), request)
    assert not copies_request(words("The largest lake in the world is the Caspian Sea, a salt lake"), request)
    assert not copies_request(words("Yes"), words("Yes"))


def test_diversity_by_hand():
    """a b a b: two of four words, two of three pairs are distinct. With windows of 2 over a a b: {a}, {a, b}: (1 + 2)
    / 2 / 2.
    """
    assert distinct_n([list("abab")], 1) == 0.5
    assert distinct_n([list("abab")], 2) == pytest.approx(2 / 3)
    assert distinct_n([list("ab"), list("ab")], 2) == 0.5
    assert distinct_n([], 1) is None
    assert type_token_ratio(list("aab"), window=2) == pytest.approx(3 / 4)
    assert type_token_ratio(list("aab")) == pytest.approx(2 / 3)
    assert type_token_ratio([]) is None


@given(tokens, st.integers(1, 9))
def test_the_moving_ratio_is_the_mean_over_all_windows(said, window):
    found = type_token_ratio(said, window)
    if not said:
        assert found is None
        return
    width = min(window, len(said))
    starts = range(len(said) - width + 1)
    assert found == pytest.approx(sum(len(set(said[at : at + width])) / width for at in starts) / len(starts))


@given(tokens)
def test_shares_stay_between_0_and_1_and_a_doubled_text_repeats_more(said):
    share = repeated_share(said)
    assert share is None or 0 <= share < 1
    doubled = repeated_share(said + said)
    assert doubled is None or share is None or doubled >= share


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_fast_way_for_ascii_finds_the_same_words(text):
    """A character beyond ASCII, apart from the rest, takes the slow way and is one word more."""
    assert words(f"{text} \n é") == [*words(text), "é"]
