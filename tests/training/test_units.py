"""Tokens to units and back, by hand on batches small enough to write out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwise.training.units import TokenColumns, count_dialogues, find_units, token_factors, turns_of_runs

# Two rows of six tokens; the first column is never predicted. Row 0: turn 0 has tokens 2 and 3, turn 1 has token 5.
# Row 1: turn 1 (turn 0 is not supervised) has tokens 1 and 4.
TURNS = [[-1, -1, 0, 0, -1, 1], [-1, 1, -1, -1, 1, -1]]
NLL = [[9.0, 1.0, 2.0, 9.0, 4.0], [5.0, 9.0, 9.0, 7.0, 9.0]]  # of the predicted positions 1 to 5


def columns(turns, dialogues, weights=None, segments=None):
    return TokenColumns(
        torch.tensor(dialogues),
        torch.tensor(turns),
        None if weights is None else torch.tensor(weights),
        None if segments is None else torch.tensor(segments, dtype=torch.int32),
    )


def batch(unit, **options):
    turns = torch.tensor(TURNS)
    mask_BT = turns[:, 1:] >= 0
    return find_units(-torch.tensor(NLL), mask_BT, columns(TURNS, [[7] * 6, [3] * 6], **options), unit)


def test_a_dialogue_is_a_row_its_loss_the_mean_over_its_tokens_its_group_its_number_of_turns():
    """Row 0: (1 + 2 + 4) / 3 in two turns; row 1: (5 + 7) / 2 in one turn."""
    units = batch("dialogue")
    assert units.loss_U.tolist() == [pytest.approx(7 / 3), 6.0]
    assert units.loss_U.dtype == torch.float64
    assert units.group_U.tolist() == [2, 1]
    assert units.dialogue_U.tolist() == [7, 3]
    assert units.turn_U.tolist() == [-1, -1]
    assert units.tokens_U.tolist() == [3, 2]
    assert units.unit_of_M.tolist() == [0, 0, 0, 1, 1]
    assert units.num_dialogues == 2


def test_a_turn_is_a_unit_of_its_own_and_its_group_is_its_index():
    """Row 0 turn 0: (1 + 2) / 2, turn 1: 4; row 1 turn 1: (5 + 7) / 2."""
    units = batch("turn")
    assert units.loss_U.tolist() == [1.5, 4.0, 6.0]
    assert units.group_U.tolist() == units.turn_U.tolist() == [0, 1, 1]
    assert units.dialogue_U.tolist() == [7, 7, 3]
    assert units.tokens_U.tolist() == [2, 1, 2]
    assert units.unit_of_M.tolist() == [0, 0, 1, 2, 2]
    assert units.num_dialogues == 2


@pytest.mark.parametrize("unit", ["dialogue", "turn"])
def test_packed_dialogues_of_one_row_are_units_of_their_own(unit):
    """The two rows above joined in one: the position where the second begins predicts nothing of the first."""
    turns = [[*TURNS[0], *TURNS[1]]]
    nll = torch.tensor([[*NLL[0], 9.0, *NLL[1]]])
    packed = columns(turns, [[7] * 6 + [3] * 6], segments=[[4] * 6 + [5] * 6])
    units = find_units(-nll, torch.tensor(turns)[:, 1:] >= 0, packed, unit)
    apart = batch(unit)
    for name in ("loss_U", "group_U", "dialogue_U", "turn_U", "tokens_U", "unit_of_M", "dialogue_tokens_M"):
        assert torch.equal(getattr(units, name), getattr(apart, name)), name
    assert units.num_dialogues == 2


def test_a_dialogue_without_supervised_tokens_is_no_unit_and_no_group_hole():
    turns = [TURNS[0], [-1] * 6, TURNS[1]]
    nll = torch.tensor([NLL[0], [9.0] * 5, NLL[1]])
    units = find_units(-nll, torch.tensor(turns)[:, 1:] >= 0, columns(turns, [[7] * 6, [5] * 6, [3] * 6]), "dialogue")
    assert units.dialogue_U.tolist() == [7, 3]
    assert units.num_dialogues == 2


def test_virtual_tokens_of_prompt_learning_stand_before_the_columns():
    """Two virtual tokens: predictions for 2 + 6 - 1 positions; the first real token is predicted, and unsupervised."""
    turns = torch.tensor(TURNS)
    nll = torch.cat([torch.full((2, 2), 9.0), torch.tensor(NLL)], dim=1)
    mask_BT = torch.cat([torch.zeros(2, 1, dtype=torch.bool), turns >= 0], dim=1)
    assert mask_BT.shape == nll.shape == (2, 7)
    units = find_units(-nll, mask_BT, columns(TURNS, [[7] * 6, [3] * 6], weights=[[2.0] * 6, [3.0] * 6]), "turn")
    assert units.loss_U.tolist() == [1.5, 4.0, 6.0]
    assert units.dialogue_U.tolist() == [7, 7, 3]
    assert units.weight_M.tolist() == [2.0, 2.0, 2.0, 3.0, 3.0]


def test_units_carry_no_gradient():
    log_probs = -torch.tensor(NLL, requires_grad=True)
    units = find_units(log_probs, torch.tensor(TURNS)[:, 1:] >= 0, columns(TURNS, [[7] * 6, [3] * 6]), "turn")
    assert not units.loss_U.requires_grad


def test_token_reduction_multiplies_each_token_by_its_units_weight():
    like = torch.zeros(2, 5)
    dialogue = token_factors(batch("dialogue"), torch.tensor([0.5, 0.25]), "token", like)
    assert dialogue.tolist() == [[0, 0.5, 0.5, 0, 0.5], [0.25, 0, 0, 0.25, 0]]
    turn = token_factors(batch("turn"), torch.tensor([0.5, 0.25, 1.0]), "token", like)
    assert turn.tolist() == [[0, 0.5, 0.5, 0, 0.25], [1, 0, 0, 1, 0]]


def test_sample_reduction_divides_by_the_dialogues_tokens():
    """Row 0 has 3 supervised tokens, row 1 has 2; the turn's weight stands for its tokens only."""
    like = torch.zeros(2, 5)
    found = token_factors(batch("turn"), torch.tensor([0.6, 0.3, 1.0]), "sample", like)
    assert found.tolist() == [pytest.approx([0, 0.2, 0.2, 0, 0.1]), pytest.approx([0.5, 0, 0, 0.5, 0])]
    found = token_factors(batch("dialogue"), torch.tensor([0.6, 1.0]), "sample", like)
    assert found.tolist() == [pytest.approx([0, 0.2, 0.2, 0, 0.2]), pytest.approx([0.5, 0, 0, 0.5, 0])]


def test_a_static_weight_multiplies_the_factor_but_not_the_loss_that_is_judged():
    weights = [[1, 1, 2.0, 2.0, 1, 0.5], [1, 4.0, 1, 1, 4.0, 1]]
    units = batch("dialogue", weights=weights)
    assert units.loss_U.tolist() == batch("dialogue").loss_U.tolist()
    factors = token_factors(units, torch.tensor([0.5, 1.0]), "token", torch.zeros(2, 5))
    assert factors.tolist() == [[0, 1.0, 1.0, 0, 0.25], [4.0, 0, 0, 4.0, 0]]


def test_counting_dialogues_sees_only_predicted_labels():
    """The first label of a row is never predicted; a dialogue without labels does not count."""
    labels = torch.tensor([[5, -100, -100], [-100, 5, 5], [-100, -100, -100]])
    assert count_dialogues(labels, None) == 1
    packed = torch.tensor([[-100, 5, -100, -100, -100, 6, 6]])
    assert count_dialogues(packed, torch.tensor([[0, 0, 1, 1, 2, 2, 2]])) == 2


def test_runs_of_labels_are_turns():
    assert turns_of_runs([-100, 4, 5, -100, -100, 6, -100]) == [-1, 0, 0, -1, -1, 1, -1]
    assert turns_of_runs([4, -100, 4]) == [0, -1, 1]
    assert turns_of_runs([-100]) == [-1]
    assert turns_of_runs([]) == []


@given(st.integers(0, 10_000), st.sampled_from(["dialogue", "turn"]), st.booleans())
def test_losses_weighted_by_tokens_add_up_to_the_batchs_loss(seed, unit, packed):
    """Whatever the batch: sum over units of loss times tokens is the sum over supervised positions."""
    torch.manual_seed(seed)
    turns = torch.sort(torch.randint(-1, 4, (3, 12)), dim=1).values
    nll = torch.rand(3, 11)
    mask_BT = turns[:, 1:] >= 0
    segments = torch.tensor([[0] * 6 + [1] * 6, [2] * 12, [3] * 3 + [4] * 9]) if packed else None
    dialogues = torch.arange(3)[:, None].expand(3, 12)
    units = find_units(-nll, mask_BT, TokenColumns(dialogues, turns, None, segments), unit)
    assert float((units.loss_U * units.tokens_U).sum()) == pytest.approx(float(nll[mask_BT].sum()), abs=1e-5)
    assert int(units.tokens_U.sum()) == int(mask_BT.sum())
