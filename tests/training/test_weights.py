"""ReSURE's rule by hand, its invariants, and the drift of the published statistics against the corrected ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from turnwise.errors import ConfigError
from turnwise.training.weighter import ReSUREWeighter
from turnwise.training.weights import ReSURERule, WeightingConfig, unreliability_weights


def rule(**options):
    return ReSURERule(WeightingConfig(**{"warmup_dialogues": 0, "ramp_steps": 0, **options}))


def weigh(subject, losses, groups=None, **kwargs):
    losses = np.asarray(losses, dtype=np.float64)
    groups = np.zeros(len(losses), np.int64) if groups is None else np.asarray(groups, np.int64)
    return subject.weigh(losses, groups, **kwargs)


def test_weights_follow_equation_6_by_hand():
    """tau = 2. Loss 2 is not above it: 1. Loss 3: exp(-1/2). Loss 4: exp(-1)."""
    found = unreliability_weights(
        np.array([1.0, 2.0, 3.0, 4.0]),
        np.full(4, 2.0),
        np.full(4, 0.5),
        scale="threshold",
        kappa=1.0,
        floor_percentile=None,
    )
    assert found == pytest.approx([1.0, 1.0, math.exp(-0.5), math.exp(-1.0)])


def test_scale_sigma_divides_by_kappa_sigmas():
    """tau = 2, sigma = 0.5, kappa = 2: losses 3 and 4 are one and two such units out."""
    found = unreliability_weights(
        np.array([3.0, 4.0]), np.full(2, 2.0), np.full(2, 0.5), scale="sigma", kappa=2.0, floor_percentile=None
    )
    assert found == pytest.approx([math.exp(-1.0), math.exp(-2.0)])


def test_the_floor_is_a_percentile_of_all_weights_of_the_batch():
    """Weights 1, 1, 1, exp(-1), exp(-9) sorted: the 25th percentile of five values is the second, exp(-1)."""
    found = unreliability_weights(
        np.array([1.0, 1.0, 1.0, 4.0, 20.0]),
        np.full(5, 2.0),
        np.full(5, 0.5),
        scale="threshold",
        kappa=1.0,
        floor_percentile=25.0,
    )
    assert found == pytest.approx([1, 1, 1, math.exp(-1), math.exp(-1)])


def test_thresholds_come_from_the_statistics_before_the_batch():
    """Statistics of (1, 3): mu 2, sigma sqrt(2), tau 2 + sqrt(2) = 3.414. Only 5 is flagged; 3 is learned."""
    subject = rule(floor_percentile=None)
    first = weigh(subject, [1.0, 3.0])
    assert first.weights_U.tolist() == [1.0, 1.0]
    assert np.isnan(first.thresholds_U).all()
    second = weigh(subject, [3.0, 5.0])
    tau = 2 + math.sqrt(2)
    assert second.thresholds_U == pytest.approx([tau, tau])
    assert second.flagged_U.tolist() == [False, True]
    assert second.weights_U == pytest.approx([1.0, math.exp(-(5 - tau) / tau)])
    assert subject.groups[0].count == 3
    assert subject.groups[0].mean == pytest.approx(7 / 3)


def test_each_turn_group_has_its_own_threshold():
    subject = rule()
    weigh(subject, [1.0, 1.2, 5.0, 5.2], [1, 1, 2, 2])
    verdict = weigh(subject, [5.1, 5.1], [1, 2])
    assert verdict.flagged_U.tolist() == [True, False]


def test_warmup_dialogues_all_weigh_one_and_all_count():
    subject = rule(warmup_dialogues=4)
    weigh(subject, [1.0, 1.1])
    verdict = weigh(subject, [9.0, 99.0])
    assert verdict.weights_U.tolist() == [1.0, 1.0]
    assert not verdict.flagged_U.any()
    assert subject.groups[0].count == 4
    assert subject.groups[0].cut == 0
    assert weigh(subject, [999.0]).flagged_U.tolist() == [True]


def test_the_ramp_moves_weights_linearly_from_one_to_the_rule():
    """ramp_steps 2 with 2 batches per step: ramps 0, 1/4, 1/2, 3/4, 1, 1 on w' = 1 - ramp (1 - w)."""
    subject = ReSURERule(WeightingConfig(warmup_dialogues=0, ramp_steps=2, floor_percentile=None), batches_per_step=2)
    subject.learn_unconditionally(np.array([1.0, 3.0]), np.zeros(2, np.int64))
    tau = 2 + math.sqrt(2)
    full = math.exp(-(5 - tau) / tau)
    for ramp in (0.0, 0.25, 0.5, 0.75, 1.0, 1.0):
        verdict = weigh(subject, [5.0])
        assert verdict.ramp == ramp
        assert verdict.weights_U[0] == pytest.approx(1 - ramp * (1 - full))


@pytest.mark.parametrize("past", [[2.0], [2.0, 2.0, 2.0], [0.0, 0.0]])
def test_groups_that_cannot_be_judged_weigh_one_and_go_on_learning(past):
    subject = rule()
    weigh(subject, past)
    verdict = weigh(subject, [7.0])
    assert verdict.weights_U.tolist() == [1.0]
    assert subject.groups[0].count == len(past) + 1


def test_negative_alpha_cannot_divide_by_a_threshold_below_zero():
    subject = rule(alpha=-5.0)
    weigh(subject, [1.0, 3.0])
    assert weigh(subject, [2.0]).weights_U.tolist() == [1.0]


def test_non_finite_losses_weigh_zero_and_never_reach_the_statistics():
    subject = rule()
    weigh(subject, [1.0, 3.0])
    before = subject.groups[0].to_dict()
    verdict = weigh(subject, [math.nan, math.inf, -math.inf])
    assert verdict.weights_U.tolist() == [0.0, 0.0, 0.0]
    assert not verdict.flagged_U.any()
    assert subject.groups[0].to_dict() == before
    assert subject.non_finite_seen == 3


def test_the_limit_on_non_finite_losses_counts_over_at_least_a_thousand_units():
    """1 % of max(units, 1000): ten bad units are allowed at first, the eleventh is too many."""
    subject = rule()
    weigh(subject, [math.nan] * 10)
    assert not subject.too_many_non_finite
    weigh(subject, [math.nan])
    assert subject.too_many_non_finite


@settings(max_examples=50)
@given(
    st.lists(st.floats(0.01, 20.0), min_size=4, max_size=40),
    st.sampled_from(["welford", "corrected"]),
    st.sampled_from(["threshold", "sigma"]),
)
def test_weights_are_positive_at_most_one_and_fall_with_the_loss(losses, statistics, scale):
    subject = rule(statistics=statistics, scale=scale)
    weigh(subject, losses[: len(losses) // 2])
    verdict = weigh(subject, losses[len(losses) // 2 :])
    weights = verdict.weights_U[np.argsort(losses[len(losses) // 2 :], kind="stable")]
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (np.diff(weights) <= 1e-12).all()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0.1, 9.0), st.integers(1, 3)), min_size=8, max_size=40), st.randoms())
def test_the_order_inside_a_batch_changes_neither_weights_nor_statistics(units, random):
    order = list(range(len(units)))
    random.shuffle(order)
    plain, mixed = rule(), rule()
    for subject, chosen in ((plain, list(range(len(units)))), (mixed, order)):
        weigh(subject, [1.0, 2.0, 1.5, 2.5], [1, 1, 2, 2])
        subject.last = weigh(subject, [units[i][0] for i in chosen], [units[i][1] for i in chosen])
    assert mixed.last.weights_U.tolist() == plain.last.weights_U[order].tolist()
    assert mixed.state_dict() == plain.state_dict()


def test_state_goes_through_json_and_continues_exactly():
    random = np.random.default_rng(3)
    batches = [(random.gamma(4, 0.5, 8), random.integers(1, 4, 8)) for _ in range(30)]
    options = {"warmup_dialogues": 40, "ramp_steps": 5, "statistics": "corrected", "half_life": 50}
    whole, resumed = rule(**options), rule(**options)
    verdicts = [whole.weigh(*batch) for batch in batches]
    for batch in batches[:17]:
        resumed.weigh(*batch)
    state = json.loads(json.dumps(resumed.state_dict()))
    resumed = rule(**options)
    resumed.load_state_dict(state)
    again = [resumed.weigh(*batch) for batch in batches[17:]]
    assert [v.weights_U.tolist() for v in again] == [v.weights_U.tolist() for v in verdicts[17:]]
    assert resumed.state_dict() == whole.state_dict()


def test_a_state_of_another_version_or_with_holes_is_refused():
    with pytest.raises(ConfigError, match="version 99"):
        rule().load_state_dict({**rule().state_dict(), "version": 99})
    broken = rule().state_dict()
    del broken["units_seen"]
    with pytest.raises(ConfigError, match="incomplete"):
        rule().load_state_dict(broken)


def flag_rates(statistics, seed):
    """Flag rate over the first 2,000 and the last 5,000 of 20,000 stationary losses after 640 warm-up ones."""
    random = np.random.default_rng(seed)
    subject = rule(statistics=statistics, warmup_dialogues=640)
    stream = random.normal(2.0, 0.5, 20_640)
    flagged = np.concatenate([weigh(subject, batch).flagged_U for batch in np.split(stream, 1290)])[640:]
    return flagged[:2000].mean(), flagged[-5000:].mean()


@pytest.mark.parametrize("seed", range(3))
def test_corrected_statistics_keep_the_nominal_flag_rate_on_a_stationary_stream(seed):
    """Nominal: 1 - Phi(1) = 15.87 %."""
    nominal = 1 - 0.8413447460685429
    for rate in flag_rates("corrected", seed):
        assert rate == pytest.approx(nominal, abs=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_published_statistics_drift_from_about_23_to_about_43_percent(seed):
    first, last = flag_rates("welford", seed)
    assert first == pytest.approx(0.24, abs=0.04)
    assert last == pytest.approx(0.45, abs=0.03)


def test_weighter_returns_detached_weights_of_the_losses_dtype_and_keeps_gradients_out():
    weighter = ReSUREWeighter(warmup_dialogues=0, ramp_steps=0, floor_percentile=None)
    weighter(torch.tensor([1.0, 3.0]), [1, 1])
    losses = torch.tensor([3.0, 5.0], requires_grad=True)
    weights = weighter(losses, torch.tensor([1, 1]))
    assert weights.dtype == losses.dtype
    assert not weights.requires_grad
    tau = 2 + math.sqrt(2)
    assert weights.tolist() == pytest.approx([1.0, math.exp(-(5 - tau) / tau)])
    (weights * losses).mean().backward()
    assert losses.grad.tolist() == pytest.approx((weights / 2).tolist())


def test_weighter_refuses_shapes_that_do_not_match_and_options_given_twice():
    with pytest.raises(ValueError, match="one shape"):
        ReSUREWeighter()(torch.zeros(3), [1, 2])
    with pytest.raises(ConfigError, match="not both"):
        ReSUREWeighter(WeightingConfig(), alpha=2.0)


def test_presets_expand_and_unknown_ones_are_named():
    assert WeightingConfig.model_validate({"preset": "paper", "alpha": 2.0}).alpha == 2.0
    with pytest.raises(ValidationError, match="unknown preset 'papr'"):
        WeightingConfig.model_validate({"preset": "papr"})
