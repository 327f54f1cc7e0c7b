"""Stored answers: read, fitted to what a benchmark asks; what does not fit is counted and named."""

from __future__ import annotations

import json

import pytest
from demo import read_lines
from sums import Sums, answers_right, judges_by_length

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.answers import read_stored_answers
from turnwise.evaluation.evaluate import evaluate
from turnwise.llm.chat import ChatRequest


@pytest.fixture
def first(tmp_path):
    """A finished run of 4 items."""
    evaluate(Sums(4), model=answers_right("stored"), judge=judges_by_length(), output=tmp_path / "first")
    return tmp_path / "first"


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def judge_again(tmp_path, answers, count=4, **more):
    return evaluate(Sums(count), answers=answers, judge=judges_by_length(), output=tmp_path / "again", **more)


@pytest.mark.parametrize("name", ["answers.jsonl", ""])
def test_answers_of_an_earlier_run_are_judged_to_the_same_files(first, tmp_path, name):
    done = judge_again(tmp_path, first / name)
    for file in ("answers.jsonl", "judgments.jsonl"):
        assert (tmp_path / "again" / file).read_bytes() == (first / file).read_bytes()
    assert done.results["model"] == "stored"
    assert done.results["notes"] == []
    assert done.exit_code == 0


def test_what_is_missing_extra_short_or_asked_otherwise_is_named_and_missing_turns_are_unscored(first, tmp_path):
    """Of items 0 to 3: 0 is missing, 1 has one turn, 2 has three, 3 was asked something else; 9 nobody asked for.

    Unscored are the two turns of item 0 and the second of item 1: 3 of 8.
    """
    _, one, two, three = read_lines(first / "answers.jsonl")
    one["messages"] = one["messages"][:2]
    two["messages"] += [{"role": "user", "content": "More?"}, {"role": "assistant", "content": "No."}]
    three["messages"][0]["content"] = "What is 3 and 3?"
    extra = {**three, "id": "sum-9"}
    done = judge_again(tmp_path, lines(tmp_path / "spoilt.jsonl", [extra, three, two, one]))
    assert done.results["answers"]["model"]["stored"] == {
        "missing": ["sum-0"],
        "extra": ["sum-9"],
        "turns": {"sum-1": {"found": 1, "expected": 2}, "sum-2": {"found": 3, "expected": 2}},
        "other_questions": ["sum-3"],
    }
    notes = " ".join(done.results["notes"])
    for name in (
        "sum-0: not in",
        "sum-9: stored, but not asked",
        "sum-1 (1 of 2), sum-2 (3 of 2)",
        "sum-3: stored with",
    ):
        assert name in notes
    assert done.results["unscored"]["by_reason"] == {"no_answer": 3}
    assert done.exit_code == 1
    again = read_lines(tmp_path / "again" / "answers.jsonl")
    assert [record["id"] for record in again] == ["sum-0", "sum-1", "sum-2", "sum-3"], "in the benchmark's order"
    assert [message["content"] for message in again[1]["messages"]] == ["What is 1+1?", "2", "And one more?", ""]
    assert again[1]["messages"][-1]["detail"] == "no stored answer"
    assert len(again[2]["messages"]) == 4


def test_stored_answers_of_both_sides_are_compared(first, tmp_path):
    evaluate(Sums(4), model=answers_right("other"), judge=judges_by_length(), output=tmp_path / "other")
    done = judge_again(tmp_path, first, baseline_answers=tmp_path / "other")
    assert (done.results["mode"], done.results["model"], done.results["baseline"]) == ("pairwise", "stored", "other")
    assert len(read_lines(tmp_path / "again" / "judgments.jsonl")) == 4 * 2 * 2


def test_of_a_file_with_several_models_one_is_chosen_by_name(first, tmp_path):
    records = read_lines(first / "answers.jsonl")
    others = [{**record, "metadata": {**record["metadata"], "model": "other"}} for record in records]
    file = lines(tmp_path / "two.jsonl", records + others)
    with pytest.raises(ConfigError, match=r"answers of 2 models \(stored, other\)"):
        judge_again(tmp_path, file)
    with pytest.raises(ConfigError, match="expected answers of 'third', found those of stored, other"):
        judge_again(tmp_path, file, model="third")
    assert judge_again(tmp_path, file, model="other").results["model"] == "other"


def test_a_file_that_names_no_model_is_called_as_the_file(first, tmp_path):
    records = read_lines(first / "answers.jsonl")
    for record in records:
        del record["metadata"]["model"]
    assert read_stored_answers(lines(tmp_path / "mine.jsonl", records)).model == "mine"


def test_an_answer_that_occurs_twice_is_refused_with_its_line(first, tmp_path):
    records = read_lines(first / "answers.jsonl")
    file = lines(tmp_path / "twice.jsonl", [*records, records[1]])
    with pytest.raises(DataError, match=r"twice\.jsonl:5: expected one answer per item, found 'sum-1' again"):
        read_stored_answers(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "a"}\n{"id": "b"}\n', r"x\.jsonl:1: expected a non-empty list 'messages'"),
        ("[1]\n[2]\n", r"x\.jsonl:1: expected an answer as an object, found list"),
    ],
)
def test_a_record_that_is_no_answer_is_named(tmp_path, text, said):
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(DataError, match=said):
        read_stored_answers(tmp_path / "x.jsonl")


def test_a_benchmark_that_leads_the_dialogue_itself_leads_it_again_with_the_stored_replies(tmp_path):
    """It asks on until the reply is `stop`: how many turns there are is not known before."""

    class Chat(Sums):
        async def answer(self, item, model, *, gold_history=False):
            messages = [Message("user", "Go on?")]
            while True:
                reply = await model.reply(ChatRequest([message.to_dict() for message in messages]))
                failed = {} if reply.failure is None else {"failure": reply.failure, "detail": reply.detail}
                messages.append(Message("assistant", reply.text, extra=failed))
                if failed or reply.text == "stop":
                    return Dialogue(messages, id=item.id, metadata={**item.metadata, "model": model.name})
                messages.append(Message("user", "On?"))

    def told(*replies):
        messages = [Message("user", "Go on?"), Message("assistant", replies[0])]
        for reply in replies[1:]:
            messages += [Message("user", "On?"), Message("assistant", reply)]
        return Dialogue(messages, id=f"sum-{len(replies)}", metadata={"model": "m"}).to_dict()

    stored = [told("yes"), told("yes", "stop"), told("yes", "stop", "never mind")]
    done = evaluate(
        Chat(4), answers=lines(tmp_path / "chat.jsonl", stored), judge=judges_by_length(), output=tmp_path / "again"
    )
    fit = done.results["answers"]["model"]["stored"]
    assert fit["missing"] == ["sum-0"]
    assert fit["turns"] == {"sum-1": {"found": 1, "expected": 2}, "sum-3": {"found": 3, "expected": 2}}
    assert fit["other_questions"] == []
    replies = [
        [m["content"] for m in one["messages"][1::2]] for one in read_lines(tmp_path / "again" / "answers.jsonl")
    ]
    assert replies == [[""], ["yes", ""], ["yes", "stop"], ["yes", "stop"]]


def test_with_a_limit_the_answers_to_further_items_are_not_called_extra(first, tmp_path):
    done = judge_again(tmp_path, first, limit=2)
    assert done.results["answers"]["model"]["stored"]["extra"] == []
    assert done.results["answers"]["model"]["dialogues"] == 2
