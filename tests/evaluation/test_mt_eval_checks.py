"""MT-Eval's programmatic scores on replies that follow and replies that do not, judged by hand."""

from __future__ import annotations

import pytest

from turnwise.evaluation.mt_eval_checks import CHECKS, follows, names_label
from turnwise.evaluation.mt_eval_texts import GLOBAL_INSTRUCTIONS

BULGARIAN = "Шоколадът е много вкусен, но хората обичат и други десерти."
RUSSIAN = "Шоколад очень вкусный, но люди любят и другие десерты, это правда."
PUNJABI = "ਚਾਕਲੇਟ ਬਹੁਤ ਸੁਆਦੀ ਹੈ ਪਰ ਲੋਕ ਹੋਰ ਮਿਠਾਈਆਂ ਵੀ ਪਸੰਦ ਕਰਦੇ ਹਨ।"
HINDI = "चॉकलेट बहुत स्वादिष्ट है लेकिन लोग अन्य मिठाइयाँ भी पसंद करते हैं।"
OFFER = "Is there anything else I can help with?"

FOLLOWING = [
    ("startend:start_char", 0, "  Of course."),
    ("startend:start_char", 1, "really"),
    ("startend:start_emoji", 0, "\n🎉 Yes"),
    ("startend:end_phrase", 0, f"Yes. {OFFER}\n"),
    ("startend:end_phrase", 0, f"Yes. '{OFFER.upper()}'"),
    ("language:response_language", 0, BULGARIAN),
    ("language:response_language", 0, BULGARIAN + " (OpenAI, GPT)"),
    ("language:response_language", 1, PUNJABI),
    ("language:response_language", 0, "Как мога да ви помогна?"),
    ("language:response_language", 0, "Шофьорът спря пред синьото здание."),
    ("language:response_language", 0, "42"),
    ("format:json_format", 0, '{"answer": 1}'),
    ("format:json_format", 0, '```json\n{"answer": [1, 2]}\n```'),
    ("format:bullet_list", 0, "Look:\n* a\n - b\n* c\n* d"),
    ("format:bullet_list", 1, "- only one"),
    ("length_constraints:number_sentences", 0, "One. Two. Three."),
    ("keywords:existence", 0, "The City has garbage."),
    ("keywords:existence", 1, "What a county! Nice hats."),
    ("change_case:capital_letter", 0, "YES 12!"),
    ("change_case:lowercase", 0, "yes 12!"),
    ("punctuation:no_comma", 0, "yes and no; both"),
    ("combination:two_responses", 0, "Yes.\n******\nNo."),
    ("combination:two_responses", 0, "******\nYes.\n******\nNo.\n******"),
    ("content:placeholder", 0, "Write to [name]."),
    ("content:placeholder", 1, "Write to [name] at [address]."),
    ("format:constrained_response", 0, "I think: My answer is maybe."),
]
VIOLATING = [
    ("startend:start_char", 0, "Yes, of course."),
    ("startend:start_char", 0, ""),
    ("startend:start_emoji", 0, "Yes 🎉"),
    ("startend:start_emoji", 0, "1. Yes"),
    ("startend:start_emoji", 0, " "),
    ("startend:end_phrase", 0, f"{OFFER} Yes."),
    ("language:response_language", 0, RUSSIAN),
    ("language:response_language", 0, "Как я могу вам помочь?"),
    ("language:response_language", 0, "Цікаво, що це таке."),
    ("language:response_language", 0, "Chocolate is tasty. " + BULGARIAN[:12]),
    ("language:response_language", 0, ""),
    ("language:response_language", 1, HINDI),
    ("format:json_format", 0, "answer: 1"),
    ("format:json_format", 0, 'Here it is: {"answer": 1}'),
    ("format:json_format", 0, "[" * 100_000),
    ("format:bullet_list", 0, "* a\n* b\n* c"),
    ("format:bullet_list", 1, "**bold** and no bullet"),
    ("length_constraints:number_sentences", 0, "One. Two. Three. Four."),
    ("keywords:existence", 0, "The city is clean."),
    ("change_case:capital_letter", 0, "YES or NO"),
    ("change_case:capital_letter", 0, "12!"),
    ("change_case:lowercase", 0, "Yes"),
    ("punctuation:no_comma", 0, "yes, no"),
    ("combination:two_responses", 0, "Yes."),
    ("combination:two_responses", 0, "Yes.\n******\nYes."),
    ("combination:two_responses", 0, "Yes.\n******\n\n******\nNo."),
    ("combination:two_responses", 0, "a ****** b ****** c"),
    ("content:placeholder", 1, "Write to [name]."),
    ("content:placeholder", 1, "[a\nb] [[c] ]"),
    ("format:constrained_response", 0, "my answer is yes."),
]


@pytest.mark.parametrize(("kind", "which", "reply"), FOLLOWING)
def test_a_reply_that_follows_passes(kind, which, reply):
    assert follows(GLOBAL_INSTRUCTIONS[kind][which], reply)


@pytest.mark.parametrize(("kind", "which", "reply"), VIOLATING)
def test_a_reply_that_does_not_follow_fails(kind, which, reply):
    assert not follows(GLOBAL_INSTRUCTIONS[kind][which], reply)


def test_every_kind_is_tried_both_ways():
    assert {kind for kind, _, _ in FOLLOWING} == {kind for kind, _, _ in VIOLATING} == set(CHECKS)
    assert set(GLOBAL_INSTRUCTIONS) == set(CHECKS)


@pytest.mark.parametrize("reply", ["music", "Music.", "Category: **MUSIC**", "It is musical", "art, or music"])
def test_a_label_counts_wherever_it_stands(reply):
    assert names_label(reply, "music")


@pytest.mark.parametrize("reply", ["", "arts", "mus ic", "mus-ic"])
def test_a_reply_without_the_label_does_not_count(reply):
    assert not names_label(reply, "music")
