"""Two models on the same items."""

from __future__ import annotations

from turnwise.evaluation.differences import difference_rows
from turnwise.judging.records import Judgment


def scores(model, **by_item):
    return [
        Judgment(item, turn, model, "j", score=score, metadata={"half": "a" if item < "c" else "b"})
        if score is not None
        else Judgment(item, turn, model, "j", unscored="empty")
        for item, values in by_item.items()
        for turn, score in enumerate(values)
    ]


def by_half(judgment):
    return judgment.metadata.get("half")


def test_differences_are_paired_by_item_and_turn():
    """Items a (8, 6) and b (5, -) against a (7, 7) and b (2, 9), c only in the second: differences 1, -1, 3, mean 1;
    turn 1 of b and c's two turns have one side only."""
    first = scores("m", a=[8.0, 6.0], b=[5.0, None])
    second = scores("n", a=[7.0, 7.0], b=[2.0, 9.0], c=[1.0, 1.0])
    total, half_a, half_b = difference_rows(first, second, by_half)
    assert (total.mean, total.n, total.unscored) == (1, 3, {"one model only": 3})
    assert total.counts == {"higher": 2, "equal": 0, "lower": 1}
    # Draws of whole items: a twice gives 0, b twice 3, both 1.
    assert (total.low, total.high) == (0, 3)
    assert (half_a.name, half_a.mean, half_a.n) == ("a", 1, 3)
    assert (half_b.name, half_b.mean, half_b.n, half_b.unscored) == ("b", None, 0, {"one model only": 2})


def test_a_constant_difference_has_no_width_however_much_the_items_differ():
    first = scores("m", a=[1.0], b=[9.0], c=[4.0])
    second = scores("n", a=[2.0], b=[10.0], c=[5.0])
    row = difference_rows(first, second, by_half, total="all", order=["b", "a"])
    assert [(one.name, one.mean) for one in row] == [("all", -1), ("b", -1), ("a", -1)]
    assert (row[0].low, row[0].high) == (-1, -1)
    assert (row[1].low, row[1].high) == (None, None)


def test_repeats_give_their_median_before_they_are_paired():
    first = [Judgment("a", 0, "m", "j", score=score, sample=number) for number, score in enumerate((1.0, 9.0, 8.0))]
    row = difference_rows(first, [Judgment("a", 0, "n", "j", score=5.0)], by_half)[0]
    assert (row.mean, row.n) == (3, 1)


def test_judgments_of_different_judges_or_prompts_are_not_paired():
    one = Judgment("a", 0, "m", "j", prompt="p@1", score=5.0)
    for judge, prompt in (("k", "p@1"), ("j", "p@2")):
        other = Judgment("a", 0, "n", judge, prompt=prompt, score=5.0)
        row = difference_rows([one], [other], by_half)[0]
        assert (row.mean, row.n, row.unscored) == (None, 0, {"one model only": 2})
