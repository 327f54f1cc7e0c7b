"""Weights and flags of single messages, and dialogues that cannot be used, from the data set to the loss."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from dropin import build, ledger, supervised, talks
from template_cases import CHATML, chat, make_tokenizer
from tiny import tiny_llama, trace


@pytest.fixture(scope="module")
def chatml():
    return make_tokenizer(CHATML)


def token_losses(tokenizer, messages):
    """Cross-entropy of every supervised token, per turn, from a plain forward; spans found as ChatML defines them."""
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    encoded = tokenizer(text, return_offsets_mapping=True, return_tensors="pt", add_special_tokens=False)
    with torch.no_grad():
        logits = tiny_llama(vocab_size=len(tokenizer))(encoded.input_ids).logits
    losses = torch.nn.functional.cross_entropy(logits[0, :-1], encoded.input_ids[0, 1:], reduction="none")
    turns, at = [], 0
    for message in messages:
        head = f"<|im_start|>{message['role']}\n"
        start = at + len(head)
        end = start + len(message["content"]) + len("<|im_end|>")
        at = end + 1
        if message["role"] == "assistant":
            inside = [start <= a < end for a, _ in encoded.offset_mapping[0].tolist()]
            turns.append(losses[torch.tensor(inside[1:])])
    return turns


@pytest.mark.slow
@pytest.mark.parametrize("reduction", ["sample", "token"])
def test_static_weights_and_train_flags_change_the_loss_by_the_right_factor(reduction, tmp_path, chatml):
    """Two dialogues of two turns; weights (2, 0.5) in the first, and the second learns its last turn only.

    token: (2 A0 + 0.5 A1 + B1) / tokens; sample: ((2 A0 + 0.5 A1) / a + B1 / b) / 2, with sums A, B of token losses
    over each turn, and supervised tokens a, b.
    """
    first, second = talks(2)
    given = [
        [first[0], {**first[1], "weight": 2.0}, first[2], {**first[3], "weight": 0.5}],
        [second[0], {**second[1], "train": False}, second[2], {**second[3], "train": True}],
    ]
    trainer = build(
        tmp_path,
        chatml,
        Dataset.from_list([{"messages": messages} for messages in given]),
        weighting=False,
        reduction=reduction,
        max_steps=1,
        learning_rate=0.0,
    )
    trainer.train()
    (a0, a1), (_, b1) = (token_losses(chatml, messages) for messages in (first, second))
    in_first, in_second = len(a0) + len(a1), len(b1)
    weighted = float(2 * a0.sum() + 0.5 * a1.sum()), float(b1.sum())
    expected = {
        "token": sum(weighted) / (in_first + in_second),
        "sample": (weighted[0] / in_first + weighted[1] / in_second) / 2,
    }
    assert trace(trainer)[0][0] == pytest.approx(expected[reduction], abs=1e-5)
    judged = {row["dialogue_id"]: row for row in ledger(tmp_path)}
    assert judged["row-0"]["loss"] == pytest.approx(float(torch.cat([a0, a1]).mean()), abs=1e-5)
    assert (judged["row-0"]["num_tokens"], judged["row-1"]["num_tokens"]) == (in_first, in_second)
    assert (judged["row-0"]["group"], judged["row-1"]["group"]) == (2, 1)


@pytest.mark.slow
def test_dialogues_that_cannot_be_used_are_counted_by_reason(tmp_path, chatml):
    def parts(talk, extra=()):
        return [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}, *extra]} for m in talk]

    good, image, mute = talks(3)
    data = Dataset.from_list(
        [
            {"messages": parts(good)},
            {"messages": parts(image, [{"type": "image", "text": None}])},
            {"messages": parts([mute[0], mute[2]])},
            {"messages": [{**m, "train": False} if m["role"] == "assistant" else m for m in parts(mute)]},
        ]
    )
    trainer = build(tmp_path, chatml, data, max_steps=1)
    assert trainer.skipped == {
        "has image parts; text training cannot use them": 1,
        "no assistant reply": 1,
        "no supervised tokens": 1,
    }
    assert supervised(trainer, chatml) == ["Yes, in 1?<|im_end|>Yes, in 3?<|im_end|>"]
    trainer.train()
    assert [row["dialogue_id"] for row in ledger(tmp_path)] == ["row-0"]


@pytest.mark.slow
def test_truncation_drops_whole_turns_and_a_dialogue_whose_first_turn_is_too_long(tmp_path, chatml):
    long_first = chat("hello " * 200, "Yes.", "again", "No.")
    long_second = chat("Hi", "Yes.", "hello " * 200, "No.")
    data = Dataset.from_list([{"messages": long_first}, {"messages": long_second}])
    trainer = build(tmp_path, chatml, data, max_length=60)
    assert supervised(trainer, chatml) == ["Yes.<|im_end|>"]
    assert trainer.skipped == {"first turn longer than max_length": 1}
