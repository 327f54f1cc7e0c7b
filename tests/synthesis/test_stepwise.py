"""Plan, search, write: what each request holds, and that every claim stands in the document."""

from __future__ import annotations

import json

import pytest
from scripted_teacher import CHINESE, ENGLISH, Overlap, material, split, teacher_reply

from turnwise.dialogue import Document
from turnwise.errors import ConfigError
from turnwise.llm.cache import Cached, ReplyCache
from turnwise.llm.chat import ChatReply
from turnwise.llm.drive import run_one
from turnwise.llm.scripted import ScriptedModel
from turnwise.llm.structured import Structured
from turnwise.llm.usage import Usage
from turnwise.synthesis.chain import to_dialogue
from turnwise.synthesis.stepwise import CodStepwise


def write(document=ENGLISH, script=None, **options):
    model = ScriptedModel(script or (lambda request: teacher_reply(request.messages)))
    mode = CodStepwise(Structured(model), **{"retriever": Overlap, "split": split, **options})
    return run_one(mode.write(document)), model.requests, mode


@pytest.mark.parametrize("document", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_every_claim_is_a_sentence_of_the_document_and_no_sentence_is_used_twice(document):
    """8 turns of two requests each; the teacher uses none of the sentences in turn 4."""
    written, requests, mode = write(document)
    assert (written.failure, len(requests), len(written.turns), len(written.raw)) == (None, 16, 8, 16)
    spans = [turn.span for turn in written.turns]
    assert spans[4] is None
    assert written.turns[4].find == ""
    found = [span for span in spans if span is not None]
    assert len({span.start for span in found}) == 7
    assert all(document.text[span.start : span.end] == span.text and span.score == 1 for span in found)
    assert [turn.find for turn in written.turns if turn.find] == [span.text for span in found]
    assert (written.checks["grounded"], written.checks["common_knowledge"]) == (1.0, 1 / 8)
    assert len(written.checks["logic"]) == 6
    assert written.prompt == f"turnwise-cod-stepwise-{'zh' if document is CHINESE else 'en'}@1"
    assert len(to_dialogue(document, written, mode).evidence) == 7


def test_the_plan_sees_document_and_history_and_the_writer_what_was_found_for_the_plan():
    """The plan of turn 0 names the first sentence's words; the writer is shown the best 2 of what shares words."""
    written, requests, _ = write(turns=2, shown=2)
    plans, writes = requests[::2], requests[1::2]
    second = material(plans[1].messages[1]["content"])
    assert second["document"] == ENGLISH.text
    assert second["dialogue"] == f"User: {written.turns[0].user}\nAssistant: {written.turns[0].assistant}"
    assert "turn 2 of 2" in plans[1].messages[1]["content"]
    assert "question-answer 1, question-question 0" in plans[1].messages[1]["content"]
    first = material(writes[0].messages[1]["content"])
    assert "document" not in first
    assert first["sentences"].startswith("[1] The bridge was opened in 1890.\n[2] ")
    assert len(first["sentences"].splitlines()) == 2
    assert json.loads(first["plan"])["purpose"] == "to learn"
    assert writes[0].schema["properties"]["used"]["maximum"] == 2
    later = material(writes[1].messages[1]["content"])["sentences"]
    assert "opened in 1890" not in later, "a sentence that was used is not shown again"


def test_a_sentence_that_was_not_given_is_asked_for_again_and_then_malformed():
    """The only way to claim what is not there is a number out of range, which the schema refuses."""

    def script(request):
        reply = json.loads(teacher_reply(request.messages))
        return json.dumps({**reply, "used": 99} if "used" in reply else reply)

    written, requests, _ = write(script=script)
    assert (written.failure, len(requests), len(written.raw)) == ("malformed", 4, 4)
    assert written.detail.startswith("turn 0: ")


def test_where_nothing_is_found_the_writer_can_only_answer_from_common_knowledge():
    class Nothing(Overlap):
        def search(self, query, k):
            return []

    written, requests, _ = write(retriever=Nothing, turns=2)
    assert requests[1].schema["properties"]["used"]["maximum"] == 0
    assert written.checks["common_knowledge"] == 1
    assert written.checks["grounded"] is None


def test_a_later_failure_keeps_every_text_and_says_where():
    def script(request):
        if "turn 3 of" in request.messages[1]["content"]:
            return ChatReply("cut", failure="truncated", detail="the limit")
        return teacher_reply(request.messages)

    written, _, _ = write(script=script)
    assert (written.failure, written.detail) == ("truncated", "turn 2, plan: the limit")
    assert (len(written.raw), written.raw[-1], written.turns) == (5, "cut", ())


def test_finished_turns_of_an_interrupted_dialogue_are_replayed_from_the_cache(tmp_path):
    """Stopped at the plan of turn 3: 6 replies are kept. The next run sends the other 10 of 16 requests."""
    cache = ReplyCache(tmp_path / "replies.sqlite")

    def run(script):
        model = ScriptedModel(script)
        mode = CodStepwise(Structured(Cached(model, cache, Usage())), retriever=Overlap, split=split)
        return run_one(mode.write(ENGLISH)), len(model.requests)

    def stopped(request):
        if "turn 4 of" in request.messages[1]["content"]:
            return ChatReply("", failure="limit", detail="max_requests")
        return teacher_reply(request.messages)

    first, sent = run(stopped)
    assert (first.failure, sent, len(cache)) == ("limit", 7, 6)
    second, sent = run(lambda request: teacher_reply(request.messages))
    assert (second.failure, sent, len(second.turns)) == (None, 10, 8)
    assert run(lambda _: pytest.fail("asked again")) == (second, 0)
    cache.close()


def test_documents_without_sentences_or_too_long_ones_fail_with_a_reason():
    written, requests, _ = write(Document("empty", " \n "))
    assert (written.failure, requests) == ("no_turns", [])
    written, requests, _ = write(Document("long", "Steel. " * 2900))
    assert (written.failure, requests) == ("too_long", [])
    with pytest.raises(ConfigError, match="at least 1"):
        CodStepwise(ScriptedModel(lambda _: ""), turns=0)


def test_a_planner_that_always_asks_for_the_same_is_given_another_sentence_each_time():
    """Three sentences of the document speak of a bridge; the fourth turn finds nothing that was not used."""

    def script(request):
        reply = json.loads(teacher_reply(request.messages))
        return json.dumps({**reply, "search": ["bridge"]} if "search" in reply else reply)

    written, requests, _ = write(script=script, turns=4)
    spans = [turn.span for turn in written.turns]
    assert [span and span.text for span in spans] == [
        "The bridge was opened in 1890.",
        "Fowler and Baker designed the bridge.",
        "A second bridge carries the motorway.",
        None,
    ]
    assert requests[-1].schema["properties"]["used"]["maximum"] == 0
