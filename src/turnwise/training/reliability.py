"""How reliable each unit is, from losses alone: a two-component mixture over what a reply should have cost.

The published rule asks whether a loss lies above a threshold. Here the question is which of two groups it belongs to,
the reliable or the unreliable ones, after taking out what is known to move a loss without being noise: how hard the
reply is on its own (its loss without the dialogue) and whether anything stands before it.

Legend of shape suffixes: `_U` one entry per unit (a dialogue or a turn), `_A` per unit of the training data followed
by the units known to be good, `_D` per dialogue, `F` covariates.

Source: ours. The pieces are known: mixtures fitted to losses (Arazo et al. 2019; DivideMix, Li et al. 2020), with one
spread for both components so that a heavy tail of hard but right replies is not taken for a component of its own; the
cube root that brings losses near a normal distribution (Wilson and Hilferty 1931); a share of noise per dialogue under
a Beta prior; and a correction by the false positives among units known to be good (Rogan and Gladen 1978).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_SHIFT, MIN_SHIFT_WITH_GOOD = 2.0, 1.5
"""Least distance of the two components in standard deviations; nearer ones cannot be told apart. Units known to be good
show what one component is, so a little less will do."""
MIN_UNITS = 32
"""Fewer units than this are not judged at all, and fewer good ones say nothing."""
MIN_SOURCE_UNITS = 64
"""Sources with fewer units than this are judged together."""
ALL, OTHER = "all", "other"
"""What is judged together: everything where no source is named, and the sources that are too small."""
_MAX_ROUNDS = 200
_TOLERANCE = 1e-6
_SHARE_RANGE = (1e-4, 1.0 - 1e-4)


@dataclass(frozen=True, slots=True)
class UnitLosses:
    """What is known of some units before they are judged.

    Attributes:
        loss_U: Mean loss in nats per token, finite and not negative.
        context_free_U: Mean loss of the same tokens without the dialogue before them, or None.
        dialogue_U: Any number that names the unit's dialogue.
        turn_U: Turn index, -1 where the unit is the dialogue.
    """

    loss_U: NDArray[np.float64]
    context_free_U: NDArray[np.float64] | None
    dialogue_U: NDArray[np.int64]
    turn_U: NDArray[np.int64]

    def where(self, chosen_U: NDArray[np.bool_]) -> UnitLosses:
        """The chosen units alone."""
        return UnitLosses(
            self.loss_U[chosen_U],
            None if self.context_free_U is None else self.context_free_U[chosen_U],
            self.dialogue_U[chosen_U],
            self.turn_U[chosen_U],
        )


@dataclass(frozen=True, slots=True)
class Reliability:
    """What the mixture says of one set of units.

    Attributes:
        weights_U: Probability that the unit is reliable, in [0, 1]. All 1 where nothing could be told.
        noise_share: Estimated share of unreliable units.
        false_share: Share of the units known to be good that fell among the unreliable ones, which the estimate is
            corrected by; None without such units.
        shift: Distance of the two components in standard deviations; 0 where nothing was fitted.
        coefficients: Regression of the cube root of the loss: intercept, then one per covariate.
    """

    weights_U: NDArray[np.float64]
    noise_share: float
    false_share: float | None
    shift: float
    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of all units, source by source.

    Attributes:
        weights_U: Probability that the unit is reliable, in [0, 1].
        noise_share: Estimated share of unreliable units.
        sources: Per source its number of units and what the mixture found, JSON-ready: `units`, `noise_share`,
            `false_share`, `shift`, `coefficients`. Sources that were judged together are under `other`.
    """

    weights_U: NDArray[np.float64]
    noise_share: float
    sources: Mapping[str, Mapping[str, Any]]

    def figures(self) -> dict[str, Any]:
        """All but the weights, JSON-ready."""
        return {"noise_share": self.noise_share, "sources": {name: dict(found) for name, found in self.sources.items()}}


def judge_by_source(
    units: UnitLosses,
    sources_U: Sequence[str],
    good: UnitLosses | None = None,
    good_sources_U: Sequence[str] = (),
    *,
    prior: float | None = None,
) -> Judgement:
    """Judge the units of each source by themselves: what a right reply costs differs from source to source.

    Each source has its own mixture, with its own good units, or, where those are fewer than `MIN_UNITS`, the good units
    that name no source. Sources of fewer than `MIN_SOURCE_UNITS` units are judged together. So a source that is bad as
    a whole does not stand out.

    Args:
        units: The training data's units.
        sources_U: The source of each; all the same judges everything together.
        good: Units known to be good.
        good_sources_U: Their sources; empty where they are good for every source.
        prior: See `fit_reliability`.
    """
    large = {source for source, count in Counter(sources_U).items() if count >= MIN_SOURCE_UNITS}

    def judged_with(source: str) -> str:
        return (source or ALL) if source in large else OTHER if large else ALL

    names_U, good_names_U = [judged_with(one) for one in sources_U], [judged_with(one) for one in good_sources_U]
    unnamed_U = np.array([source == "" for source in good_sources_U], dtype=bool)
    weights_U = np.ones(len(names_U))
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(set(names_U)):
        own_U, good_U = (np.array([other == name for other in names], dtype=bool) for names in (names_U, good_names_U))
        good_U = good_U if good_U.sum() >= MIN_UNITS else unnamed_U
        known = good.where(good_U) if good is not None and good_U.sum() >= MIN_UNITS else None
        one = fit_reliability(units.where(own_U), known, prior=prior)
        weights_U[own_U] = one.weights_U
        found[name] = {"units": int(own_U.sum()), **_figures(one)}
    total = sum(one["units"] * one["noise_share"] for one in found.values())
    return Judgement(weights_U, total / max(1, len(names_U)), found)


def _figures(found: Reliability) -> dict[str, Any]:
    return {
        "noise_share": found.noise_share,
        "false_share": found.false_share,
        "shift": found.shift,
        "coefficients": list(found.coefficients),
    }


def fit_reliability(units: UnitLosses, good: UnitLosses | None = None, *, prior: float | None = None) -> Reliability:
    """Tell reliable from unreliable units.

    With x the cube root of a unit's loss, the model is ::

        x = b0 + b1 cbrt(context-free loss) + b2 [turn 0] + shift * [unreliable] + normal noise

    with one variance for both kinds, fitted by expectation maximisation. A weight is 1 minus the posterior of
    "unreliable", which rises with the loss. Units known to be good are held to be reliable in the fit. They also tell
    how often a good unit is mistaken: with shares p and f of "unreliable" among all and among good units, the noise
    share is (p - f) / (1 - f), and a posterior is scaled by (noise share) / p. Where p is not above f by two standard
    errors there is no evidence of noise, and every weight is 1.

    Args:
        units: The training data's units.
        good: Units known to be good; `context_free_U` must be given for both or neither.
        prior: Each dialogue has its own share of unreliable units, drawn towards the overall share with the strength
            of this many units: small values let a dialogue's turns speak for each other. None gives all dialogues the
            same share.

    Returns:
        The weights and what was found.
    """
    size = len(units.loss_U)
    x_A, covariates_AF = _regression(units, good)
    unjudged = Reliability(np.ones(size), 0.0, None, 0.0, ())
    if size < MIN_UNITS or np.ptp(x_A[:size]) == 0.0:
        return unjudged
    dialogue_U = _numbered(units.dialogue_U)
    # Where good units are known, they alone say at first what a reliable loss is; else the lowest quarter, half or
    # three quarters do, whichever ends at the likeliest mixture (the data may be mostly noise).
    starts = (
        [np.ones(size)]
        if good is not None
        else [(x_A[:size] > np.quantile(x_A[:size], reliable)).astype(float) for reliable in (0.25, 0.5, 0.75)]
    )
    mixture, noise_U = max(
        (_expectation_maximisation(x_A, covariates_AF, start_U, dialogue_U, prior) for start_U in starts),
        key=lambda found: found[0].log_likelihood,
    )
    share, false_share = float(noise_U.mean()), None
    if good is not None:
        false_share, noise_share = _corrected(mixture, share, size, good, prior)
        noise_U = noise_U * (noise_share / share if share > 0 else 0.0)
        share = noise_share
    return Reliability(1.0 - noise_U, share, false_share, mixture.shift / mixture.sigma, mixture.coefficients)


def _expectation_maximisation(
    x_A: NDArray[np.float64],
    covariates_AF: NDArray[np.float64],
    noise_U: NDArray[np.float64],
    dialogue_U: NDArray[np.int64],
    prior: float | None,
) -> tuple[_Mixture, NDArray[np.float64]]:
    size = len(noise_U)
    least = MIN_SHIFT if len(x_A) == size else MIN_SHIFT_WITH_GOOD
    mixture = _maximise(x_A, covariates_AF, noise_U, None, least)
    for _ in range(_MAX_ROUNDS):
        before, noise_U = noise_U, mixture.posterior(mixture.residual_A[:size], dialogue_U, prior)
        mixture.share = float(np.clip(noise_U.mean(), *_SHARE_RANGE))
        if np.abs(noise_U - before).max() < _TOLERANCE:
            break
        mixture = _maximise(x_A, covariates_AF, noise_U, mixture, least)
    return mixture, noise_U


@dataclass(slots=True)
class _Mixture:
    """The fitted mixture; residuals are those of the reliable component, so its mean is 0."""

    coefficients: tuple[float, ...]
    residual_A: NDArray[np.float64]
    shift: float
    sigma: float
    share: float

    @property
    def log_likelihood(self) -> float:
        """Of all units under the overall share (what differs between dialogues is left out)."""
        reliable_A = np.log(1.0 - self.share) - 0.5 * (self.residual_A / self.sigma) ** 2
        noise_A = np.log(self.share) - 0.5 * ((self.residual_A - self.shift) / self.sigma) ** 2
        return float(np.logaddexp(reliable_A, noise_A).sum() - len(self.residual_A) * np.log(self.sigma))

    def posterior(
        self, residual_U: NDArray[np.float64], dialogue_U: NDArray[np.int64], prior: float | None
    ) -> NDArray[np.float64]:
        """Probability of "unreliable"; with a prior, shares of dialogues and posteriors are iterated together."""
        # Equal variances make the log-odds linear in the residual.
        evidence_U = (self.shift * residual_U - 0.5 * self.shift**2) / self.sigma**2
        noise_U = _sigmoid(evidence_U + _logit(self.share))
        if prior is None:
            return noise_U
        sizes_D = np.bincount(dialogue_U)
        for _ in range(_MAX_ROUNDS):
            shares_D = (prior * self.share + np.bincount(dialogue_U, weights=noise_U)) / (prior + sizes_D)
            before = noise_U
            noise_U = _sigmoid(evidence_U + _logit(np.clip(shares_D, *_SHARE_RANGE))[dialogue_U])
            if np.abs(noise_U - before).max() < _TOLERANCE:
                break
        return noise_U


def _maximise(
    x_A: NDArray[np.float64],
    covariates_AF: NDArray[np.float64],
    noise_U: NDArray[np.float64],
    previous: _Mixture | None,
    least_shift: float,
) -> _Mixture:
    """Parameters of the mixture given each unit's probability of being unreliable (good units: 0)."""
    size = len(noise_U)
    reliable_A = np.ones(len(x_A))
    reliable_A[:size] = 1.0 - noise_U
    weighted_AF = covariates_AF * reliable_A[:, None]
    # A hair of ridge keeps a covariate that never varies from making the system singular.
    ridge = 1e-9 * len(x_A) * np.eye(covariates_AF.shape[1])
    coefficients = np.linalg.solve(weighted_AF.T @ covariates_AF + ridge, weighted_AF.T @ x_A)
    residual_A = x_A - covariates_AF @ coefficients
    residual_U = residual_A[:size]
    if previous is None:
        # Where to look first: the highest fifth.
        noise_U = (residual_U >= np.quantile(residual_U, 0.8)).astype(float)
        spread = np.average(residual_A**2, weights=reliable_A)
    else:
        inside = float((reliable_A * residual_A**2).sum() + (noise_U * (residual_U - previous.shift) ** 2).sum())
        spread = inside / (reliable_A.sum() + noise_U.sum())
    sigma = max(float(np.sqrt(spread)), 1e-6)
    total = noise_U.sum()
    mean = float((noise_U * residual_U).sum() / total) if total > 1e-9 else 0.0
    share = previous.share if previous is not None else 0.3
    return _Mixture(tuple(coefficients.tolist()), residual_A, max(mean, least_shift * sigma), sigma, share)


def _corrected(
    mixture: _Mixture, share: float, size: int, good: UnitLosses, prior: float | None
) -> tuple[float, float]:
    """Share of good units that are mistaken, and the share of noise corrected by it."""
    mistaken_U = mixture.posterior(mixture.residual_A[size:], _numbered(good.dialogue_U), prior)
    false_share = float(mistaken_U.mean())
    # At least one mistaken unit's worth of doubt: none among few says little.
    variance = max(false_share * (1.0 - false_share), 1.0 / len(mistaken_U)) / len(mistaken_U)
    variance += share * (1.0 - share) / size
    if share - false_share <= 2.0 * np.sqrt(variance):
        return false_share, 0.0
    return false_share, (share - false_share) / (1.0 - false_share)


def _regression(units: UnitLosses, good: UnitLosses | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cube roots of the losses and the covariates, of the units and then of the good ones."""
    both = [units] if good is None else [units, good]
    x_A = np.cbrt(np.concatenate([one.loss_U for one in both]))
    turn_A = np.concatenate([one.turn_U for one in both])
    columns = [np.ones_like(x_A)]
    if units.context_free_U is not None:
        columns.append(np.cbrt(np.concatenate([one.context_free_U for one in both if one.context_free_U is not None])))
    if (turn_A >= 0).any():
        columns.append((turn_A == 0).astype(np.float64))
    return x_A, np.stack(columns, axis=1)


def _numbered(names_U: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(names_U, return_inverse=True)[1].astype(np.int64)


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logit, -60.0, 60.0)))
    return result


def _logit(share: NDArray[np.float64] | float) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.log(np.asarray(share) / (1.0 - np.asarray(share)))
    return result
