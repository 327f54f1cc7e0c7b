"""Refusals against a list made by hand for this test; languages against texts of known ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from turnwise.quality.language import guess_language, main_script
from turnwise.quality.refusals import is_refusal

EXAMPLES = [
    json.loads(line) for line in Path(__file__).with_name("refusals.jsonl").read_text(encoding="utf-8").splitlines()
]


def rates(language):
    chosen = [one for one in EXAMPLES if one["language"] == language]
    found = [one for one in chosen if is_refusal(one["text"])]
    right = sum(one["refusal"] for one in found)
    return right / len(found), right / sum(one["refusal"] for one in chosen)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_precision_and_recall_on_the_list_made_by_hand(language):
    """Precision must not fall below 0.95 nor recall below 0.75; docs/quality.md states the figures."""
    precision, recall = rates(language)
    assert precision >= 0.95
    assert recall >= 0.75


def test_the_list_holds_both_kinds_in_both_languages():
    kinds = {(one["language"], one["refusal"]) for one in EXAMPLES}
    assert kinds == {("en", True), ("en", False), ("zh", True), ("zh", False)}
    assert len(EXAMPLES) >= 80


def test_a_refusal_stands_at_the_beginning():
    assert is_refusal("I’m sorry, but I can’t help with that.")
    assert not is_refusal("Here is the plan. " * 30 + "I'm sorry, but I can't help with that.")


@pytest.mark.parametrize(
    ("text", "script", "language"),
    [
        ("The cat sat on the mat and it was happy with that.", "Latin", "en"),
        ("Der Hund und die Katze sind nicht im Haus, aber ich sehe sie.", "Latin", "de"),
        ("Le chat est dans la maison et il ne veut pas sortir avec vous.", "Latin", "fr"),
        ("El gato está en la casa y no quiere salir con los otros.", "Latin", "es"),
        ("Это очень хорошо, что вы не были там, как и я.", "Cyrillic", "ru"),
        ("今天的天气很好，我们去公园散步吧。", "Han (Chinese, Japanese)", "zh"),
        ("今日は天気がいいので公園に行きましょう。", "Kana (Japanese)", "ja"),
        ("오늘은 날씨가 좋아서 공원에 갑니다.", "Hangul (Korean)", "ko"),
        ("OK", None, None),
        ("zzzz qqqq wwww rrrr", "Latin", None),
    ],
)
def test_scripts_and_languages_of_known_texts(text, script, language):
    assert main_script(text) == script
    assert guess_language(text) == language


def test_languages_of_real_messages(public_data):
    """OASST1 messages carry their language: over nine guesses in ten must be right, under one in 25 wrong."""
    lines = (public_data / "oasst1_qlora" / "oa_questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    guesses = [(row["lang"].split("-")[0], guess_language(row["output"])) for row in rows]
    right = sum(known == guess for known, guess in guesses)
    undecided = sum(guess is None for _, guess in guesses)
    assert right / len(guesses) > 0.9
    assert (len(guesses) - right - undecided) / len(guesses) < 0.04
