"""Votes from every kind of file, joined and compared."""

from __future__ import annotations

import json

import pytest

from turnwise.errors import DataError
from turnwise.judging.agreement import Agreements
from turnwise.judging.records import Judgment
from turnwise.judging.votes import Vote, read_lengths, read_votes


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_our_judgments_are_read_from_the_file_or_its_folder(tmp_path):
    rows = [
        Judgment("q1", 1, "m", "j", score=7.0, sample=1).to_dict(),
        Judgment("q1", 1, "m", "j", unscored="truncated").to_dict(),
        Judgment("q1", 0, "z", "j", winner="model", baseline="a", position="first").to_dict(),
    ]
    write(tmp_path / "judgments.jsonl", rows)
    score, unscored, compared = read_votes(tmp_path)
    assert score == Vote("q1", 1, "m", None, "overall", "j", 7.0, sample=1)
    assert unscored.is_unscored
    # z against a, z first and better: a against z, a second and worse.
    assert (compared.model, compared.baseline, compared.winner, compared.position) == ("a", "z", "baseline", "second")
    assert read_votes(tmp_path / "judgments.jsonl") == [score, unscored, compared]


def test_fastchats_judgments_and_votes_count_turns_from_one(tmp_path):
    path = write(
        tmp_path / "f.jsonl",
        [
            {"question_id": 81, "model": "m", "judge": ["gpt-4", "single-v1"], "score": 9, "turn": 1},
            {"question_id": 81, "model": "m", "judge": ["gpt-4", "single-v1"], "score": -1, "turn": 2},
            {"question_id": 81, "model_1": "b", "model_2": "a", "judge": ["gpt-4", "pair-v2"], "turn": 1,
             "g1_winner": "model_1", "g2_winner": "error"},
            {"question_id": 81, "model_a": "b", "model_b": "a", "winner": "tie (inconsistent)", "judge": "author_1",
             "turn": 2},
        ],
    )  # fmt: skip
    one, error, first, second, human = read_votes(path)
    assert (one.item, one.turn, one.rater, one.score) == ("81", 0, "gpt-4", 9)
    assert (error.turn, error.is_unscored) == (1, True)
    assert (first.model, first.winner, first.position) == ("a", "baseline", "second")
    assert second.is_unscored
    assert (human.turn, human.winner, human.rater) == (1, "tie", "author_1")


def test_tables_may_hold_repeated_scores_and_name_the_winner(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("item,turn,rater,score\nx,0,r1,3\nx,,r2,4.5\n", encoding="utf-8")
    assert [(vote.turn, vote.rater, vote.score) for vote in read_votes(path)] == [(0, "r1", 3), (None, "r2", 4.5)]
    path = write(tmp_path / "t.jsonl", [{"id": "x", "score": [3, 2, 3]}])
    assert [(vote.score, vote.sample) for vote in read_votes(path)] == [(3, 0), (2, 1), (3, 2)]
    path = write(tmp_path / "w.jsonl", [{"item": "x", "model": "m", "baseline": "z", "winner": "z"}])
    assert read_votes(path)[0].winner == "baseline"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"score": 1}, ":1: expected a column item, question_id or id, found score"),
        ({"item": "x"}, "expected a score or a winner"),
        ({"item": "x", "score": "good"}, "expected a number in column 'score'"),
        ({"item": "x", "winner": "me"}, "found 'me'"),
        ({"item": "x", "score": 1, "turn": 0.5}, "expected a whole turn"),
        ({"item": "x", "winner": "tie", "position": "left"}, "first or second"),
    ],
)
def test_rows_that_are_no_votes_are_refused_with_their_place(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        read_votes(write(tmp_path / "t.jsonl", [row]))


def test_lengths_of_both_kinds_of_answers(tmp_path):
    fastchat = write(
        tmp_path / "a.jsonl", [{"question_id": 1, "model_id": "m", "choices": [{"turns": ["abc", "abcde"]}]}]
    )
    assert read_lengths(fastchat) == {("1", "m", 0): 3, ("1", "m", 1): 5}
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "abcd"}]
    ours = write(tmp_path / "o.jsonl", [{"id": "1", "messages": messages, "metadata": {"model": "m"}}])
    assert read_lengths(ours) == {("1", "m", 0): 4}
    with pytest.raises(DataError, match="expected an answer"):
        read_lengths(write(tmp_path / "n.jsonl", [{"choices": []}]))


def scores(rater, values, **kwargs):
    return [Vote(item, None, None, None, None, rater, score, **kwargs) for item, score in values.items()]


def table(rows):
    return {(row.about, row.statistic): row.figure for row in rows}


def test_scores_are_joined_by_item_and_the_judges_repeats_enter_as_their_median():
    """Judge: a 3 (median of 1, 3, 9), b 5, c 7, d alone. People: a 1 and 3 (mean 2), b 4, c 6, e alone.

    Judge against means: (3, 2), (5, 4), (7, 6): Pearson 1. Pairs (3,1) (3,3) (5,4) (7,6): one of four equal.
    """
    judged = [Vote("a", None, None, None, None, "j", score, sample=number) for number, score in enumerate((1, 3, 9))]
    judged += scores("j", {"b": 5.0, "c": 7.0, "d": 9.0})
    rated = scores("r1", {"a": 1.0, "b": 4.0, "c": 6.0, "e": 2.0}) + scores("r2", {"a": 3.0})
    found = Agreements(draws=50).with_people(judged, rated)
    figures = table(found.rows)
    assert figures["j", "Pearson"].value == pytest.approx(1)
    assert (figures["j", "Pearson"].n, figures["j", "share equal"].n, figures["j", "share equal"].items) == (3, 4, 3)
    assert figures["j", "share equal"].value == 0.25
    assert (found.only_judged, found.only_rated, found.joined_by) == (1, 1, ("item",))
    assert figures["raters", "share equal"].value == 0  # r1 and r2 on a


def test_comparisons_enter_by_fastchats_rule():
    """x: both orders for the model; y: they disagree, a tie; z: one order only, left out. People: x model, y model and
    tie, z model. With ties 2 of 3, without ties 1 of 1.
    """

    def order(item, winner, position):
        return Vote(item, 0, "a", "b", None, "j", winner=winner, position=position)

    judged = [
        order("x", "model", "first"), order("x", "model", "second"),
        order("y", "model", "first"), order("y", "baseline", "second"),
        order("z", "model", "first"),
    ]  # fmt: skip
    rated = [
        Vote(item, 0, "a", "b", None, rater, winner=winner)
        for item, rater, winner in (("x", "r", "model"), ("y", "r", "model"), ("y", "s", "tie"), ("z", "r", "model"))
    ]
    figures = table(Agreements(draws=20).with_people(judged, rated).rows)
    assert figures["j", "agreement, with ties"].value == pytest.approx(2 / 3)
    assert figures["j", "agreement, without ties"].value == 1
    assert figures["raters", "agreement, with ties"].value == 0
    own = table(Agreements(draws=20).with_itself(judged))
    assert (own["j", "position: flip rate"].value, own["j", "position: flip rate"].n) == (0.5, 2)
    assert own["j", "position: first place wins"].value == 0.75


def test_answers_that_a_file_does_not_tell_apart_are_refused():
    judged = [Vote("a", 0, model, None, "overall", "j", 5.0) for model in ("m", "n")]
    with pytest.raises(DataError, match="several kinds of model"):
        Agreements().with_people(judged, scores("r", {"a": 3.0}))
    with pytest.raises(DataError, match="no judgment and rating match"):
        Agreements().with_people(scores("j", {"a": 1.0}), scores("r", {"b": 1.0}))
    with pytest.raises(DataError, match="scores in both files or comparisons in both"):
        Agreements().with_people(scores("j", {"a": 1.0}), [Vote("a", None, None, None, None, "r", winner="tie")])


def test_length_bias_by_hand():
    """Two questions of two answers. Scores 1 2 and 8 9, lengths 10 20 and 2 1: over all, ranks 1 2 3 4 against 3 4 2 1:
    1 - 6 (4 + 4 + 1 + 9) / 60 = -0.8. Minus their question's mean: scores -.5 .5 -.5 .5, lengths -5 5 .5 -.5: average
    ranks 1.5 3.5 1.5 3.5 against 1 4 3 2: products of centred ranks 1.5 + 1.5 - .5 - .5 = 2, / sqrt(4 * 5).
    """
    rows = {("p", "m"): (1, 10), ("p", "n"): (2, 20), ("q", "m"): (8, 2), ("q", "n"): (9, 1)}
    judged = [Vote(item, 0, model, None, None, "j", float(score)) for (item, model), (score, _) in rows.items()]
    judged.append(Vote("r", 0, "m", None, None, "j", 5.0))
    lengths = {(item, model, 0): float(length) for (item, model), (_, length) in rows.items()}
    found, missing = Agreements(draws=20).with_length(judged, lengths)
    figures = table(found)
    assert figures["j", "length: Spearman with score"].value == pytest.approx(-0.8)
    assert figures["j", "length: Spearman with score, within a question"].value == pytest.approx(2 / 20**0.5)
    assert missing == 1
    compared = [Vote("p", 0, "m", "n", None, "j", winner="baseline")]
    (row,), _ = Agreements(draws=20).with_length(compared, lengths)
    assert (row.statistic, row.figure.value) == ("length: longer answer wins", 1)


def test_published_judgments_are_read_whole(public_data):
    """The files hold 800 and 330 judgments, none and four of them errors."""
    folder = public_data / "mtbench_judgments"
    votes = read_votes(folder / "don-tpanic_gpt-4_single.jsonl")
    assert (len(votes), sum(vote.is_unscored for vote in votes)) == (800, 0)
    votes = read_votes(folder / "dreaming-panda_gpt-4_single-origin.jsonl")
    assert (len(votes), sum(vote.is_unscored for vote in votes)) == (330, 4)
