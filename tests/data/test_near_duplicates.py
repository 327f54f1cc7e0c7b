"""Near duplicates are those that comparing all pairs finds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.data.near_duplicates import MISS, NUM_PERMUTATIONS, NearDuplicates, bands, shingles, similarity
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError


def dialogue(text, reply="ok"):
    return Dialogue([Message("user", text), Message("assistant", reply)])


def by_comparing_all(dialogues, threshold):
    kept, found = [], []
    for one in map(shingles, dialogues):
        is_near = any(similarity(one, other) >= threshold for other in kept)
        found.append(is_near)
        kept += [] if is_near else [one]
    return found


def sequence(text):
    return Dialogue([Message("user", text)])


def test_shingles_are_five_words_in_a_row():
    """`user a b c d e` are 6 words, so 2 shingles; with one more word 3, of which 2 are the same: 2/3."""
    assert len(shingles(sequence("a b c d e"))) == 2
    assert similarity(shingles(sequence("a b c d e")), shingles(sequence("a b c d e f"))) == pytest.approx(2 / 3)
    assert len(shingles(sequence("a"))) == 1  # fewer words than five are one shingle


def test_case_and_white_space_do_not_count():
    assert shingles(dialogue("One  TWO\nthree")) == shingles(dialogue("one two three"))


def test_a_character_of_chinese_is_a_word_and_scripts_mix():
    """`user` and 5 characters are 6 words, so 2 shingles; `GPT` within them is one word more."""
    assert len(shingles(sequence("你好世界吗"))) == 2
    assert len(shingles(sequence("你好GPT世界吗"))) == 3


def test_who_says_what_counts():
    one = Dialogue([Message("user", "a b c d e f"), Message("assistant", "g")])
    other = Dialogue([Message("assistant", "a b c d e f"), Message("user", "g")])
    assert shingles(one) != shingles(other)


def test_what_is_said_without_text_counts():
    calling = dialogue("q")
    calling.messages[1].tool_calls = [{"function": {"name": "f"}}]
    image, other_image = (dialogue([{"type": "image", "url": url}]) for url in "ab")
    assert len({shingles(one) for one in (dialogue("q"), calling, image, other_image)}) == 4


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.9])
def test_bands_miss_a_pair_at_the_threshold_rarely_enough_and_one_more_row_would_not(threshold):
    """A pair of similarity s is missed with the probability (1 - s^r)^b."""
    number, rows = bands(threshold)
    assert number * rows <= NUM_PERMUTATIONS
    assert (1 - threshold**rows) ** number <= MISS
    assert (1 - threshold ** (rows + 1)) ** (NUM_PERMUTATIONS // (rows + 1)) > MISS


def test_bands_at_the_ends():
    """Equal dialogues agree in every row; of a similarity near 0 even one row misses most, and one row is taken."""
    assert bands(1.0) == (2, NUM_PERMUTATIONS // 2)
    assert bands(0.001) == (NUM_PERMUTATIONS, 1)


@settings(max_examples=60, deadline=None, derandomize=True)  # a pair at the threshold may be missed once in 10000
@given(
    texts=st.lists(st.lists(st.sampled_from("abc"), max_size=14), max_size=12),
    threshold=st.sampled_from([0.3, 0.5, 0.8, 1.0]),
)
def test_finds_what_comparing_all_pairs_finds(texts, threshold):
    dialogues = [dialogue(" ".join(words)) for words in texts]
    known = NearDuplicates(threshold)
    assert [known.add(one) for one in dialogues] == by_comparing_all(dialogues, threshold)


def test_the_threshold_means_what_it_says():
    """`user w0 ... w9` has 7 shingles. One more word: 7 of 8 common, 0.875. Two more: 7 of 9, 0.778."""
    words = [f"w{number}" for number in range(12)]
    first, near, far = (sequence(" ".join(words[:count])) for count in (10, 11, 12))
    known = NearDuplicates(0.875)
    assert [known.add(one) for one in (first, near, far)] == [False, True, False]


def test_few_pairs_are_compared():
    """Unlike texts are not compared with each other: 300 of them would be 44 850 pairs."""
    known = NearDuplicates(0.8)
    for number in range(300):
        assert not known.add(dialogue(" ".join(f"{number}/{word}" for word in range(20))))
    assert known.compared < 50


@pytest.mark.parametrize("threshold", [0, -1, 1.1])
def test_thresholds_out_of_range_are_refused(threshold):
    with pytest.raises(ConfigError, match="a threshold above 0 and up to 1"):
        NearDuplicates(threshold)
