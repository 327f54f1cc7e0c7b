"""Every kind of instruction on replies that follow it and replies that do not, judged by hand."""

from __future__ import annotations

import pytest

from turnwise.errors import DataError
from turnwise.evaluation.instruction_checks import KINDS, Instruction

# kind, argument, replies that follow, replies that do not
CASES = [
    ("starts_with", "In short", ["In short, yes.", "  IN SHORT: no"], ["Yes, in short.", "Inshort"]),
    ("ends_with", "以上就是我的回答。", ["好。以上就是我的回答。\n"], ["以上就是我的回答。再见。"]),
    ("includes", ["balance", "pepper"], ["Balance needs PEPPER."], ["balanced pepper", "pepper"]),
    ("includes", ["耐心"], ["需要耐心等待"], ["需要等待"]),
    ("avoids", ["very", "great"], ["Everything is greatly varied."], ["A very good one", "Great!"]),
    ("avoids", ["总是"], ["有时候"], ["他总是这样"]),
    ("no_commas", None, ["Yes; no、也许"], ["Yes, no", "是，不是"]),
    ("no_exclamation", None, ["Yes."], ["Yes!", "好！"]),
    ("one_question", None, ["It is. Or not?", "对吗？"], ["It is.", "Why? How?", "吗？ why?"]),
    ("no_digits", None, ["two of them"], ["2 of them", "１个"]),
    ("some_digit", None, ["2 of them"], ["two of them"]),
    ("lower_case", None, ["only small letters, 1 line", "好"], ["One capital"]),
    ("upper_case", None, ["ALL LARGE, 1 LINE"], ["ALMOST ALL LARGe"]),
    ("most_words", 3, ["one two three"], ["one two three four"]),
    ("least_words", 3, ["one two three"], ["one two"]),
    ("most_characters", 4, ["一 二\n三四"], ["一二三四五"]),
    ("least_characters", 4, ["一二三四"], ["一 二 三"]),
    ("most_sentences", 2, ["One. Two.", "一。二。"], ["One. Two. Three."]),
    ("bullets", 2, ["Look:\n- a\n  * b"], ["- a", "-a\n-b", "- a\n- b\n- c"]),
    ("paragraphs", 2, ["a\nb\n \nc", "a\n\n\n\nb"], ["a\nb", "a\n\nb\n\nc"]),
    ("title", None, ["<<My title>>\nText", "text <<标题>>"], ["<My title>", "<< >>", "<<a\nb>>"]),
    ("placeholders", 2, ["[name] at [place]", "[a][b][c]"], ["[name]", "[] []"]),
]


def instruction(kind, value):
    needs = KINDS[kind].needs
    return Instruction.from_dict({"kind": kind} if needs == "nothing" else {"kind": kind, "arguments": {needs: value}})


@pytest.mark.parametrize(("kind", "value", "good", "bad"), CASES)
def test_following_replies_pass_and_others_fail(kind, value, good, bad):
    one = instruction(kind, value)
    assert [reply for reply in good if not one.follows(reply)] == []
    assert [reply for reply in bad if one.follows(reply)] == []
    assert not one.follows(" \n")
    assert Instruction.from_dict(one.to_dict()) == one


HOSTILE = ["\n" * 10**5, "." * 10**5 + "x", "[" * 10**5, "<<" + "a" * 10**5, "- " * 10**5, "* \n" * 10**5, "! " * 10**5]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:3]))
def test_checks_of_long_hostile_replies_end(text):
    """A check that took time with the square of the length would take minutes here."""
    from turnwise.evaluation.mt_eval_checks import follows
    from turnwise.evaluation.mt_eval_texts import GLOBAL_INSTRUCTIONS

    for kind, value, _, _ in CASES:
        assert instruction(kind, value).follows(text) in (True, False)
    for pair in GLOBAL_INSTRUCTIONS.values():
        assert follows(pair[0], text) in (True, False)


def test_every_kind_is_tried():
    assert {kind for kind, *_ in CASES} == set(KINDS)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"kind": "rhyme"}, "among starts_with"),
        ("no_commas", "found 'no_commas'"),
        ({"kind": "no_commas", "arguments": {"number": 1}}, "with no arguments"),
        ({"kind": "most_words"}, "the argument 'number'"),
        ({"kind": "most_words", "number": 3}, "the argument 'number'"),
        ({"kind": "most_words", "arguments": {"number": True}}, "a whole number of at least 1"),
        ({"kind": "bullets", "arguments": {"number": 0}}, "a whole number of at least 1"),
        ({"kind": "includes", "arguments": {"words": "one"}}, "a list of texts"),
        ({"kind": "starts_with", "arguments": {"phrase": " "}}, "a text"),
    ],
)
def test_what_is_no_instruction_is_refused_with_what_was_expected(record, said):
    with pytest.raises(DataError, match=said):
        Instruction.from_dict(record)
