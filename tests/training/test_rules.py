"""The rules beside the published one: trimming, and weights that were made before training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from turnwise.errors import ConfigError
from turnwise.training.rules import MixtureRule, TrimRule, make_rule
from turnwise.training.weighter import ReSUREWeighter
from turnwise.training.weights import ReSURERule, Rule, WeightingConfig

GROUPS = np.array([1, 1, 2, 2, 3])


def test_trimming_drops_exactly_the_floor_of_the_share_and_reports_the_highest_kept_loss():
    """floor(0.5 * 5) = 2 of the losses 5, 1, 3, 4, 2 are dropped: 5 and 4; the highest kept one is 3."""
    verdict = TrimRule(WeightingConfig(rule="trim", trim_share=0.5)).weigh(np.array([5.0, 1, 3, 4, 2]), GROUPS)
    assert verdict.weights_U.tolist() == [0, 1, 1, 0, 1]
    assert verdict.flagged_U.tolist() == [True, False, False, True, False]
    assert verdict.thresholds_U.tolist() == [3.0] * 5


def test_trimming_counts_finite_losses_only():
    """Of four finite losses floor(0.25 * 4) = 1 is dropped; the infinite one has weight 0 and is not flagged."""
    rule = TrimRule(WeightingConfig(rule="trim", trim_share=0.25))
    verdict = rule.weigh(np.array([1.0, math.inf, 2, 3, 4]), GROUPS)
    assert verdict.weights_U.tolist() == [1, 0, 1, 1, 0]
    assert verdict.flagged_U.tolist() == [False, False, False, False, True]
    assert rule.non_finite_seen == 1


def test_the_mixture_rule_looks_weights_up_by_dialogue_and_turn():
    """Known units have their weight, unknown ones 1, non-finite ones 0; below one half counts as flagged."""
    rule = MixtureRule(WeightingConfig(rule="mixture", unit="turn"))
    rule.weights = {(0, 0): 0.9, (0, 1): 0.2, (1, 0): 0.5, (2, 0): 0.3}
    verdict = rule.weigh(
        np.array([1.0, 1.0, 1.0, math.nan, 1.0]),
        GROUPS,
        num_dialogues=4,
        dialogues_U=np.array([0, 0, 1, 2, 7]),
        turns_U=np.array([0, 1, 0, 0, 0]),
    )
    assert verdict.weights_U.tolist() == [0.9, 0.2, 0.5, 0.0, 1.0]
    assert verdict.flagged_U.tolist() == [False, True, False, False, False]
    assert (rule.dialogues_seen, rule.units_seen, rule.non_finite_seen) == (4, 5, 1)


@pytest.mark.parametrize(("name", "kind"), [("threshold", ReSURERule), ("mixture", MixtureRule), ("trim", TrimRule)])
def test_the_options_name_the_rule_and_without_weighting_all_weights_are_one(name, kind):
    config = WeightingConfig(rule=name)
    assert type(make_rule(config)) is kind
    plain = make_rule(config, weighting=False)
    assert type(plain) is Rule
    assert plain.weigh(np.array([1.0, math.nan, 9, 2, 3]), GROUPS).weights_U.tolist() == [1, 0, 1, 1, 1]


def test_the_robust_preset_is_the_mixture_over_turns_and_any_field_can_be_set_beside_it():
    config = WeightingConfig.model_validate({"preset": "robust", "dialogue_prior": 3.0})
    assert (config.rule, config.unit, config.context_free, config.dialogue_prior) == ("mixture", "turn", True, 3.0)


def test_trimming_works_in_any_loop_and_the_mixture_says_what_it_needs():
    weights = ReSUREWeighter(rule="trim", trim_share=0.5)(torch.tensor([3.0, 1.0]), [1, 1])
    assert weights.tolist() == [0.0, 1.0]
    with pytest.raises(ConfigError, match="before training"):
        ReSUREWeighter(rule="mixture")(torch.tensor([3.0, 1.0]), [1, 1])
