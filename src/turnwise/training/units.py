"""From per-token log-probabilities to per-dialogue and per-turn losses, and back from weights to tokens.

Legend of shape suffixes: `B` rows, `T` label positions (shifted: position t predicts token t + 1), `M` supervised
positions of the batch, `U` units (dialogues or turns), `D` dialogues. A row may hold several packed dialogues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from turnwise.training.weights import Unit

Reduction = Literal["sample", "token"]

# Turn indices stay below this, so that (segment, turn) fits one integer key. No dialogue has a million turns.
_TURNS = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenColumns:
    """Per-token columns of a batch, aligned with its `input_ids`.

    Attributes:
        dialogue_BS: Row number of the dialogue in the encoded data set, int64.
        turn_BS: Turn index of the token as a label, -1 where it is not supervised, int64.
        weight_BS: Static weight of the token's message, or None where all are 1.
        segment_BS: Which packed dialogue of the batch the token belongs to, or None where each row is one dialogue.
    """

    dialogue_BS: torch.Tensor
    turn_BS: torch.Tensor
    weight_BS: torch.Tensor | None
    segment_BS: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Units:
    """The units of one forward pass.

    Attributes:
        mask_BT: Supervised positions.
        loss_U: Mean negative log-likelihood over the unit's supervised tokens, float64, nats per token.
        group_U: Turn group: number of supervised turns (dialogue) or turn index (turn).
        dialogue_U: Row number of the dialogue in the encoded data set.
        turn_U: Turn index, -1 where the unit is the dialogue.
        tokens_U: Supervised tokens.
        unit_of_M: Unit of each supervised position.
        dialogue_tokens_M: Supervised tokens of the dialogue that the position belongs to.
        weight_M: Static weight of each supervised position, or None.
        num_dialogues: Dialogues with at least one supervised token.
    """

    mask_BT: torch.Tensor
    loss_U: torch.Tensor
    group_U: torch.Tensor
    dialogue_U: torch.Tensor
    turn_U: torch.Tensor
    tokens_U: torch.Tensor
    unit_of_M: torch.Tensor
    dialogue_tokens_M: torch.Tensor
    weight_M: torch.Tensor | None
    num_dialogues: int


def find_units(log_probs_BT: torch.Tensor, mask_BT: torch.Tensor, columns: TokenColumns, unit: Unit) -> Units:
    """Group the supervised tokens of a batch into units and take their mean losses. No gradient.

    Args:
        log_probs_BT: Log-probability of each label; anything where not supervised.
        mask_BT: Which positions are supervised.
        columns: The batch's token columns, (B, T + 1) each (or shorter than that by prompt-learning's virtual
            tokens, which stand before them).
        unit: What gets a loss.
    """
    with torch.no_grad():
        turn_M = _labels_of(columns.turn_BS, mask_BT, fill=0)[mask_BT].clamp(min=0)
        dialogue_M = _labels_of(columns.dialogue_BS, mask_BT, fill=0)[mask_BT]
        if columns.segment_BS is None:
            rows_B = torch.arange(mask_BT.shape[0], device=mask_BT.device)
            segment_M = rows_B[:, None].expand_as(mask_BT)[mask_BT]
        else:
            segment_M = _labels_of(columns.segment_BS, mask_BT, fill=0)[mask_BT].long()
        weight_M = None if columns.weight_BS is None else _labels_of(columns.weight_BS, mask_BT, fill=1.0)[mask_BT]

        segments_D, segment_of_M = torch.unique(segment_M, return_inverse=True)
        keys_V, turn_of_M = torch.unique(segment_M * _TURNS + turn_M, return_inverse=True)
        tokens_D = torch.bincount(segment_of_M, minlength=len(segments_D))
        turns_D = torch.bincount(torch.searchsorted(segments_D, keys_V // _TURNS), minlength=len(segments_D))

        unit_of_M = segment_of_M if unit == "dialogue" else turn_of_M
        size = len(segments_D) if unit == "dialogue" else len(keys_V)
        tokens_U = torch.bincount(unit_of_M, minlength=size)
        nll_M = -log_probs_BT.detach()[mask_BT].double()
        loss_U = nll_M.new_zeros(size).scatter_add_(0, unit_of_M, nll_M) / tokens_U
        dialogue_U = dialogue_M.new_zeros(size).scatter_(0, unit_of_M, dialogue_M)
        turn_U = torch.full_like(dialogue_U, -1) if unit == "dialogue" else keys_V % _TURNS
        return Units(
            mask_BT=mask_BT,
            loss_U=loss_U,
            group_U=turns_D if unit == "dialogue" else turn_U,
            dialogue_U=dialogue_U,
            turn_U=turn_U,
            tokens_U=tokens_U,
            unit_of_M=unit_of_M,
            dialogue_tokens_M=tokens_D[segment_of_M],
            weight_M=weight_M,
            num_dialogues=len(segments_D),
        )


def token_factors(units: Units, weights_U: torch.Tensor, reduction: Reduction, like_BT: torch.Tensor) -> torch.Tensor:
    """What to multiply the token losses by, so that their sum over the normaliser is the weighted loss.

    `token`: the unit's weight; the normaliser is the number of supervised tokens. With all weights 1 the factors are
    exactly 1 and the loss is bit for bit TRL's.

    `sample` (Eq. 1): the unit's weight divided by the tokens of its dialogue; the normaliser is the number of
    dialogues. For the unit `turn` this is `1/S sum_s sum_t (n_t / n_s) w_t l_t`: each dialogue counts the same and a
    turn counts by its share of tokens, so with all weights 1 both units give the same loss.

    Args:
        units: The batch's units.
        weights_U: Weight of each unit.
        reduction: See above.
        like_BT: A tensor of the result's shape, dtype and device.
    """
    factor_M = weights_U.to(like_BT)[units.unit_of_M]
    if reduction == "sample":
        factor_M = factor_M / units.dialogue_tokens_M
    if units.weight_M is not None:
        factor_M = factor_M * units.weight_M
    factors_BT = torch.zeros_like(like_BT)
    factors_BT[units.mask_BT] = factor_M.to(like_BT)
    return factors_BT


def count_dialogues(labels_BS: torch.Tensor, segment_BS: torch.Tensor | None) -> int:
    """How many dialogues of a batch have a supervised token (labels are shifted: position 0 is never predicted)."""
    supervised_BT = labels_BS[:, 1:] != -100
    if segment_BS is None:
        return int(supervised_BT.any(dim=1).sum())
    return len(torch.unique(segment_BS[:, 1:][supervised_BT]))


def turns_of_runs(labels: list[int]) -> list[int]:
    """Turn index per token, for labels whose turns are unknown: each run of supervised tokens is one turn."""
    turns, turn, inside = [], -1, False
    for label in labels:
        supervised = label != -100
        turn += supervised and not inside
        turns.append(turn if supervised else -1)
        inside = supervised
    return turns


def _labels_of(column_BS: torch.Tensor, mask_BT: torch.Tensor, *, fill: float) -> torch.Tensor:
    """Align a token column with shifted labels; virtual tokens of prompt learning come first and get `fill`."""
    extra = mask_BT.shape[1] - column_BS.shape[1]
    # Without virtual tokens T = S - 1: the first token is never predicted.
    return column_BS[:, 1:] if extra == -1 else torch.nn.functional.pad(column_BS, (extra, 0), value=fill)
