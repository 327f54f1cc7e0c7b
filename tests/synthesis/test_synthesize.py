"""A run of synthesis: every document ends as a dialogue or in the failed list, in order, and the figures add up."""

from __future__ import annotations

import json

import pytest
from sentence_mode import COMMON, ELSEWHERE, SentenceMode, document

from turnwise.data.read import read_dialogues
from turnwise.dialogue import Document
from turnwise.errors import ConfigError, DataError, RunError
from turnwise.llm.chat import ChatReply
from turnwise.llm.scripted import ScriptedModel
from turnwise.run import read_manifest
from turnwise.synthesis.results import read_dialogues_of, read_documents_of, read_lines, read_summary
from turnwise.synthesis.settings import SynthesisConfig
from turnwise.synthesis.synthesize import synthesize


def asks(**special):
    """A teacher that asks `Why SENTENCE`; where a sentence holds a key of `special`, it says that instead."""

    def script(request):
        sentence = request.messages[-1]["content"].splitlines()[-1].removeprefix("Ask about: ")
        found = next((said for key, said in special.items() if f"{key.replace('_', ' ')} " in f"{sentence} "), None)
        return f"Why {sentence}?" if found is None else found

    return ScriptedModel(script, name="teacher")


def documents(count, sentences=3):
    return [document(number, sentences) for number in range(1, count + 1)]


def run(given, tmp_path, teacher=None, **settings):
    mode = SentenceMode(teacher if teacher is not None else asks())
    return synthesize(given, mode, tmp_path / "run", settings=SynthesisConfig(**settings))


def test_every_document_becomes_a_dialogue_in_order_with_evidence_at_its_offsets(tmp_path):
    done = run(documents(40), tmp_path)
    dialogues, texts = list(read_dialogues_of(done.run)), {one.id: one.text for one in read_documents_of(done.run)}
    assert [one.metadata["document"] for one in dialogues] == [f"doc-{number}" for number in range(1, 41)]
    assert all(len(one.evidence) == one.num_turns == 3 for one in dialogues)
    for one in dialogues:
        for span in one.evidence:
            assert texts[span["document"]][span["start"] : span["end"]] == span["text"]
            assert one.messages[span["message"]].content == span["text"]
    assert done.exit_code == 0
    assert [one.to_dict() for one in read_dialogues(done.output)] == [one.to_dict() for one in dialogues]
    assert list(read_lines(done.run / "failed.jsonl")) == []


def test_failures_stop_nothing_and_are_listed_with_reason_raw_texts_and_prompt(tmp_path):
    """Documents 2 (truncated at its second sentence, c1) and 4 (refused at once) of 5 fail: 40 % of them."""
    teacher = asks(
        part_201=ChatReply("Half a quest", failure="truncated", detail="cut"),
        part_400=ChatReply("", failure="refused", detail="no"),
    )
    done = run(documents(5), tmp_path, teacher)
    assert [one.metadata["document"] for one in read_dialogues_of(done.run)] == ["doc-1", "doc-3", "doc-5"]
    first, second = read_lines(done.run / "failed.jsonl")
    assert (first["document"], first["reason"], first["detail"]) == ("doc-2", "truncated", "cut")
    assert first["raw"] == ["Why The thing 2 has part 200 of colour c0?", "Half a quest"]
    assert (first["mode"], first["teacher"], first["prompt"]) == ("sentence", "teacher", "sentence/1")
    assert (second["document"], second["reason"]) == ("doc-4", "refused")
    assert (done.exit_code, done.too_many_failed, done.limit_reached) == (1, True, False)
    failed = done.summary["failed"]
    assert (failed["count"], failed["share"], failed["by_reason"]) == (2, 0.4, {"refused": 1, "truncated": 1})
    output = read_manifest(done.run / "manifest.json")["outputs"][0]
    assert (output["records_in"], output["records_out"]) == (5, 3)
    assert output["dropped"] == {"refused": 1, "truncated": 1}
    assert "2 of 5 documents failed (refused 1, truncated 1)" in done.warnings()[0]


def test_a_share_of_failures_up_to_the_limit_is_no_failure(tmp_path):
    teacher = asks(part_400=ChatReply("", failure="refused", detail="no"))
    assert run(documents(5), tmp_path, teacher, max_failed=0.2).exit_code == 0


def test_figures_by_set_are_those_counted_by_hand(tmp_path):
    """Two sets. `a`: two documents of 3 turns; one turn claims what is not there, one claims nothing.

    So of 6 turns 5 claim evidence and 4 are found (0.8), and 1 of 6 answers from common knowledge. The logic types go
    round, so each dialogue has one of the first three: a third each. `b`: one document, whose only sentence is all of
    it, so its evidence covers 100 %. The assistant says every sentence, so the lexical coverage is 1 everywhere.
    """
    given = [document(1, set="a"), document(2, set="a"), document(3, 1, set="b")]
    done = run(given, tmp_path, asks(part_101=f"{ELSEWHERE}x", part_202=f"{COMMON}x"))
    one, other = done.summary["sets"]
    assert (one["set"], one["documents"], one["dialogues"], one["turns"]) == ("a", 2, 2, 6)
    assert one["grounded"] == pytest.approx(4 / 5)
    assert one["common_knowledge"] == pytest.approx(1 / 6)
    assert one["logic"] == {
        "question-answer": pytest.approx(1 / 3),
        "question-question": pytest.approx(1 / 3),
        "statement-inquiry": pytest.approx(1 / 3),
        "statement-explanation": 0,
        "opinion-rebuttal": 0,
        "opinion-agreement": 0,
    }
    spans = sum(len(text) for one in given[:2] for text in one.text.split(". ")) - 2 * len(given[0].text.split(". ")[0])
    assert one["evidence_coverage"] == pytest.approx(spans / (2 * len(given[0].text)))
    assert (one["lexical_coverage"], other["lexical_coverage"], one["coverage_rate"]) == (1.0, 1.0, None)
    assert (other["set"], other["evidence_coverage"], other["turns_per_dialogue"]) == ("b", 1.0, 1.0)
    assert (done.summary["all"]["turns"], done.summary["all"]["documents"]) == (7, 3)
    assert [one.metadata["set"] for one in read_dialogues_of(done.run)] == ["a", "a", "b"]


def test_require_grounded_cuts_before_the_first_ungrounded_turn_and_keeps_what_was_cut(tmp_path):
    """Document 1 loses turns 1 and 2, document 2 its turn 0 and so everything."""
    teacher = asks(part_101=f"{ELSEWHERE}x", part_200=f"{ELSEWHERE}y")
    done = run(documents(3), tmp_path, teacher, require_grounded=True)
    assert [(one.id, one.num_turns) for one in read_dialogues_of(done.run)] == [
        ("doc-1/sentence", 1),
        ("doc-3/sentence", 3),
    ]
    cut, lost = read_lines(done.run / "failed.jsonl")
    assert (cut["document"], cut["reason"], cut["kept_turns"]) == ("doc-1", "ungrounded", 1)
    assert cut["turns"][0]["user"] == f"{ELSEWHERE}x"
    assert len(cut["turns"]) == 2
    assert (lost["document"], lost["reason"], lost["kept_turns"], len(lost["turns"])) == ("doc-2", "ungrounded", 0, 3)
    assert (done.summary["all"]["turns_cut"], done.summary["failed"]["count"]) == (2, 1)
    assert done.summary["all"]["grounded"] == 1.0


def test_without_it_ungrounded_turns_stay_and_are_flagged(tmp_path):
    done = run(documents(1), tmp_path, asks(part_101=f"{ELSEWHERE}x"))
    (dialogue,) = read_dialogues_of(done.run)
    assert dialogue.metadata["checks"]["grounded"] == pytest.approx(2 / 3)
    assert [span["message"] for span in dialogue.evidence] == [1, 5]


def test_near_duplicates_are_left_out_and_name_the_dialogue_they_repeat(tmp_path):
    """Document 3 repeats 1 word for word under another id: left out, but no failure."""
    pytest.importorskip("datasketch")
    again = Document("copy", documents(1)[0].text)
    done = run([*documents(2), again], tmp_path)
    (record,) = read_lines(done.run / "failed.jsonl")
    assert (record["document"], record["reason"], record["repeats"]) == ("copy", "near_duplicate", "doc-1/sentence")
    assert len(record["turns"]) == 3
    assert (done.exit_code, done.summary["left_out"], done.summary["failed"]["count"]) == (0, {"near_duplicate": 1}, 0)


def test_without_the_extra_exact_copies_are_found_and_the_summary_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasketch", None)
    again = Document("copy", documents(1)[0].text)
    done = run([*documents(2), again], tmp_path)
    (record,) = read_lines(done.run / "failed.jsonl")
    assert (record["document"], record["repeats"]) == ("copy", "doc-1/sentence")
    assert "exact copies" in done.summary["notes"][0]


def test_short_long_and_foreign_dialogues_are_left_out_with_a_reason(tmp_path):
    """Document 1 has 3 turns, 2 has 1, 3 has 9; the teacher speaks Chinese about 4; document 5 is Chinese itself."""
    texts = [document(1, 3), document(2, 1), document(3, 9), document(4, 3), Document("zh", "水是生命之源。")]
    teacher = asks(
        thing_4="这是一个非常长的中文问题，关于这份文件里面所写的东西到底是什么样子，以及它们究竟有哪些颜色和哪些部分？"
    )
    done = run(texts, tmp_path, teacher, min_turns=2, max_characters=500, languages=["en"])
    assert [one.metadata["document"] for one in read_dialogues_of(done.run)] == ["doc-1"]
    reasons = {one["document"]: one["reason"] for one in read_lines(done.run / "failed.jsonl")}
    assert reasons == {"doc-2": "too_short", "doc-3": "over_length", "doc-4": "language", "zh": "other_language"}
    assert not any("水" in str(request.messages) for request in teacher.requests), "an unwanted document is not asked"


def test_turns_that_say_nearly_the_same_are_counted(tmp_path):
    same = Document("same", ". ".join(["The very same words stand here"] * 3))
    done = run([same], tmp_path)
    (dialogue,) = read_dialogues_of(done.run)
    assert dialogue.metadata["checks"]["near_duplicate_turns"] == [1, 2]


def test_the_window_and_lockstep_change_nothing_in_the_files(tmp_path):
    class InStep(SentenceMode):
        lockstep = True

    files = {}
    for name, mode, window in (("one", SentenceMode(asks()), 1), ("many", SentenceMode(asks()), 64)):
        synthesize(documents(20), mode, tmp_path / name, window=window)
    synthesize(documents(20), InStep(asks()), tmp_path / "step", window=8)
    for name in ("dialogues.jsonl", "failed.jsonl", "documents.jsonl"):
        files[name] = {(tmp_path / one / name).read_bytes() for one in ("one", "many", "step")}
    assert all(len(contents) == 1 for contents in files.values())


def test_a_file_as_output_gets_the_dialogues_and_the_run_folder_stands_beside_it(tmp_path):
    target = tmp_path / "out.jsonl"
    done = synthesize(documents(2), SentenceMode(), target)
    assert (done.output, done.run) == (target, tmp_path / "out.jsonl.run")
    assert target.read_bytes() == (done.run / "dialogues.jsonl").read_bytes()
    with pytest.raises(RunError, match="--resume continues it"):
        synthesize(documents(2), SentenceMode(), target)
    synthesize(documents(2), SentenceMode(), target, resume=True)
    synthesize(documents(1), SentenceMode(), target, overwrite=True)
    assert len(target.read_text(encoding="utf-8").splitlines()) == 1


def test_a_file_that_is_no_output_of_this_run_is_not_replaced(tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_text("mine\n", encoding="utf-8")
    for resume in (False, True):
        with pytest.raises(DataError, match="exists already"):
            synthesize(documents(2), SentenceMode(), target, resume=resume)
    assert target.read_text(encoding="utf-8") == "mine\n"
    assert not (tmp_path / "out.jsonl.run").exists()


@pytest.mark.parametrize("name", ["out.json", "out.csv"])
def test_an_output_of_another_kind_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"\.jsonl"):
        synthesize(documents(1), SentenceMode(), tmp_path / name)


def test_a_parquet_file_holds_the_same_dialogues(tmp_path):
    done = synthesize(documents(3), SentenceMode(), tmp_path / "out.parquet")
    assert [one.to_dict() for one in read_dialogues(done.output)] == [
        one.to_dict() for one in read_dialogues_of(done.run)
    ]


def test_without_documents_a_mode_or_a_teacher_the_error_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match="at least one document"):
        synthesize([], SentenceMode(), tmp_path / "a")
    with pytest.raises(ConfigError, match="expected one of extractive, direct"):
        synthesize(documents(1), "guess", tmp_path / "b")
    with pytest.raises(ConfigError, match="needs a teacher"):
        synthesize(documents(1), "cod", tmp_path / "c")
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "c").exists()


def test_repeated_document_ids_are_told_apart_and_the_callers_documents_stay(tmp_path):
    given = [Document("same", document(1).text), Document("same", document(2).text)]
    done = synthesize(given, SentenceMode(), tmp_path / "run")
    assert [one.id for one in read_dialogues_of(done.run)] == ["same/sentence", "same#2/sentence"]
    assert [one.id for one in given] == ["same", "same"]


def test_a_run_is_resumed_only_with_the_same_settings(tmp_path):
    run(documents(2), tmp_path)
    with pytest.raises(RunError, match="min_turns: 1 then, 2 now"):
        synthesize(
            documents(2), SentenceMode(asks()), tmp_path / "run", settings=SynthesisConfig(min_turns=2), resume=True
        )


def test_the_summary_reads_back_and_holds_what_the_result_does(tmp_path):
    done = run(documents(2), tmp_path)
    assert read_summary(done.run) == json.loads(json.dumps(done.summary))
    with pytest.raises(RunError, match="no summary found"):
        read_summary(tmp_path)


def test_a_span_that_is_not_the_documents_is_a_failure_of_the_mode_and_stops_nothing(tmp_path):
    class Wrong(SentenceMode):
        async def write(self, one):
            return await super().write(Document(one.id, one.text.upper()) if one.id == "doc-1" else one)

    done = synthesize(documents(2), Wrong(asks()), tmp_path / "run")
    (record,) = read_lines(done.run / "failed.jsonl")
    assert (record["document"], record["reason"], len(record["turns"])) == ("doc-1", "malformed", 3)


def test_limit_takes_the_first_documents_of_each_set(tmp_path):
    given = [document(number, set=name) for name, number in (("a", 1), ("a", 2), ("b", 3), ("b", 4))]
    done = run(given, tmp_path, limit=1)
    assert [one.metadata["document"] for one in read_dialogues_of(done.run)] == ["doc-1", "doc-3"]


def test_progress_is_told_after_every_document(tmp_path):
    told = []
    synthesize(documents(3), SentenceMode(), tmp_path / "run", on_progress=lambda *now: told.append(now))
    assert told == [("dialogues", 1, 3), ("dialogues", 2, 3), ("dialogues", 3, 3)]
