"""Held-out loss equals what a plain Hugging Face forward computes, and splits it by turn and source."""

from __future__ import annotations

import math
import random

import pytest

torch = pytest.importorskip("torch")

from turnwise.errors import DataError  # noqa: E402
from turnwise.evaluation.loss import HeldOutLoss, Tally, held_out_loss  # noqa: E402
from turnwise.study.base_model import small_llama  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return small_llama(300, hidden=32, layers=2, seed=1)


def make_examples(count: int, seed: int) -> list[dict]:
    draw = random.Random(seed)
    examples = []
    for number in range(count):
        length = draw.randint(4, 40)
        turns = sorted(draw.choices([0, 1, 2], k=length))
        turn_ids = [turn if draw.random() < 0.6 else -1 for turn in turns]
        ids = [draw.randrange(6, 300) for _ in range(length)]
        examples.append({"input_ids": ids, "turn_ids": turn_ids, "source": "ab"[number % 2]})
    return examples


def forward_loss(model, examples, keep=lambda example, turn: True) -> float:
    """One unpadded forward per example with `labels`; means are put together by token counts."""
    total, count = 0.0, 0
    for example in examples:
        labels = [
            token if turn >= 0 and place > 0 and keep(example, turn) else -100
            for place, (token, turn) in enumerate(zip(example["input_ids"], example["turn_ids"], strict=True))
        ]
        tokens = sum(label != -100 for label in labels)
        if tokens:
            with torch.no_grad():
                loss = model(torch.tensor([example["input_ids"]]), labels=torch.tensor([labels])).loss
            total, count = total + float(loss) * tokens, count + tokens
    return total / count


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_loss_equals_the_plain_forward_overall_by_turn_and_by_source(model, batch_size):
    examples = make_examples(17, seed=0)
    result = held_out_loss(model, examples, batch_size=batch_size)
    assert result.loss == pytest.approx(forward_loss(model, examples), abs=1e-5)
    for turn in (0, 1, 2):
        expected = forward_loss(model, examples, lambda example, own, turn=turn: own == turn)
        assert result.loss_by_turn[turn] == pytest.approx(expected, abs=1e-5)
    for source in "ab":
        expected = forward_loss(model, examples, lambda example, _, source=source: example["source"] == source)
        assert result.by_source[source].loss == pytest.approx(expected, abs=1e-5)


def test_turns_and_sources_add_up_to_the_whole(model):
    result = held_out_loss(model, make_examples(9, seed=1))
    for table in (result.by_turn, result.by_source):
        assert sum(tally.tokens for tally in table.values()) == result.overall.tokens
        assert sum(tally.nats for tally in table.values()) == pytest.approx(result.overall.nats)
    assert sum(result.tokens_by_turn.values()) == result.overall.tokens
    assert result.perplexity == pytest.approx(math.exp(result.loss))


def test_position_zero_is_never_a_label(model):
    """Three tokens, all marked turn 0: only positions 1 and 2 are predicted from something."""
    result = held_out_loss(model, [{"input_ids": [7, 8, 9], "turn_ids": [0, 0, 0]}])
    assert result.tokens_by_turn == {0: 2}
    assert list(result.by_source) == [""]


def test_an_untrained_uniform_model_has_the_loss_of_the_vocabulary(model):
    """With all weights zero every token is equally likely: ln 300 nats, perplexity 300."""
    flat = small_llama(300, hidden=32, layers=1)
    with torch.no_grad():
        for parameter in flat.parameters():
            parameter.zero_()
    result = held_out_loss(flat, make_examples(3, seed=2))
    assert result.loss == pytest.approx(math.log(300), abs=1e-5)
    assert result.perplexity == pytest.approx(300, rel=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_restored_and_no_gradient_is_left(model, training):
    model.train(training)
    held_out_loss(model, make_examples(2, seed=3))
    assert model.training is training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_nothing_supervised_has_no_loss(model):
    result = held_out_loss(model, [{"input_ids": [7, 8], "turn_ids": [-1, -1]}])
    assert (result.loss, result.perplexity, result.by_turn) == (None, None, {})
    assert held_out_loss(model, []) == HeldOutLoss(Tally())


def test_an_overflowing_perplexity_is_infinite():
    assert Tally(nats=1e6, tokens=1).perplexity == math.inf


@pytest.mark.parametrize("example", [{"input_ids": [1, 2], "turn_ids": [0]}, {"input_ids": [], "turn_ids": []}])
def test_lengths_that_do_not_fit_are_refused(model, example):
    with pytest.raises(DataError, match="example 0: expected input_ids and turn_ids of one length"):
        held_out_loss(model, [example])
