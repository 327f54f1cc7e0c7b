"""Checkable accuracy: the right prompts, batched without changing any answer, counted by turn."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from turnwise.data.world import World  # noqa: E402
from turnwise.dialogue import Dialogue, Message  # noqa: E402
from turnwise.errors import DataError, ModelError  # noqa: E402
from turnwise.evaluation.accuracy import checkable_accuracy  # noqa: E402
from turnwise.study.base_model import small_llama, train_tokenizer  # noqa: E402

WORLD = World(num_entities=6)


@pytest.fixture(scope="module")
def tokenizer():
    dialogues = WORLD.dialogues(100, seed=1)
    return train_tokenizer((message.text for dialogue in dialogues for message in dialogue.messages), 500)


class Scripted:
    """Stands in for a model: answers each prompt by a rule, and keeps the prompts and whether padding was right."""

    training = True
    device = "cpu"

    def __init__(self, tokenizer, rule):
        self.tokenizer, self.rule, self.prompts, self.sizes = tokenizer, rule, [], []

    def eval(self):
        self.training = False

    def train(self, mode):
        self.training = mode

    def generate(self, input_ids, attention_mask, max_new_tokens, **settings):
        assert not self.training
        assert settings["do_sample"] is False
        self.sizes.append(len(input_ids))
        made = []
        for ids, mask in zip(input_ids.tolist(), attention_mask.tolist(), strict=True):
            assert mask == sorted(mask)  # padding on the left only
            prompt = self.tokenizer.decode(ids[len(ids) - sum(mask) :])
            self.prompts.append(prompt)
            made.append(self.tokenizer(self.rule(prompt) + "<|end|>").input_ids[:max_new_tokens])
        longest = max(map(len, made))
        rows = [ids + [self.tokenizer.pad_token_id] * (longest - len(ids)) for ids in made]
        return torch.cat([input_ids, torch.tensor(rows)], dim=1)


def count_dialogue(number: int, turns: int) -> Dialogue:
    messages = []
    for turn in range(turns):
        messages += [Message("user", f"ask {number}.{turn}"), Message("assistant", f"gold {number}.{turn}")]
    return Dialogue(messages, id=f"d{number}", metadata={"answers": [f"{number}.{turn}" for turn in range(turns)]})


def exact(expected: str, reply: str) -> bool:
    return reply == f"gold {expected}"


def last_question(prompt: str) -> str:
    return prompt.rsplit("ask ", 1)[1].split("<", 1)[0]


def test_accuracy_counts_by_turn_over_all_dialogues(tokenizer):
    """Dialogues of 3 and 2 turns; wrong only at turn 1 of the first: 4 of 5, by turn 2/2, 1/2, 1/1."""
    dialogues = [count_dialogue(0, 3), count_dialogue(1, 2)]
    model = Scripted(
        tokenizer, lambda prompt: "no" if last_question(prompt) == "0.1" else f"gold {last_question(prompt)}"
    )
    result = checkable_accuracy(model, tokenizer, dialogues, exact, batch_size=2)
    assert result.accuracy == 4 / 5
    assert result.accuracy_by_turn == {0: 1.0, 1: 0.5, 2: 1.0}
    assert result.answers_by_turn == {0: 2, 1: 2, 2: 1}
    assert [(a.dialogue_id, a.turn_index, a.correct) for a in result.answers] == [
        ("d0", 0, True), ("d0", 1, False), ("d0", 2, True), ("d1", 0, True), ("d1", 1, True),
    ]  # fmt: skip
    assert model.sizes == [2, 2, 1]
    assert model.training is True
    low, high = result.interval()
    assert low <= 4 / 5 <= high


def test_accuracy_by_distance_and_by_kind_counts_the_answers_whose_dialogue_says(tokenizer):
    """Turn 1 of both is wrong. Distances 0 2 2 of the first give 1/1 and 1/2, kinds b a a 1/1 and 1/2; the second
    dialogue says neither, so it counts by turn only: turn 0 2/2, turn 1 0/2, turn 2 1/1."""
    dialogues = [count_dialogue(0, 3), count_dialogue(1, 2)]
    dialogues[0].metadata |= {"distances": [0, 2, 2], "kinds": ["b", "a", "a"]}
    model = Scripted(
        tokenizer, lambda prompt: "no" if last_question(prompt).endswith(".1") else f"gold {last_question(prompt)}"
    )
    result = checkable_accuracy(model, tokenizer, dialogues, exact)
    assert [(a.distance, a.kind) for a in result.answers] == [(0, "b"), (2, "a"), (2, "a"), (None, None), (None, None)]
    assert result.accuracy_by("distance") == {0: 1.0, 2: 0.5}
    assert list(result.accuracy_by("kind").items()) == [("a", 0.5), ("b", 1.0)]
    assert result.answers_by("kind") == {"a": 2, "b": 1}
    assert result.accuracy_by("turn_index") == result.accuracy_by_turn == {0: 1.0, 1: 0.0, 2: 1.0}


@pytest.mark.parametrize("key", ["distances", "kinds"])
def test_labels_that_are_not_one_per_turn_are_refused(tokenizer, key):
    dialogue = count_dialogue(0, 2)
    dialogue.metadata[key] = ["one"]
    with pytest.raises(DataError, match=rf"metadata\['{key}'\] with one entry for each of its 2 turns, found 1"):
        checkable_accuracy(Scripted(tokenizer, str), tokenizer, [dialogue], exact)


def test_gold_history_holds_the_dialogue_and_own_history_the_model(tokenizer):
    dialogues = [count_dialogue(0, 2)]
    before = copy.deepcopy(dialogues)
    start = "<|user|>ask 0.0<|end|><|assistant|>"
    for history, first in (("gold", "gold 0.0"), ("own", "mine")):
        model = Scripted(tokenizer, lambda prompt: "mine")
        checkable_accuracy(model, tokenizer, dialogues, exact, history=history)
        assert model.prompts == [start, f"{start}{first}<|end|><|user|>ask 0.1<|end|><|assistant|>"]
    assert dialogues == before


def test_turns_without_a_checkable_answer_are_left_out(tokenizer):
    dialogue = count_dialogue(0, 2)
    dialogue.metadata["answers"] = [None, "0.1"]
    for history, asked in (("gold", 1), ("own", 2)):
        model = Scripted(tokenizer, lambda prompt: f"gold {last_question(prompt)}")
        result = checkable_accuracy(model, tokenizer, [dialogue], exact, history=history)
        assert result.answers_by_turn == {1: 1}
        assert len(model.prompts) == asked


def test_nothing_to_answer_has_no_accuracy(tokenizer):
    result = checkable_accuracy(Scripted(tokenizer, str), tokenizer, [], exact)
    assert (result.accuracy, result.answers, result.interval()) == (None, [], None)


def test_batching_changes_no_reply_of_a_real_model(tokenizer):
    """Each reply equals a `generate` call on the one unpadded prompt: left padding and masks are right."""
    model = small_llama(len(tokenizer), hidden=32, layers=2, seed=5)
    dialogues = list(WORLD.dialogues(4, seed=9))
    result = checkable_accuracy(model, tokenizer, dialogues, WORLD.check, batch_size=7, max_new_tokens=6)
    replies = iter(result.answers)
    for dialogue in dialogues:
        for turn in range(dialogue.num_turns):
            prompt = tokenizer.apply_chat_template(
                [message.to_dict() for message in dialogue.messages[: 2 * turn + 1]],
                add_generation_prompt=True,
                return_tensors="pt",
                return_dict=True,
            )
            output = model.eval().generate(**prompt, do_sample=False, max_new_tokens=6)
            alone = tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
            assert next(replies).reply == alone


@pytest.mark.parametrize("answers", [None, ["one"], "text"])
def test_a_dialogue_without_one_answer_per_turn_is_refused(tokenizer, answers):
    dialogue = count_dialogue(0, 2)
    dialogue.metadata = {} if answers is None else {"answers": answers}
    with pytest.raises(DataError, match="dialogue 'd0': expected metadata"):
        checkable_accuracy(Scripted(tokenizer, str), tokenizer, [dialogue], exact)


def test_a_tokenizer_without_chat_template_and_an_unknown_history_are_refused(tokenizer):
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    with pytest.raises(ModelError, match="chat template"):
        checkable_accuracy(Scripted(tokenizer, str), bare, [], exact)
    with pytest.raises(ModelError, match="'gold' or 'own'"):
        checkable_accuracy(Scripted(tokenizer, str), tokenizer, [], exact, history="none")
