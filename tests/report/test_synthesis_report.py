"""The page of a synthesis: its figures are those of summary.json, its data that of the three files."""

from __future__ import annotations

import json

import pytest
from html_page import Page
from hypothesis import given
from hypothesis import strategies as st
from sentence_mode import COMMON, ELSEWHERE, SentenceMode, document

from turnwise.errors import RunError
from turnwise.llm.chat import ChatReply
from turnwise.llm.scripted import ScriptedModel
from turnwise.report import build_report
from turnwise.report.synthesis_data import pieces, read_synthesis_data
from turnwise.run import Manifest
from turnwise.synthesis.settings import SynthesisConfig
from turnwise.synthesis.synthesize import synthesize


def teacher():
    """Document 2 claims what is elsewhere in its turn 1 and nothing in its turn 2; document 3 is refused."""

    def script(request):
        sentence = request.messages[-1]["content"].splitlines()[-1].removeprefix("Ask about: ")
        if "part 300" in sentence:
            return ChatReply("I would rather", failure="refused", detail="not allowed")
        special = {"part 201": f"{ELSEWHERE}nowhere", "part 202": f"{COMMON}sense"}
        return next((said for key, said in special.items() if key in sentence), f"Why {sentence}?")

    return ScriptedModel(script, name="the-teacher")


@pytest.fixture
def run(tmp_path):
    given_documents = [document(1, set="a"), document(2, set="a"), document(3, set="b")]
    return synthesize(given_documents, SentenceMode(teacher()), tmp_path / "run").run


def data_of(page):
    return json.loads(page.inside["script"][0])["items"]


def test_the_page_shows_figures_by_set_and_why_documents_failed(run):
    """Of 6 turns in set a 5 claim evidence and 4 have it: 80 %; 1 of 6 answers from common knowledge: 16.7 %."""
    page = Page(build_report(run))
    top = page.text("top")
    assert "3 documents became 2 dialogues by sentence, written by the-teacher." in top
    figures = page.text("figures")
    assert "a 2 2 6 80.0 % 16.7 %" in figures
    assert "b 1 0 0 – –" in figures
    assert "logic type a b all question-answer 33.3 % – 33.3 %" in figures
    assert "opinion-rebuttal 0.0 % – 0.0 %" in figures
    dropped = page.text("dropped")
    assert "33.3 % of the documents failed; the limit is 5.0 %." in dropped
    assert "b refused 1" in dropped
    assert "mode: sentence" in page.text("data")


def test_the_data_hold_the_document_its_turns_and_their_evidence(run):
    first, second, failed = data_of(Page(build_report(run)))
    assert "".join(piece for piece, _ in first["pieces"]) == document(1).text
    assert [[piece, turns] for piece, turns in first["pieces"] if turns] == [
        [sentence, [number]] for number, sentence in enumerate(document(1).text.split(". "))
    ]
    assert [turn["span"] is None for turn in second["turns"]] == [False, True, True]
    assert [turn["find"] for turn in second["turns"]][1:] == [f"{ELSEWHERE}nowhere", ""]
    assert (failed["outcome"], failed["detail"], failed["raw"]) == ("refused", "not allowed", ["I would rather"])


def test_turns_that_were_cut_off_are_shown_with_their_dialogue(tmp_path):
    settings = SynthesisConfig(require_grounded=True)
    given_documents = [document(number) for number in (1, 2)]
    run = synthesize(given_documents, SentenceMode(teacher()), tmp_path / "run", settings=settings).run
    _, cut = data_of(Page(build_report(run)))
    assert (len(cut["turns"]), len(cut["lost"]), cut["outcome"]) == (1, 2, "dialogue")
    assert "2 turns of dialogues were cut off" in Page(build_report(run)).text("dropped")


def test_a_sample_is_drawn_by_the_seed_and_said_to_be_one(tmp_path):
    run = synthesize([document(number) for number in range(30)], SentenceMode(), tmp_path / "run").run
    drawn = [[item["document"] for item in read_synthesis_data(run, seed=seed, most=10).items] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == sorted(drawn[0], key=lambda name: int(name.split("-")[1])), "in the order of the documents"
    few = read_synthesis_data(run, most=10)
    assert (len(few.items), few.left_out) == (10, 20)


def test_a_page_holds_no_more_characters_than_a_browser_can_open(tmp_path):
    run = synthesize([document(number) for number in range(10)], SentenceMode(), tmp_path / "run").run
    assert len(read_synthesis_data(run, cap=2000).items) < 10


def test_a_folder_whose_run_was_killed_has_no_page_and_the_error_says_how_to_go_on(tmp_path):
    (tmp_path / "run").mkdir()
    Manifest("synthesize").write(tmp_path / "run" / "manifest.json")
    with pytest.raises(RunError, match="--resume"):
        build_report(tmp_path / "run")


def test_a_damaged_file_costs_the_list_and_not_the_page(run):
    (run / "failed.jsonl").write_text("{\n", encoding="utf-8")
    page = Page(build_report(run))
    assert "The dialogues cannot be shown:" in page.text("dialogues")
    assert "a 2 2 6" in page.text("figures")


@given(
    st.text(max_size=40),
    st.lists(st.tuples(st.integers(0, 45), st.integers(0, 45)).map(sorted), max_size=5),
)
def test_pieces_make_the_text_and_know_whose_evidence_they_are(text, ends):
    """Character by character: it belongs to the turns whose span covers it."""
    turns = [{"span": [start, end, 1.0]} for start, end in ends if end <= len(text)]
    found = pieces(text, turns)
    assert "".join(piece for piece, _ in found) == text
    owners = [owners for piece, owners in found for _ in piece]
    for place, owned in enumerate(owners):
        assert owned == [number for number, turn in enumerate(turns) if turn["span"][0] <= place < turn["span"][1]]
