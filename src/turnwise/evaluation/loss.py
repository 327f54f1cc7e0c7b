"""Held-out loss of a causal language model, over all supervised tokens, by turn and by source. Never weighted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from turnwise.errors import DataError

_PIECE = 1024
"""Positions whose logits are in float32 at once."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Summed loss of some tokens.

    Attributes:
        nats: Sum of the token losses.
        tokens: How many tokens.
    """

    nats: float = 0.0
    tokens: int = 0

    @property
    def loss(self) -> float | None:
        """Mean nats per token; None without tokens."""
        return self.nats / self.tokens if self.tokens else None

    @property
    def perplexity(self) -> float | None:
        """The exponential of the mean loss (infinite where that overflows); None without tokens."""
        if self.loss is None:
            return None
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.nats + other.nats, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """Loss on held-out dialogues.

    Attributes:
        overall: All supervised tokens.
        by_turn: Per `turn_index`.
        by_source: Per source; examples without one are under "".
    """

    overall: Tally
    by_turn: dict[int, Tally] = field(default_factory=dict)
    by_source: dict[str, Tally] = field(default_factory=dict)

    @property
    def loss(self) -> float | None:
        """Mean nats per supervised token; None when nothing was supervised."""
        return self.overall.loss

    @property
    def perplexity(self) -> float | None:
        """The exponential of `loss`."""
        return self.overall.perplexity

    @property
    def loss_by_turn(self) -> dict[int, float]:
        """Mean nats per token of each `turn_index`."""
        return {turn: tally.nats / tally.tokens for turn, tally in self.by_turn.items()}

    @property
    def tokens_by_turn(self) -> dict[int, int]:
        """Supervised tokens of each `turn_index`."""
        return {turn: tally.tokens for turn, tally in self.by_turn.items()}


def held_out_loss(
    model: Any, examples: Iterable[Mapping[str, Any]], *, batch_size: int = 16, pad_token_id: int = 0
) -> HeldOutLoss:
    """Measure the loss of a causal language model on encoded dialogues.

    Args:
        model: A Hugging Face causal language model; put in eval mode while this runs, and back after.
        examples: Each with `input_ids` (L token ids), `turn_ids` (L numbers: the turn_index that the token at this
            position is a label of, -1 for none) and, if known, `source`. Position 0 predicts nothing earlier, so its
            turn id never counts.
        batch_size: Examples per forward pass; like lengths are put together.
        pad_token_id: What fills shorter rows; masked out, so any id of the vocabulary does.

    Returns:
        Sums of cross-entropy in nats, from float32 token losses added up in float64. The overall mean equals
        `model(input_ids, labels=labels).loss` of the same tokens.

    Raises:
        DataError: `input_ids` and `turn_ids` of an example differ in length, or it has no tokens.
    """
    kept = list(examples)
    by_turn: dict[int, Tally] = {}
    by_source: dict[str, Tally] = {}
    tallies = turn_tallies(model, kept, batch_size=batch_size, pad_token_id=pad_token_id)
    for example, of_example in zip(kept, tallies, strict=True):
        source = example.get("source") or ""
        for turn, tally in of_example.items():
            by_turn[turn] = by_turn.get(turn, Tally()) + tally
            by_source[source] = by_source.get(source, Tally()) + tally
    overall = sum(by_turn.values(), Tally())
    return HeldOutLoss(overall, dict(sorted(by_turn.items())), dict(sorted(by_source.items())))


def turn_tallies(
    model: Any,
    examples: Iterable[Mapping[str, Any]],
    *,
    batch_size: int = 16,
    pad_token_id: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[dict[int, Tally]]:
    """The loss of every turn of every encoded dialogue: what `held_out_loss` adds up.

    Args:
        model: As for `held_out_loss`.
        examples: As for `held_out_loss`.
        batch_size: As for `held_out_loss`.
        pad_token_id: As for `held_out_loss`.
        on_progress: Called after each batch with the examples done and in all.

    Returns:
        One mapping from `turn_index` to its tally for each example, in their order.

    Raises:
        DataError: As for `held_out_loss`.
    """
    import torch

    rows = [_row(number, example) for number, example in enumerate(examples)]
    order = sorted(range(len(rows)), key=lambda number: len(rows[number][0]))
    found: list[dict[int, Tally]] = [{} for _ in rows]
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            with torch.no_grad():
                losses, turns = _token_losses(model, [rows[number] for number in chunk], pad_token_id)
            for row, number in enumerate(chunk):
                for turn in torch.unique(turns[row]).tolist():
                    if turn >= 0:
                        of_turn = turns[row] == turn
                        found[number][turn] = Tally(float(losses[row][of_turn].sum()), int(of_turn.sum()))
            if on_progress is not None:
                on_progress(start + len(chunk), len(order))
    finally:
        model.train(was_training)
    return found


Row = tuple[Sequence[int], Sequence[int]]


def _row(number: int, example: Mapping[str, Any]) -> Row:
    ids, turns = example["input_ids"], example["turn_ids"]
    if len(ids) != len(turns) or len(ids) == 0:
        raise DataError(
            f"example {number}: expected input_ids and turn_ids of one length of at least 1, "
            f"found {len(ids)} and {len(turns)}"
        )
    return ids, turns


def _token_losses(model: Any, rows: Sequence[Row], pad_token_id: int) -> tuple[Any, Any]:
    """Losses (float64) and turn ids of every predicted position, each (rows, longest - 1), on the CPU."""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    fill = [longest - len(ids) for ids, _ in rows]
    input_ids = torch.tensor([[*ids, *[pad_token_id] * pad] for (ids, _), pad in zip(rows, fill, strict=True)])
    turns = torch.tensor([[*turns, *[-1] * pad] for (_, turns), pad in zip(rows, fill, strict=True)])
    mask = torch.tensor([[1] * (longest - pad) + [0] * pad for pad in fill])
    logits = model(input_ids=input_ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False).logits
    labels = input_ids[:, 1:].to(logits.device)
    losses = torch.zeros(labels.shape, dtype=torch.float64)
    # In float32 a piece at a time: all logits at once would double what they need already.
    for row in range(len(rows)):
        for start in range(0, longest - 1, _PIECE):
            piece = slice(start, min(start + _PIECE, longest - 1))
            losses[row, piece] = torch.nn.functional.cross_entropy(
                logits[row, piece].float(), labels[row, piece], reduction="none"
            ).double()
    return losses, turns[:, 1:]
