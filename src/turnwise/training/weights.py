"""ReSURE's rule: from losses and turn groups to weights. No model, no file, no Trainer.

Legend of shape suffixes: `_U` one entry per *unit* of the batch of all ranks, which is a dialogue or a turn.

Source: ReSURE Eq. 5 and 6, section 4.2 (warm-up). Where the paper is silent the choice is a named option here;
docs/papers.md lists each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from turnwise.config import StrictModel
from turnwise.errors import ConfigError
from turnwise.training.statistics import (
    Center,
    GroupStatistics,
    StatisticsKind,
    center_and_spread,
    pool_with_neighbours,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

STATE_VERSION = 1

Preset = Literal["paper", "robust"]
RuleName = Literal["threshold", "mixture", "trim"]
Unit = Literal["dialogue", "turn"]
Scale = Literal["threshold", "sigma"]


class WeightingConfig(StrictModel):
    """Every option of the rule. The defaults are the published rule (`preset: paper`)."""

    rule: RuleName = Field(
        "threshold",
        description="'threshold' as published; 'mixture' tells reliable from unreliable units by their losses before "
        "training; 'trim' drops the highest losses of every batch.",
    )
    unit: Unit = Field("dialogue", description="What gets a loss, a group and a weight: the dialogue or each turn.")
    statistics: StatisticsKind = Field(
        "welford", description="'welford' as published; 'corrected' undoes the bias of never accepting high losses."
    )
    alpha: float = Field(1.0, description="Threshold in standard deviations above the group's mean (Eq. 5).")
    scale: Scale = Field(
        "threshold", description="What the excess loss is divided by: the threshold (Eq. 6) or kappa * sigma."
    )
    kappa: float = Field(1.0, gt=0, description="Only for scale 'sigma': excess of kappa sigmas gives weight 1/e.")
    floor_percentile: float | None = Field(
        5.0,
        ge=0,
        le=100,
        description="Weights never fall below this percentile of the batch's weights; null: no floor.",
    )
    half_life: float | None = Field(
        None, gt=0, description="Accepted losses after which an older loss counts half; null never forgets."
    )
    min_group_count: float | None = Field(
        None, gt=0, description="Groups below this count are judged together with their nearest groups; null: alone."
    )
    warmup_dialogues: int = Field(
        640, ge=0, description="Dialogues at the start that get weight 1 and all enter the statistics."
    )
    ramp_steps: int = Field(
        100, ge=0, description="Optimizer steps after warm-up over which the weights move from 1 to the rule's."
    )
    trim_share: float = Field(
        0.25, ge=0, lt=1, description="Only for rule 'trim': share of every batch, the highest losses, that is dropped."
    )
    context_free: bool = Field(
        False,
        description="Only for rule 'mixture': take each reply's loss without its dialogue too, so that a reply that is "
        "hard in itself is not held to be wrong.",
    )
    by_source: bool = Field(
        False,
        description="Only for rule 'mixture': judge each source by itself, as what a right reply costs differs between "
        "sources. A source that is bad as a whole then does not stand out.",
    )
    dialogue_prior: float | None = Field(
        None,
        gt=0,
        description="Only for rule 'mixture' and unit 'turn': how many turns a dialogue's share of noise is worth "
        "before its own turns speak; null: one share for all dialogues.",
    )
    max_non_finite_share: float = Field(
        0.01, ge=0, le=1, description="Training stops when more than this share of units had a non-finite loss."
    )

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "preset" not in values:
            return values
        rest = {key: value for key, value in values.items() if key != "preset"}
        preset = values["preset"]
        if preset not in PRESETS:
            raise ValueError(f"unknown preset {preset!r}; presets: {', '.join(PRESETS)}")
        return {**PRESETS[preset], **rest}


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    "robust": {"rule": "mixture", "unit": "turn", "context_free": True, "by_source": True, "dialogue_prior": 1.0},
}
"""Named settings; any field can be set beside `preset`. `paper` is the published rule, which is the default; `robust`
is what did best over noise kinds and seeds (docs/results)."""


@dataclass(frozen=True, slots=True)
class UnitBatch:
    """What a rule is asked about: the units of one forward pass over all ranks.

    Attributes:
        losses_U: Mean cross-entropy, nats per token; may hold NaN or infinity.
        groups_U: Turn group.
        finite_U: bool, the loss is a finite number.
        dialogues_U: Row number of the unit's dialogue, or None where it is not known.
        turns_U: Turn index, -1 where the unit is the dialogue, or None where it is not known.
    """

    losses_U: NDArray[np.float64]
    groups_U: NDArray[np.int64]
    finite_U: NDArray[np.bool_]
    dialogues_U: NDArray[np.int64] | None
    turns_U: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rule said of one batch.

    Attributes:
        weights_U: float64, in [0, 1]; 0 for non-finite losses, and where Eq. 6 underflows without a floor above it.
        thresholds_U: float64, nats per token; NaN where the unit could not be judged (warm-up, too small a group).
        flagged_U: bool, loss above threshold.
        finite_U: bool, the loss is a finite number.
        ramp: How far the weighting is ramped in, in [0, 1]; 0 during warm-up.
    """

    weights_U: NDArray[np.float64]
    thresholds_U: NDArray[np.float64]
    flagged_U: NDArray[np.bool_]
    finite_U: NDArray[np.bool_]
    ramp: float

    @property
    def effective_share(self) -> float:
        """Kish's effective sample size as a share: `(sum w)^2 / (U sum w^2)`, 1 where all weights are equal."""
        squares = float(np.square(self.weights_U).sum())
        return float(self.weights_U.sum()) ** 2 / (len(self.weights_U) * squares) if squares > 0 else 0.0


def unreliability_weights(
    losses_U: NDArray[np.float64],
    thresholds_U: NDArray[np.float64],
    sigmas_U: NDArray[np.float64],
    *,
    scale: Scale,
    kappa: float,
    floor_percentile: float | None,
) -> NDArray[np.float64]:
    """Eq. 6: `max(eps, exp(-(l - tau) / d))` above the threshold, 1 below it or where tau is NaN.

    Args:
        losses_U: Finite losses.
        thresholds_U: tau; NaN where the unit cannot be judged.
        sigmas_U: Spread of the unit's group; used by scale `sigma` only.
        scale: d is tau (`threshold`) or `kappa * sigma`.
        kappa: See `scale`.
        floor_percentile: eps is this percentile (linear interpolation) of this batch's weights, the 1s included.

    Returns:
        Weights in (0, 1].
    """
    weights_U = np.ones_like(losses_U)
    flagged_U = losses_U > thresholds_U  # False where tau is NaN
    if not flagged_U.any():
        return weights_U
    divisor_U = thresholds_U if scale == "threshold" else kappa * sigmas_U
    weights_U[flagged_U] = np.exp(-(losses_U - thresholds_U)[flagged_U] / divisor_U[flagged_U])
    if floor_percentile is not None:
        floor = np.percentile(weights_U, floor_percentile)
        weights_U[flagged_U] = np.maximum(weights_U[flagged_U], floor)
    return weights_U


class Rule:
    """What every rule shares: it counts what it has seen, and non-finite losses get weight 0.

    A rule is whole over the batch of all ranks: arrays in, arrays out.

    Attributes:
        config: The options.
        dialogues_seen: Dialogues so far (they end the warm-up).
        units_seen: Units so far.
        non_finite_seen: Units with a non-finite loss so far.
    """

    def __init__(self, config: WeightingConfig | None = None, *, batches_per_step: int = 1) -> None:
        self.config = config or WeightingConfig()
        self.batches_per_step = batches_per_step
        self.dialogues_seen = 0
        self.units_seen = 0
        self.non_finite_seen = 0

    def weigh(
        self,
        losses_U: NDArray[np.float64],
        groups_U: NDArray[np.int64],
        num_dialogues: int | None = None,
        *,
        dialogues_U: NDArray[np.int64] | None = None,
        turns_U: NDArray[np.int64] | None = None,
    ) -> Verdict:
        """Judge one batch, then learn from it.

        Args:
            losses_U: Mean cross-entropy of each unit, nats per token. May hold NaN or infinity.
            groups_U: Turn group of each unit.
            num_dialogues: How many dialogues the units belong to; None means one each.
            dialogues_U: Row number of each unit's dialogue; rules that judged the data before need it.
            turns_U: Turn index of each unit, -1 where it is the dialogue; as `dialogues_U`.
        """
        finite_U = np.isfinite(losses_U)
        verdict = self._judge(UnitBatch(losses_U, groups_U, finite_U, dialogues_U, turns_U))
        self.dialogues_seen += len(losses_U) if num_dialogues is None else num_dialogues
        self.units_seen += len(losses_U)
        self.non_finite_seen += int((~finite_U).sum())
        return verdict

    def _judge(self, batch: UnitBatch) -> Verdict:
        """All weights 1, as where nothing is weighed."""
        nothing = np.full(batch.losses_U.shape, np.nan)
        weights_U, flagged_U = batch.finite_U.astype(np.float64), np.zeros(batch.losses_U.shape, dtype=bool)
        return Verdict(weights_U, nothing, flagged_U, batch.finite_U, 0.0)

    def learn_unconditionally(self, losses_U: NDArray[np.float64], groups_U: NDArray[np.int64]) -> None:
        """Take in losses of dialogues known to be good, without judging them; non-finite ones are left out."""

    def end_warmup(self) -> None:
        """Count the warm-up as done (its losses came from a separate set)."""
        self.dialogues_seen = max(self.dialogues_seen, self.config.warmup_dialogues)

    def threshold(self, group: int) -> tuple[float, Center] | None:
        """The group's current threshold with its mean and sigma, or None where there is none."""
        return None

    @property
    def too_many_non_finite(self) -> bool:
        """Whether the share of non-finite losses passed the limit (counted as if over at least 1,000 units)."""
        # A single bad unit in the first batch must not look like a share of one eighth.
        return self.non_finite_seen > self.config.max_non_finite_share * max(self.units_seen, 1000)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly, as JSON values."""
        return {
            "version": STATE_VERSION,
            "dialogues_seen": self.dialogues_seen,
            "units_seen": self.units_seen,
            "non_finite_seen": self.non_finite_seen,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises:
            ConfigError: The state is incomplete or of another version.
        """
        if state.get("version") != STATE_VERSION:
            raise ConfigError(
                f"expected ReSURE state of version {STATE_VERSION}, found version {state.get('version')!r}",
                hint="the checkpoint was written by another release of turnwise",
            )
        try:
            self._load(state)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"the ReSURE state is incomplete ({error!r})") from error

    def _load(self, state: Mapping[str, Any]) -> None:
        self.dialogues_seen = int(state["dialogues_seen"])
        self.units_seen = int(state["units_seen"])
        self.non_finite_seen = int(state["non_finite_seen"])


class ReSURERule(Rule):
    """The published rule, with its options.

    Thresholds for a batch come from the statistics before it; then all of the batch's reliable losses are merged at
    once. So neither the order inside a batch nor its split over ranks changes anything.

    Attributes:
        groups: Statistics by turn group.
    """

    def __init__(self, config: WeightingConfig | None = None, *, batches_per_step: int = 1) -> None:
        super().__init__(config, batches_per_step=batches_per_step)
        self.groups: dict[int, GroupStatistics] = {}
        self._weighted_batches = 0

    def _judge(self, batch: UnitBatch) -> Verdict:
        losses_U, groups_U, finite_U = batch.losses_U, batch.groups_U, batch.finite_U
        warming = self.dialogues_seen < self.config.warmup_dialogues
        thresholds_U = np.full(losses_U.shape, np.nan)
        sigmas_U = np.full(losses_U.shape, np.nan)
        if not warming:
            for group in np.unique(groups_U[finite_U]):
                threshold, center = self._threshold(int(group))
                if center is not None:
                    thresholds_U[groups_U == group] = threshold
                    sigmas_U[groups_U == group] = center.sigma
        # A non-finite loss is not "above the threshold": it is no loss at all.
        flagged_U = np.zeros(losses_U.shape, dtype=bool)
        flagged_U[finite_U] = losses_U[finite_U] > thresholds_U[finite_U]
        weights_U = np.zeros_like(losses_U)
        weights_U[finite_U] = unreliability_weights(
            losses_U[finite_U],
            thresholds_U[finite_U],
            sigmas_U[finite_U],
            scale=self.config.scale,
            kappa=self.config.kappa,
            floor_percentile=self.config.floor_percentile,
        )
        ramp = 0.0 if warming else self._ramp()
        weights_U[finite_U] = 1.0 - ramp * (1.0 - weights_U[finite_U])
        self._learn(losses_U, groups_U, finite_U & ~flagged_U, ~np.isnan(thresholds_U))
        self._weighted_batches += not warming
        return Verdict(weights_U, thresholds_U, flagged_U, finite_U, ramp)

    def learn_unconditionally(self, losses_U: NDArray[np.float64], groups_U: NDArray[np.int64]) -> None:
        """Take in losses of dialogues known to be good, without judging them; non-finite ones are left out."""
        finite_U = np.isfinite(losses_U)
        self._learn(losses_U, groups_U, finite_U, np.zeros_like(finite_U))

    def threshold(self, group: int) -> tuple[float, Center] | None:
        """The group's current threshold with its mean and sigma, or None while it cannot be judged."""
        threshold, center = self._threshold(group)
        return None if center is None else (threshold, center)

    def _threshold(self, group: int) -> tuple[float, Center | None]:
        statistics = pool_with_neighbours(self.groups, group, self.config.min_group_count)
        if statistics is None:
            return math.nan, None
        center = center_and_spread(statistics, self.config.statistics, self.config.alpha)
        if center is None:
            return math.nan, None
        threshold = center.mu + self.config.alpha * center.sigma
        # Eq. 6 divides by the threshold; at or below zero it says nothing.
        return (threshold, center) if threshold > 0.0 else (math.nan, None)

    def _ramp(self) -> float:
        ramp_batches = self.config.ramp_steps * self.batches_per_step
        return 1.0 if ramp_batches == 0 else min(1.0, self._weighted_batches / ramp_batches)

    def _learn(
        self,
        losses_U: NDArray[np.float64],
        groups_U: NDArray[np.int64],
        accepted_U: NDArray[np.bool_],
        judged_U: NDArray[np.bool_],
    ) -> None:
        for group in np.unique(groups_U[accepted_U]):
            statistics = self.groups.setdefault(int(group), GroupStatistics())
            members_U = accepted_U & (groups_U == group)
            # All units of a group share one threshold, so the batch's part is either cut or not.
            cut = bool(judged_U[members_U].any())
            statistics.merge(losses_U[members_U].tolist(), cut=cut, half_life=self.config.half_life)

    def state_dict(self) -> dict[str, Any]:
        """Counts and the statistics of every group."""
        return {
            **super().state_dict(),
            "weighted_batches": self._weighted_batches,
            "groups": {str(group): statistics.to_dict() for group, statistics in sorted(self.groups.items())},
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self.groups = {int(key): GroupStatistics.from_dict(value) for key, value in state["groups"].items()}
        self._weighted_batches = int(state["weighted_batches"])
