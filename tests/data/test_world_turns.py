"""The harder turns of the checkable world, read by a second reader that knows the texts and the table of facts only."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import get_args

import field_tables
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from turnwise.data.noise import wrong_answers
from turnwise.data.world import RELATIONS, TOLD, Difficulty, World, WorldConfig
from turnwise.data.world_facts import THINGS
from turnwise.data.world_turns import Kind
from turnwise.errors import ConfigError

WORLD = World(seed=2, num_entities=12)
HARD = Difficulty(slots=3, corrections=0.5, follow_ups=0.5, recollections=0.3)
ASKED_FOR = {
    "live": "home", "call": "home", "town": "home", "job": "job", "living": "job", "animal": "pet", "pet": "pet",
    "colour": "colour", "eat": "breakfast", "breakfast": "breakfast", "music": "instrument",
    "instrument": "instrument", "sport": "sport", "train": "sport", "month": "birthday", "birthday": "birthday",
}  # fmt: skip
GENDER = {"he": "he", "him": "he", "she": "she", "her": "she"}


class Reader:
    """Answers questions from the texts of a dialogue and the table of facts, and notes the oldest turn it looked at.

    It knows nothing of how dialogues are made: it looks for names, pronouns and a few words of each question.
    """

    def __init__(self, world, questions, replies):
        self.world, self.questions, self.replies = world, questions, replies

    def answer(self, turn):
        """(value, oldest turn read)."""
        question = self.questions[turn]
        if found := re.search(r"(?:left|No,) the \w+ (?:is )?in the (\w+)\.$", question):
            return found[1], turn
        if found := re.search(r"(?:leave|put) the (\w+)\?$", question):
            return self.last_place(found[1], turn)
        if question == "What was your first answer?":
            return self.value_in(self.replies[0], self.known()), 0
        if question == "Whom did I name first?":
            return next((name, i) for i in range(turn) if (name := self.name_in(self.questions[i])))
        if found := re.fullmatch(r"Which (\w+) did you name first\?", question):
            wanted = TOLD.values if found[1] == "place" else RELATIONS[ASKED_FOR[found[1]]].values
            return next((said, i) for i in range(turn) if (said := self.value_in(self.replies[i], wanted)))
        person, named = self.person(turn)
        return self.world.facts[person][self.relation(turn)], min(named, turn - question.startswith("And "))

    def last_place(self, thing, turn):
        for earlier in reversed(range(turn)):
            if found := re.search(rf"the {thing} (?:is )?in the (\w+)\.$", self.questions[earlier]):
                return found[1], earlier
        raise AssertionError(f"nobody told where the {thing} is")

    def person(self, turn):
        """(who the question is about, where they were last named)."""
        if name := self.name_in(self.questions[turn]):
            return name, turn
        pronoun = next((GENDER[word] for word in self.words(turn) if word in GENDER), None)
        if pronoun is None:  # "And the pet?"
            return self.person(turn - 1)
        for earlier in reversed(range(turn)):
            name = self.name_in(self.questions[earlier])
            if name and self.world.pronouns[name] == pronoun:
                return name, earlier
        raise AssertionError(f"nobody is {pronoun}")

    def relation(self, turn):
        found = {ASKED_FOR[word] for word in self.words(turn) if word in ASKED_FOR}
        if not found:  # "And what about her?"
            return self.relation(turn - 1)
        (relation,) = found
        return relation

    def words(self, turn):
        return re.findall(r"\w+", self.questions[turn].lower())

    def name_in(self, text):
        return next((word for word in re.findall(r"\w+", text) if word in self.world.pronouns), None)

    def value_in(self, text, values):
        return next((word for word in re.findall(r"\w+", text) if word in values), None)

    def known(self):
        return {value for relation in (*RELATIONS.values(), TOLD) for value in relation.values}


def read(world, dialogue):
    texts = [message.text for message in dialogue.messages]
    reader = Reader(world, texts[::2], texts[1::2])
    return [reader.answer(turn) for turn in range(dialogue.num_turns)]


@st.composite
def knobs(draw):
    least = draw(st.integers(1, 16))
    most = draw(st.integers(least, 16))
    near = draw(st.integers(1, max(1, most - 1)))
    share = st.sampled_from([0.0, 0.3, 1.0])
    difficulty = Difficulty(
        slots=draw(st.integers(1, 5)),
        distance=(near, draw(st.integers(near, 20))),
        corrections=draw(share),
        follow_ups=draw(share),
        recollections=draw(share),
    )
    return {"turns": (least, most), "told": draw(share), "difficulty": difficulty, "seed": draw(st.integers(0, 99))}


@settings(deadline=None, max_examples=120)
@given(knobs(), st.integers(0, 5), st.sampled_from([2, 5, 32]))
def test_a_second_reader_finds_every_answer_and_distance_in_the_texts_and_the_table(asked, world_seed, people):
    """120 settings with 30 dialogues each: what the metadata say is what the texts say, and nothing else is needed."""
    world = World(world_seed, people)
    least, most = asked["difficulty"].distance
    for dialogue in world.dialogues(30, **asked):
        answers, distances, kinds = (dialogue.metadata[key] for key in ("answers", "distances", "kinds"))
        assert len(answers) == len(distances) == len(kinds) == dialogue.num_turns
        for turn, (value, oldest) in enumerate(read(world, dialogue)):
            assert (answers[turn], distances[turn]) == (value, turn - oldest)
            assert world.check(value, dialogue.replies[turn].text)
            if kinds[turn] in ("told", "corrected", "recollect"):
                assert least <= distances[turn] <= most
            elif kinds[turn] in ("fact", "tell", "correct"):
                assert distances[turn] == 0
            else:
                assert kinds[turn] in ("pronoun", "follow_up")
                assert distances[turn] >= 1


def test_a_second_reader_notices_a_wrong_answer():
    """The reader of a noisy dialogue disagrees with every reply; what was said first is itself wrong there."""
    noisy = wrong_answers(WORLD, list(WORLD.dialogues(50, turns=(4, 8), told=0.5, difficulty=HARD)), 1.0, 0)
    seen = set()
    for dialogue in noisy:
        for turn, (kind, reply) in enumerate(zip(dialogue.metadata["kinds"], dialogue.replies, strict=True)):
            assert not WORLD.check(dialogue.metadata["answers"][turn], reply.text)
            if kind != "recollect":
                assert not WORLD.check(read(WORLD, dialogue)[turn][0], reply.text)
            seen.add(kind)
    assert seen == {"fact", "pronoun", "follow_up", "tell", "correct", "told", "corrected", "recollect"}


@pytest.mark.parametrize(
    ("world", "asked", "digest"),
    [
        (World(), {"n": 2000, "seed": 1}, "9a41778fd1baa6cb17a5be8b6309e62a1caa07017af98df9e4c0e2b02147e469"),
        (
            World(3, 10),
            {"n": 500, "seed": 5, "turns": (1, 16), "told": 0.5},
            "00f2f3c1f10d9ff765e64a77254b0caf40707df8decd594db0311a9fd79330a6",
        ),
    ],
)
def test_without_difficulty_dialogues_are_those_that_the_demo_model_learned(world, asked, digest):
    """The digests were taken from the generator before it knew of any difficulty."""
    dialogues = [
        [d.id, d.source, [[m.role, m.text] for m in d.messages], d.metadata["answers"], d.metadata["distances"]]
        for d in world.dialogues(**asked)
    ]
    assert hashlib.sha256(json.dumps(dialogues).encode()).hexdigest() == digest


def test_knobs_of_told_things_change_nothing_where_nothing_is_told():
    plain = list(WORLD.dialogues(30))
    assert list(WORLD.dialogues(30, difficulty=Difficulty(slots=4, corrections=1.0, distance=(2, 3)))) == plain


@pytest.mark.parametrize("distance", [1, 3, 6])
def test_one_distance_asks_at_exactly_that_distance(distance):
    difficulty = Difficulty(slots=2, distance=(distance, distance), corrections=0.5, recollections=0.5)
    asked = [
        (kind, found)
        for dialogue in WORLD.dialogues(100, turns=(8, 8), told=1.0, difficulty=difficulty)
        for kind, found in zip(dialogue.metadata["kinds"], dialogue.metadata["distances"], strict=True)
        if kind in ("told", "corrected", "recollect")
    ]
    assert {kind for kind, _ in asked} == {"told", "corrected", "recollect"}
    assert {found for _, found in asked} == {distance}


def test_slots_are_as_many_things_as_there_is_room_for_all_in_different_places():
    """16 turns hold five things told and asked for (10 turns); 5 turns hold two."""
    for turns, slots in (((16, 16), 5), ((5, 5), 2)):
        for dialogue in WORLD.dialogues(50, turns=turns, told=1.0, difficulty=Difficulty(slots=5)):
            questions = [message.text for message in dialogue.messages[::2]]
            told = [found[1] for text in questions if (found := re.match(r"Please note: \w+ left the (\w+)", text))]
            places = [
                answer
                for answer, kind in zip(dialogue.metadata["answers"], dialogue.metadata["kinds"], strict=True)
                if kind == "tell"
            ]
            assert questions[0].startswith("Please note")
            assert len(told) == len(set(told)) == len(set(places)) <= slots
            assert set(told) <= set(THINGS)
            assert dialogue.metadata["kinds"].count("told") == len(told)


def test_after_a_correction_the_old_place_is_wrong():
    for dialogue in WORLD.dialogues(50, turns=(3, 6), told=1.0, difficulty=Difficulty(corrections=1.0)):
        answers, kinds = dialogue.metadata["answers"], dialogue.metadata["kinds"]
        old, new = answers[kinds.index("tell")], answers[kinds.index("correct")]
        asked = kinds.index("corrected")
        assert kinds.index("tell") < kinds.index("correct") < asked
        assert answers[asked] == new != old
        assert not WORLD.check(new, dialogue.replies[asked].text.replace(new, old))


def test_follow_ups_come_after_facts_alone_and_ask_both_ways():
    dialogues = list(WORLD.dialogues(100, turns=(6, 9), told=0.5, difficulty=Difficulty(follow_ups=1.0)))
    questions = []
    for dialogue in dialogues:
        kinds = dialogue.metadata["kinds"]
        for turn in range(1, dialogue.num_turns):
            follows = kinds[turn - 1] in ("fact", "pronoun", "follow_up") and kinds[turn] not in ("told", "tell")
            assert (kinds[turn] == "follow_up") is follows
            if follows:
                questions.append(dialogue.messages[2 * turn].text)
    assert min(sum(text.startswith(start) for text in questions) for start in ("And what about", "And the")) > 100


def test_nothing_is_recollected_twice_in_a_dialogue():
    for dialogue in WORLD.dialogues(100, turns=(4, 16), difficulty=Difficulty(recollections=1.0)):
        asked = [
            message.text
            for message, kind in zip(dialogue.messages[::2], dialogue.metadata["kinds"], strict=True)
            if kind == "recollect"
        ]
        assert asked
        assert len(set(asked)) == len(asked)


def test_a_configured_difficulty_is_the_one_that_generates():
    config = WorldConfig.model_validate(
        {"n": 5, "turns": [5, 8], "told": 0.5, "difficulty": {"slots": 3, "distance": [2, 4], "recollections": 0.5}}
    )
    difficulty = Difficulty(slots=3, distance=(2, 4), recollections=0.5)
    assert list(config.dialogues()) == list(World().dialogues(5, turns=(5, 8), told=0.5, difficulty=difficulty))


@pytest.mark.parametrize("key", ["corrections", "follow_ups", "recollections", "slots", "slot"])
def test_impossible_knobs_are_refused(key):
    with pytest.raises(ValidationError, match=key):
        Difficulty.model_validate({key: 6})


def test_the_page_of_the_world_has_every_knob_and_kind_and_its_example_is_made_so():
    """`field_tables.table` writes the tables; the example is the last dialogue of the code above it."""
    text = (Path(__file__).parents[2] / "docs" / "world.md").read_text(encoding="utf-8")
    assert field_tables.table(WorldConfig) in text
    assert field_tables.table(Difficulty) in text
    assert [kind for kind in get_args(Kind) if f"\n| `{kind}` |" not in text] == []
    difficulty = Difficulty(slots=2, corrections=0.5, follow_ups=0.4, recollections=0.3)
    *_, last = World(0, 16).dialogues(5, seed=5, turns=(5, 8), told=0.8, difficulty=difficulty)
    shown = [
        f"{kind:9} {distance}  {question.text} {reply.text}\n"
        for kind, distance, question, reply in zip(
            last.metadata["kinds"], last.metadata["distances"], last.messages[::2], last.replies, strict=True
        )
    ]
    assert "".join(shown) in text


@pytest.mark.parametrize("distance", [(0, 2), (3, 2), (6, 8)])
def test_a_distance_that_no_dialogue_can_hold_is_refused(distance):
    with pytest.raises(ConfigError, match="distance"):
        next(World().dialogues(1, turns=(3, 6), told=1.0, difficulty=Difficulty(distance=distance)))
