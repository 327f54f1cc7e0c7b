"""Training data of a generator: a document and its chain, as a dialogue that reads back to the same chain."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_mode import COMMON, ELSEWHERE, SentenceMode, document

from turnwise.data.read import read_dialogues
from turnwise.dialogue import Document
from turnwise.errors import DataError
from turnwise.llm.scripted import ScriptedModel
from turnwise.synthesis.chain import LOGIC_TYPES, ChainTurn, Span, Written, to_dialogue
from turnwise.synthesis.generator import export_generator_data, read_chain, turns_of, write_chain
from turnwise.synthesis.results import read_dialogues_of, read_documents_of
from turnwise.synthesis.synthesize import synthesize

DOCUMENT = Document("d", "Water boils at 100 °C. Ice is “cold”.\n水在零度结冰。")


def ask(one, turns):
    """How a chain is asked for here."""
    return [{"role": "system", "content": "Write."}, {"role": "user", "content": f"{turns} turns: {one.text}"}]


def spans():
    length = len(DOCUMENT.text)
    ends = st.tuples(st.integers(0, length - 1), st.integers(1, length)).filter(lambda ends: ends[0] < ends[1])
    return ends.map(lambda ends: Span(*ends, DOCUMENT.text[slice(*ends)]))


texts = st.text(min_size=1, max_size=30).filter(str.strip)
turns = st.builds(
    lambda span, **said: ChainTurn(**said, find=span.text if span else "", span=span),
    user=texts,
    assistant=texts,
    logic=st.sampled_from(LOGIC_TYPES),
    purpose=st.text(max_size=20),
    progress=st.text(max_size=20),
    flow=st.text(max_size=20),
    search=st.lists(texts, max_size=3).map(tuple),
    span=st.none() | spans(),
)


@given(st.lists(turns, min_size=1, max_size=4))
def test_a_chain_reads_back_as_it_was_written(chain):
    """But for the offset of evidence that stands in the document more than once: the first place is taken."""
    found = read_chain(write_chain(chain), DOCUMENT)
    assert [replace(one, span=None) for one in found] == [replace(one, span=None) for one in chain]
    for one, other in zip(found, chain, strict=True):
        assert (one.span is None) == (other.span is None)
        if one.span is not None:
            assert DOCUMENT.text[one.span.start : one.span.end] == one.span.text == other.span.text
            assert one.span.start <= other.span.start


@given(st.lists(turns, min_size=1, max_size=4))
def test_a_record_reads_back_to_its_turns(chain):
    class Some:
        name, teacher = "some", None

    assert turns_of(to_dialogue(DOCUMENT, Written(tuple(chain)), Some())) == tuple(chain)


def test_pairs_ask_for_the_document_and_reply_with_its_chain(tmp_path):
    given_documents = [document(number) for number in (1, 2, 3)]
    run = synthesize(given_documents, SentenceMode(), tmp_path / "run").run
    assert export_generator_data(run, tmp_path / "pairs.jsonl", ask=ask) == {"written": 3}
    pairs = list(read_dialogues(tmp_path / "pairs.jsonl"))
    for pair, one, dialogue in zip(pairs, read_documents_of(run), read_dialogues_of(run), strict=True):
        assert [message.role for message in pair.messages] == ["system", "user", "assistant"]
        assert pair.messages[1].content == f"3 turns: {one.text}", "asked for no more than it has"
        assert read_chain(pair.messages[2].text, one) == turns_of(dialogue)
        assert pair.metadata["document"] == one.id
    chain = json.loads(pairs[0].messages[2].text)
    assert [turn["type"] for turn in chain["turns"]] == list(LOGIC_TYPES[:3])
    assert "\n" not in pairs[0].messages[2].text


def test_dialogues_that_would_teach_to_make_evidence_up_are_left_out_and_counted(tmp_path):
    """Of three, the second claims what does not stand in its document; the third has a turn from common knowledge."""

    def script(request):
        sentence = request.messages[-1]["content"].splitlines()[-1]
        return f"{ELSEWHERE}x" if "part 201" in sentence else f"{COMMON}x" if "part 300" in sentence else sentence

    mode = SentenceMode(ScriptedModel(script))
    run = synthesize([document(number) for number in (1, 2, 3)], mode, tmp_path / "run").run
    assert export_generator_data(run, tmp_path / "pairs.jsonl", ask=ask) == {"written": 2, "ungrounded": 1}
    last = list(read_dialogues(tmp_path / "pairs.jsonl"))[-1]
    assert [turn["find"] == "" for turn in json.loads(last.messages[-1].text)["turns"]] == [True, False, False]


def test_evidence_that_was_quoted_loosely_is_written_as_it_stands():
    loose = ChainTurn("Q", "A", "question-answer", find="ice is cold", span=Span(23, 36, DOCUMENT.text[23:36], 0.9))
    assert json.loads(write_chain([loose]))["turns"][0]["find"] == "Ice is “cold”"


def test_dialogues_without_a_chain_give_no_data_and_leave_no_file(tmp_path):
    class Bare(SentenceMode):
        async def write(self, one):
            return Written((ChainTurn("Q", "A"),))

    run = synthesize([document(1)], Bare(), tmp_path / "run").run
    with pytest.raises(DataError, match="no_chain 1"):
        export_generator_data(run, tmp_path / "pairs.jsonl", ask=ask)
    assert not (tmp_path / "pairs.jsonl").exists()


def test_an_existing_file_is_not_replaced_unasked(tmp_path):
    run = synthesize([document(1)], SentenceMode(), tmp_path / "run").run
    (tmp_path / "pairs.jsonl").write_text("mine\n", encoding="utf-8")
    with pytest.raises(DataError, match="exists already"):
        export_generator_data(run, tmp_path / "pairs.jsonl", ask=ask)
    assert export_generator_data(run, tmp_path / "pairs.jsonl", ask=ask, overwrite=True) == {"written": 1}


@pytest.mark.parametrize("text", ["", "[]", '{"turns": [{}]}', '{"turns": [1]}', '{"turns": null}'])
def test_what_is_no_chain_is_refused(text):
    with pytest.raises(DataError, match="expected a chain of dialogue"):
        read_chain(text, DOCUMENT)
