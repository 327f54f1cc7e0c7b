"""The mixture over losses: what it finds where the truth is known, and what must not move it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.training.reliability import MIN_SOURCE_UNITS, MIN_UNITS, UnitLosses, fit_reliability, judge_by_source


def units(loss, context_free=None, turns_per_dialogue=1, turns=None):
    loss = np.asarray(loss, dtype=np.float64)
    number = np.arange(len(loss))
    return UnitLosses(
        loss_U=loss,
        context_free_U=None if context_free is None else np.asarray(context_free, dtype=np.float64),
        dialogue_U=number // turns_per_dialogue,
        turn_U=np.full(len(loss), -1) if turns is None else np.asarray(turns),
    )


def drawn(size, noise_share, seed, distance=6.0):
    """Losses whose cube roots are normal around 1 with spread 0.1, or `distance` spreads above for the noisy ones."""
    random = np.random.default_rng(seed)
    noisy = np.zeros(size, dtype=bool)
    noisy[: round(noise_share * size)] = True
    random.shuffle(noisy)
    return (1.0 + 0.1 * random.standard_normal(size) + 0.1 * distance * noisy) ** 3, noisy


@pytest.mark.parametrize("noise_share", [0.1, 0.3, 0.5, 0.7])
@pytest.mark.parametrize("known_good", [True, False])
def test_the_noise_share_and_the_noisy_units_are_found_whichever_kind_is_the_majority(noise_share, known_good):
    """Six spreads apart, normal components overlap in 0.3 % of cases, so both shares and weights must be sharp."""
    loss, noisy = drawn(1000, noise_share, seed=3)
    good = units(drawn(200, 0.0, seed=4)[0]) if known_good else None
    found = fit_reliability(units(loss), good)
    assert found.noise_share == pytest.approx(noise_share, abs=0.02)
    assert found.weights_U[noisy].mean() < 0.05
    assert found.weights_U[~noisy].mean() > 0.97
    assert found.shift == pytest.approx(6.0, abs=0.5)


def test_where_the_data_look_like_the_good_units_every_weight_is_exactly_one():
    """Both have the same heavy tail: it is mistaken equally often in both, so there is no evidence of noise."""
    random = np.random.default_rng(0)
    tail = random.exponential(0.3, 3000) ** 2 + 0.01
    found = fit_reliability(units(tail[:2000]), units(tail[2000:]))
    assert (found.weights_U == 1.0).all()
    assert found.noise_share == 0.0
    assert found.false_share is not None
    assert found.false_share > 0.0


def test_the_share_is_corrected_by_the_good_units_that_are_mistaken():
    """With p of all and f of the good ones taken for noise, (p - f) / (1 - f); weights are scaled by it over p.

    One good unit of 40 lies among the noisy ones, far from the rest, so f = 1/40 to the posterior's sharpness. Of 100
    units 50 lie there: p = 0.5 and the share is (0.5 - 0.025) / 0.975 = 0.4872; a noisy unit keeps the weight
    1 - 0.4872 / 0.5 = 0.0256.
    """
    low = 0.001 * np.linspace(0.9, 1.1, 50)
    high = np.linspace(0.95, 1.05, 50)
    good = np.concatenate([0.001 * np.linspace(0.9, 1.1, 39), [1.0]])
    found = fit_reliability(units(np.concatenate([low, high])), units(good))
    assert found.false_share == pytest.approx(1 / 40, abs=1e-6)
    assert found.noise_share == pytest.approx(0.48718, abs=1e-4)
    assert found.weights_U[:50] == pytest.approx(np.ones(50), abs=1e-6)
    assert found.weights_U[50:] == pytest.approx(np.full(50, 1 - 0.48718 / 0.5), abs=1e-4)


def test_a_reply_that_is_hard_in_itself_is_not_condemned_once_its_loss_alone_is_known():
    """Half of the replies cost 8 alone and 1 in context, half 1 and 0.125: the cube roots halve in both cases.

    Ten replies cost in context what they cost alone: their dialogue does not explain them. Losses alone would condemn
    the hard half.
    """
    random = np.random.default_rng(1)
    alone = np.repeat([1.0, 8.0], 200) * (1 + 0.01 * random.standard_normal(400))
    loss = (0.5 * np.cbrt(alone) + 0.02 * random.standard_normal(400)) ** 3
    loss[:10] = alone[:10]
    with_alone = fit_reliability(units(loss, alone)).weights_U
    without = fit_reliability(units(loss)).weights_U
    assert with_alone[:10].max() < 0.01
    assert with_alone[10:].min() > 0.99
    assert without[200:].mean() < 0.1


def test_the_turns_of_a_dialogue_speak_for_each_other_under_a_prior():
    """Two turns with the same loss between the components: one among noisy turns, one among clean ones."""
    random = np.random.default_rng(2)
    between = (1.0 + 0.2) ** 3
    loss = np.concatenate([drawn(400, 0.0, seed=5)[0], drawn(400, 1.0, seed=6, distance=4.0)[0]])
    loss[0] = loss[400] = between
    loss = loss * (1 + 1e-3 * random.standard_normal(800))
    turns = np.tile(np.arange(4), 200)
    separate = fit_reliability(units(loss, turns_per_dialogue=4, turns=turns)).weights_U
    together = fit_reliability(units(loss, turns_per_dialogue=4, turns=turns), prior=1.0).weights_U
    assert separate[0] == pytest.approx(separate[400], abs=0.15)
    assert together[0] > 0.8
    assert together[400] < 0.2


def test_first_turns_are_measured_by_first_turns():
    """First replies cost more, as nothing stands before them; that alone is no reason to turn them down."""
    random = np.random.default_rng(3)
    turns = np.tile([0, 1, 2, 3], 100)
    loss = (np.where(turns == 0, 1.5, 0.5) + 0.05 * random.standard_normal(400)) ** 3
    loss[[0, 5]] = 27.0
    weights = fit_reliability(units(loss, turns_per_dialogue=4, turns=turns)).weights_U
    assert weights[[0, 5]].max() < 0.01
    assert np.delete(weights, [0, 5]).min() > 0.9


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100.0))
def test_neither_the_order_of_the_units_nor_the_scale_of_the_losses_changes_a_weight(seed, scale):
    """The cube root turns a factor of all losses into a factor of x, which regression and spreads take up."""
    loss, _ = drawn(60, 0.3, seed)
    alone = np.random.default_rng(seed + 1).uniform(0.5, 2.0, 60)
    plain = fit_reliability(units(loss, alone)).weights_U
    scaled = fit_reliability(units(loss * scale, alone * scale)).weights_U
    order = np.random.default_rng(seed + 2).permutation(60)
    shuffled = fit_reliability(units(loss[order], alone[order])).weights_U
    assert scaled == pytest.approx(plain, abs=1e-5)
    assert shuffled == pytest.approx(plain[order], abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.9))
def test_without_covariates_and_prior_a_higher_loss_never_has_a_higher_weight(seed, share):
    loss, _ = drawn(80, share, seed, distance=3.0)
    weights = fit_reliability(units(loss)).weights_U
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (np.diff(weights[np.argsort(loss)]) <= 1e-12).all()


@pytest.mark.parametrize("loss", [np.ones(100), np.arange(MIN_UNITS - 1, dtype=float), np.empty(0)])
def test_equal_or_too_few_losses_are_not_judged(loss):
    found = fit_reliability(units(loss))
    assert (found.weights_U == 1.0).all()
    assert (found.noise_share, found.shift) == (0.0, 0.0)


def test_sources_are_judged_by_themselves_and_small_ones_together():
    """What is noise in the cheap source costs less than what is right in the dear one (cube roots 1.6 and 3)."""
    cheap, cheap_noisy = drawn(200, 0.3, seed=11)
    dear, dear_noisy = drawn(200, 0.1, seed=12)
    dear = (np.cbrt(dear) + 2.0) ** 3
    few = np.ones(MIN_SOURCE_UNITS - 1)
    loss = np.concatenate([cheap, dear, few[:40], few[40:]])
    sources = ["cheap"] * 200 + ["dear"] * 200 + ["x"] * 40 + ["y"] * (len(few) - 40)
    found = judge_by_source(units(loss), sources)
    assert {name: one["units"] for name, one in found.sources.items()} == {
        "cheap": 200,
        "dear": 200,
        "other": MIN_SOURCE_UNITS - 1,
    }
    assert found.weights_U[:200][cheap_noisy].mean() < 0.05
    assert found.weights_U[200:400][~dear_noisy].mean() > 0.97
    assert found.weights_U[200:400][dear_noisy].mean() < 0.1
    assert found.noise_share == pytest.approx((0.3 * 200 + 0.1 * 200) / len(loss), abs=0.01)
    together = judge_by_source(units(loss), [""] * len(loss))
    assert set(together.sources) == {"all"}
    assert together.weights_U[:200][cheap_noisy].mean() > 0.9


def test_a_source_is_corrected_by_its_own_good_units_alone():
    """The good units of `a` are like its tail, so nothing in `a` is noise; `b` has too few good ones to say so."""
    random = np.random.default_rng(0)
    tail = random.exponential(0.3, 900) ** 2 + 0.01
    losses, good = units(np.concatenate([tail[:300], tail[300:600]])), units(tail[600:])
    found = judge_by_source(losses, ["a"] * 300 + ["b"] * 300, good, ["a"] * 280 + ["b"] * 20)
    assert (found.weights_U[:300] == 1.0).all()
    assert found.sources["a"]["false_share"] is not None
    assert found.sources["b"]["false_share"] is None
    assert (found.weights_U[300:] < 1.0).any()
    everywhere = judge_by_source(losses, ["a"] * 300 + ["b"] * 300, good, [""] * 300)
    assert (everywhere.weights_U == 1.0).all()
    assert all(one["false_share"] is not None for one in everywhere.sources.values())
