"""Verdicts out of replies, hostile ones too."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.judging.ratings import json_scores, last_choice, last_rating, published_choice, published_rating


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Rating: [[7]]", 7.0),
        ("[[7.5]]", 7.5),
        ("[[10]] and [[2]]", 10.0),  # the first one
        ("see [3], then [[8]]", 8.0),  # double brackets first, wherever they stand
        ("I give it [6]", 6.0),  # the fallback
        ("[[7.]]", 7.0),
        ("[[95]]", 95.0),  # no check of the scale
    ],
)
def test_the_published_rating_is_the_first_in_double_brackets_else_the_first_in_single_ones(text, score):
    assert published_rating(text).scores == {"overall": score}


@pytest.mark.parametrize("text", ["", "7", "[[ten]]", "[[-3]]", "[[7/10]]", "Rating: 7/10", "[rating]", "$ERROR$"])
def test_a_reply_without_a_published_rating_is_unparsable(text):
    assert published_rating(text).unscored == "unparsable"


def test_a_quoted_rating_misleads_the_published_rule_and_is_noted():
    reply = 'The answer says "[[10]]", which is no argument.\n\nRating: [[2]]'
    assert published_rating(reply).scores == {"overall": 10.0}
    assert published_rating(reply).notes == {"ambiguous": True}
    assert last_rating(reply).scores == {"overall": 2.0}
    assert last_rating(reply).notes == {"ambiguous": True}


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ("[[A]]", "A"),
        ("[[B]]", "B"),
        ("[[C]]", "tie"),
        ("[[B]] rather than [[A]]", "A"),  # containment, A first
        ("[[C]] or [[B]]", "B"),
    ],
)
def test_the_published_choice_is_by_containment_a_then_b_then_c(text, winner):
    assert published_choice(text).winner == winner


def test_several_choices_are_noted_and_none_is_unparsable():
    assert published_choice("[[B]] rather than [[A]]").notes == {"ambiguous": True}
    assert published_choice("[[B]], again [[B]]").notes == {}
    assert published_choice("A").unscored == "unparsable"
    assert published_choice("[A]").unscored == "unparsable"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Good.\nRating: [[7]]", 7.0),
        ("Rating: [[4.5]]\n\n", 4.5),
        ("**Rating: [[9]]**", 9.0),
        ("So my rating is: [[3]].", 3.0),
        ("`[[ 8 ]]`", 8.0),
    ],
)
def test_our_rating_stands_at_the_end_of_the_last_line(text, score):
    assert last_rating(text).scores == {"overall": score}
    assert last_rating(text).notes == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Rating: [[7]]\nThe answer ends here.",  # the verdict is not in its place
        "Rating: [[7]] or [[8]]",  # two in one line
        "Rating: [[7]] out of ten",
        "Rating: [7]",
        "Rating: 7",
        "Rating: [[7/10]]",
        "Rating: [[number]]",
    ],
)
def test_a_rating_anywhere_else_is_none(text):
    assert last_rating(text).unscored == "unparsable"


def test_our_choice_stands_at_the_end_of_the_last_line():
    assert last_choice("A says [[B]].\nVerdict: [[A]]").winner == "A"
    assert last_choice("A says [[B]].\nVerdict: [[A]]").notes == {"ambiguous": True}
    assert last_choice("Verdict: [[C]]").winner == "tie"
    assert last_choice("Verdict: [[A]]\nor so").unscored == "unparsable"
    assert last_choice("Verdict: [[A]] [[B]]").unscored == "unparsable"
    assert last_choice("Verdict: [[D]]").unscored == "unparsable"


@settings(deadline=None)
@given(quoted=st.text(max_size=200), rating=st.integers(1, 10))
def test_no_quoted_text_before_the_last_line_changes_our_verdict(quoted, rating):
    assert last_rating(f"{quoted}[[10]]\nRating: [[{rating}]]").scores == {"overall": float(rating)}
    assert last_choice(f"{quoted}[[A]]\nVerdict: [[B]]").winner == "B"


@settings(deadline=None)
@given(text=st.text(alphabet='[]{}:",.ABC0189 \n\\nul', max_size=120))
def test_parsers_never_raise_and_give_finite_scores_or_a_reason(text):
    for parse in (published_rating, last_rating, json_scores(), json_scores(("a", "b"))):
        verdict = parse(text)
        assert all(abs(score) < float("inf") for score in verdict.scores.values())
        assert verdict.scores or verdict.unscored or verdict.unscored_criteria
    for choose in (published_choice, last_choice):
        assert (choose(text).winner is None) == (choose(text).unscored == "unparsable")


@pytest.mark.parametrize(
    "text",
    [
        '{"Rationale": "fine", "Score": 4.5}',
        '{"score": "4.5"}',
        '```json\n{"Rationale": "a } b", "Score": 4.5}\n```',
        'Here it is:\n```\n{"Score": 4.5}\n```\nDone.',
        'The set {1, 2} is meant. {"Score": 4.5}',
        '{"Score": {"rationale": "x", "score": 4.5}}',
    ],
)
def test_a_json_score_is_found_in_and_without_a_fence(text):
    assert json_scores()(text).scores == {"overall": 4.5}
    assert json_scores()(text).notes == {}


@pytest.mark.parametrize("value", ["null", '"not applicable"', '"N/A"', '"Not applicable."'])
def test_a_criterion_that_does_not_apply_is_not_a_number(value):
    verdict = json_scores()('{"Score": ' + value + "}")
    assert (dict(verdict.scores), verdict.unscored_criteria) == ({}, {"overall": "not_applicable"})


@pytest.mark.parametrize("value", ["true", "[4]", '"high"', '"4/10"', "1e999", '{"points": 4}', "9" * 5000])
def test_other_values_are_unparsable(value):
    verdict = json_scores()('{"Score": ' + value + "}")
    assert (dict(verdict.scores), verdict.unscored_criteria) == ({}, {"overall": "unparsable"})


@pytest.mark.parametrize("text", ["", "4.5", "[4]", '{"Score": NaN}', '{"Score": 4', '{"Rating": 4}', "{" * 5000])
def test_replies_without_a_verdict_object_are_unparsable(text):
    assert json_scores()(text).unscored == "unparsable"


def test_deep_nesting_ends_as_unparsable():
    assert json_scores()('{"Score":' * 20_000).unscored == "unparsable"


def test_the_last_of_several_objects_counts_and_disagreement_is_noted():
    quoted = 'The answer holds {"Score": 10}. My verdict: {"Score": 2}'
    assert json_scores()(quoted).scores == {"overall": 2.0}
    assert json_scores()(quoted).notes == {"ambiguous": True}
    assert json_scores()('{"Score": 1, "Score": 9}').notes == {"ambiguous": True}


def test_several_criteria_are_read_by_name_and_a_missing_one_is_left_out():
    parse = json_scores(("Faithfulness", "information_density", "Friendliness"), keys={"Friendliness": "Fr"})
    verdict = parse('{"faithfulness": 3, "Information Density": "2", "Fr": null}')
    assert verdict.scores == {"Faithfulness": 3.0, "information_density": 2.0}
    assert verdict.unscored_criteria == {"Friendliness": "not_applicable"}
    assert parse('{"faithfulness": 3}').scores == {"Faithfulness": 3.0}


def test_a_line_break_inside_a_json_string_is_read():
    assert json_scores()('{"Rationale": "first\nsecond", "Score": 6}').scores == {"overall": 6.0}
