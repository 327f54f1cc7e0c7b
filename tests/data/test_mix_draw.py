"""Draws, parts and orders of mixtures."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.data.mix_draw import KEY_RANGE, apportion, draw_key, interleave, is_drawn, lowest, shuffle_buffer

weights = st.lists(st.floats(0.01, 100), min_size=1, max_size=6)


def drawn(number, count):
    return lowest(range(number), count, key=lambda item: draw_key("x", item), place=lambda item: item)


def test_a_draw_key_is_a_fixed_hash_of_its_parts():
    """What `printf turnwise/mix/0/a/3 | b2sum -l 64` says; another value would change every mixture ever made."""
    assert draw_key(0, "a", 3) == 11666550849159839926
    assert draw_key(0, "a", 3) != draw_key(1, "a", 3) != draw_key(0, "b", 3)


def test_draws_are_uniform():
    """Of 2000 items 500 are drawn, so each tenth holds 50 in expectation; the variance of a count is
    200 * 1/4 * 3/4 * 1800/1999 = 33.8, and 5 standard deviations are 29.
    """
    tenths = Counter(item // 200 for item in drawn(2000, 500))
    assert all(abs(tenths[tenth] - 50) <= 29 for tenth in range(10))


@given(number=st.integers(0, 40), counts=st.tuples(st.integers(0, 45), st.integers(0, 45)))
def test_a_smaller_draw_is_part_of_a_larger_one_and_both_keep_the_order(number, counts):
    less, more = (drawn(number, count) for count in sorted(counts))
    assert set(less) <= set(more)
    assert less == sorted(less)
    assert len(more) == min(max(counts), number)


def test_a_share_drawn_one_by_one_is_the_keys_below_it():
    assert is_drawn(KEY_RANGE // 4, 0.26)
    assert not is_drawn(KEY_RANGE // 4, 0.25)
    assert is_drawn(KEY_RANGE - 1, 1.0)


@pytest.mark.parametrize(
    ("size", "given_weights", "counts"),
    [
        (10, [1, 1, 1], [4, 3, 3]),  # quotas 3 1/3 each: the one left over goes to the first
        (7, [0.5, 0.25, 0.25], [3, 2, 2]),  # quotas 3.5, 1.75, 1.75: the larger remainders win, not the larger quota
        (1, [1, 2], [0, 1]),
        (0, [3], [0]),
    ],
)
def test_parts_by_largest_remainders(size, given_weights, counts):
    assert apportion(size, given_weights) == counts


@given(size=st.integers(0, 10_000), given_weights=weights)
def test_parts_add_up_and_are_quotas_rounded_up_or_down(size, given_weights):
    counts = apportion(size, given_weights)
    assert sum(counts) == size
    total = sum(map(Fraction, given_weights))
    assert all(
        abs(count - size * Fraction(weight) / total) < 1 for count, weight in zip(counts, given_weights, strict=True)
    )


def test_interleaving_by_hand():
    """Weights 2 and 1: the next values are a 1/4, 3/4, 5/4 ... and b 1/2, 3/2: a b a a b a (a first at 5/4 < 3/2)."""
    assert "".join(interleave(["aaaa", "bb"], [2, 1])) == "abaaba"


def test_a_stream_that_runs_out_leaves_its_part_to_the_others():
    """a b, then a has run out and b and c take turns."""
    assert "".join(interleave(["a", "bbb", "cc"], [1, 1, 1])) == "abcbcb"


@given(given_weights=weights, data=st.data())
def test_every_stretch_of_two_streams_holds_their_parts(given_weights, data):
    """At every point each of two endless streams is less than one item away from its part."""
    pair = (given_weights * 2)[:2]
    length = data.draw(st.integers(1, 60))
    merged = interleave([iter(lambda: 0, 1), iter(lambda: 1, 0)], pair)
    found = [next(merged) for _ in range(length)]
    for place, weight in enumerate(pair):
        assert abs(found.count(place) - length * weight / sum(pair)) < 1 + 1e-9


@given(st.lists(st.lists(st.integers(), max_size=8), min_size=1, max_size=4), st.data())
def test_interleaving_drops_nothing_and_keeps_each_order(streams, data):
    given_weights = data.draw(st.lists(st.floats(0.1, 9), min_size=len(streams), max_size=len(streams)))
    labelled = [[(place, item) for item in stream] for place, stream in enumerate(streams)]
    merged = list(interleave(labelled, given_weights))
    for place, stream in enumerate(labelled):
        assert [item for item in merged if item[0] == place] == stream


@given(number=st.integers(0, 60), size=st.integers(1, 70), seed=st.integers(0, 5))
def test_a_shuffle_buffer_permutes_and_lets_nothing_out_before_it_was_read(number, size, seed):
    shuffled = list(shuffle_buffer(iter(range(number)), size, seed))
    assert sorted(shuffled) == list(range(number))
    assert all(item < place + size for place, item in enumerate(shuffled))
    assert shuffled == list(shuffle_buffer(range(number), size, seed))
    if size == 1:
        assert shuffled == list(range(number))


def test_a_shuffle_buffer_as_large_as_the_stream_reaches_every_order():
    assert len({tuple(shuffle_buffer(range(3), 3, seed)) for seed in range(60)}) == 6
