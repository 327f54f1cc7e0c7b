"""Sentences with their offsets."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnwise.synthesis.sentences import split_sentences

ENGLISH = [
    # What stands before `|` is one sentence.
    "Dr. Smith met Mrs. Jones.|They spoke.",
    "Some fruit, e.g. Apples, i.e. Malus, keep well.|Others rot.",
    "He lived in the U.S. until 1990.|She lived in the U.S.|The rest left.",
    "The U.S. Army and J. K. Rowling met George W. Bush.|He waved.",
    "Vitamin C.|It helps.",
    "It cost 3.5 million, or .75 a piece.|No. 5 was best.|No.|It was not.",
    "See Fig. 3 on p. 12 of vol. 2.|It rose on Jan. 5, at 3 p.m. Monday.|We left at 5 p.m.|The sun set.",
    '"Stop!" he shouted.|"Go away."|She left.',
    '(It rained.)|He said "I know."|Then [as usual.]|Done.',
    "Well... maybe not.|I wonder...|Perhaps.",
    "Really?!|Yes!|what is it?|it is a cat.",
    "The end came in 1990.[5]|Nobody knew why.[12][13]|All left.",
    "It was never found.[citation needed]|He said so.[5]:12,14|In Brown v. Board of Education it ended.",
    "They met George V.|The king waved.",
    "Google Inc. announced it.|It was bought by Google Inc.|The price fell.",
    "She has a Ph.D. from Yale.|Martin Luther King Jr. spoke.",
    "We sell pens, ink, etc. at a low price.|Paper, glue, etc.|Prices vary.",
    "Washington, D.C. is a city.|Mr. T. called.",
    "Visit example.com or file.txt now.|Version 2.0.1 is out.",
]
CHINESE = [
    "今天天气很好。|我们去公园！|你来吗？|好的……|走吧。",
    "他说：“我来了。”|她笑了。|（他也笑了。）|完",
    "一是吃；|二是睡；|三是玩。",
    "他（汉字；拼音）来了。|“走吧！”。|完",
    "「你好！」|他走了。|『再见。』|门关上了。",
    '他走了。|"好的。"|她说。',
    "圆周率是3.14，约为3。|你好!|他走了.|版本2.0发布。",
    "真的吗？！|是的。|OK。|Dr. Smith来了。|He left.|我们走吧。",
]


@pytest.mark.parametrize("marked", ENGLISH)
def test_english_sentences_end_where_a_reader_would_end_them(marked):
    assert_split(marked, "en")


@pytest.mark.parametrize("marked", CHINESE)
def test_chinese_sentences_end_where_a_reader_would_end_them(marked):
    assert_split(marked, "zh")


def assert_split(marked, language):
    # A Latin end mark needs white space after it, in Chinese text too.
    joint = " " if language == "en" else ""
    text = re.sub(r"(?<=[A-Za-z][.])\|", " ", marked).replace("|", joint)
    assert [span.text for span in split_sentences(text, language)] == marked.split("|")


def test_list_items_and_blank_lines_end_a_sentence_and_item_numbers_do_not():
    text = "Fruit\n\n1. Apples are red. Good.\n2. Pears\n- plums\n* figs\na) dates\n\nThe end"
    assert [span.text for span in split_sentences(text)] == [
        "Fruit",
        "1. Apples are red.",
        "Good.",
        "2. Pears",
        "- plums",
        "* figs",
        "a) dates",
        "The end",
    ]


def test_short_lines_are_sentences_and_a_paragraph_in_lines_of_one_width_is_not():
    """The second block is one paragraph broken at 60: no next word would have fitted on the line before."""
    wrapped = (
        "The tower was built in the nineteenth century by engineers\n"
        "from France and stands today in the middle of the city of\n"
        "Paris. It is tall."
    )
    text = "Roses are red\nViolets are blue\n\n" + wrapped
    assert [span.text for span in split_sentences(text)] == [
        "Roses are red",
        "Violets are blue",
        wrapped[: wrapped.index(" It")],
        "It is tall.",
    ]


def test_chinese_list_items_are_sentences():
    text = "目录\n一、历史\n（二）地理\n3、人口"
    assert [span.text for span in split_sentences(text)] == ["目录", "一、历史", "（二）地理", "3、人口"]


def test_the_language_is_the_texts_own_where_none_is_given():
    assert len(split_sentences("一是吃；二是睡；三是玩。")) == 3
    assert len(split_sentences("One；two；three.")) == 1


def test_a_text_without_ink_has_no_sentences():
    assert split_sentences("") == split_sentences(" \n\t ") == []


@given(
    st.text(alphabet=st.sampled_from("aB3 .!?…。！？；\n\t\"'”’)]（「中文,-*_[1USDr"), max_size=80)
    | st.text(max_size=80),
    st.sampled_from([None, "en", "zh"]),
)
@example("\x0c\x1c\u2028\r\n", None)
def test_spans_are_in_order_apart_exact_and_hold_every_character_that_is_not_space(text, language):
    place = 0
    for span in split_sentences(text, language):
        assert place <= span.start < span.end <= len(text)
        assert text[span.start : span.end] == span.text == span.text.strip()
        assert not text[place : span.start].strip()
        place = span.end
    assert not text[place:].strip()


@pytest.mark.parametrize("piece", ["Dr. ", "e.g. ", "（；", "...a ", '"。', "（a；"])
def test_a_long_text_without_an_end_is_no_trap(piece):
    """400,000 characters: work that grows with the square of the length would take minutes and more."""
    text = piece * (400_000 // len(piece))
    assert sum(len("".join(span.text.split())) for span in split_sentences(text)) == len("".join(text.split()))
