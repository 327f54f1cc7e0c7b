"""Rows of tables: expected values by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.evaluation.tables import flip_rate, pairs_of, score_rows, spread_rows, win_rate_rows
from turnwise.judging.records import Judgment


def scored(item, score, *, turn=0, sample=0, category="math", unscored="unparsable") -> Judgment:
    return Judgment(
        item,
        turn,
        "m",
        "j",
        score=score,
        unscored=None if score is not None else unscored,
        sample=sample,
        metadata={"category": category},
    )


def compared(item, position, winner, *, sample=0, turn=0) -> Judgment:
    return Judgment(
        item,
        turn,
        "m",
        "j",
        winner=winner,
        unscored=None if winner else "empty",
        baseline="b",
        position=position,
        sample=sample,
    )


def by_category(judgment: Judgment) -> str | None:
    return judgment.metadata.get("category")


def test_means_are_over_scored_judgments_and_unscored_ones_are_counted_by_reason():
    """Scores 4, 8 and 9: mean 7 of n = 3; math has 4 and 8, mean 6; two unparsable, one refused."""
    judgments = [
        scored("a", 4),
        scored("b", 8),
        scored("c", 9, category="writing"),
        scored("d", None),
        scored("e", None),
        scored("f", None, unscored="refused"),
    ]
    total, math, writing = score_rows(judgments, by_category)
    assert (total.name, total.mean, total.n, total.unscored) == ("all", 7, 3, {"refused": 1, "unparsable": 2})
    assert total.num_unscored == 3
    assert (math.name, math.mean, math.n) == ("math", 6, 2)
    assert (writing.mean, writing.n, writing.low, writing.high) == (9, 1, None, None)


def test_the_mean_is_over_all_rows_and_not_of_the_turn_means():
    """Turn 0 has 10 and 10, turn 1 has 1: mean of rows 7, mean of turn means 5.5."""
    judgments = [scored("a", 10), scored("b", 10), scored("a", 1, turn=1), scored("b", None, turn=1)]
    assert score_rows(judgments, lambda one: f"turn {one.turn}")[0].mean == 7


def test_the_interval_holds_whole_items_together():
    """Two items, each with the same score in all turns: every draw is 2, 5 or 8, so the interval is exactly 2 to 8."""
    judgments = [scored(item, score, turn=turn) for item, score in (("a", 2), ("b", 8)) for turn in range(4)]
    row = score_rows(judgments, by_category)[0]
    assert (row.mean, row.n, row.low, row.high) == (5, 8, 2, 8)


def test_no_judgments_give_a_total_row_without_a_mean():
    (row,) = score_rows([], by_category)
    assert (row.mean, row.n, row.low, row.high, row.unscored) == (None, 0, None, None, {})
    assert score_rows([], by_category, total=None) == []


def test_order_comes_first_and_absent_names_give_no_row():
    judgments = [scored("a", 1, category="x"), scored("b", 1, category="y"), scored("c", 1, category="z")]
    rows = score_rows(judgments, by_category, order=["z", "w", "y"], total=None)
    assert [row.name for row in rows] == ["z", "y", "x"]


def test_a_judgment_without_a_group_counts_in_the_total_alone():
    rows = score_rows([scored("a", 1), scored("b", 3)], lambda one: None if one.item == "b" else "g")
    assert [(row.name, row.mean, row.n) for row in rows] == [("all", 2, 2), ("g", 1, 1)]


def test_repeats_give_their_median_as_one_score():
    """Samples 1, 9, 8 of one answer: median 8; with the other answer's 4 the mean is 6 of n = 2 (not 5.5 of 4)."""
    judgments = [scored("a", 1), scored("a", 9, sample=1), scored("a", 8, sample=2), scored("b", 4)]
    row = score_rows(judgments, by_category)[0]
    assert (row.mean, row.n) == (6, 2)
    each = score_rows(judgments, by_category, repeats="each")[0]
    assert (each.mean, each.n) == (5.5, 4)


def test_an_unscored_repeat_is_counted_and_leaves_the_median_to_the_others():
    row = score_rows([scored("a", 2), scored("a", None, sample=1), scored("a", 4, sample=2)], by_category)[0]
    assert (row.mean, row.n, row.unscored) == (3, 1, {"unparsable": 1})


def test_spread_is_the_mean_range_of_repeated_answers():
    """Ranges 8 (1 to 9) and 0: mean 4 of 2 answers, one moved; the answer judged once has no spread."""
    judgments = [scored("a", 1), scored("a", 9, sample=1), scored("b", 4), scored("b", 4, sample=1), scored("c", 5)]
    row = spread_rows(iter(judgments), by_category)[0]
    assert (row.mean, row.n, row.counts) == (4, 2, {"moved": 1})
    assert spread_rows([scored("a", 1)], by_category) == []


PAIRS = [
    *(compared("a", "first", "model"), compared("a", "second", "model")),  # win
    *(compared("b", "first", "model"), compared("b", "second", "baseline")),  # the first one wins twice: a tie
    *(compared("c", "first", "tie"), compared("c", "second", "model")),  # one tie: a tie
    *(compared("d", "first", "baseline"), compared("d", "second", "baseline")),  # loss
    *(compared("e", "first", "baseline"), compared("e", "second", "model")),  # the second one wins twice: a tie
    *(compared("f", "first", None), compared("f", "second", "model")),  # dropped
    compared("g", "first", "model"),  # dropped
]


def test_win_rates_follow_fastchat():
    """One win, three ties, one loss of five pairs: (1 + 1.5) / 5 = 0.5; two pairs dropped and counted."""
    (row,) = win_rate_rows(PAIRS, lambda one: None)
    assert (row.mean, row.n) == (0.5, 5)
    assert row.counts == {"win": 1, "tie": 3, "loss": 1}
    assert row.unscored == {"empty": 1, "one order": 1}


def test_flips_tell_which_place_won():
    """Of five pairs a and d agree; b prefers the first place, e the second, c has one tie: 3 of 5 flip."""
    row = flip_rate(PAIRS)
    assert (row.mean, row.n) == (0.6, 5)
    assert row.counts == {"agree": 2, "first": 1, "second": 1, "half": 1}


def test_repeats_of_a_pair_do_not_raise_n():
    """Item a wins twice and ties once (5/6), item b loses: mean (5/6 + 0) / 2 = 5/12 of n = 2."""
    judgments = [
        compared("a", position, winner, sample=sample)
        for sample, winner in enumerate(["model", "model", "tie"])
        for position in ("first", "second")
    ]
    judgments += [compared("b", "first", "baseline"), compared("b", "second", "baseline")]
    (row,) = win_rate_rows(judgments, lambda one: None)
    assert row.mean == pytest.approx(5 / 12)
    assert (row.n, row.counts) == (2, {"win": 2, "tie": 1, "loss": 1})


def test_a_comparison_that_occurs_twice_makes_two_pairs():
    judgments = [compared("a", "first", "model"), compared("a", "second", "model")] * 2
    assert [pair.outcome for pair in pairs_of(judgments)] == ["win", "win"]


def test_turns_are_pairs_of_their_own():
    judgments = [compared("a", "first", "model", turn=0), compared("a", "second", "model", turn=1)]
    assert [pair.unscored for pair in pairs_of(judgments)] == ["one order", "one order"]


def test_scores_and_comparisons_do_not_mix():
    assert score_rows(PAIRS, by_category)[0].n == 0
    assert score_rows(PAIRS, by_category)[0].unscored == {}
    assert win_rate_rows([scored("a", 1)], by_category)[0].n == 0


VERDICTS = st.sampled_from(["model", "baseline", "tie", None])
OTHER = {"model": "baseline", "baseline": "model", "tie": "tie", None: None}
PLACES = ("first", "second")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(VERDICTS, VERDICTS), min_size=1, max_size=6))
def test_the_win_rates_of_both_sides_add_up_to_one_and_the_flips_are_the_same(verdicts):
    ours = [
        compared(str(number), position, winner)
        for number, pair in enumerate(verdicts)
        for position, winner in zip(PLACES, pair, strict=True)
    ]
    theirs = [
        compared(str(number), position, OTHER[winner])
        for number, pair in enumerate(verdicts)
        for position, winner in zip(reversed(PLACES), pair, strict=True)
    ]
    (one,), (other,) = (win_rate_rows(judgments, lambda _: None) for judgments in (ours, theirs))
    assert (one.n, one.num_unscored) == (other.n, other.num_unscored)
    assert one.n + one.num_unscored == len(verdicts)
    if one.n:
        assert one.mean + other.mean == pytest.approx(1)
        assert sum(one.counts.values()) == one.n
    assert flip_rate(ours).counts == flip_rate(theirs).counts


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(1, 10))), max_size=8))
def test_every_judgment_is_in_n_or_counted_as_unscored_and_the_interval_holds_the_mean(drawn):
    judgments = [scored(item, score, turn=turn) for turn, (item, score) in enumerate(drawn)]
    total, *groups = score_rows(judgments, lambda one: one.item)
    assert total.n + total.num_unscored == len(drawn)
    assert sum(row.n for row in groups) == total.n
    if total.low is not None:
        scores = [score for _, score in drawn if score is not None]
        assert min(scores) <= total.low <= total.high <= max(scores)
