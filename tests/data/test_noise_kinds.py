"""Every kind of noise: the label lists exactly what changed, the share is exact, and only what it says changes."""

from __future__ import annotations

import copy
import json
import random
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from template_cases import CHATML, make_tokenizer

from turnwise.data import noise_text
from turnwise.data.corruption import CorruptConfig, Kind, corrupt_dialogues
from turnwise.data.noise import off_task_rule, swap_replies, wrong_answers
from turnwise.data.noise_contradict import contradict_rule
from turnwise.data.noise_engine import Choice, NoiseReport, apply_rule
from turnwise.data.read import read_dialogues
from turnwise.data.world import World, words
from turnwise.data.write import write_dialogues
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import DataError

WORLD = World()
KINDS = get_args(Kind)


def chat(*replies, **keys) -> Dialogue:
    messages = [
        message
        for turn, reply in enumerate(replies)
        for message in (Message("user", f"question {turn}"), Message("assistant", reply))
    ]
    return Dialogue(messages or [Message("user", "alone")], **keys)


@pytest.fixture(scope="module")
def donors(tmp_path_factory):
    """A file of single turns in Chinese."""
    path = tmp_path_factory.mktemp("donors") / "donors.jsonl"
    write_dialogues([chat(f"回答{number}。", id=f"d{number}") for number in range(5)], path)
    return str(path)


def config_for(kind, donors, **settings):
    if kind in ("language", "off_task"):
        settings["donors"] = [donors]
    return CorruptConfig(kind=kind, **settings)


def texts(dialogue):
    return [reply.text for reply in dialogue.replies]


def label(dialogue):
    return dialogue.metadata["noise"]


def check_label(old, new):
    """The label names the turns whose text differs (or that were not there), and everything else is as it was."""
    kind, turns = label(new)["kind"], label(new)["turns"]
    if kind == "off_task":
        kept = [turn for turn in range(new.num_turns) if turn not in turns]
        assert [texts(new)[turn] for turn in kept] == texts(old)
        assert all(text.startswith("回答") for text in (texts(new)[turn] for turn in turns))
        assert len(new.messages) == len(old.messages) + 2 * len(turns)
        return
    assert turns == [turn for turn, (a, b) in enumerate(zip(texts(old), texts(new), strict=True)) if a != b]
    assert (kind == "clean") == (turns == [])
    for a, b in zip(old.messages, new.messages, strict=True):
        assert a.role == "assistant" or a == b
    assert new.metadata == {**old.metadata, "noise": label(new)}
    assert (new.id, new.source, new.evidence) == (old.id, old.source, old.evidence)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    rate=st.floats(0, 1),
    turns=st.sampled_from(["all", "one", "early", "late", [0, 2]]),
)
def test_labels_are_exact_for_any_seed_rate_and_turns(kind, donors, seed, rate, turns):
    """World dialogues of 4 to 6 turns, so every kind finds something in both halves."""
    clean = list(WORLD.dialogues(12, seed=seed, turns=(4, 6), told=0.3))
    before, report = copy.deepcopy(clean), NoiseReport()
    config = config_for(kind, donors, rate=rate, turns=turns, seed=seed)
    noisy = corrupt_dialogues(clean, config, world=WORLD, report=report)
    assert clean == before
    assert [dialogue.id for dialogue in noisy] == [dialogue.id for dialogue in clean]
    assert [label(dialogue)["kind"] for dialogue in noisy].count(kind) == round(rate * 12)
    assert (report.corrupted_dialogues, report.turns) == (round(rate * 12), sum(one.num_turns for one in clean))
    assert report.corrupted_turns == sum(len(label(dialogue)["turns"]) for dialogue in noisy)
    assert report.eligible_turns + report.left_out.total() == report.turns
    for old, new in zip(clean, noisy, strict=True):
        check_label(old, new)
        found = label(new)["turns"]
        if kind in ("shift", "off_task"):
            continue  # the one goes on to the end, the other has more turns than before
        half = (old.num_turns + 1) // 2
        allowed = {"early": range(half), "late": range(half, 9)}.get(str(turns), range(9))
        assert set(found) <= set(turns if isinstance(turns, list) else allowed)
        assert turns != "one" or len(found) <= 1
    assert noisy == corrupt_dialogues(clean, config, world=WORLD)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "shift"])
@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_noise_per_turn_is_an_exact_share_of_all_turns(kind, rate, donors):
    clean = list(WORLD.dialogues(40, seed=1, turns=(2, 6)))
    total = sum(dialogue.num_turns for dialogue in clean)
    noisy = corrupt_dialogues(clean, config_for(kind, donors, rate=rate, per="turn", seed=4), world=WORLD)
    assert sum(len(label(dialogue)["turns"]) for dialogue in noisy) == round(rate * total)
    assert len({len(label(dialogue)["turns"]) for dialogue in noisy}) > 2, "several in one dialogue, none in another"
    for old, new in zip(clean, noisy, strict=True):
        check_label(old, new)


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_other_noise(kind, donors):
    clean = list(WORLD.dialogues(20, seed=2))
    made = [corrupt_dialogues(clean, config_for(kind, donors, rate=1.0, seed=seed), world=WORLD) for seed in (1, 2)]
    assert [texts(one) for one in made[0]] != [texts(one) for one in made[1]]


@pytest.mark.parametrize("kind", KINDS)
def test_training_sees_no_label(kind, donors):
    """A labelled dialogue and the same one without metadata are the same example."""
    from turnwise.training.encode import encode_dialogue
    from turnwise.training.template import SpanFinder

    finder = SpanFinder(make_tokenizer(CHATML))
    for noisy in corrupt_dialogues(list(WORLD.dialogues(2)), config_for(kind, donors, rate=1.0), world=WORLD):
        assert label(noisy)["kind"] == kind
        bare = Dialogue(noisy.messages, id="other")
        assert encode_dialogue(noisy, finder, max_length=None) == encode_dialogue(bare, finder, max_length=None)


def corrupted(dialogue, kind, **settings):
    (made,) = corrupt_dialogues([dialogue], CorruptConfig(kind=kind, rate=1.0, **settings))
    return made


def test_shifted_replies_answer_the_turn_before():
    """From turn 1 of a, b, c, d: d, b, c in the places of b, c, d; turns of equal replies are not named."""
    assert texts(corrupted(chat("a", "b", "c", "d"), "shift", turns=[1])) == ["a", "d", "b", "c"]
    made = corrupted(chat("a", "b", "b", "c"), "shift", turns=[0])
    assert (texts(made), label(made)["turns"]) == (["c", "a", "b", "b"], [0, 1, 3])


def test_a_turn_from_which_nothing_would_change_is_never_where_a_shift_begins():
    for seed in range(10):
        assert label(corrupted(chat("a", "b", "b"), "shift", seed=seed))["turns"] == [0, 1]
    with pytest.raises(DataError, match="nothing that this kind can change: 1"):
        corrupted(chat("a", "b", "c"), "shift", turns=[2])


@settings(deadline=None)
@given(text=st.text(alphabet="ab 中文。,\n", max_size=30), seed=st.integers(0, 99))
def test_truncated_text_is_a_start_of_the_text_that_lacks_something(text, seed):
    if not noise_text.can_truncate(text):
        return
    cut = noise_text.truncate(text, random.Random(seed))
    assert text.startswith(cut)
    assert cut.strip()
    missing = text[len(cut) :]
    assert missing.strip()
    # Never inside a word: the cut is at white space or beside a Chinese character.
    assert missing[0].isspace() or not cut[-1].isascii() or not missing[0].isascii()


def test_truncation_cuts_in_the_middle_half():
    """Eight words: two to six stay."""
    text = "one two three four five six seven eight"
    left = {len(noise_text.truncate(text, random.Random(seed)).split()) for seed in range(200)}
    assert left == {2, 3, 4, 5, 6}
    assert {len(noise_text.truncate("我喜欢你们", random.Random(seed))) for seed in range(50)} == {1, 2, 3}


def test_one_word_is_too_short_to_cut_and_is_counted():
    report = NoiseReport()
    config = CorruptConfig(kind="truncate", rate=0.5)
    noisy = corrupt_dialogues([chat("Yes."), chat("Yes, it is.")], config, report=report)
    assert [label(one)["kind"] for one in noisy] == ["clean", "truncate"]
    assert report.left_out == {"nothing that this kind can change": 1}


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("It rains. Take a coat.", "It rains. Take a coat. Take a coat. Take a coat."),
        ("今天下雨。带伞吧。", "今天下雨。带伞吧。带伞吧。带伞吧。"),
        ("no end", "no end no end no end"),
    ],
)
def test_repetition_says_the_last_sentence_two_to_four_times_more(text, start):
    made = {noise_text.repeat(text, random.Random(seed)) for seed in range(30)}
    assert len(made) == 3
    assert all(one.startswith(start) for one in made)


@settings(deadline=None)
@given(text=st.text(max_size=40), seed=st.integers(0, 99), strength=st.sampled_from([0.1, 0.5, 1.0]))
def test_garbled_text_has_the_same_units_in_another_order(text, seed, strength):
    if not noise_text.can_garble(text):
        return
    made = noise_text.garble(text, random.Random(seed), strength)
    assert made != text
    assert sorted(made) == sorted(text)


def test_strength_is_how_many_words_move():
    """Of ten words a strength of 0.1 moves the least, two; 0.5 moves five; 1.0 all ten."""
    text = " ".join("abcdefghij")
    for strength, moved in ((0.1, 2), (0.5, 5), (1.0, 10)):
        made = noise_text.garble(text, random.Random(1), strength).split()
        assert sum(a != b for a, b in zip(text.split(), made, strict=True)) == moved
        config = CorruptConfig(kind="garble", rate=1.0, strength=strength)
        (noisy,) = corrupt_dialogues([chat(text)], config)
        assert sum(a != b for a, b in zip(text.split(), texts(noisy)[0].split(), strict=True)) == moved


def test_donors_in_another_language_take_the_place_of_replies(donors):
    made = corrupted(chat("hello", "bye"), "language", donors=[donors])
    assert all(text.startswith("回答") for text in texts(made))
    assert not any(text in texts(made) for text in ("hello", "bye"))


def test_a_contradiction_restates_an_earlier_fact_of_the_world_with_another_value():
    """The reply stays in front; behind it stands one earlier reply whose fact is now wrong."""
    clean = list(WORLD.dialogues(30, seed=3, told=0.5))
    noisy = apply_rule(clean, Choice("contradict", 1.0, 5), contradict_rule(clean, WORLD))
    for old, new in zip(clean, noisy, strict=True):
        assert label(new)["turns"] == list(range(1, old.num_turns)), "the first reply has nothing to contradict"
        for turn in label(new)["turns"]:
            own = texts(old)[turn]
            assert texts(new)[turn].startswith(own + " ")
            restated = words(texts(new)[turn].removeprefix(own))
            changed = [
                (earlier, [(a, b) for a, b in zip(words(texts(old)[earlier]), restated, strict=True) if a != b])
                for earlier in range(turn)
                if len(words(texts(old)[earlier])) == len(restated)
            ]
            assert any(
                len(pairs) == 1 and pairs[0][0] == old.metadata["answers"][earlier].casefold()
                for earlier, pairs in changed
            )


def test_outside_a_world_numbers_and_names_of_earlier_statements_are_replaced():
    """Names: New York, Paris; digits: 2, 4; times: 10:30 alone, so nothing can replace it. Questions state nothing."""
    first = chat("I booked 2 rooms in New York. At 10:30, or 7 then?", "Good.")
    second = chat("We flew to Paris with 4 bags.", "Fine.")
    seen = set()
    for seed in range(40):
        config = CorruptConfig(kind="contradict", rate=1.0, seed=seed)
        made = corrupt_dialogues([first, second], config)
        assert [label(one)["turns"] for one in made] == [[1], [1]]
        seen |= {texts(one)[1] for one in made}
    assert seen == {
        "Good. I booked 4 rooms in New York.",
        "Good. I booked 2 rooms in Paris.",
        "Fine. We flew to New York with 4 bags.",
        "Fine. We flew to Paris with 2 bags.",
    }


def test_where_nothing_was_stated_before_there_is_nothing_to_contradict():
    with pytest.raises(DataError, match="found 0 of 2"):
        corrupt_dialogues(
            [chat("Hello.", "It is 4."), chat("Hm?", "It is 5.")], CorruptConfig(kind="contradict", rate=1)
        )


def test_what_is_noise_already_is_no_statement_to_contradict():
    """Turn 0 is labelled; with it left out, neither a number nor a fact stands before turn 1."""
    for world, reply in ((None, "It is 4."), (WORLD, "He lives in Dunmoor.")):
        metadata = {"noise": {"kind": "wrong", "turns": [0]}, "answers": ["Dunmoor", None]}
        dialogue, other = chat(reply, "Good.", metadata=metadata), chat("It is 5.", "It is 6.")
        assert contradict_rule([dialogue, other], world).can(0, 1) is False
        dialogue.metadata = {"answers": ["Dunmoor", None]}
        assert contradict_rule([dialogue, other], world).can(0, 1) is True


def test_an_off_task_turn_is_a_donors_question_and_answer_with_no_entry_of_its_own(donors):
    """Inserted in front of turns 0 and 2: the turns 0 and 3 of the new dialogue."""
    (clean,) = WORLD.dialogues(1, turns=(3, 3))
    clean.messages.insert(0, Message("system", "Be kind."))
    clean.evidence = [{"message": 2, "text": "x"}, {"message": 6, "text": "y"}]
    made = corrupted(clean, "off_task", donors=[donors], turns=[0, 2])
    assert label(made)["turns"] == [0, 3]
    assert [message.role for message in made.messages] == ["system", *["user", "assistant"] * 5]
    answers = clean.metadata["answers"]
    assert made.metadata["answers"] == [None, answers[0], answers[1], None, answers[2]]
    assert made.metadata["distances"][0] is None
    assert [span["message"] for span in made.evidence] == [4, 10]
    assert made.messages[4] == clean.messages[2]
    assert made.messages[10] == clean.messages[6]


def test_an_off_task_turn_never_parts_a_tool_from_its_call():
    """Turn 1 answers the tool's result; turn 2 begins with a user."""
    call = [{"function": {"name": "f", "arguments": "{}"}}]
    dialogue = Dialogue(
        [
            Message("user", "q"),
            Message("assistant", None, tool_calls=call),
            Message("tool", "1"),
            Message("assistant", "It is 1."),
            Message("user", "thanks"),
            Message("assistant", "Bye."),
        ]
    )
    rule = off_task_rule([dialogue], [chat("donor")])
    assert [rule.can(0, turn) for turn in range(3)] == [True, False, True]


def test_kinds_one_after_another_touch_other_dialogues_and_keep_labels(donors):
    """10 dialogues, 30 % each of three kinds: 3, 3 and 3 of them, the rate counted over all ten."""
    made = list(WORLD.dialogues(10, seed=1))
    after_first = made = corrupt_dialogues(made, CorruptConfig(kind="swap", rate=0.3))
    for kind in ("wrong", "off_task"):
        made = corrupt_dialogues(made, config_for(kind, donors, rate=0.3), world=WORLD)
    kinds = [label(one)["kind"] for one in made]
    assert sorted(kinds) == ["clean", *["off_task"] * 3, *["swap"] * 3, *["wrong"] * 3]
    for before, after in zip(after_first, made, strict=True):
        assert label(before)["kind"] == "clean" or before == after
    with pytest.raises(DataError, match=r"at least 2 dialogues .* found 1 of 10 \(turns left out: corrupted before"):
        corrupt_dialogues(made, CorruptConfig(kind="truncate", rate=0.2))


def test_turns_of_one_dialogue_can_have_several_kinds(donors):
    """Per turn: 50 % wrong, then 25 % cut, then 25 % inserted; each turn of the input has at most one kind."""
    clean = list(WORLD.dialogues(10, seed=1, turns=(4, 4)))
    wrong = wrong_answers(WORLD, clean, 0.5, 0, per="turn")
    cut = corrupt_dialogues(wrong, CorruptConfig(kind="truncate", rate=0.25, per="turn"))
    made = corrupt_dialogues(cut, config_for("off_task", donors, rate=0.25, per="turn"))
    count = {"wrong": 0, "truncate": 0, "off_task": 0}
    for old, new in zip(clean, made, strict=True):
        found = label(new)
        named = found.get("kinds", [found["kind"]] * len(found["turns"]))
        assert (found["kind"] == "mixed") == (len(set(named)) > 1)
        of_input = [turn for turn in range(new.num_turns) if new.metadata["answers"][turn] is not None]
        changed = [turn for turn, text in zip(of_input, texts(old), strict=True) if texts(new)[turn] != text]
        inserted = [turn for turn in range(new.num_turns) if turn not in of_input]
        assert found["turns"] == sorted(changed + inserted)
        for turn, kind in zip(found["turns"], named, strict=True):
            count[kind] += 1
            assert (kind == "off_task") == (turn in inserted)
            if kind == "wrong":
                assert WORLD.check(new.metadata["answers"][turn], texts(new)[turn]) is False
    assert count == {"wrong": 20, "truncate": 10, "off_task": 10}


@pytest.mark.parametrize("kind", ["swap", "truncate", "repeat", "garble", "language", "contradict", "shift"])
def test_of_typed_parts_only_the_text_changes(kind, donors):
    image = {"type": "image", "image": "a.png"}
    first = [{"type": "text", "text": "I saw 3 "}, image, {"type": "text", "value": "cats there."}]
    clean = [chat(first, first[::-1], "It had 5 legs."), chat("We ate 4 eggs.", "Very good eggs, all 9.", None)]
    noisy = corrupt_dialogues(clean, config_for(kind, donors, rate=1.0))
    assert clean[0].messages[1].content is first
    for old, new in zip(clean, noisy, strict=True):
        assert label(new)["turns"]
        for a, b in zip(old.replies, new.replies, strict=True):
            assert type(a.content) is type(b.content)
            if isinstance(b.content, list):
                assert [part for part in b.content if part["type"] == "image"] == [image]
                assert len(b.content) == (2 if a.text != b.text else 3)
    assert 2 not in label(noisy[1])["turns"], "a reply without text is never chosen"


def test_a_label_that_cannot_be_read_is_refused():
    for broken in ("swap", {"kind": "swap"}, {"kind": "mixed", "turns": [1, 2], "kinds": ["a"]}):
        dialogue = chat("a", "b", metadata={"noise": broken})
        with pytest.raises(DataError, match=r"expected metadata\['noise'\]"):
            corrupt_dialogues([dialogue, chat("c")], CorruptConfig(kind="repeat", rate=0.5))


def test_a_dialogue_that_is_noise_as_a_whole_is_left_alone():
    dialogue = chat("a", "b", metadata={"noise": {"kind": "theirs", "turns": []}})
    for per in ("dialogue", "turn"):
        made = corrupt_dialogues([dialogue, chat("c", "d")], CorruptConfig(kind="repeat", rate=0.5, per=per))
        assert made[0] == dialogue
        assert label(made[1])["turns"] == [0, 1]


@pytest.mark.data
@pytest.mark.parametrize("source", ["sgd/validation.jsonl.gz", "emollm/data.json"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "wrong"])
def test_kinds_on_public_dialogues(public_data, source, kind):
    """English service dialogues and Chinese counselling; the donors are of the other language, and GSM8K."""
    clean = list(read_dialogues(public_data / source, limit=150))
    other = {"sgd/validation.jsonl.gz": "emollm/data.json", "emollm/data.json": "sgd/validation.jsonl.gz"}[source]
    donors = {"language": [str(public_data / other)], "off_task": [str(public_data / "gsm8k" / "test.jsonl")]}
    rate = 0.01 if kind == "contradict" else 0.3  # the counselling holds few numbers and names
    for per in ("dialogue", "turn")[: 1 if kind == "shift" else 2]:
        config = CorruptConfig(kind=kind, rate=rate, per=per, seed=1, donors=donors.get(kind, []))
        report = NoiseReport()
        noisy = corrupt_dialogues(clean, config, report=report)
        turns = sum(len(label(one)["turns"]) for one in noisy)
        if per == "dialogue":
            assert report.corrupted_dialogues == round(rate * 150)
        else:
            assert turns == round(rate * report.turns)
        assert report.corrupted_turns == turns
        json.dumps([one.to_dict() for one in noisy], ensure_ascii=False).encode("utf-8")
        for old, new in zip(clean, noisy, strict=True):
            if kind != "off_task":
                check_label(old, new)


def test_swap_per_turn_is_the_same_function():
    clean = [chat(f"a{n}", f"b{n}") for n in range(10)]
    config = CorruptConfig(kind="swap", rate=0.3, per="turn", seed=2)
    assert swap_replies(clean, 0.3, 2, per="turn") == corrupt_dialogues(clean, config)
