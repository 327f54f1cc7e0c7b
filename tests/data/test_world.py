"""The checkable world: everything it says is true of its own table, and a program can tell."""

from __future__ import annotations

import pytest

from turnwise.data.world import HE, RELATIONS, SHE, TOLD, World, words
from turnwise.errors import ConfigError


def test_same_seeds_give_the_same_dialogues_and_other_seeds_others():
    first = [dialogue.to_dict() for dialogue in World(3).dialogues(20, seed=5)]
    assert first == [dialogue.to_dict() for dialogue in World(3).dialogues(20, seed=5)]
    assert first != [dialogue.to_dict() for dialogue in World(3).dialogues(20, seed=6)]
    assert World(3).facts != World(4).facts


def test_a_known_dialogue_comes_out_on_every_machine():
    """Written down once from a run: a change of any letter here breaks every recorded result."""
    dialogue = next(World(0).dialogues(1, seed=7, told=1.0))
    assert dialogue.id == "world-7-0"
    assert [message.text for message in dialogue.messages] == GOLDEN
    assert dialogue.metadata == GOLDEN_METADATA


def test_a_shorter_list_is_a_prefix_of_a_longer_one():
    world = World()
    assert list(world.dialogues(5, seed=1)) == list(world.dialogues(9, seed=1))[:5]


def test_every_gold_reply_passes_its_own_check_and_turns_alternate():
    world = World(1, num_entities=10)
    for dialogue in world.dialogues(200, seed=2, turns=(1, 16), told=0.5):
        assert [message.role for message in dialogue.messages] == ["user", "assistant"] * dialogue.num_turns
        assert len(dialogue.metadata["answers"]) == len(dialogue.metadata["distances"]) == dialogue.num_turns
        for answer, reply in zip(dialogue.metadata["answers"], dialogue.replies, strict=True):
            assert world.check(answer, reply.text)


def test_answers_are_those_of_the_table_once_pronouns_are_resolved_by_hand():
    """A second reading of the dialogue: a name sets who "he" or "she" is; the relation follows from the answer."""
    world = World(2)
    home = {value: relation for relation, entry in RELATIONS.items() for value in entry.values}
    by_pronoun = 0
    for dialogue in world.dialogues(200, seed=3, turns=(6, 10)):
        known: dict[str, str] = {}
        for turn, answer in enumerate(dialogue.metadata["answers"]):
            question = words(dialogue.messages[2 * turn].text)
            named = [name for name in world.pronouns if name.casefold() in question]
            if named:
                known[world.pronouns[named[0]]] = named[0]
                who = named[0]
            else:
                who = known["he" if "he" in question else "she"]
                by_pronoun += 1
            assert world.facts[who][home[answer]] == answer
    assert by_pronoun > 500


def test_no_fact_is_asked_twice_and_turn_limits_hold():
    for dialogue in World().dialogues(100, turns=(4, 16)):
        questions = list(zip(dialogue.metadata["answers"], (m.text for m in dialogue.replies), strict=True))
        assert 4 <= dialogue.num_turns <= 16
        assert len(questions) == dialogue.num_turns
        replies = [reply.text for reply in dialogue.replies]
        # A person is named in one reply and a pronoun in the others, so the same fact twice would need both forms.
        assert len(set(replies)) == len(replies)


def test_a_told_fact_is_asked_later_in_the_same_dialogue():
    world = World()
    for dialogue in world.dialogues(50, turns=(2, 5), told=1.0):
        answers = dialogue.metadata["answers"]
        assert answers[0] in TOLD.values
        assert answers.count(answers[0]) == 2
        assert "Please note" in dialogue.messages[0].text


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("Carl lives in Dunmoor.", True),
        ("dunmoor", True),
        ("It is in DUNMOOR, I think", True),
        ("Carl lives in Fenwick.", False),
        ("Carl lives in Dunmoor or Fenwick.", False),  # a list of guesses is no answer
        ("Carl lives in Dunmoorish.", False),  # a word, not a part of one
        ("Carl, a baker, lives in Dunmoor.", True),  # a value of another relation does not contradict
        ("", False),
    ],
)
def test_check_wants_the_value_as_a_word_and_no_rival(reply, right):
    assert World().check("Dunmoor", reply) is right


def test_check_of_a_value_outside_the_world_asks_for_the_words_in_order():
    world = World()
    assert world.check("two red boats", "There are Two red boats.")
    assert not world.check("two red boats", "red boats, two")
    assert not world.check("", "anything")


def test_no_value_is_ambiguous():
    """A value that occurs in a template, a name or another relation would make `check` accept or refuse by accident."""
    relations = [*RELATIONS.values(), TOLD]
    values = [value.casefold() for relation in relations for value in relation.values]
    templates = [text for relation in relations for text in (*relation.questions, relation.answer)]
    fixed = {word for text in templates for word in words(text)} | {name.casefold() for name in HE + SHE}
    assert len(set(values)) == len(values)
    assert not fixed & set(values)
    assert len(set(HE + SHE)) == len(HE) + len(SHE)


@pytest.mark.parametrize("size", [1, 33])
def test_too_few_or_too_many_people_are_refused(size):
    with pytest.raises(ConfigError, match=f"from 2 to 32, found {size}"):
        World(num_entities=size)


@pytest.mark.parametrize("turns", [(0, 3), (4, 3), (3, 17)])
def test_impossible_turn_limits_are_refused(turns):
    with pytest.raises(ConfigError, match="turns"):
        next(World().dialogues(1, turns=turns))


def test_a_told_share_over_one_is_refused():
    with pytest.raises(ConfigError, match="told"):
        next(World().dialogues(1, told=1.5))


GOLDEN = [
    "Please note: Pavel left the key in the box.",
    "Noted, it is in the box.",
    "Which breakfast does he have?",
    "He eats cheese in the morning.",
    "Which town does Nadia call home?",
    "Nadia lives in Inverley.",
    "Where did he leave the key?",
    "He left it in the box.",
    "Which colour does he like most?",
    "He likes yellow most.",
    "What does she train for?",
    "She loves golf.",
]
GOLDEN_METADATA = {
    "answers": ["box", "cheese", "Inverley", "box", "yellow", "golf"],
    "distances": [0, 1, 0, 3, 4, 3],
    "kinds": ["tell", "pronoun", "fact", "told", "pronoun", "pronoun"],
}
