"""Questions by surface patterns: each expected one is what a reader would make of the sentence."""

from __future__ import annotations

import pytest

from turnwise.synthesis import asking_en, asking_zh
from turnwise.synthesis.clauses_en import parse
from turnwise.synthesis.verbs_en import past_base, present_base

ENGLISH = [
    ("Rollo signed the treaty in 911.", "When did Rollo sign the treaty?", "911"),
    ("In 1903, Jonas Pell replaced the oil lamp.", "When did Jonas Pell replace the oil lamp?", "1903"),
    ("The mill was rebuilt on 3 May 1755 after a flood.", "When was the mill rebuilt after a flood?", "3 May 1755"),
    ("Since 1972, the tower has been a museum.", "Since when has the tower been a museum?", "1972"),
    ("The keepers counted 214 storms in 1911.", "How many storms did the keepers count in 1911?", "214 storms"),
    ("The tower is 34 metres high.", "How high is the tower?", "34 metres"),
    ("The salt is sold at the market in Tarrow.", "Where is the salt sold at the market?", "Tarrow"),
    ("The tower was built by Edda Torsen in 1871.", "By whom was the tower built in 1871?", "Edda Torsen"),
    ("A decision problem is a kind of problem.", "What is a decision problem?", "a kind of problem"),
    ("Bohemond was a leader of the crusade.", "Who was Bohemond?", "a leader of the crusade"),
    ("The mill used rags because wood was rare.", "Why did the mill use rags?", "because wood was rare"),
    ("Workers gather the salt in July.", "Who gathers the salt in July?", "Workers"),
    ("Students of the school reopened one hall.", "What did students of the school do?", "reopened one hall"),
    ("However, the old wheel drove eight hammers.", "Did the old wheel drive eight hammers?", ""),
]
CHINESE = [
    ("茶会始于1683年，由茶商陆文远发起。", "茶会始于哪一年，由茶商陆文远发起？", "1683年"),
    ("港内的石堤长680米，用了约2万块花岗岩。", "港内的石堤长多少米，用了约2万块花岗岩？", "680米"),
    ("石桥港位于澜湾北岸，是一座渔港。", "石桥港位于哪里，是一座渔港？", "澜湾北岸"),
    ("由于海湾东侧多暗礁，渔船只能从西侧进港。", "为什么渔船只能从西侧进港？", "由于海湾东侧多暗礁"),
    ("云溪茶会是云溪镇每年春天举办的传统集市。", "云溪茶会是什么？", "云溪镇每年春天举办的传统集市"),
    ("苏镜宇，中国足球运动员，司职前锋。", "苏镜宇是谁？", "中国足球运动员"),
    ("陆家后人陆青禾出版《云溪茶谱》。", "陆家后人陆青禾出版哪部作品？", "《云溪茶谱》"),
    ("这座灯塔由林阿水负责看守。", "这座灯塔由谁负责看守？", "林阿水"),
]


@pytest.mark.parametrize(("sentence", "question", "answer"), ENGLISH, ids=[row[1] for row in ENGLISH])
def test_an_english_sentence_is_asked_for_its_fact(sentence, question, answer):
    found = {one.text: one for one in asking_en.questions(sentence)}
    assert question in found
    assert found[question].answer == answer


@pytest.mark.parametrize(("sentence", "question", "answer"), CHINESE, ids=[row[1] for row in CHINESE])
def test_a_chinese_sentence_is_asked_for_its_fact(sentence, question, answer):
    found = {one.text: one for one in asking_zh.questions(sentence)}
    assert question in found
    assert found[question].answer == answer


@pytest.mark.parametrize("row", [*ENGLISH, *CHINESE], ids=lambda row: row[1])
def test_answers_are_slices_of_the_sentence(row):
    make = asking_zh.questions if row in CHINESE else asking_en.questions
    for one in make(row[0], ("mill", "茶会")):
        assert row[0][one.start : one.start + len(one.answer)] == one.answer


def test_a_question_that_begins_with_a_pronoun_is_known_to_lean_on_the_sentence_before():
    assert all(one.leaning for one in asking_en.questions("They founded the mill in 1694.") if one.kind == "when")
    assert not any(one.leaning for one in asking_en.questions("The monks founded the mill in 1694."))


@pytest.mark.parametrize(
    "sentence",
    [
        "There is debate about it.",
        "While the tower that stood there was old, nobody knew.",
        "Who built the mill?",
        "the tower was old.",
        "{}",
        "1 2 3 4 5",
    ],
)
def test_a_front_that_is_not_plain_is_refused(sentence):
    clause = parse(sentence)
    assert clause is None or clause.subject == "nobody"


def test_the_parts_of_a_clause():
    clause = parse("In 1903, the last keeper, Marit Lund, left the island, which was empty by then.")
    assert clause is not None
    assert (clause.lead, clause.subject, clause.verb, clause.base, clause.helper, clause.rest) == (
        "In 1903", "the last keeper", "left", "leave", "did", "the island",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("past", "base"),
    [
        ("signed", "sign"), ("created", "create"), ("stopped", "stop"), ("carried", "carry"), ("taught", "teach"),
        ("required", "require"), ("agreed", "agree"), ("published", "publish"), ("merged", "merge"), ("table", None),
        ("hundred", None), ("united", None),
    ],
)  # fmt: skip
def test_base_forms_of_past_forms(past, base):
    assert past_base(past) == base


def test_the_last_of_a_list_does_not_end_the_clause():
    clause = parse("It runs several arts, cultural, and scientific museums.")
    assert clause is not None
    assert clause.rest == "several arts, cultural, and scientific museums"


def test_base_forms_of_the_third_person():
    assert [present_base(word) for word in ("flows", "carries", "reaches", "gives", "towers")] == [
        "flow", "carry", "reach", "give", None,
    ]  # fmt: skip


def test_entities_do_not_overlap_and_a_range_of_years_is_none():
    sentence = "In 1903, Jonas Pell sold 24% of 1,200 shares in 1038–40."
    found = asking_en.entities(sentence)
    assert [(one.kind, one.text) for one in found] == [
        ("year", "1903"), ("person", "Jonas Pell"), ("percent", "24%"), ("number", "1,200"),
    ]  # fmt: skip
