"""PIF: generated dialogues whose instructions go together, and the figures of good, forgetful and bad models."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import Item
from turnwise.evaluation.instruction_checks import KINDS, Instruction
from turnwise.evaluation.instruction_data import generate_dialogues, instructions_of
from turnwise.evaluation.instruction_texts import CLOSINGS, OPENINGS, QUESTIONS, UNWANTED, WANTED, WORDINGS
from turnwise.evaluation.instructions import PIF
from turnwise.judging.records import Judgment
from turnwise.llm.chat import ChatReply, Sampling
from turnwise.llm.drive import run_all, run_one
from turnwise.llm.scripted import ScriptedModel


def solve(instructions, language):
    """A reply that follows all of them at once: parts put together, then lengthened, then put into the wanted case."""
    wanted = {one.kind: one.arguments for one in instructions}
    zh = language == "zh"
    filler = "水" if zh else "water"
    middle = list(wanted.get("includes", {}).get("words", []))
    middle += [f"[{filler}]"] * wanted.get("placeholders", {}).get("number", 0)
    middle += [f"<<{filler}>>"] * ("title" in wanted)
    middle += ["7"] * ("some_digit" in wanted)
    middle += [f"{filler}?"] * ("one_question" in wanted)
    missing = wanted.get("least_words", {}).get("number", 0) + wanted.get("least_characters", {}).get("number", 0)
    lines = [wanted.get("starts_with", {}).get("phrase", filler), " ".join([*middle, *[filler] * missing])]
    lines += [f"- {filler}"] * wanted.get("bullets", {}).get("number", 0)
    text = "\n".join(line for line in lines if line)
    for _ in range(wanted.get("paragraphs", {}).get("number", 1) - 1):
        text += f"\n\n{filler}"
    text += "\n" + wanted.get("ends_with", {}).get("phrase", filler)
    return text.upper() if "upper_case" in wanted else text.lower() if "lower_case" in wanted else text


def solver(items):
    """A model that knows which instructions every user message of these dialogues gives."""
    known = {}
    for item in items:
        for message in item.messages:
            known[message.content] = (instructions_of(message), item.metadata["language"])

    def script(request):
        said = [known[message["content"]] for message in request.messages if message["role"] == "user"]
        return solve([one for instructions, _ in said for one in instructions], said[0][1])

    return script


def scored(benchmark, script):
    model = ScriptedModel(script, name="m")
    answers = list(run_all(lambda item: benchmark.answer(item, model), benchmark.items()))
    return model, answers, [one for answer in answers for one in run_one(benchmark.score(answer, None))]


def table(benchmark, judgments, title):
    found = next(one for one in benchmark.tables(judgments) if one.title == title)
    return {row.name: (row.mean, row.n) for row in found.rows}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["en", "zh"]), st.integers(1, 12), st.integers(1, 4))
def test_all_instructions_of_a_dialogue_can_be_followed_at_once(seed, language, most, per_turn):
    items = generate_dialogues(2, turns=6, per_turn=per_turn, most=most, languages=[language], seed=seed)
    _, _, judgments = scored(PIF(items), solver(items))
    assert {one.score for one in judgments} == {1.0}
    assert len(judgments) == 12
    given = [check["kind"] for check in judgments[5].metadata["checks"]]
    assert len(given) == len(set(given)) == min(most, 6 * per_turn)


def test_the_same_seed_gives_the_same_dialogues_and_another_seed_others():
    ours = generate_dialogues(4, languages=["en", "zh"], seed=3)
    assert generate_dialogues(4, languages=["en", "zh"], seed=3) == ours
    assert generate_dialogues(2, languages=["en", "zh"], seed=3) == ours[:2]
    assert generate_dialogues(4, languages=["en", "zh"], seed=4) != ours
    assert [item.metadata["language"] for item in ours] == ["en", "zh", "en", "zh"]
    assert [len(item.messages) for item in ours] == [8] * 4


def test_every_instruction_is_said_in_the_message_that_gives_it():
    for item in generate_dialogues(40, most=12, per_turn=2, languages=["en", "zh"]):
        for message in item.messages:
            for one in instructions_of(message):
                said = WORDINGS[item.metadata["language"]][one.kind].text.split("{argument}")
                assert all(part in message.content for part in said)
                for value in one.arguments.values():
                    assert all(str(part) in message.content for part in (value if isinstance(value, list) else [value]))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_texts_contradict_no_instruction(language):
    """Phrases and wanted words hold no unwanted word and nothing that another instruction forbids."""
    phrases = [*OPENINGS[language], *CLOSINGS[language], *WANTED[language]]
    forbidding = ["no_commas", "no_exclamation", "no_digits"]
    for phrase in phrases:
        assert all(KINDS[kind].check(phrase) for kind in forbidding)
        assert KINDS["avoids"].check(phrase, UNWANTED[language])
        assert "?" not in phrase
        assert "？" not in phrase
    assert set(WORDINGS[language]) <= set(KINDS)
    assert len(set(QUESTIONS[language])) == len(QUESTIONS[language])


THREE = [
    Item(
        "a",
        [
            Message("user", "q1 no commas", extra={"instructions": [{"kind": "no_commas"}]}),
            Message("user", "q2 no digits", extra={"instructions": [{"kind": "no_digits"}]}),
            Message("user", "q3"),
        ],
    )
]


def test_a_model_that_forgets_loses_by_turn_by_kind_and_by_age():
    """It avoids commas at first only, digits always: 1/1, then 1/2, then 1/2 followed."""
    replies = {1: "fine", 2: "a, b", 3: "c, d"}
    benchmark = PIF(THREE)
    model, _, judgments = scored(benchmark, lambda request: replies[(len(request.messages) + 1) // 2])
    assert [one.score for one in judgments] == [1.0, 0.5, 0.5]
    assert [request.sampling.temperature for request in model.requests] == [0, 0, 0]
    assert table(benchmark, judgments, "PIF") == {"all": (2 / 3, 3), "0": (1, 1), "1": (0.5, 1), "2": (0.5, 1)}
    by_kind = table(benchmark, judgments, "Followed, by kind of instruction")
    assert by_kind == {"no_commas": (pytest.approx(1 / 3), 3), "no_digits": (1.0, 2)}
    by_age = table(benchmark, judgments, "Followed, by turns since it was given")
    assert by_age == {"0": (1.0, 2), "1": (0.5, 2), "2": (0.0, 1)}
    assert table(benchmark, judgments, "PIF-N-K") == {"PIF-1-1": (pytest.approx(1 / 3), 3)}


def test_pif_n_k_counts_turns_with_at_least_k_perfect_replies_of_n():
    """Turn 0: 3 of 3 perfect; turn 1: 1 of 3; turn 2: none. So 2/3, 1/3, 1/3; and PIF itself is the mean of all nine.

    Turn 1's other two follow one of two instructions, turn 2's all follow none of two: (3 + 1 + 2 * 0.5 + 0) / 9.
    """
    replies = {1: ["x", "x", "x"], 2: ["1", "x", "a, b"], 3: ["1,", "2,", "3,"]}
    benchmark = PIF(THREE, repeats=3)
    model, answers, judgments = scored(
        benchmark, lambda request: replies[(len(request.messages) + 1) // 2][request.sample]
    )
    assert len(judgments) == len(model.requests) == 9
    assert {request.sampling.temperature for request in model.requests} == {0.7}
    assert [message["content"] for message in model.requests[-1].messages] == [
        "q1 no commas",
        "x",
        "q2 no digits",
        "1",
        "q3",
    ]
    measured = table(benchmark, judgments, "PIF-N-K")
    assert measured == {
        "PIF-3-1": (pytest.approx(2 / 3), 3),
        "PIF-3-2": (pytest.approx(1 / 3), 3),
        "PIF-3-3": (pytest.approx(1 / 3), 3),
    }
    assert table(benchmark, judgments, "PIF")["all"] == (pytest.approx(5 / 9), 9)
    stored = Dialogue.from_dict(json.loads(json.dumps(answers[0].to_dict())))
    assert run_one(benchmark.score(stored, None)) == judgments


def test_more_perfect_replies_are_never_likelier():
    items = generate_dialogues(6, turns=3, seed=5)
    good = solver(items)
    benchmark = PIF(items, repeats=4)
    _, _, judgments = scored(
        benchmark, lambda request: good(request) if request.sample % 2 or len(request.messages) > 2 else "Nope, 1!"
    )
    means = [mean for mean, _ in table(benchmark, judgments, "PIF-N-K").values()]
    assert len(means) == 4
    assert all(higher >= lower for higher, lower in pairwise(means))
    assert means[0] > means[-1]


def test_failed_replies_are_unscored_truncated_ones_are_checked_and_their_turn_leaves_pif_n_k():
    replies = iter(
        [ChatReply("x", failure="truncated"), ChatReply("", failure="server"), ChatReply("x"), ChatReply("x")]
    )
    item = Item("b", THREE[0].messages[:2])
    benchmark = PIF([item], repeats=2)
    _, _, judgments = scored(benchmark, lambda request: next(replies))
    assert [(one.turn, one.sample, one.score, one.unscored) for one in judgments] == [
        (0, 0, 1.0, None),
        (0, 1, None, "no_answer"),
        (1, 0, 1.0, None),
        (1, 1, 1.0, None),
    ]
    assert judgments[0].metadata["answer_failure"] == "truncated"
    rows = benchmark.tables(judgments)[1].rows
    assert [(row.name, row.mean, row.n, row.unscored) for row in rows] == [
        ("PIF-2-1", 1.0, 1, {"no_answer": 1}),
        ("PIF-2-2", 1.0, 1, {"no_answer": 1}),
    ]


def test_a_users_own_dialogues_are_read_with_their_gold_history(tmp_path):
    """Turn 0 gives no instruction, so nothing is scored there."""
    path = tmp_path / "mine.jsonl"
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello to you"},
        {"role": "user", "content": "Short!", "instructions": [{"kind": "most_words", "arguments": {"number": 2}}]},
    ]
    path.write_text(json.dumps({"id": "m1", "source": "mine", "messages": messages}) + "\n", encoding="utf-8")
    benchmark = PIF.from_file(path, repeats=2, sampling=Sampling(temperature=1.0))
    model = ScriptedModel(lambda request: "one two" + " three" * request.sample, name="m")
    answer = run_one(benchmark.answer(benchmark.items()[0], model, gold_history=True))
    assert [message["content"] for message in model.requests[-1].messages] == ["Hello", "Hello to you", "Short!"]
    judgments = run_one(benchmark.score(answer, None))
    assert [(one.turn, one.score) for one in judgments] == [(1, 1.0), (1, 0.0)]
    assert judgments[0].metadata["category"] == "mine"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            {"role": "user", "content": "x", "instructions": [{"kind": "rhyme"}]},
            r"dialogue 1 \(m1\): expected an instr",
        ),
        ({"role": "user", "content": "x", "instructions": "none"}, "expected a list in 'instructions'"),
        ({"role": "user", "content": "x"}, "expected instructions in user messages"),
    ],
)
def test_files_without_proper_instructions_are_refused(tmp_path, message, said):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"id": "m1", "messages": [message]}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=said):
        PIF.from_file(path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"number": 0}, "at least 1"),
        ({"languages": ["fr"]}, "expected languages among en, zh, found fr"),
        ({"most": 17}, "at most 16 instructions go together"),
        ({"turns": 99}, "there are 36 questions"),
    ],
)
def test_dialogues_that_cannot_be_made_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        generate_dialogues(**{"number": 1, **settings})


def test_the_tables_can_be_made_again_from_stored_judgments():
    items = generate_dialogues(3, turns=3, per_turn=2, seed=2)
    benchmark = PIF(items, repeats=2)
    _, _, judgments = scored(benchmark, lambda request: "Short, and 1 thing!" * (1 + request.sample))
    stored = [Judgment.from_dict(json.loads(json.dumps(one.to_dict()))) for one in judgments]
    assert benchmark.tables(stored) == benchmark.tables(judgments)


def test_several_greedy_replies_are_refused():
    with pytest.raises(ConfigError, match="all be the same"):
        PIF(THREE, repeats=2, sampling=Sampling(temperature=0))
    with pytest.raises(ConfigError, match="at least one repeat"):
        PIF(THREE, repeats=0)


def test_an_instruction_is_what_it_was_after_a_round_trip():
    one = Instruction("includes", {"words": ["a"]})
    assert Instruction.from_dict(json.loads(json.dumps(one.to_dict()))) == one
