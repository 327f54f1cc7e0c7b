"""ReSURE's weights without a Trainer.

Legend of shape suffixes: `_U` one entry per unit (a dialogue or a turn) of this rank's batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from turnwise.errors import ConfigError
from turnwise.training.rules import make_rule
from turnwise.training.weights import Verdict, WeightingConfig

if TYPE_CHECKING:
    import torch


class ReSUREWeighter:
    """ReSURE's weights in any PyTorch loop.

    Example::

        weighter = ReSUREWeighter(warmup_dialogues=640)
        losses_U = per_dialogue_losses(model, batch)       # (U,), with gradient
        weights_U = weighter(losses_U, batch["num_turns"])  # (U,), detached
        (weights_U * losses_U).mean().backward()

    Where `torch.distributed` is initialised, all ranks must call it in step; thresholds, the floor and the statistics
    are then those of the batch of all ranks together.

    Args:
        config: The options; or give them by name, as in `ReSUREWeighter(alpha=1.5, statistics="corrected")`.
        batches_per_step: Calls per optimizer step (gradient accumulation), which `ramp_steps` counts in.
        **options: Fields of `WeightingConfig`.

    Attributes:
        rule: The rule with its statistics.
        last: The `Verdict` on the last batch, of all ranks.
    """

    def __init__(self, config: WeightingConfig | None = None, *, batches_per_step: int = 1, **options: Any) -> None:
        if config is not None and options:
            raise ConfigError("give ReSUREWeighter a config or options by name, not both")
        self.rule = make_rule(config or WeightingConfig(**options), batches_per_step=batches_per_step)
        self.last: Verdict | None = None

    def __call__(self, losses_U: torch.Tensor, groups_U: torch.Tensor | Sequence[int]) -> torch.Tensor:
        """Judge a batch.

        Args:
            losses_U: (U,) mean cross-entropy per unit, nats per token; not changed, its gradient not used.
            groups_U: (U,) turn group of each unit.

        Returns:
            (U,) weights, detached, on the device and in the dtype of `losses_U`. A unit with a non-finite loss gets
            weight 0; multiply with `torch.where(weights_U > 0, losses_U, 0)` to keep its NaN out of the sum.
        """
        import torch

        from turnwise.training.distributed import gather_rows

        losses = losses_U.detach().double()
        groups = torch.as_tensor(groups_U, device=losses.device).double()
        if losses.ndim != 1 or losses.shape != groups.shape:
            raise ValueError(f"expected losses and groups of one shape (U,), found {losses.shape} and {groups.shape}")
        rows, own = gather_rows(torch.stack([losses, groups], dim=1))
        self.last = self.rule.weigh(rows[:, 0], rows[:, 1].astype(np.int64))
        weights = torch.from_numpy(self.last.weights_U[own])
        return weights.to(device=losses_U.device, dtype=losses_U.dtype)

    def state_dict(self) -> dict[str, Any]:
        """JSON-ready state; see `ReSURERule.state_dict`."""
        return self.rule.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.rule.load_state_dict(state)
