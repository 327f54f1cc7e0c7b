"""The rules beside the published one, and which rule a configuration asks for.

Legend of shape suffixes: `_U` one entry per unit of the batch of all ranks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from turnwise.errors import ConfigError
from turnwise.training.weights import ReSURERule, Rule, UnitBatch, Verdict, WeightingConfig


class TrimRule(Rule):
    """Drops the highest losses of every batch: `floor(trim_share * U)` units get weight 0, the others 1.

    What one would try first; small losses are kept whatever they mean (Shen and Sanghavi, ICML 2019, without their
    rounds). The threshold in the ledger is the highest loss that was kept.
    """

    def _judge(self, batch: UnitBatch) -> Verdict:
        losses_U, finite_U = batch.losses_U, batch.finite_U
        order = np.flatnonzero(finite_U)[np.argsort(losses_U[finite_U], kind="stable")]
        kept = len(order) - math.floor(self.config.trim_share * len(order))
        flagged_U = np.zeros(losses_U.shape, dtype=bool)
        flagged_U[order[kept:]] = True
        threshold = losses_U[order[kept - 1]] if kept else math.nan
        thresholds_U = np.full(losses_U.shape, threshold)
        return Verdict((finite_U & ~flagged_U).astype(np.float64), thresholds_U, flagged_U, finite_U, 1.0)


class MixtureRule(Rule):
    """Weights that a mixture over the starting model's losses gave (`turnwise.training.reliability`).

    The trainer judges all units before the first step and hands the weights over; they stay, so no disturbance of
    training can turn against the good ones. A unit counts as flagged where its weight is below one half.
    """

    def __init__(self, config: WeightingConfig | None = None, *, batches_per_step: int = 1) -> None:
        super().__init__(config, batches_per_step=batches_per_step)
        self.weights: Mapping[tuple[int, int], float] = {}

    def _judge(self, batch: UnitBatch) -> Verdict:
        if batch.dialogues_U is None or batch.turns_U is None:
            raise ConfigError(
                "the rule 'mixture' judges the data before training, so it needs to know each unit's dialogue and turn",
                hint="use ReSURETrainer, or the rule 'threshold'",
            )
        # A unit that the pass before training has not seen has nothing against it.
        keys = zip(batch.dialogues_U.tolist(), batch.turns_U.tolist(), strict=True)
        judged_U = np.array([self.weights.get(key, 1.0) for key in keys])
        weights_U, flagged_U = np.where(batch.finite_U, judged_U, 0.0), batch.finite_U & (judged_U < 0.5)
        return Verdict(weights_U, np.full(judged_U.shape, np.nan), flagged_U, batch.finite_U, 1.0)


_RULES: Mapping[str, type[Rule]] = {"threshold": ReSURERule, "mixture": MixtureRule, "trim": TrimRule}


def make_rule(config: WeightingConfig, *, weighting: bool = True, batches_per_step: int = 1) -> Rule:
    """The rule that the options name; with `weighting` off the one that gives all weights 1."""
    return (_RULES[config.rule] if weighting else Rule)(config, batches_per_step=batches_per_step)
