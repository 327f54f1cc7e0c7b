"""What is measured after one training run: held-out loss by turn, and how well the ledger finds known noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from turnwise.evaluation.dialogue_loss import dialogue_loss, loss_figures
from turnwise.evaluation.noise import noise_detection
from turnwise.run import write_json
from turnwise.training.ledger import Ledger

if TYPE_CHECKING:
    from turnwise.training.fit import FitResult

LOCKED_OUT = 0.9
"""Share of flagged units in the last epoch from which on the run is not to be trusted (docs/results)."""


def evaluate_run(result: FitResult) -> dict[str, Any]:
    """Measure a finished run and add the figures to its `summary.json`.

    Args:
        result: The run.

    Returns:
        The summary: what training wrote; `eval.final` where the run has held-out dialogues; `noise` and
        `auroc_noise` where its dialogues carry labels of planted noise (otherwise `auroc_noise` is None);
        `last_flag_rate`, the flagged share of the units judged in the last epoch; `reliability`, what the rule
        `mixture` found (None elsewhere); and `cautions`, sentences that are empty where nothing looks wrong.
    """
    summary = dict(result.summary)
    trainer = result.trainer
    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    # One rank alone cannot run a sharded model; the Trainer's own evaluation loss is in metrics.jsonl all the same.
    if result.eval_dialogues and not sharded:
        measured = dialogue_loss(
            trainer.model,
            trainer.processing_class,
            result.eval_dialogues,
            max_length=trainer.args.max_length,
            template_policy=trainer.args.template_policy,
        )
        summary["eval"] = {"final": loss_figures(measured)}
    ledger = Ledger.open(result.run) if trainer.args.ledger else None
    detection = None if ledger is None else noise_detection(ledger)
    summary["last_flag_rate"] = None if ledger is None else ledger.last_flag_rate()
    # Only the published rule follows the losses, so only it can be left behind by them.
    follows = trainer.args.rule == "threshold"
    summary["cautions"] = _cautions(summary["last_flag_rate"]) if follows else []
    summary["reliability"] = None if trainer.reliability is None else trainer.reliability.figures()
    summary["auroc_noise"] = None if detection is None else detection.auroc
    summary["precision_at_flagged"] = None if detection is None else detection.precision_at_flagged
    if detection is not None:
        summary["noise"] = detection.to_dict()
    write_json(result.run / "summary.json", summary)
    return summary


def _cautions(last_flag_rate: float | None) -> list[str]:
    """What the user should know before trusting the run."""
    if last_flag_rate is None or last_flag_rate <= LOCKED_OUT:
        return []
    return [
        f"{last_flag_rate:.0%} of what was judged in the last epoch was flagged: the losses have left the thresholds "
        "behind, and flagged losses never move them. Lower the learning rate, or raise resure.alpha"
    ]
