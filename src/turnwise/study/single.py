"""What is measured after one training run: held-out loss by turn, and how well the ledger finds known noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from turnwise.evaluation.loss import HeldOutLoss, held_out_loss
from turnwise.evaluation.noise import noise_detection
from turnwise.run import write_json
from turnwise.training.ledger import Ledger

if TYPE_CHECKING:
    from turnwise.dialogue import Dialogue
    from turnwise.training.fit import FitResult
    from turnwise.training.spans import Policy


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


def dialogue_loss(
    model: Any,
    tokenizer: Any,
    dialogues: Sequence[Dialogue],
    *,
    max_length: int | None,
    template_policy: Policy = "refuse",
    batch_size: int = 16,
) -> HeldOutLoss:
    """Held-out loss of dialogues, encoded as in training; dialogues that cannot be encoded are left out."""
    from turnwise.training.encode import Encoded, encode_dialogue
    from turnwise.training.template import SpanFinder

    finder = SpanFinder(tokenizer, policy=template_policy)
    examples = []
    for dialogue in dialogues:
        encoded = encode_dialogue(dialogue, finder, max_length=max_length)
        if isinstance(encoded, Encoded):
            examples.append({"input_ids": encoded.input_ids, "turn_ids": encoded.turn_ids, "source": dialogue.source})
    return held_out_loss(model, examples, batch_size=batch_size, pad_token_id=tokenizer.pad_token_id or 0)


def loss_figures(measured: HeldOutLoss) -> dict[str, Any]:
    """A held-out loss as JSON-ready figures; `*_by_turn` are lists over turn_index, None where a turn has no token."""
    by_turn = measured.loss_by_turn
    return {
        "loss": measured.loss,
        "perplexity": measured.perplexity,
        "tokens": measured.overall.tokens,
        "loss_by_turn": as_list(by_turn),
        "tokens_by_turn": as_list(measured.tokens_by_turn),
        "loss_by_source": {source: tally.loss for source, tally in measured.by_source.items()},
    }


def as_list(by_turn: Mapping[int, Any]) -> list[Any]:
    """Values by turn_index as a list, None in the holes."""
    return [by_turn.get(turn) for turn in range(max(by_turn, default=-1) + 1)]
