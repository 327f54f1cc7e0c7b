"""One request per document: what is asked, what becomes of the reply, and what the checks find in it."""

from __future__ import annotations

import json

import pytest
from scripted_teacher import CHINESE, ENGLISH, NEVER_WRITTEN, teacher_reply

from turnwise.dialogue import Document
from turnwise.errors import ConfigError
from turnwise.llm.chat import ChatReply
from turnwise.llm.drive import run_one
from turnwise.llm.scripted import ScriptedModel
from turnwise.llm.structured import Structured
from turnwise.synthesis.chain import to_dialogue
from turnwise.synthesis.replies import logic_of
from turnwise.synthesis.teacher_modes import Cod, Cot, Direct


def write(kind=Cod, document=ENGLISH, script=None, **options):
    """What a mode writes, and the requests that reached the teacher."""
    model = ScriptedModel(script or (lambda request: teacher_reply(request.messages)))
    mode = kind(Structured(model), **options)
    return run_one(mode.write(document)), model.requests, mode


def cod_reply(*turns):
    """A reply in the form of `cod`, its turns given by what differs."""
    plain = {"user": "Was the bridge opened?", "type": "question-answer", "progress": "", "flow": "", "purpose": ""}
    plain |= {"search": [], "find": "", "assistant": "The bridge was opened."}
    return json.dumps({"turns": [{**plain, **turn} for turn in turns]}, ensure_ascii=False)


@pytest.mark.parametrize("document", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_cod_writes_eight_turns_with_chain_and_exact_spans_from_one_request(document):
    """The teacher claims sentences word for word, nothing in turn 4, and types in the paper's capitals in odd turns:
    7 of 7 claims are found, 1 of 8 turns is common knowledge, turns 6 and 7 repeat the first two types."""
    written, requests, mode = write(document=document)
    assert (written.failure, len(requests), len(written.turns)) == (None, 1, 8)
    assert requests[0].schema is not None
    checks = written.checks
    assert (checks["grounded"], checks["common_knowledge"], checks["ungrounded_turns"]) == (1.0, 1 / 8, [])
    assert checks["logic"] == {
        "opinion-agreement": 1 / 8,
        "opinion-rebuttal": 1 / 8,
        "question-answer": 2 / 8,
        "question-question": 2 / 8,
        "statement-explanation": 1 / 8,
        "statement-inquiry": 1 / 8,
    }
    assert (checks["turns"], checks["unknown_types"], checks["language_match"]) == (8, 0, True)
    assert (checks["near_duplicate_turns"], checks["off_document_turns"], checks["flags"]) == ([], [], [])
    assert "short" not in checks
    dialogue = to_dialogue(document, written, mode)
    assert len(dialogue.evidence) == 7
    assert all(document.text[one["start"] : one["end"]] == one["text"] for one in dialogue.evidence)
    assert dialogue.messages[1].extra["progress"] == "deepening"
    assert dialogue.metadata["prompt"] == f"turnwise-cod-{dialogue.metadata['language']}@1"


@pytest.mark.parametrize("document", [ENGLISH, CHINESE], ids=["en", "zh"])
@pytest.mark.parametrize("kind", [Direct, Cot, Cod])
def test_prompts_are_in_the_documents_language_and_hold_it_between_marks(kind, document):
    _, requests, _ = write(kind, document, turns=9)
    system, user = (message["content"] for message in requests[0].messages)
    chinese = document is CHINESE
    assert ("素材" in system) == chinese
    assert ("material" in system) != chinese
    assert f">\n{document.text}\n</document " in user
    assert f">\n{document.title}\n</title " in user
    assert ("至少 9 轮" if chinese else "at least 9 turns") in user
    assert "{" + "turns}" not in user


def test_a_title_that_the_text_begins_with_is_not_shown_twice():
    _, requests, _ = write(document=Document("a", f"The Forth Bridge\n{ENGLISH.text}", title="The Forth Bridge"))
    assert "<title" not in requests[0].messages[1]["content"]


def test_direct_and_cot_have_turns_without_a_chain_and_cots_thinking_is_kept():
    for kind in (Direct, Cot):
        written, _, _ = write(kind)
        assert len(written.turns) == 8
        assert all(turn.logic is None and not turn.find and turn.span is None for turn in written.turns)
        assert not {"grounded", "common_knowledge", "logic"} & written.checks.keys()
        assert written.checks["language_match"]
    assert "First the first sentence" in written.raw[0]


@pytest.mark.parametrize(
    ("name", "logic"),
    [
        ("Question-Answer", "question-answer"),
        ("[Opinion-Rebuttal]", "opinion-rebuttal"),
        ("statement inquiry", "statement-inquiry"),
        ("Statement_Explanation", "statement-explanation"),
        ("OPINION – AGREEMENT", "opinion-agreement"),
        ("question-question.", "question-question"),
        ("chat", None),
        ("", None),
    ],
)
def test_type_names_are_read_in_every_usual_spelling(name, logic):
    assert logic_of(name) == logic


def test_claims_are_looked_for_and_what_is_not_there_is_flagged_by_turn():
    """Of three claims one is verbatim, one lacks "the " (4 edits; 36 letters without the full stop), one is made up:
    2/3 grounded. A teacher that writes "None" claims nothing: 1 of 4 turns."""
    reply = cod_reply(
        {"find": "It is made of steel from Scotland."},
        {"user": "Who?", "find": "Fowler and Baker designed bridge.", "assistant": "Fowler and Baker did."},
        {"user": "And then?", "find": NEVER_WRITTEN, "assistant": "Elephants crossed the bridge.", "type": "other"},
        {"user": "Is steel heavy?", "find": "None", "assistant": "Usually, as everybody on the bridge knows."},
    )
    written, _, mode = write(script=lambda _: reply)
    assert [turn.span and turn.span.score for turn in written.turns] == [
        1.0,
        pytest.approx(1 - 4 / 36, abs=1e-4),
        None,
        None,
    ]
    assert written.checks["grounded"] == pytest.approx(2 / 3)
    assert written.checks["ungrounded_turns"] == [2]
    assert written.checks["common_knowledge"] == 1 / 4
    assert written.checks["unknown_types"] == 1
    assert written.checks["short"]
    assert len(to_dialogue(ENGLISH, written, mode).evidence) == 2


def test_require_grounded_cuts_at_the_first_ungrounded_turn_and_checks_what_is_left():
    turns = [
        {"find": "It is made of steel from Scotland."},
        {"user": "Elephants?", "find": NEVER_WRITTEN},
        {"user": "So?"},
    ]
    written, _, _ = write(script=lambda _: cod_reply(*turns), require_grounded=True)
    assert len(written.turns) == 1
    assert (written.checks["grounded"], written.checks["turns"], written.checks["cut"]) == (1.0, 1, 3)
    for options in ({"least": 2}, {}):
        wrong = turns if options else turns[1:]
        written, _, _ = write(script=lambda _, wrong=wrong: cod_reply(*wrong), require_grounded=True, **options)
        assert (written.failure, written.turns) == ("ungrounded", ())
        assert NEVER_WRITTEN in written.detail
        assert len(written.raw) == 1


def test_a_malformed_reply_is_asked_for_again_and_all_texts_are_kept():
    """The second reply follows the schema: two texts. None of three does: a failure with all three."""
    left = ["no JSON", cod_reply({})]
    written, requests, _ = write(script=lambda _: left.pop(0))
    assert (written.failure, len(requests)) == (None, 2)
    assert written.raw[0] == "no JSON"
    assert len(written.raw) == 2
    number = iter(range(9))
    written, requests, _ = write(script=lambda _: f"no JSON {next(number)}")
    assert (written.failure, len(requests)) == ("malformed", 3)
    assert written.raw == ("no JSON 0", "no JSON 1", "no JSON 2")
    assert "no JSON of the wanted form" in written.detail


@pytest.mark.parametrize("spoil", ["not_json", "missing_key"])
def test_each_way_of_not_following_the_schema_ends_as_malformed(spoil):
    written, _, _ = write(script=lambda request: teacher_reply(request.messages, spoil))
    assert (written.failure, len(written.raw)) == ("malformed", 3)


def test_a_message_of_white_space_is_malformed_too():
    written, _, _ = write(script=lambda _: cod_reply({}, {"assistant": " \n"}))
    assert (written.failure, written.detail) == ("malformed", "a message of turn 1 is empty")
    assert written.raw


@pytest.mark.parametrize("failure", ["truncated", "refused", "limit", "server"])
def test_a_failed_reply_gives_its_own_reason_and_keeps_its_text(failure):
    written, _, _ = write(script=lambda _: ChatReply('{"turns": [', failure=failure, detail="so it is"))
    assert (written.failure, written.detail, written.raw) == (failure, "so it is", ('{"turns": [',))
    assert written.prompt == "turnwise-cod-en@1"


def test_a_document_that_is_too_long_with_its_prompt_is_refused_without_a_request():
    """20,000 characters in all: a document of 19,999 leaves no room for the prompt, one of 15,000 does."""
    written, requests, _ = write(document=Document("long", "Steel. " * 2857))
    assert (written.failure, len(requests)) == ("too_long", 0)
    assert "expected at most 20,000" in written.detail
    written, requests, _ = write(document=Document("long", "Steel. " * 2142))
    assert (written.failure, len(requests)) == (None, 1)


def test_too_few_turns_fail_only_where_that_is_asked_for():
    written, _, _ = write(script=lambda _: cod_reply({}))
    assert written.checks["short"]
    written, _, _ = write(script=lambda _: cod_reply({}), least=2)
    assert (written.failure, written.detail) == ("too_short", "expected at least 2 turns, found 1")
    assert written.raw


@pytest.mark.parametrize(
    "options", [{"least": 0}, {"least": 9}, {"turns": 0}, {"least_score": 0}, {"least_score": 1.1}]
)
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError, match="least"):
        Cod(ScriptedModel(lambda _: ""), **options)
