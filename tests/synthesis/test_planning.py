"""Which pieces, how many, how much of the document, which logic; statements and key phrases."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from grounded import check

from turnwise.dialogue import Document
from turnwise.synthesis import planning, statements
from turnwise.synthesis.chain import LOGIC_TYPES, to_dialogue
from turnwise.synthesis.extractive import Extractive
from turnwise.synthesis.key_phrases import key_phrases
from turnwise.synthesis.pieces import clauses_of, sentences_of, usable
from turnwise.synthesis.sample_documents import sample_documents
from turnwise.synthesis.sentences import split_sentences

SAMPLES = {document.id: document for document in sample_documents()}


def long_document() -> Document:
    """Forty different sentences of 60 to 70 characters."""
    towns = ["Orlec", "Tarrow", "Felden", "Osterby", "Brunnhal"]
    lines = [f"In {1700 + 3 * n}, the town of {towns[n % 5]} built bridge {n + 10} over the Aske." for n in range(40)]
    return Document("long", " ".join(lines))


def test_there_are_three_samples_of_each_language_and_each_becomes_all_six_types():
    assert len(SAMPLES) == 6
    for document in SAMPLES.values():
        mode = Extractive()
        dialogue = to_dialogue(document, mode.dialogue(document), mode)
        check(document, dialogue)
        assert dialogue.num_turns >= 8
        assert len({message.extra["logic"] for message in dialogue.replies}) >= 5
    assert (
        sorted(
            to_dialogue(one, Extractive().dialogue(one), Extractive()).metadata["language"] for one in SAMPLES.values()
        )
        == ["en"] * 3 + ["zh"] * 3
    )


@pytest.mark.parametrize("wanted", [0.15, 0.3, 0.5, 0.7])
def test_coverage_is_reached_within_a_twentieth_where_there_are_sentences_enough(wanted):
    """40 sentences of about 65 characters: 8 turns hold 20 %, 12 turns 30 %; more takes wider spans, less clauses."""
    document, mode = long_document(), Extractive(coverage=wanted)
    written = mode.dialogue(document)
    check(document, to_dialogue(document, written, mode))
    assert written.checks["evidence_share"] == pytest.approx(wanted, abs=0.05)


def test_more_coverage_is_never_less_evidence():
    shares = [
        Extractive(coverage=wanted).dialogue(SAMPLES["orlec-salt-gardens"]).checks["evidence_share"]
        for wanted in (0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.6 < 0.9 < shares[-1]


@pytest.mark.parametrize("turns", [(1, 1), (3, 5), (8, 8), (12, 20)])
def test_the_number_of_turns_is_in_its_range(turns):
    for document in SAMPLES.values():
        written = Extractive(turns=turns).dialogue(document)
        assert turns[0] <= len(written.turns) <= turns[1]


def test_a_document_of_two_short_sentences_gives_fewer_turns_and_says_so():
    """Two usable sentences, of which none has two clauses of four words."""
    document = Document("short", "The mill stands in Felden. The mill is very old.")
    written = Extractive().dialogue(document)
    assert len(written.turns) == 2 == written.checks["room"]
    assert written.checks["fewer_turns"] == 8


def test_usable_is_four_english_words_or_six_chinese_letters():
    assert [usable(text, "en") for text in ("The old mill stands", "The old mill", "1 2 3 4 5")] == [True, False, False]
    assert [usable(text, "zh") for text in ("石桥港在北岸", "石桥港在北", "。，！？；：…")] == [True, False, False]


def test_clauses_keep_their_places_and_are_usable():
    text = "When the flood came in, the wheel of the mill broke, and two of the halls fell."
    (piece,) = sentences_of("  " + text, "en", split_sentences)
    clauses = clauses_of(piece, "en")
    assert [one.text for one in clauses] == [
        "When the flood came in", "the wheel of the mill broke", "and two of the halls fell.",
    ]  # fmt: skip
    assert all(("  " + text)[one.start : one.end] == one.text for one in clauses)


def test_a_plan_has_each_type_once_and_answers_what_the_assistant_asked():
    for seed in range(50):
        plan = planning.logics(9, lambda place, logic: True, random.Random(seed))
        assert set(plan) == set(LOGIC_TYPES)
        assert plan.count("question-question") == 1
        assert plan[plan.index("question-question") + 1] == "question-answer"


def test_where_nothing_fits_all_turns_are_question_answer():
    assert planning.logics(5, lambda place, logic: False, random.Random(0)) == ["question-answer"] * 5


def test_a_wrong_statement_swaps_one_thing_for_another_of_the_document():
    pool = statements.pool_of(["The mill was built in 1694.", "It closed in 1931."], "en")
    swap = statements.swapped("The mill was built in 1694.", pool, "en", random.Random(0))
    assert swap == statements.Swapped("the mill was built in 1931.", "1694", "1931")
    assert statements.swapped("The mill is old and dark.", pool, "en", random.Random(0)) is None


def test_a_statement_drops_what_follows_the_main_clause():
    english = "However, the tower is a museum, which holds 400 books."
    assert statements.statement(english, "en") == "the tower is a museum."
    assert (
        statements.statement("但是司马颖很快击败朝廷军队，反而忌恨他。", "zh") == "司马颖很快击败朝廷军队，反而忌恨他。"
    )
    assert statements.statement("Who built the mill in Felden?", "en") is None


def test_key_phrases_set_sentences_apart_and_are_in_them():
    """ "mill" is in all three sentences, the other words in one each."""
    texts = ["The mill has a stone wheel.", "The mill makes wrapping paper.", "The mill was sold to Jonas Pell."]
    found = key_phrases(texts, language="en")
    assert [phrases[0] for phrases in found] == ["stone wheel", "wrapping paper", "Jonas Pell"]
    chinese = ["天文台安装了望远镜。", "望远镜在天文台的展厅里。"]
    assert all(
        phrase in text
        for text, each in zip(chinese, key_phrases(chinese, language="zh"), strict=True)
        for phrase in each
    )


def test_the_examples_of_the_page_are_what_is_written():
    """Every heading of an example names the document and the seed; evidence is in bold."""
    page = (Path(__file__).parents[2] / "docs" / "extractive.md").read_text(encoding="utf-8")
    shown = re.findall(r"^### .* \(`([\w-]+)`, seed (\d+)\)\n\n((?:.+\n)+)", page, re.MULTILINE)
    assert len(shown) == 3
    for name, seed, lines in shown:
        written = Extractive(turns=(8, 8), seed=int(seed)).dialogue(SAMPLES[name])
        expected = ""
        for turn in written.turns:
            reply = turn.assistant.replace(turn.find, f"**{turn.find}**", 1)
            expected += f"- *{turn.logic}*\n  - User: {turn.user}\n  - Assistant: {reply}\n"
        assert lines == expected
