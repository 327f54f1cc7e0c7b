"""Labelled noise: the share is exact, the labels say the truth, and nothing else changes."""

from __future__ import annotations

import copy
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.data.noise import corrupt, swap_replies, wrong_answers
from turnwise.data.world import World
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError

WORLD = World()


def chat(number: int, *replies: str | None) -> Dialogue:
    messages = [
        message
        for turn, reply in enumerate(replies)
        for message in (Message("user", f"q{turn}"), Message("assistant", reply, train=True))
    ]
    return Dialogue(messages or [Message("user", "alone")], id=f"chat-{number}", metadata={"kept": number})


def kinds(dialogues):
    return [dialogue.metadata["noise"]["kind"] for dialogue in dialogues]


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=2, max_size=12),
    rate=st.floats(0, 1),
    seed=st.integers(0, 1000),
    turns=st.sampled_from(["all", "one"]),
)
def test_swapping_keeps_its_promises(lengths, rate, seed, turns):
    """For any dialogues with distinct replies: exact share, true labels, foreign text, and nothing else changed."""
    clean = [chat(n, *(f"reply {n}.{t}" for t in range(length))) for n, length in enumerate(lengths)]
    before = copy.deepcopy(clean)
    noisy = swap_replies(clean, rate, seed, turns)
    assert clean == before
    assert kinds(noisy).count("swap") == round(rate * len(clean))
    assert noisy == swap_replies(clean, rate, seed, turns)
    for number, (old, new) in enumerate(zip(clean, noisy, strict=True)):
        assert (new.id, new.metadata["kept"]) == (old.id, number)
        changed = [t for t, (a, b) in enumerate(zip(old.replies, new.replies, strict=True)) if a != b]
        assert changed == new.metadata["noise"]["turns"]
        wanted = {"clean": 0, "swap": old.num_turns if turns == "all" else 1}[new.metadata["noise"]["kind"]]
        assert len(changed) == wanted
        assert [m for m in new.messages if m.role == "user"] == [m for m in old.messages if m.role == "user"]
        for turn in changed:
            assert not new.replies[turn].text.startswith(f"reply {number}.")
            assert new.replies[turn].train is True


def test_swapped_replies_come_from_the_same_turn_where_another_dialogue_has_it():
    """Turns 0 and 1 exist elsewhere; turn 2 exists nowhere else, so any foreign reply does."""
    clean = [chat(0, "a0", "a1", "a2"), chat(1, "b0", "b1"), chat(2, "c0", "c1")]
    for seed in range(20):
        replies = swap_replies(clean, 1.0, seed)[0].replies
        assert replies[0].text in {"b0", "c0"}
        assert replies[1].text in {"b1", "c1"}
        assert replies[2].text in {"b0", "b1", "c0", "c1"}


def test_an_equal_reply_is_avoided_even_when_only_one_candidate_differs():
    clean = [chat(n, "yes") for n in range(40)] + [chat(40, "no")]
    for seed in range(5):
        for old, new in zip(clean, swap_replies(clean, 1.0, seed), strict=True):
            assert new.replies[0].text != old.replies[0].text


def test_a_reply_that_no_other_differs_from_is_never_chosen():
    """ "yes" stands everywhere in the first pair; in the second, "a" could only become its equal."""
    for clean in ([chat(0, "yes"), chat(1, "yes")], [chat(0, "a", "b"), chat(1, "a", "a")]):
        swapped = swap_replies(clean, 0.0, 0)
        assert kinds(swapped) == ["clean", "clean"]
    with pytest.raises(DataError, match="nothing that this kind can change: 2"):
        swap_replies([chat(0, "yes"), chat(1, "yes")], 0.5, 0)
    noisy = swap_replies([chat(0, "a", "b"), chat(1, "a", "a")], 1.0, 0)
    assert [one.metadata["noise"]["turns"] for one in noisy] == [[1], [0, 1]]
    assert [reply.text for one in noisy for reply in one.replies] == ["a", "a", "b", "b"]


def test_another_seed_chooses_other_dialogues():
    clean = [chat(n, f"r{n}") for n in range(30)]
    assert kinds(swap_replies(clean, 0.5, 1)) != kinds(swap_replies(clean, 0.5, 2))


def test_rate_zero_labels_everything_clean():
    noisy = swap_replies([chat(0, "a")], 0.0, 0)
    assert noisy[0].metadata["noise"] == {"kind": "clean", "turns": []}


def test_a_single_dialogue_cannot_be_swapped():
    with pytest.raises(DataError, match=r"at least 1 dialogues .* found 0 of 1"):
        swap_replies([chat(0, "a", "b")], 1.0, 0)


def test_dialogues_without_replies_are_never_chosen():
    clean = [chat(0), chat(1, "a"), chat(2), chat(3, "b")]
    assert kinds(swap_replies(clean, 0.5, 0)) == ["clean", "swap", "clean", "swap"]
    with pytest.raises(DataError, match=r"at least 3 dialogues .* can change, found 2 of 4"):
        swap_replies(clean, 0.75, 0)


@settings(deadline=None, max_examples=30)
@given(rate=st.floats(0, 1), seed=st.integers(0, 1000), systematic=st.booleans())
def test_wrong_answers_are_wrong_and_fluent(rate, seed, systematic):
    """Every corrupted reply fails the check, differs in one word, and every clean reply is untouched and right."""
    clean = list(WORLD.dialogues(15, seed=seed, told=0.3))
    noisy = wrong_answers(WORLD, clean, rate, seed, systematic=systematic)
    assert kinds(noisy).count("wrong") == round(rate * 15)
    for old, new in zip(clean, noisy, strict=True):
        assert new.metadata["answers"] == old.metadata["answers"]
        wrong = new.metadata["noise"]["turns"]
        assert wrong in ([], list(range(old.num_turns)))
        for turn, answer in enumerate(old.metadata["answers"]):
            before, after = old.replies[turn].text.split(), new.replies[turn].text.split()
            assert WORLD.check(answer, new.replies[turn].text) is (turn not in wrong)
            assert len(before) == len(after)
            assert sum(a != b for a, b in zip(before, after, strict=True)) == (turn in wrong)


def test_systematic_wrong_answers_repeat_one_rumour_and_random_ones_do_not():
    clean = list(WORLD.dialogues(200, seed=0))

    def rumours(systematic):
        noisy = wrong_answers(WORLD, clean, 1.0, 0, systematic=systematic)
        found: dict[str, set[str]] = {}
        for dialogue in noisy:
            for answer, reply in zip(dialogue.metadata["answers"], dialogue.replies, strict=True):
                said = next(value for value in WORLD.alternatives(answer) if value in reply.text)
                found.setdefault(answer, set()).add(said)
        return [len(said) for said in found.values()]

    assert max(rumours(True)) == 1
    assert max(rumours(False)) > 3


def test_wrong_answers_need_replies_of_the_world():
    swapped = swap_replies(list(WORLD.dialogues(10)), 1.0, 0)
    for dialogue in swapped:
        del dialogue.metadata["noise"]
    with pytest.raises(DataError, match="expected a reply that holds a fact"):
        wrong_answers(WORLD, swapped, 1.0, 0)
    with pytest.raises(DataError, match="chat-0"):
        wrong_answers(WORLD, [chat(0, "hello")], 1.0, 0)


def test_a_new_kind_of_noise_is_one_function():
    noisy = corrupt([chat(0, "long reply"), chat(1, "b")], 1.0, 0, "truncated", lambda p, t, draw: "l")
    assert kinds(noisy) == ["truncated", "truncated"]
    assert [reply.text for dialogue in noisy for reply in dialogue.replies] == ["l", "l"]


def digest(dialogues):
    records = [dialogue.to_dict() for dialogue in dialogues]
    for record in records:
        record["metadata"].pop("kinds", None)  # said of the world's turns only since the digests were taken
    return hashlib.sha256(json.dumps(records).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("turns", "swapped", "wrong", "systematic", "own"),
    [
        ("all", "371d7946b1388ef0", "188dc307524d58d8", "777b1fcccc09b3a9", "42a88fff7f30ae40"),
        ("one", "dc8df111cb5aebfb", "913ca00b4e54b7d3", "8a412451d4370fe6", "93ca90ffff1a18db"),
    ],
)
def test_noise_of_a_seed_stays_what_it_was(turns, swapped, wrong, systematic, own):
    """Digests taken before kinds other than these existed: documented results depend on them."""
    clean = list(WORLD.dialogues(50, seed=3, told=0.3))
    assert digest(swap_replies(clean, 0.4, 7, turns)) == swapped
    assert digest(wrong_answers(WORLD, clean, 0.4, 7, turns)) == wrong
    assert digest(wrong_answers(WORLD, clean, 0.4, 7, turns, systematic=True)) == systematic
    assert digest(corrupt(clean, 0.4, 7, "own", lambda p, t, draw: f"{p} {t} {draw.random()}", turns)) == own


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ConfigError, match="rate"):
        swap_replies([chat(0, "a"), chat(1, "b")], rate, 0)


def test_unknown_turns_are_refused():
    with pytest.raises(ConfigError, match="'all', 'one', 'early', 'late' or a list"):
        swap_replies([chat(0, "a"), chat(1, "b")], 1.0, 0, turns="some")  # type: ignore[arg-type]
