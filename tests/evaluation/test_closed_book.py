"""Closed-book questions: the measures by hand, SQuAD's normalisation, what is asked and what is left out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.closed_book import MEASURES, ClosedBook, first_sentence, measure, token_f1, tokens
from turnwise.llm.chat import ChatReply
from turnwise.llm.drive import run_all, run_one
from turnwise.llm.scripted import ScriptedModel


def squad(folder, *paragraphs, title="Normans"):
    path = folder / "squad.json"
    record = {"title": title, "paragraphs": [{"context": "Rollo came.", "qas": qas} for qas in paragraphs]}
    path.write_text(json.dumps({"version": "2", "data": [record]}), encoding="utf-8")
    return path


def question(text, *answers, **more):
    return {"question": text, "answers": [{"text": one, "answer_start": 0} for one in answers], **more}


def scored(benchmark, script):
    model = ScriptedModel(script, name="m")
    answers = list(run_all(lambda item: benchmark.answer(item, model), benchmark.items()))
    return model, [one for answer in answers for one in run_one(benchmark.score(answer, None))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  10th, and 11th Centuries!", ["10th", "and", "11th", "centuries"]),
        ("a theatre", ["theatre"]),
        ("Charles's", ["charless"]),  # deleted, not replaced by a space
        ("10th–11th", ["10th–11th"]),  # SQuAD deletes ASCII punctuation alone
        ("an A the", []),
    ],
)
def test_english_is_normalised_as_squad_does(text, expected):
    assert tokens(text) == expected


def test_chinese_is_cut_into_characters_without_the_punctuation_of_any_script():
    assert tokens("《诺曼底》,在 France。", language="zh") == ["诺", "曼", "底", "在", "france"]


def test_f1_is_twice_the_shared_tokens_over_all():
    """Three of four said tokens are among two gold ones' ... by hand: 2 shared, 4 said, 3 gold: 2*2/(4+3) = 4/7."""
    assert token_f1(["x", "y", "z", "w"], ["y", "z", "v"]) == pytest.approx(4 / 7)
    # A token that is said three times and wanted once is shared once: 2*1/(3+1).
    assert token_f1(["x", "x", "x"], ["x"]) == pytest.approx(0.5)
    assert (token_f1([], []), token_f1(["x"], []), token_f1([], ["x"])) == (1, 0, 0)


def test_each_measure_takes_the_best_gold_answer():
    """Against "10th": 1 shared of 4 said and 1 gold, 2/5; against "10th and 11th centuries": 3 shared of 4 and 4, 6/8.

    The reply, without "The": 10th, 11th, centuries, ad. Only "10th" stands in it word after word.
    """
    found = measure("The 10th, 11th centuries AD.", ["10th", "10th and 11th centuries"])
    assert found == {"f1": pytest.approx(0.75), "exact": 0, "contains": 1}
    assert measure("the France!", ["Gaul", "France"]) == {"f1": 1, "exact": 1, "contains": 1}
    assert measure("Francesca", ["France"]) == {"f1": 0, "exact": 0, "contains": 0}  # whole tokens, not letters
    assert measure("他住在法国。", ["法国"], language="zh") == {"f1": pytest.approx(4 / 7), "exact": 0, "contains": 1}


@given(st.text(max_size=30), st.lists(st.text(max_size=12), min_size=1, max_size=3), st.sampled_from(["en", "zh"]))
def test_an_exact_match_is_a_full_f1_and_contained_and_all_lie_between_0_and_1(reply, golds, language):
    found = measure(reply, golds, language=language)
    assert all(0 <= value <= 1 for value in found.values())
    if found["exact"]:
        assert found == {"f1": 1, "exact": 1, "contains": 1}
    assert measure(golds[0], golds, language=language)["exact"] == 1


def test_questions_are_asked_without_their_paragraph_and_unanswerable_ones_are_counted(tmp_path):
    path = squad(
        tmp_path,
        [question("Who came?", "Rollo", "Rollo", id="q1"), question("Who went?", is_impossible=True)],
        [question("来的是谁?", "罗洛"), question("Again?", "x", id="q1")],
    )
    benchmark = ClosedBook(path, instruction="Answer in a few words.", max_tokens=8)
    items = benchmark.items()
    assert [item.id for item in items] == ["q1", "Normans#1/0", "q1#2"]
    assert [message.to_dict() for message in items[0].messages] == [
        {"role": "user", "content": "Who came?\nAnswer in a few words."}
    ]
    assert items[0].metadata == {
        "category": "Normans",
        "document": "Normans#0",
        "answers": ["Rollo"],
        "language": "en",
    }
    assert items[1].metadata["language"] == "zh"
    assert (items[0].sampling.temperature, items[0].sampling.max_tokens) == (0, 8)
    assert benchmark.left_out == {"unanswerable": 1}


def test_scores_become_a_table_of_the_three_measures(tmp_path):
    """Right, then two of three tokens ("duke rollo came" against "rollo": f1 = 2*1/(3+1) = 0.5), then a failure."""
    path = squad(tmp_path, [question("1?", "Rollo"), question("2?", "Rollo"), question("3?", "Rollo")])

    def script(request):
        asked = request.messages[-1]["content"]
        return {"1?": "Rollo.", "2?": "Duke Rollo came"}.get(asked) or ChatReply("", failure="server")

    benchmark = ClosedBook(path)
    _, judgments = scored(benchmark, script)
    assert len(judgments) == 9
    (table,) = benchmark.tables(judgments)
    rows = {row.name: (row.mean, row.n, row.unscored) for row in table.rows}
    failed = {"no_answer": 1}
    assert rows == {"f1": (0.75, 2, failed), "exact": (0.5, 2, failed), "contains": (1.0, 2, failed)}
    assert [row.name for row in table.rows] == list(MEASURES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" France. It lies in Europe.", "France"),
        ("At 3.5 km. Far.", "At 3.5 km"),  # a point inside a number ends nothing
        ("France", "France"),
        ("法国。它在欧洲。", "法国"),
        ("France\nEurope.", "France"),
        ("", ""),
    ],
)
def test_the_first_sentence_ends_at_a_full_stop_before_white_space(text, expected):
    assert first_sentence(text) == expected


def test_a_reply_that_explains_itself_can_be_scored_by_its_first_sentence(tmp_path):
    """The whole reply has 5 tokens, 1 of them shared: 2*1/(5+1); the first sentence is the gold answer."""
    path = squad(tmp_path, [question("1?", "Rollo")])
    for whole, expected in ((ClosedBook(path), 1 / 3), (ClosedBook(path, first_sentence=True), 1)):
        _, judgments = scored(whole, lambda request: "Rollo. He came from Norway.")
        assert judgments[0].score == pytest.approx(expected)
    assert judgments[0].prompt == "closed-book-first-sentence@1"


def test_an_empty_reply_is_a_wrong_answer_and_no_missing_one(tmp_path):
    benchmark = ClosedBook(squad(tmp_path, [question("1?", "Rollo")]))
    _, judgments = scored(benchmark, lambda request: ChatReply("", failure="empty"))
    assert {one.score for one in judgments} == {0}


@pytest.mark.parametrize(
    ("qas", "said"),
    [
        ([{"answers": []}], "'question'"),
        ([question("Who?") | {"answers": ["Rollo"]}], "'text'"),
        ([question("Who?", is_impossible=True)], "no question with an answer"),
        ({}, "'qas' to be a list"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, qas, said):
    with pytest.raises(DataError, match=said):
        ClosedBook(squad(tmp_path, qas)).items()


def test_answers_without_gold_answers_cannot_be_scored(tmp_path):
    benchmark = ClosedBook(squad(tmp_path, [question("1?", "Rollo")]))
    with pytest.raises(DataError, match="gold"):
        run_one(benchmark.score(Dialogue([Message("user", "1?"), Message("assistant", "Rollo")]), None))
    with pytest.raises(ConfigError, match="max_tokens"):
        ClosedBook("x", max_tokens=0)


@pytest.mark.data
def test_the_gold_answers_of_squad_score_full_marks(public_data):
    """Every question of the file that has an answer, answered with the last of its gold answers: EM and F1 are 1."""
    benchmark = ClosedBook(public_data / "squad2")
    items = benchmark.items()
    # The file itself: counted by reading it as JSON.
    articles = [
        a for path in sorted((public_data / "squad2").glob("*.json")) for a in json.loads(path.read_bytes())["data"]
    ]
    every = [qa for article in articles for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    assert len(items) == sum(not qa["is_impossible"] for qa in every)
    assert benchmark.left_out == {"unanswerable": sum(qa["is_impossible"] for qa in every)}
    golds = [item.metadata["answers"] for item in items]
    assert all(measure(one[-1], one) == dict.fromkeys(MEASURES, 1) for one in golds)
